//! A layer of any rule: made from a recipe, trained on arrays, asked, saved.

use std::path::PathBuf;
use std::sync::{RwLock, RwLockReadGuard};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use hebbian::{Event, Examples, Fit, FitConfig, LearningRule, Registry};
use hebbian_classifier::FeaturesConfig;
use hebbian_experiment::{DeviceChoice, LearningBar, Progress};
use hebbian_model::{Encoding, FeatureWeights, Model, Preprocess};
use hebbian_training::{Checkpoint, Generator, Training};
use numpy::{PyArray2, PyArrayMethods, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::json;

use crate::failure::exception;
use crate::memory::Memory;
use crate::recipe::{Kitchen, make, name};
use crate::rows::{Bits, Rows};
use crate::values::{config, json};
use crate::work::{Stop, detached};

/// A rule with what it has learned. Several threads may ask it at once.
#[pyclass(module = "hebbian._native", frozen)]
pub struct Layer {
    part: RwLock<Part>,
    encoding: Encoding,
    device: Device,
    bits: Option<Bits>,
}

/// What a layer is doing.
enum Part {
    /// It learns from one batch after the other; features are scaled by the last.
    Learning { rule: Box<dyn LearningRule>, begin: Begin, last: Option<Tensor> },
    /// It answers.
    Answering(Box<Model>),
    /// A step had no end.
    Broken,
}

/// What comes before the next step.
#[derive(Clone, Copy, Debug)]
enum Begin {
    /// All that comes before the very first.
    First,
    /// What a rule sets up anew and does not save.
    Again,
    /// Nothing.
    Done,
}

/// Samples that features are scaled by, as many as a model of Rust takes.
const SCALED_BY: usize = 10_000;
/// Samples answered at once, as the programs of Rust do.
const PORTION: usize = 1000;

#[pymethods]
impl Layer {
    /// The layer of `recipe` for `inputs` values per sample; `seed` decides what is random.
    #[new]
    #[pyo3(signature = (recipe, inputs, seed, *, device="cpu", encoding=None, binarize=None))]
    fn new(
        py: Python<'_>,
        recipe: &Bound<'_, PyAny>,
        inputs: usize,
        seed: u64,
        device: &str,
        encoding: Option<&Bound<'_, PyAny>>,
        binarize: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let recipe = json(recipe).map_err(exception)?;
        let encoding = encoding.map(powers).transpose().map_err(exception)?.unwrap_or_default();
        let (device, bits) = (open(device)?, binarize.map(bits).transpose().map_err(exception)?);
        let memory = Memory::of_machine(py);
        let rule = detached(py, None, |_| {
            let generator = Generator::new(seed, name(&recipe)?);
            make(&recipe, inputs, &mut Kitchen { generator, device: &device, memory })
        })?;
        let part = RwLock::new(Part::Learning { rule, begin: Begin::First, last: None });
        Ok(Self { part, encoding, device, bits })
    }

    /// Learns from all rows of `x` for as long as `fit` says; `seed` decides their order.
    #[pyo3(signature = (x, fit, seed, *, verbose=false, threads=None))]
    fn fit(
        &self,
        py: Python<'_>,
        x: PyReadonlyArray2<'_, f32>,
        fit: &Bound<'_, PyAny>,
        seed: u64,
        verbose: bool,
        threads: Option<usize>,
    ) -> PyResult<()> {
        let rows = Rows::of(&x, &self.device, self.bits)?;
        let keywords = json(fit).map_err(exception)?;
        let memory = Memory::of_machine(py);
        detached(py, threads, |stop| {
            let config: FitConfig = config(keywords.as_object().context("the settings of a fit")?)?;
            let mut part = self.part.write().map_err(|_| broken())?;
            let Part::Learning { mut rule, .. } = std::mem::replace(&mut *part, Part::Broken) else {
                bail!("the layer has learned already")
            };
            memory.allow(config.batch_size, rule.units().max(rule.inputs()))?;
            let mut fit = Fit::new(config, seed)?;
            learn(&mut fit, &mut *rule, &rows, verbose, stop)?;
            *part = self.answering(
                rule,
                &|| Ok(rows.range(0, rows.samples().min(SCALED_BY))?),
                Some(fit.training()?),
            )?;
            Ok(())
        })
    }

    /// Learns from all rows of `x` in one step. A step that fails leaves the layer as it was.
    #[pyo3(signature = (x, *, threads=None))]
    fn learn(&self, py: Python<'_>, x: PyReadonlyArray2<'_, f32>, threads: Option<usize>) -> PyResult<()> {
        let rows = Rows::of(&x, &self.device, self.bits)?;
        let memory = Memory::of_machine(py);
        detached(py, threads, |_| {
            rows.check()?;
            let mut part = self.part.write().map_err(|_| broken())?;
            let (mut rule, begin, last) = match std::mem::replace(&mut *part, Part::Broken) {
                Part::Learning { rule, begin, last } => (rule, begin, last),
                Part::Answering(model) => (model.into_rule(), Begin::Again, None),
                Part::Broken => return Err(broken()),
            };
            let has_room = memory.allow(rows.samples(), rule.units().max(rule.inputs()));
            match has_room.and_then(|()| step(&mut *rule, &rows, begin)) {
                Ok(batch) => {
                    let last = (self.encoding != Encoding::Layer).then_some(batch);
                    *part = Part::Learning { rule, begin: Begin::Done, last };
                    Ok(())
                }
                Err(error) => {
                    *part = Part::Learning { rule, begin, last };
                    Err(error)
                }
            }
        })
    }

    /// What the layer makes of the rows of `x`, `(samples, units)`.
    #[pyo3(signature = (x, *, threads=None))]
    fn transform<'py>(
        &self,
        py: Python<'py>,
        x: PyReadonlyArray2<'py, f32>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let rows = Rows::of(&x, &self.device, self.bits)?;
        let memory = Memory::of_machine(py);
        let (values, columns) = detached(py, threads, |_| {
            self.with_model(|model| {
                memory.allow(rows.samples(), model.rule().units())?;
                let whole = *model.encoding() == Encoding::Layer && model.rule().is_sequential();
                rows.map(if whole { rows.samples() } else { PORTION }, |rows| Ok(model.transform(rows)?))
            })
        })?;
        array(py, values, columns)
    }

    /// Values per sample that the layer takes.
    #[getter]
    fn inputs(&self, py: Python<'_>) -> PyResult<usize> {
        self.asked(py, |rule| Ok(rule.inputs()))
    }

    /// Values per sample that the layer gives.
    #[getter]
    fn units(&self, py: Python<'_>) -> PyResult<usize> {
        self.asked(py, |rule| Ok(rule.units()))
    }

    /// The name of the rule.
    #[getter]
    fn rule(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.asked(py, |rule| Ok(rule.name()))
    }

    /// The rule's config, in JSON.
    #[getter]
    fn config(&self, py: Python<'_>) -> PyResult<String> {
        self.asked(py, |rule| Ok(rule.config().to_string()))
    }

    /// A copy of the weights, `(units, inputs)`.
    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (values, columns) = self.asked(py, |rule| matrix(&rule.weights()?))?;
        array(py, values, columns)
    }

    /// Copies of all that the rule has learned, by name, each brought to two dimensions.
    #[getter]
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyArray2<f32>>)>> {
        let state = self.asked(py, |rule| {
            rule.state()?
                .into_iter()
                .map(|(name, tensor)| Ok((name, matrix(&tensor)?)))
                .collect::<Result<Vec<_>>>()
        })?;
        state.into_iter().map(|(name, (values, columns))| Ok((name, array(py, values, columns)?))).collect()
    }

    /// Writes a model that this package and the programs of Rust load.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        detached(py, None, |_| self.with_model(|model| Ok(model.save(&path)?)))
    }

    /// The bytes of what [`save`](Self::save) writes.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = detached(py, None, |_| {
            self.with_model(|model| model.checkpoint()?.to_bytes().map_err(anyhow::Error::msg))
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The layer in the model at `path`.
    #[staticmethod]
    #[pyo3(signature = (path, *, device="cpu", binarize=None))]
    fn load(
        py: Python<'_>,
        path: PathBuf,
        device: &str,
        binarize: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (device, bits) = (open(device)?, binarize.map(bits).transpose().map_err(exception)?);
        let model = detached(py, None, |_| Ok(Model::load(&path, &Registry::builtin(), &device)?))?;
        Ok(Self::of(model.with_preprocess(Preprocess::None), device, bits))
    }

    /// The layer of which these are the [bytes](Self::to_bytes).
    #[staticmethod]
    #[pyo3(signature = (bytes, *, device="cpu", binarize=None))]
    fn from_bytes(
        py: Python<'_>,
        bytes: &[u8],
        device: &str,
        binarize: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (device, bits) = (open(device)?, binarize.map(bits).transpose().map_err(exception)?);
        let model = detached(py, None, |_| {
            let checkpoint = Checkpoint::from_bytes(bytes, &device).map_err(anyhow::Error::msg)?;
            Ok(Model::from_checkpoint(&checkpoint, &Registry::builtin())?)
        })?;
        Ok(Self::of(model, device, bits))
    }

    /// How the layer's answer becomes features: `layer` or `power`, and the keywords of the latter.
    #[getter]
    fn encoding(&self) -> (&'static str, String) {
        match &self.encoding {
            Encoding::Power { features, .. } => ("power", json!(features).to_string()),
            _ => ("layer", "{}".to_owned()),
        }
    }
}

impl Layer {
    fn of(model: Model, device: Device, bits: Option<Bits>) -> Self {
        let encoding = model.encoding().clone();
        Self { part: RwLock::new(Part::Answering(Box::new(model))), encoding, device, bits }
    }

    /// The model of `rule`, whose features are scaled by the samples that `scaled_by` gives.
    fn answering(
        &self,
        rule: Box<dyn LearningRule>,
        scaled_by: &dyn Fn() -> Result<Tensor>,
        training: Option<Training>,
    ) -> Result<Part> {
        let mut model = Model::new(rule)?.with_preprocess(Preprocess::None);
        if self.encoding != Encoding::Layer {
            model = model.with_encoding(self.encoding.clone(), &scaled_by()?)?;
        }
        if let Some(training) = training {
            model = model.with_training(training);
        }
        if self.encoding != Encoding::Layer {
            // A file keeps the scale of the features as f32: before it is saved it answers as afterwards.
            model = Model::from_checkpoint(&model.checkpoint()?, &Registry::builtin())?;
        }
        Ok(Part::Answering(Box::new(model)))
    }

    /// Asks the model, which is made first where the layer has learned since.
    fn with_model<T>(&self, ask: impl FnOnce(&Model) -> Result<T>) -> Result<T> {
        let part = self.part.read().map_err(|_| broken())?;
        if let Part::Answering(model) = &*part {
            return ask(model);
        }
        drop(part);
        let mut part = self.part.write().map_err(|_| broken())?;
        match std::mem::replace(&mut *part, Part::Broken) {
            Part::Learning { rule, last, .. } => {
                let last = || last.clone().context("the layer has seen no sample to scale its features by");
                *part = self.answering(rule, &last, None)?;
            }
            other => *part = other,
        }
        match &*part {
            Part::Answering(model) => ask(model),
            _ => Err(broken()),
        }
    }

    /// Asks the rule.
    fn asked<T: Send>(
        &self,
        py: Python<'_>,
        ask: impl FnOnce(&dyn LearningRule) -> Result<T> + Send,
    ) -> PyResult<T> {
        detached(py, None, |_| {
            let part: RwLockReadGuard<'_, Part> = self.part.read().map_err(|_| broken())?;
            match &*part {
                Part::Learning { rule, .. } => ask(&**rule),
                Part::Answering(model) => ask(model.rule()),
                Part::Broken => Err(broken()),
            }
        })
    }
}

fn learn(
    fit: &mut Fit,
    rule: &mut dyn LearningRule,
    rows: &Rows<'_>,
    verbose: bool,
    stop: &Stop,
) -> Result<()> {
    let (epochs, steps) = (fit.config().epochs, rows.samples() / fit.config().batch_size.max(1));
    let bar = verbose.then(|| Progress::new(false).learning(rule.name(), (steps * epochs, epochs), 0));
    let mut watch = Watch { bar, stop };
    let learned = fit.run(rule, rows, &mut [&mut watch]);
    if let Some(bar) = &watch.bar {
        bar.finish();
    }
    Ok(learned?)
}

/// Shows how far a training has come, and ends it when it is to end.
struct Watch<'w> {
    bar: Option<LearningBar>,
    stop: &'w Stop,
}

impl<'e> hebbian_training::Observer<Event<'e, dyn LearningRule>> for Watch<'_> {
    fn observe(&mut self, event: &Event<'e, dyn LearningRule>) -> candle_core::Result<()> {
        if let Some(bar) = &mut self.bar {
            match event.epoch_report() {
                Some(report) => bar.epoch(event.fit.epoch(), event.rule.learning_rate(), report),
                None => bar.step(),
            }
        }
        self.stop.check()
    }
}

/// One step, and what was seen in it.
fn step(rule: &mut dyn LearningRule, rows: &Rows<'_>, begin: Begin) -> Result<Tensor> {
    let batch = rows.range(0, rows.samples())?;
    if let Begin::Done = begin {
        rule.learn(&batch)?;
        return Ok(batch);
    }
    let before = rule.state()?;
    let begun = match begin {
        Begin::First => rule.prepare(&batch).and_then(|()| rule.begin_epoch(0, &batch)),
        _ => rule.begin_epoch(0, &batch).and_then(|()| rule.restore(before.clone())),
    };
    rule.set_rate_scale(1.0);
    if let Err(error) = begun.and_then(|()| rule.learn(&batch)) {
        rule.restore(before)?;
        return Err(error.into());
    }
    Ok(batch)
}

fn powers(keywords: &Bound<'_, PyAny>) -> Result<Encoding> {
    let keywords = json(keywords)?;
    let features: FeaturesConfig = config(keywords.as_object().context("the settings of an encoding")?)?;
    Ok(Encoding::Power { features, weights: FeatureWeights::Plain })
}

fn bits(binarize: &Bound<'_, PyAny>) -> Result<Bits> {
    let value = json(binarize)?;
    match (value.as_str(), value.as_f64()) {
        (Some("mean"), _) => Ok(Bits::AboveMean),
        (_, Some(least)) => Ok(Bits::Above(least as f32)),
        _ => bail!("binarize = {value} is not allowed: a number, 'mean' or None"),
    }
}

/// The device called so.
pub fn open(device: &str) -> PyResult<Device> {
    let choice: DeviceChoice = device.parse().map_err(|allowed: String| {
        exception(anyhow::anyhow!("device = {device:?} is not allowed: {allowed}"))
    })?;
    choice.open().map_err(|error| {
        exception(anyhow::anyhow!("{}", format!("{error:#}").replace("--device ", "device ")))
    })
}

fn broken() -> anyhow::Error {
    anyhow::anyhow!("the layer was left in the middle of a step that failed; fit it again")
}

/// The values of `tensor`, and its columns: `(n)` becomes `(1, n)`, more dimensions than two become rows of the first.
fn matrix(tensor: &Tensor) -> Result<(Vec<f32>, usize)> {
    let tensor = tensor.to_dtype(candle_core::DType::F32)?.to_device(&Device::Cpu)?;
    let columns = match tensor.dims() {
        [] => 1,
        [columns] => *columns,
        [_, below @ ..] => below.iter().product(),
    };
    Ok((tensor.flatten_all()?.to_vec1()?, columns))
}

/// An array of `values` in so many `columns`, which takes their memory over.
pub fn array<'py>(py: Python<'py>, values: Vec<f32>, columns: usize) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let rows = values.len().checked_div(columns).unwrap_or(0);
    numpy::PyArray1::from_vec(py, values).reshape((rows, columns))
}
