//! What an experiment learns from: images to train on, validate on and report, or any other inputs.

use std::path::Path;

#[cfg(not(feature = "hub"))]
use anyhow::bail;
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use hebbian_classifier::Labeled;
use hebbian_datasets::{Dataset, Error, Examples, ImageShape, Split, SplitSizes, transforms};
use serde_json::{Value, json};

use hebbian_training::{Invalid, Parameters};

#[cfg(feature = "hub")]
use crate::progress;
use crate::{DataSettings, DatasetName, check_batches};

/// What a session learns from and is about.
pub trait Subject {
    /// What a rule learns from, `(examples, inputs)`.
    fn inputs(&self) -> &Tensor;

    /// Height and width of the image that an input is.
    fn image(&self) -> (usize, usize);

    /// Name and sizes, as `results.json` holds them.
    fn summary(&self) -> Value;
}

/// The split of one dataset, scaled to [0, 1] or otherwise prepared, on the device.
pub struct Data {
    /// What the dataset is called.
    pub name: String,
    /// The form of every image.
    pub shape: ImageShape,
    /// Number of classes.
    pub classes: usize,
    /// What is trained on.
    pub train: Labeled,
    /// What choices are made by; `None` when all images train.
    pub validation: Option<Labeled>,
    /// What is reported.
    pub test: Labeled,
}

impl Data {
    /// Reads, splits and scales the dataset, of which no batch in the tables of `settings` may be larger; `quiet` shows no
    /// download.
    pub fn load<P: Parameters>(
        settings: &P,
        data: &DataSettings,
        quiet: bool,
        device: &Device,
    ) -> Result<Self> {
        Self::prepare(settings, data, quiet, |pixels, _| Ok(transforms::scale(pixels, device)?))
    }

    /// As [`load`](Self::load), but makes inputs of the pixels `(examples, inputs)` u8 with `prepare`, which is told
    /// their shape too and may leave one value of several a pixel.
    pub fn prepare<P: Parameters>(
        settings: &P,
        data: &DataSettings,
        quiet: bool,
        prepare: impl Fn(&Tensor, ImageShape) -> Result<Tensor>,
    ) -> Result<Self> {
        let _span = tracing::info_span!("load data").entered();
        let dataset = dataset(data, quiet)?;
        let split = split(&dataset, data)?;
        check_batches(settings, "training images", split.train.len())?;
        let labeled = |examples: &Examples| {
            let inputs = prepare(examples.images(), dataset.shape)?;
            let labels = examples.labels().to_device(inputs.device())?;
            anyhow::Ok(Labeled::new(inputs, labels)?)
        };
        let validation = (!split.validation.is_empty()).then(|| labeled(&split.validation)).transpose()?;
        let train = labeled(&split.train)?;
        let ImageShape { height, width, .. } = dataset.shape;
        Ok(Self {
            shape: ImageShape { channels: train.inputs().dim(1)? / (height * width), ..dataset.shape },
            train,
            validation,
            test: labeled(&split.test)?,
            name: dataset.name,
            classes: dataset.classes,
        })
    }
}

impl Subject for Data {
    fn inputs(&self) -> &Tensor {
        self.train.inputs()
    }

    fn image(&self) -> (usize, usize) {
        (self.shape.height, self.shape.width)
    }

    fn summary(&self) -> Value {
        let validation = self.validation.as_ref().map_or(0, Labeled::len);
        json!({
            "name": self.name, "train": self.train.len(), "validation": validation, "test": self.test.len(),
        })
    }
}

/// The dataset that the settings name, raw and in its original order; `quiet` shows no download.
pub fn dataset(settings: &DataSettings, quiet: bool) -> Result<Dataset> {
    dataset_named(settings.dataset, settings.data_dir.as_deref(), quiet)
}

/// The dataset `name` from the folder `dir`, or else from where it comes from; `quiet` shows no download.
pub fn dataset_named(name: DatasetName, dir: Option<&Path>, quiet: bool) -> Result<Dataset> {
    let text = serde_json::to_value(name)?;
    let text = text.as_str().unwrap_or_default();
    match (dir, name) {
        (Some(dir), _) => Ok(Dataset::from_dir(text, dir).context("--data-dir")?),
        (None, DatasetName::Mnist) => Ok(Dataset::mnist()?),
        (None, _) => from_hub(text, quiet),
    }
}

/// What to do about a dataset that could not be had.
#[cfg(feature = "hub")]
const REMEDIES: &str =
    "give its folder with --data-dir, a filled cache with HF_HOME, or another server with HF_ENDPOINT";

#[cfg(feature = "hub")]
fn from_hub(name: &str, quiet: bool) -> Result<Dataset> {
    let watcher: hebbian_datasets::hub::Watcher = if quiet { |_, _, _| {} } else { progress::download };
    let loaded = hebbian_datasets::Hub::from_env().and_then(|hub| hub.load(name, watcher));
    loaded.with_context(|| format!("--dataset {name} ({REMEDIES})"))
}

#[cfg(not(feature = "hub"))]
fn from_hub(name: &str, _: bool) -> Result<Dataset> {
    bail!("--dataset {name} is not embedded: give its folder with --data-dir, or build with --features hub")
}

/// Splits `dataset` as the settings say; a size that is not possible is named by its path.
pub fn split(dataset: &Dataset, settings: &DataSettings) -> Result<Split> {
    let DataSettings { train_size, validation_size, test_size, .. } = *settings;
    let sizes = SplitSizes { train: train_size, validation: validation_size, test: test_size };
    dataset.split(sizes).map_err(|error| match error {
        Error::Size { field, value, min, max, reason } => Invalid {
            field: format!("data.{field}"),
            value: value.to_string(),
            allowed: format!("{min} to {max} ({reason})"),
        }
        .into(),
        other => other.into(),
    })
}
