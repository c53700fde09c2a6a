//! What the network learns from: lines that are drawn for it, or patches of the dataset's images.

use anyhow::{Result, bail};
use candle_core::{D, DType, Device, Tensor};
use hebbian_datasets::{
    Bars, Dataset, Examples, Zca, center_patches, gray, one_over_f, random_patches, transforms,
};
use hebbian_experiment::{Subject, check_batches, split};
use hebbian_training::Invalid;
use serde_json::{Value, json};

use crate::settings::{Cut, Input, Lines, Patches, Settings, Whitening};

/// Patterns to learn from and patterns held out.
pub struct Patterns {
    name: String,
    /// Height and width of a pattern.
    pub image: (usize, usize),
    /// What is learned from, `(patterns, inputs)`.
    pub train: Tensor,
    /// What choices are made by, where the dataset leaves images for it.
    pub validation: Option<Tensor>,
    /// What is reported.
    pub test: Tensor,
    /// Which lines each of the test patterns has, u8 `(patterns, lines)`, and the pattern of each line alone.
    pub lines: Option<(Tensor, Tensor)>,
}

/// What patterns are drawn for. Those to learn from and to report are drawn anew for each seed, those to choose by once.
#[derive(Clone, Copy)]
enum Set {
    Train,
    Test,
    Validation,
}

impl Set {
    /// The seed of its draws in a run of this `seed`.
    fn seed(self, seed: u64) -> u64 {
        match self {
            Self::Train => 0x0001_0000_0000 + seed,
            Self::Test => 0x0002_0000_0000 + seed,
            Self::Validation => 0x0003_0000_0000,
        }
    }
}

/// Shorter patches stay as short as they are.
const SHORTEST: f64 = 1e-6;

impl Patterns {
    /// The patterns of a run of this `seed`, of the dataset `raw` where they are of one.
    pub fn load(settings: &Settings, raw: Option<&Dataset>, seed: u64, device: &Device) -> Result<Self> {
        let patterns = match (&settings.input, raw) {
            (Input::Patches(patches), Some(raw)) => Self::patches(patches, settings, (raw, seed), device)?,
            (Input::Bars(lines), None) => Self::bars(lines, settings, seed, device)?,
            _ => bail!("--input bars and a dataset; allowed: one of them"),
        };
        check_batches(settings, "training patterns", patterns.train.dim(0)?)?;
        Ok(patterns)
    }

    fn bars(
        &Lines { side, line_probability }: &Lines,
        settings: &Settings,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let draw = |count, set: Set| Bars::draw(count, side, line_probability, set.seed(seed));
        let scale = |images: &Tensor| transforms::scale(images, device);
        let test = draw(settings.sizes.test_patterns, Set::Test)?;
        Ok(Self {
            name: "bars".to_owned(),
            image: (side, side),
            train: scale(&draw(settings.sizes.patterns, Set::Train)?.images)?,
            validation: None,
            test: scale(&test.images)?,
            lines: Some((test.lines, scale(&Bars::single(side)?.images)?)),
        })
    }

    fn patches(
        patches: &Patches,
        settings: &Settings,
        (dataset, seed): (&Dataset, u64),
        device: &Device,
    ) -> Result<Self> {
        let split = split(dataset, &settings.data)?;
        let (size, side) = (patches.patch_size, dataset.shape.height.min(dataset.shape.width));
        Invalid::unless(size <= side, "input.patch_size", size, format!("1 to {side}, an image's side"))?;
        let cut =
            |examples: &Examples, count, set: Set| patches.cut(dataset, examples, count, set.seed(seed));
        let train = cut(&split.train, settings.sizes.patterns, Set::Train)?;
        let test = cut(&split.test, settings.sizes.test_patterns, Set::Test)?;
        for (patches, of) in [(&train, "training"), (&test, "test")] {
            let [least, most] =
                [patches.min_all()?, patches.max_all()?].map(|value| value.to_scalar::<f32>());
            if least? == most? {
                bail!(
                    "{}: all {of} patches are of one shade, and there is nothing to learn in them",
                    dataset.name
                );
            }
        }
        let validation = (!split.validation.is_empty())
            .then(|| cut(&split.validation, settings.sizes.test_patterns, Set::Validation))
            .transpose()?;
        let zca = match patches.whitening {
            Whitening::Zca { floor } => Some(Zca::fit(&train, floor)?),
            _ => None,
        };
        let whiten = |cut: &Tensor| anyhow::Ok(patches.whiten(zca.as_ref(), cut)?.to_device(device)?);
        Ok(Self {
            name: format!("{} patches", dataset.name),
            image: (size, size),
            train: whiten(&train)?,
            validation: validation.as_ref().map(whiten).transpose()?,
            test: whiten(&test)?,
            lines: None,
        })
    }
}

impl Patches {
    fn cut(&self, dataset: &Dataset, examples: &Examples, count: usize, seed: u64) -> Result<Tensor> {
        let image = (dataset.shape.height, dataset.shape.width);
        let mut images = gray(examples.images(), dataset.shape)?;
        if self.whitening == Whitening::OneOverF {
            images = one_over_f(&images, image, 0.4 * image.0.min(image.1) as f64)?;
        }
        Ok(match self.cut {
            Cut::Random => random_patches(&images, image, self.patch_size, count, seed)?,
            Cut::Center => center_patches(&images, image, self.patch_size)?,
        })
    }

    fn whiten(&self, zca: Option<&Zca>, patches: &Tensor) -> Result<Tensor> {
        match (self.whitening, zca) {
            (_, Some(zca)) => to_length_one(&zca.apply(patches)?),
            (Whitening::OneOverF, _) => to_length_one(patches),
            (Whitening::Binary, _) => {
                Ok(patches.broadcast_ge(&patches.mean_keepdim(D::Minus1)?)?.to_dtype(DType::F32)?)
            }
            _ => Ok(patches.clone()),
        }
    }
}

fn to_length_one(patches: &Tensor) -> Result<Tensor> {
    let lengths = patches.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(SHORTEST)?;
    Ok(patches.broadcast_div(&lengths)?)
}

impl Subject for Patterns {
    fn inputs(&self) -> &Tensor {
        &self.train
    }

    fn image(&self) -> (usize, usize) {
        self.image
    }

    fn summary(&self) -> Value {
        let count = |patterns: &Tensor| patterns.dims()[0];
        let validation = self.validation.as_ref().map_or(0, count);
        json!({
            "name": self.name, "train": count(&self.train), "validation": validation, "test": count(&self.test),
        })
    }
}
