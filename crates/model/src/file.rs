//! A model in a file: whole, so that its training can go on, or small, to be handed around.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use hebbian::Registry;
use hebbian_classifier::{Features, SoftmaxRegression};
use hebbian_training::{Checkpoint, State, all_finite};

use crate::{Description, Encoding, Error, Model, Result};

/// Where the tensor lies that all features are divided by.
const SCALE: &str = "feature.scale";

impl Model {
    /// Writes the model in the place of the file at `path`, which is there whole at every moment.
    pub fn save(&self, path: &Path) -> Result<()> {
        Ok(self.checkpoint()?.save(path)?)
    }

    /// Reads the model at `path`, whose rule is one of `registry`, and puts it on `device`. A checkpoint that a training
    /// left is the model of its rule alone.
    ///
    /// # Errors
    /// Whatever the bytes, this ends with a model that can be asked, or with an error that names the file and says what is
    /// wrong.
    pub fn load(path: &Path, registry: &Registry, device: &Device) -> Result<Self> {
        let checkpoint = Checkpoint::load(path, device)?;
        Self::from_checkpoint(&checkpoint, registry)
            .map_err(|source| Error::File { path: path.to_owned(), source: Box::new(source) })
    }

    /// The model that `checkpoint` holds, on the device of its tensors.
    pub fn from_checkpoint(checkpoint: &Checkpoint, registry: &Registry) -> Result<Self> {
        let rule = registry.from_checkpoint(checkpoint)?;
        let mut model = Self::described(rule, Description::read(checkpoint)?)?;
        model.training = checkpoint.metadata.training.clone();
        if let Encoding::Power { features, weights } = &model.description.encoding {
            let weights = weights.of(&*model.rule)?;
            model.features = Some(Features::with_scale(features.clone(), weights, &scale(checkpoint)?)?);
        }
        let readout = checkpoint.part("readout");
        model.readout = (!readout.is_empty()).then(|| SoftmaxRegression::from_state(&readout)).transpose()?;
        model.checked()
    }

    /// All of the model: if its training is recorded, that can go on from here to the same bits as if it had not stopped.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        self.with_state(self.rule.state()?)
    }

    /// What the model answers with, made small: of its rule only what `forward` needs, matrices of zeros and ones as bits,
    /// all others as half floats. A model without a readout, which nothing could be judged by, keeps all that it has.
    pub fn shrunk(&self) -> Result<Checkpoint> {
        let mut small = match self.readout {
            Some(_) => self.with_state(self.rule.inference_state()?)?,
            None => self.checkpoint()?,
        };
        if let Some(training) = &mut small.metadata.training {
            training.run = None;
        }
        if self.readout.is_none() {
            return Ok(small);
        }
        for (name, tensor) in &mut small.tensors {
            if tensor.rank() != 2 || tensor.dtype() != DType::F32 {
                continue;
            }
            match is_binary(tensor)? {
                true => drop(small.metadata.bits.insert(name.clone(), tensor.dim(1)?)),
                false => *tensor = halved(tensor)?,
            }
        }
        Ok(small)
    }

    fn with_state(&self, state: State) -> Result<Checkpoint> {
        let mut checkpoint = Checkpoint::new(self.rule.name(), self.rule.config(), state);
        checkpoint.metadata.training = self.training.clone();
        self.description.write(&mut checkpoint);
        if let Some(features) = &self.features {
            checkpoint.tensors.insert(SCALE.to_owned(), features.scale()?);
        }
        if let Some(readout) = &self.readout {
            checkpoint.add("readout", readout.state()?);
        }
        Ok(checkpoint)
    }
}

/// The scale of the features, a scalar.
fn scale(checkpoint: &Checkpoint) -> Result<Tensor> {
    match checkpoint.tensors.get(SCALE) {
        Some(scale) if scale.elem_count() == 1 => Ok(scale.reshape(())?),
        Some(scale) => {
            let found = format!("`{SCALE}` has shape {:?}, expected one number", scale.dims());
            Err(Error::Mismatch(found))
        }
        None => Err(Error::Mismatch(format!("there is no `{SCALE}`"))),
    }
}

fn is_binary(tensor: &Tensor) -> candle_core::Result<bool> {
    let is_either = (tensor.eq(0f32)? + tensor.eq(1f32)?)?;
    Ok(tensor.elem_count() > 0 && is_either.flatten_all()?.min(0)?.to_scalar::<u8>()? == 1)
}

/// Half floats, unless a value is too large for one.
fn halved(tensor: &Tensor) -> candle_core::Result<Tensor> {
    let halves = tensor.to_dtype(DType::F16)?;
    Ok(if all_finite(&halves)? { halves } else { tensor.clone() })
}
