//! What an experiment learns from: images to train on, validate on and report, or any other inputs.

use std::path::Path;

#[cfg(not(feature = "hub"))]
use anyhow::bail;
use anyhow::{Context, Result, anyhow};
use candle_core::{Device, Tensor};
use hebbian_classifier::Labeled;
use hebbian_datasets::{
    Dataset, DatasetSummary, Error, Examples, ImageShape, ReadOptions, Split, SplitSizes, transforms,
};
use serde_json::{Value, json};

use hebbian_model::Preprocess;
use hebbian_training::{Invalid, Parameters};

use crate::{DataSettings, DatasetName, Progress, check_batches, progress};

/// What a session learns from and is about.
pub trait Subject {
    /// What a rule learns from, `(examples, inputs)`.
    fn inputs(&self) -> &Tensor;

    /// Height and width of the image that an input is.
    fn image(&self) -> (usize, usize);

    /// Name and sizes, as `results.json` holds them.
    fn summary(&self) -> Value;

    /// The dataset that it comes from, where it is of one: a run is resumed only with the same.
    fn dataset(&self) -> Option<&DatasetSummary> {
        None
    }

    /// What the classes are called; none where they have nothing but numbers.
    fn class_names(&self) -> Option<Vec<String>> {
        None
    }

    /// How examples became inputs, where it was not as [`Data::load`] does it.
    fn preprocess(&self) -> Option<Preprocess> {
        None
    }
}

/// The split of one dataset, scaled to [0, 1] or otherwise prepared, on the device.
pub struct Data {
    /// What the dataset is.
    pub dataset: DatasetSummary,
    /// The form of every image.
    pub shape: ImageShape,
    /// Number of classes.
    pub classes: usize,
    /// What they are called.
    pub class_names: Vec<String>,
    /// How examples became inputs, where it was not as [`load`](Self::load) does it and a model must know.
    pub preprocess: Option<Preprocess>,
    /// What is trained on.
    pub train: Labeled,
    /// What choices are made by; `None` when all images train.
    pub validation: Option<Labeled>,
    /// What is reported.
    pub test: Labeled,
}

impl Data {
    /// Splits the `raw` dataset and makes inputs of it, of which no batch in the tables of `settings` may be larger: bytes are
    /// scaled to [0, 1], other numbers taken as they are.
    ///
    /// # Errors
    /// If it has no labels, or if a size or a batch is larger than it has images.
    pub fn load<P: Parameters>(
        settings: &P,
        data: &DataSettings,
        raw: &Dataset,
        device: &Device,
    ) -> Result<Self> {
        Self::prepare(settings, data, raw, |images, _| Ok(transforms::inputs(images, device)?))
    }

    /// As [`load`](Self::load), but makes inputs of the images `(examples, inputs)` with `prepare`, which is told
    /// their shape too and may leave one value of several a pixel.
    pub fn prepare<P: Parameters>(
        settings: &P,
        data: &DataSettings,
        raw: &Dataset,
        prepare: impl Fn(&Tensor, ImageShape) -> Result<Tensor>,
    ) -> Result<Self> {
        let _span = tracing::info_span!("prepare data").entered();
        let split = split(raw, data)?;
        check_batches(settings, "training images", split.train.len())?;
        let labeled = |examples: &Examples| {
            let labels = examples.labels().ok_or_else(|| {
                anyhow!(
                    "{} has no labels (found {}), and a readout needs them: add an array named y_train or \
                     train_labels, a column named label, or a folder per class",
                    raw.name,
                    raw.form
                )
            })?;
            let inputs = prepare(examples.images(), raw.shape)?;
            let labels = labels.to_device(inputs.device())?;
            anyhow::Ok(Labeled::new(inputs, labels)?)
        };
        let train = labeled(&split.train)?;
        let validation = (!split.validation.is_empty()).then(|| labeled(&split.validation)).transpose()?;
        let ImageShape { height, width, .. } = raw.shape;
        Ok(Self {
            dataset: raw.summary()?,
            preprocess: None,
            shape: ImageShape { channels: train.inputs().dim(1)? / (height * width), ..raw.shape },
            train,
            validation,
            test: labeled(&split.test)?,
            classes: raw.classes(),
            class_names: raw.class_names.clone(),
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
        summary_with(&self.dataset, [self.train.len(), validation, self.test.len()])
    }

    fn dataset(&self) -> Option<&DatasetSummary> {
        Some(&self.dataset)
    }

    fn preprocess(&self) -> Option<Preprocess> {
        self.preprocess
    }

    fn class_names(&self) -> Option<Vec<String>> {
        let numbered = self.class_names.iter().enumerate().all(|(class, name)| *name == class.to_string());
        (!numbered).then(|| self.class_names.clone())
    }
}

/// A dataset as `results.json` holds it, with the number of examples that each set has in a run.
pub fn summary_with(dataset: &DatasetSummary, [train, validation, test]: [usize; 3]) -> Value {
    let DatasetSummary { name, shape, dtype, range, classes, sha256, .. } = dataset;
    json!({
        "name": name, "train": train, "validation": validation, "test": test, "shape": shape, "dtype": dtype,
        "range": range, "classes": classes, "sha256": sha256,
    })
}

/// The dataset that the settings name, raw and in its original order, and said in a line; `quiet` shows nothing.
pub fn dataset(settings: &DataSettings, quiet: bool) -> Result<Dataset> {
    let parse = |field: &str, text: &Option<String>| {
        let shape = text.as_ref().map(|text| text.parse::<hebbian_datasets::ExampleShape>());
        shape.transpose().map_err(|_| Invalid {
            field: format!("data.{field}"),
            value: text.clone().unwrap_or_default(),
            allowed: "HxW, HxWxC or CxHxW with C from 1 to 4".to_owned(),
        })
    };
    let (shape, size) =
        (parse("image_shape", &settings.image_shape)?, parse("image_size", &settings.image_size)?);
    let mut options = ReadOptions::default();
    options.name = settings.name.clone();
    options.image_shape = shape;
    options.image_size = size.map(|size| (size.image().height, size.image().width));
    options.watcher = (!quiet).then_some(progress::reading);
    let dataset = dataset_named(&settings.dataset, settings.data_dir.as_deref(), &options, quiet);
    progress::reading_ends();
    let dataset = dataset?;
    if settings.data_dir.is_some() {
        let say = Progress::new(quiet);
        say.say(format!("{} ({})", dataset.summary()?, dataset.form));
        dataset.notes.iter().for_each(|note| say.say(format!("note: {note}")));
    }
    Ok(dataset)
}

/// How the examples of `raw` are brought to 0 to 1 for the `rule`, which learns from nothing else, where they are other numbers;
/// it is said, unless `quiet`.
pub fn from_0_to_1(raw: &Dataset, rule: &str, quiet: bool) -> Result<Option<Preprocess>> {
    let [least, most] = raw.range()?;
    if raw.is_bytes() || least >= 0.0 && most <= 1.0 {
        return Ok(None);
    }
    Progress::new(quiet)
        .say(format!("note: {rule} learns from numbers from 0 to 1: {least} to {most} become those"));
    Ok(Some(Preprocess::Between { least, most }))
}

/// The inputs that `images (examples, inputs)` become: by `preprocess` or, without it, bytes scaled to [0, 1] and other numbers
/// as they are.
pub fn inputs(images: &Tensor, preprocess: Option<Preprocess>, device: &Device) -> Result<Tensor> {
    Ok(match preprocess {
        Some(preprocess) => preprocess.apply(images, device)?,
        None => transforms::inputs(images, device)?,
    })
}

/// The dataset `name` from the folder `dir`, or else from where it comes from; `quiet` shows no download.
pub fn dataset_named(
    name: &DatasetName,
    dir: Option<&Path>,
    options: &ReadOptions,
    quiet: bool,
) -> Result<Dataset> {
    match (dir, name) {
        (Some(dir), _) => Ok(Dataset::from_dir(dir, options).context("--data-dir")?),
        (None, DatasetName::Mnist) => Ok(Dataset::mnist()?),
        (None, DatasetName::Hub(id)) => from_hub(id, quiet),
    }
}

/// What to do about a dataset that could not be had.
#[cfg(feature = "hub")]
const REMEDIES: &str =
    "give its folder with --data-dir, a filled cache with HF_HOME, or another server with HF_ENDPOINT";

#[cfg(feature = "hub")]
fn from_hub(name: &str, quiet: bool) -> Result<Dataset> {
    let watcher: hebbian_datasets::Watcher = if quiet { |_, _, _| {} } else { progress::download };
    let loaded = hebbian_datasets::Hub::from_env().and_then(|hub| hub.load(name, watcher));
    loaded.with_context(|| format!("--dataset {name} ({REMEDIES})"))
}

#[cfg(not(feature = "hub"))]
fn from_hub(name: &str, _: bool) -> Result<Dataset> {
    bail!("--dataset {name} is not embedded: give its folder with --data-dir, or build with --features hub")
}

/// The largest share of the training images, and the largest number of them, that validate where nothing is said.
const VALIDATION: (usize, usize) = (6, 10_000);

pub(crate) fn sizes(dataset: &Dataset, settings: &DataSettings) -> SplitSizes {
    let DataSettings { train_size: train, test_size: test, .. } = *settings;
    let (share, most) = VALIDATION;
    let validation = (dataset.train.len() / share).min(most);
    SplitSizes { train, validation: settings.validation_size.unwrap_or(validation), test }
}

/// Splits `dataset` as the settings say; a size that is not possible is named by its path.
pub fn split(dataset: &Dataset, settings: &DataSettings) -> Result<Split> {
    dataset.split(sizes(dataset, settings)).map_err(|error| match error {
        Error::Size { field, value, min, max, reason } => Invalid {
            field: format!("data.{field}"),
            value: value.to_string(),
            allowed: format!("{min} to {max} ({reason})"),
        }
        .into(),
        other => other.into(),
    })
}
