//! What the network learns from: lines that are drawn for it, or patches of the dataset's images.

use anyhow::{Context, Result};
use candle_core::{D, DType, Device, Tensor};
use clap::ValueEnum;
use hebbian_datasets::{
    Bars, Dataset, Examples, Zca, center_patches, gray, one_over_f, random_patches, transforms,
};
use hebbian_experiment::{Subject, dataset, flagged, split};
use hebbian_training::Invalid;
use serde::Serialize;
use serde_json::{Value, json};

use crate::Arguments;

/// What the patterns are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// Horizontal and vertical lines on a grid
    Bars,
    /// Patches of the dataset's images, in gray
    Patches,
}

/// Where in an image patches are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// Anywhere
    Random,
    /// In the middle, as the notebook does
    Center,
}

/// What is done to patches before they are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whitening {
    /// Nothing
    None,
    /// A pixel becomes 1 where it is at least its patch's mean, else 0
    Binary,
    /// Zero-phase component analysis, then each patch to length 1
    Zca,
    /// Olshausen and Field's filter on the whole image, then each patch to length 1
    OneOverF,
}

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

/// Training patterns, test patterns and validation patterns are drawn from seeds of their own, the same for all runs.
const SEEDS: [u64; 3] = [0x0001_0000_0000, 0x0002_0000_0000, 0x0003_0000_0000];

/// Shorter patches stay as short as they are.
const SHORTEST: f64 = 1e-6;

impl Patterns {
    pub fn load(arguments: &Arguments, device: &Device) -> Result<Self> {
        let patterns = match arguments.input {
            Input::Bars => Self::bars(arguments, device)?,
            Input::Patches => Self::patches(arguments, device)?,
        };
        let most = patterns.train.dim(0)?;
        let (field, size) = ("batch_size", arguments.common.batch_size);
        let allowed = format!("1 to the training patterns ({most})");
        flagged("", Invalid::unless((1..=most).contains(&size), field, size, allowed))?;
        Ok(patterns)
    }

    fn bars(arguments: &Arguments, device: &Device) -> Result<Self> {
        let Arguments { patterns, test_patterns, side, line_probability, .. } = *arguments;
        let draw = |count, which: usize| {
            Bars::draw(count, side, line_probability, SEEDS[which]).context("--side or --line-probability")
        };
        let scale = |images: &Tensor| transforms::scale(images, device);
        let test = draw(test_patterns, 1)?;
        Ok(Self {
            name: "bars".to_owned(),
            image: (side, side),
            train: scale(&draw(patterns, 0)?.images)?,
            validation: None,
            test: scale(&test.images)?,
            lines: Some((test.lines, scale(&Bars::single(side)?.images)?)),
        })
    }

    fn patches(arguments: &Arguments, device: &Device) -> Result<Self> {
        let dataset = dataset(&arguments.common)?;
        let split = split(&dataset, &arguments.common)?;
        let cut = |examples: &Examples, count, which| arguments.cut(&dataset, examples, count, SEEDS[which]);
        let train = cut(&split.train, arguments.patterns, 0)?;
        let test = cut(&split.test, arguments.test_patterns, 1)?;
        let validation = (!split.validation.is_empty())
            .then(|| cut(&split.validation, arguments.test_patterns, 2))
            .transpose()?;
        let zca = match arguments.whitening {
            Whitening::Zca => Some(Zca::fit(&train, arguments.zca_floor).context("--zca-floor")?),
            _ => None,
        };
        let whiten =
            |patches: &Tensor| anyhow::Ok(arguments.whiten(zca.as_ref(), patches)?.to_device(device)?);
        Ok(Self {
            name: format!("{} patches", dataset.name),
            image: (arguments.patch_size, arguments.patch_size),
            train: whiten(&train)?,
            validation: validation.as_ref().map(whiten).transpose()?,
            test: whiten(&test)?,
            lines: None,
        })
    }
}

impl Arguments {
    fn cut(&self, dataset: &Dataset, examples: &Examples, count: usize, seed: u64) -> Result<Tensor> {
        let image = (dataset.shape.height, dataset.shape.width);
        let mut images = gray(examples.images(), dataset.shape)?;
        if self.whitening == Whitening::OneOverF {
            images = one_over_f(&images, image, 0.4 * image.0.min(image.1) as f64)?;
        }
        let patches = match self.cut {
            Cut::Random => random_patches(&images, image, self.patch_size, count, seed),
            Cut::Center => center_patches(&images, image, self.patch_size),
        };
        patches.context("--patch-size")
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
