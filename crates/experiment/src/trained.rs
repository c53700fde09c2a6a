//! A layer out of a checkpoint, with all that it takes to answer about images.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::Module;
use candle_nn::ops::softmax_last_dim;
use clap::Args;
use hebbian::{KrotovHopfield, LearningRule, Registry, Rule as _};
use hebbian_classifier::{Features, SoftmaxRegression, encode};
use hebbian_datasets::ImageShape;
use hebbian_datasets::transforms::{Threshold, binarize, scale};
use hebbian_training::{Checkpoint, Metadata};
use serde_json::Value;

/// Which layer to take: a published one by its name, or any checkpoint.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct TrainedFrom {
    /// A published layer by its name; they lie in pretrained/, or in the folder that HEBBIAN_PRETRAINED names
    #[arg(long, value_name = "NAME")]
    pub pretrained: Option<String>,

    /// The checkpoint of a run
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
}

impl TrainedFrom {
    /// Loads it onto `device`.
    pub fn load(&self, device: &Device) -> Result<Trained> {
        let (flag, path) = match (&self.pretrained, &self.checkpoint) {
            (Some(name), _) => (format!("--pretrained {name}"), pretrained(name)?),
            (None, Some(path)) => ("--checkpoint".to_owned(), path.clone()),
            (None, None) => bail!("neither --pretrained nor --checkpoint is given"),
        };
        Trained::load(&path, device).context(flag)
    }
}

/// The file of the published layer `name`.
fn pretrained(name: &str) -> Result<PathBuf> {
    let folder =
        std::env::var_os("HEBBIAN_PRETRAINED").map_or_else(|| PathBuf::from("pretrained"), PathBuf::from);
    let entries =
        std::fs::read_dir(&folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    let mut names: Vec<String> =
        files.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    if !names.iter().any(|known| known == name) {
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        bail!("--pretrained {name} is not among those in {}: {known}", folder.display());
    }
    Ok(folder.join(format!("{name}.safetensors")))
}

/// A trained layer that takes images: what their pixels become, what the layer makes of that, and the readout on it.
pub struct Trained {
    metadata: Metadata,
    rule: Box<dyn LearningRule>,
    image: ImageShape,
    threshold: Option<Threshold>,
    features: Option<Features>,
    readout: Option<SoftmaxRegression>,
    device: Device,
}

impl Trained {
    /// Reads the checkpoint at `path`.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let checkpoint = Checkpoint::load(path, device)?;
        Self::from_checkpoint(&checkpoint, device).with_context(|| path.display().to_string())
    }

    /// The layer and what was made of it.
    pub fn from_checkpoint(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        let metadata = checkpoint.metadata.clone();
        let rule = Registry::builtin().from_checkpoint(checkpoint)?;
        let image = image_shape(metadata.image, rule.weights()?.dim(1)?)?;
        let described = metadata.features.clone().unwrap_or(Value::Null);
        let threshold = described.get("binarize").and_then(Value::as_str);
        let threshold = threshold.map(str::parse).transpose().map_err(|allowed: String| {
            anyhow::anyhow!("the checkpoint's threshold for pixels is not known; {allowed}")
        })?;
        let features = described.get("power").is_some();
        let features = features.then(|| power_features(checkpoint, &*rule, described)).transpose()?;
        let readout = checkpoint.part("readout");
        let readout = (!readout.is_empty()).then(|| SoftmaxRegression::from_state(&readout)).transpose()?;
        let trained = Self { metadata, rule, image, threshold, features, readout, device: device.clone() };
        trained.check_readout()?;
        Ok(trained)
    }

    /// A readout must take as many features as there are.
    fn check_readout(&self) -> Result<()> {
        let Some(weight) = self.readout_weight()? else { return Ok(()) };
        let blank = Tensor::zeros((1, self.image.inputs()), DType::U8, &Device::Cpu)?;
        let (taken, given) = (weight.dim(1)?, self.features(&blank)?.dim(1)?);
        if taken != given {
            bail!("the checkpoint's readout takes {taken} features, but there are {given}");
        }
        Ok(())
    }

    /// What the checkpoint says about itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The rule.
    pub fn rule(&self) -> &dyn LearningRule {
        &*self.rule
    }

    /// The form of the images that it takes.
    pub fn image(&self) -> ImageShape {
        self.image
    }

    /// Of `pixels (images, inputs)` u8, prepared as in training: the features that its readout sees, or what the rule itself
    /// makes of them, `(images, features)`.
    pub fn features(&self, pixels: &Tensor) -> Result<Tensor> {
        let inputs = match self.threshold {
            Some(threshold) => binarize(pixels, threshold, &self.device)?,
            None => scale(pixels, &self.device)?,
        };
        match &self.features {
            Some(features) => Ok(encode(features, &inputs)?),
            None if self.rule.is_sequential() => Ok(self.rule.forward(&inputs)?),
            None => Ok(encode(&Rule(&*self.rule), &inputs)?),
        }
    }

    /// The readout's scores `(images, classes)` for `features (images, features)`.
    pub fn scores(&self, features: &Tensor) -> Result<Tensor> {
        let readout =
            self.readout.as_ref().context("the checkpoint has no readout, so it knows no classes")?;
        Ok(readout.forward(features)?)
    }

    /// The probability of each class, `(images, classes)`: the softmax of the scores.
    pub fn probabilities(&self, features: &Tensor) -> Result<Vec<Vec<f32>>> {
        Ok(softmax_last_dim(&self.scores(features)?)?.to_vec2()?)
    }

    /// The class of each of `pixels (images, inputs)` u8: the one with the largest score, the lowest of equals.
    pub fn classes(&self, pixels: &Tensor) -> Result<Vec<u32>> {
        let scores = self.scores(&self.features(pixels)?)?.to_vec2::<f32>()?;
        let larger = |scores: &[f32], best: usize, class: usize| {
            if scores[class] > scores[best] { class } else { best }
        };
        let first_largest =
            |scores: &Vec<f32>| (0..scores.len()).fold(0, |best, class| larger(scores, best, class));
        Ok(scores.iter().map(|scores| first_largest(scores) as u32).collect())
    }

    /// The readout's weights `(classes, features)`, if there is a readout.
    pub fn readout_weight(&self) -> Result<Option<Tensor>> {
        let weight = self.readout.as_ref().map(SoftmaxRegression::state).transpose()?;
        Ok(weight.and_then(|mut state| state.remove("weight")))
    }
}

/// `encode` wants a module of known size.
struct Rule<'a>(&'a dyn LearningRule);

impl Module for Rule<'_> {
    fn forward(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        self.0.forward(inputs)
    }
}

/// What a checkpoint says of its images; an old one says nothing, but most images are squares.
fn image_shape(recorded: Option<[usize; 3]>, inputs: usize) -> Result<ImageShape> {
    let square = |channels: usize| {
        let side = (inputs / channels).isqrt();
        ImageShape { height: side, width: side, channels }
    };
    let recorded = recorded.map(|[height, width, channels]| ImageShape { height, width, channels });
    let candidates = recorded.map_or_else(|| vec![square(1), square(3)], |shape| vec![shape]);
    let fits = candidates.into_iter().find(|shape| {
        let pixels = shape.height.checked_mul(shape.width).and_then(|area| area.checked_mul(shape.channels));
        pixels == Some(inputs) && inputs > 0
    });
    fits.with_context(|| {
        format!("the checkpoint's layer has {inputs} inputs, which are no image that it names")
    })
}

fn power_features(
    checkpoint: &Checkpoint,
    rule: &dyn LearningRule,
    mut described: Value,
) -> Result<Features> {
    let seen = described.as_object_mut().and_then(|described| described.remove("weights"));
    let weights = match seen.as_ref().and_then(Value::as_str) {
        Some("synapses") => {
            let config = serde_json::from_value(checkpoint.metadata.config.clone())?;
            KrotovHopfield::from_state(config, checkpoint.part("rule"))?.synapses()?
        }
        _ => rule.weights()?,
    };
    let scale = checkpoint.tensors.get("feature.scale").context("the checkpoint has no `feature.scale`")?;
    if scale.elem_count() != 1 {
        bail!("the checkpoint's `feature.scale` has shape {:?}, expected one number", scale.dims());
    }
    let config = serde_json::from_value(described).context("the checkpoint's features")?;
    let scale = scale.flatten_all()?.squeeze(D::Minus1)?;
    Ok(Features::with_scale(config, weights, &scale)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_recognized_gray_before_color_and_nothing_else() {
        let shape =
            |inputs| image_shape(None, inputs).map(|shape| (shape.height, shape.width, shape.channels));
        assert_eq!(shape(784).unwrap(), (28, 28, 1));
        assert_eq!(shape(3072).unwrap(), (32, 32, 3));
        let refused = shape(600).unwrap_err().to_string();
        assert!(refused.contains("600 inputs"), "{refused}");
        assert_eq!(image_shape(Some([20, 30, 1]), 600).unwrap().width, 30);
        assert!(image_shape(Some([20, 30, 1]), 601).is_err());
    }
}
