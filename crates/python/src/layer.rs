//! A layer of any rule: built from a spec, trained on arrays, asked, saved.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use hebbian::{Examples, Fit, FitConfig, LearningRule, Registry};
use hebbian_classifier::FeaturesConfig;
use hebbian_model::{Encoding, FeatureWeights, Model, Preprocess};
use hebbian_training::{Checkpoint, Generator, Training};
use numpy::{PyArray2, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::json;

use crate::arrays::{array, matrix};
use crate::devices::open;
use crate::failure::exception;
use crate::learning::{Begin, learn, step};
use crate::memory::Memory;
use crate::rows::{Bits, Rows};
use crate::spec::{Builder, build, name};
use crate::values::{config, json};
use crate::work::{Stop, detached, on_threads};

/// A rule with what it has learned. Several threads may ask it at once.
#[pyclass(module = "hebbian._native", frozen)]
pub struct Layer {
    stage: RwLock<Stage>,
    encoding: Encoding,
    device: Device,
    bits: Option<Bits>,
}

/// What a layer is at.
enum Stage {
    /// It learns from one batch after the other; features are scaled by the last.
    Learning { rule: Box<dyn LearningRule>, begin: Begin, last: Option<Tensor> },
    /// It answers.
    Answering(Box<Model>),
    /// A step had no end.
    Broken,
}

/// Samples that features are scaled by, as many as a model of Rust takes.
const SCALED_BY: usize = 10_000;
/// Samples answered at once, as the programs of Rust do.
const PORTION: usize = 1000;

#[pymethods]
impl Layer {
    /// The layer of `spec` for `inputs` values per sample; `seed` decides what is random.
    #[new]
    #[pyo3(signature = (spec, inputs, seed, *, device="cpu", encoding=None, binarize=None))]
    fn new(
        py: Python<'_>,
        spec: &Bound<'_, PyAny>,
        inputs: usize,
        seed: u64,
        device: &str,
        encoding: Option<&Bound<'_, PyAny>>,
        binarize: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let spec = json(spec).map_err(exception)?;
        let encoding = encoding.map(powers).transpose().map_err(exception)?.unwrap_or_default();
        let (device, bits) = (open(device)?, binarize.map(bits).transpose().map_err(exception)?);
        let memory = Memory::of_machine(py);
        let rule = detached(py, None, |_| {
            let generator = Generator::new(seed, name(&spec)?);
            build(&spec, inputs, &mut Builder { generator, device: &device, memory })
        })?;
        let stage = RwLock::new(Stage::Learning { rule, begin: Begin::First, last: None });
        Ok(Self { stage, encoding, device, bits })
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
        self.exclusive(py, threads, |stage, stop| {
            let config: FitConfig = config(keywords.as_object().context("the settings of a fit")?)?;
            let Stage::Learning { mut rule, .. } = std::mem::replace(stage, Stage::Broken) else {
                bail!("the layer has learned already")
            };
            memory.allow(config.batch_size, rule.units().max(rule.inputs()))?;
            let mut fit = Fit::new(config, seed)?;
            learn(&mut fit, &mut *rule, &rows, verbose, stop)?;
            let scaled_by = || Ok(rows.range(0, rows.samples().min(SCALED_BY))?);
            *stage = self.answering(rule, &scaled_by, Some(fit.training()?))?;
            Ok(())
        })
    }

    /// Learns from all rows of `x` in one step. A step that fails leaves the layer as it was.
    #[pyo3(signature = (x, *, threads=None))]
    fn learn(&self, py: Python<'_>, x: PyReadonlyArray2<'_, f32>, threads: Option<usize>) -> PyResult<()> {
        let rows = Rows::of(&x, &self.device, self.bits)?;
        let memory = Memory::of_machine(py);
        self.exclusive(py, threads, |stage, _| {
            rows.check()?;
            let (mut rule, begin, last) = match std::mem::replace(stage, Stage::Broken) {
                Stage::Learning { rule, begin, last } => (rule, begin, last),
                Stage::Answering(model) => (model.into_rule(), Begin::Again, None),
                Stage::Broken => return Err(broken()),
            };
            let has_room = memory.allow(rows.samples(), rule.units().max(rule.inputs()));
            match has_room.and_then(|()| step(&mut *rule, &rows, begin)) {
                Ok(batch) => {
                    let last = (self.encoding != Encoding::Layer).then_some(batch);
                    *stage = Stage::Learning { rule, begin: Begin::Done, last };
                    Ok(())
                }
                Err(error) => {
                    *stage = Stage::Learning { rule, begin, last };
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
        let (values, columns) = self.ask_model(py, threads, |model| {
            memory.hold(rows.samples(), model.rule().units())?;
            let whole = *model.encoding() == Encoding::Layer && model.rule().is_sequential();
            rows.map(if whole { rows.samples() } else { PORTION }, |rows| Ok(model.transform(rows)?))
        })?;
        array(py, values, columns)
    }

    /// Values per sample that the layer takes.
    #[getter]
    fn inputs(&self, py: Python<'_>) -> PyResult<usize> {
        self.ask_rule(py, |rule| Ok(rule.inputs()))
    }

    /// Values per sample that the layer gives.
    #[getter]
    fn units(&self, py: Python<'_>) -> PyResult<usize> {
        self.ask_rule(py, |rule| Ok(rule.units()))
    }

    /// The name of the rule.
    #[getter]
    fn rule(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.ask_rule(py, |rule| Ok(rule.name()))
    }

    /// The rule's config, in JSON.
    #[getter]
    fn config(&self, py: Python<'_>) -> PyResult<String> {
        self.ask_rule(py, |rule| Ok(rule.config().to_string()))
    }

    /// A copy of the weights, `(units, inputs)`.
    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (values, columns) = self.ask_rule(py, |rule| matrix(&rule.weights()?))?;
        array(py, values, columns)
    }

    /// Copies of all that the rule has learned, by name, each brought to two dimensions.
    #[getter]
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyArray2<f32>>)>> {
        let state = self.ask_rule(py, |rule| {
            rule.state()?
                .into_iter()
                .map(|(name, tensor)| Ok((name, matrix(&tensor)?)))
                .collect::<Result<Vec<_>>>()
        })?;
        state.into_iter().map(|(name, (values, columns))| Ok((name, array(py, values, columns)?))).collect()
    }

    /// Writes a model that this package and the programs of Rust load.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        self.ask_model(py, None, |model| Ok(model.save(&path)?))
    }

    /// The bytes of what [`save`](Self::save) writes.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes =
            self.ask_model(py, None, |model| model.checkpoint()?.to_bytes().map_err(anyhow::Error::msg))?;
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
        Self { stage: RwLock::new(Stage::Answering(Box::new(model))), encoding, device, bits }
    }

    /// The model of `rule`, whose features are scaled by the samples that `scaled_by` gives.
    fn answering(
        &self,
        rule: Box<dyn LearningRule>,
        scaled_by: &dyn Fn() -> Result<Tensor>,
        training: Option<Training>,
    ) -> Result<Stage> {
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
        Ok(Stage::Answering(Box::new(model)))
    }

    /// Does `work` alone with the layer.
    fn exclusive<T: Send>(
        &self,
        py: Python<'_>,
        threads: Option<usize>,
        work: impl FnOnce(&mut Stage, &Stop) -> Result<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| {
            let mut stage = self.stage.write().unwrap_or_else(PoisonError::into_inner);
            let stage = &mut *stage;
            on_threads(threads, |stop| work(stage, stop))
        })
    }

    /// Asks the rule, while others may ask.
    fn ask_rule<T: Send>(
        &self,
        py: Python<'_>,
        ask: impl FnOnce(&dyn LearningRule) -> Result<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| {
            let stage = self.stage.read().unwrap_or_else(PoisonError::into_inner);
            let stage = &*stage;
            on_threads(None, |_| match stage {
                Stage::Learning { rule, .. } => ask(&**rule),
                Stage::Answering(model) => ask(model.rule()),
                Stage::Broken => Err(broken()),
            })
        })
    }

    /// Asks the model, while others may ask. Where the layer has learned since, the model is made first.
    fn ask_model<T: Send>(
        &self,
        py: Python<'_>,
        threads: Option<usize>,
        ask: impl FnOnce(&Model) -> Result<T> + Send,
    ) -> PyResult<T> {
        let asked = py.detach(|| {
            let stage = self.stage.read().unwrap_or_else(PoisonError::into_inner);
            match &*stage {
                Stage::Answering(model) => Ok(on_threads(threads, |_| ask(model))),
                _ => Err(ask),
            }
        });
        let ask = match asked {
            Ok(answer) => return answer,
            Err(ask) => ask,
        };
        self.exclusive(py, threads, |stage, _| {
            match std::mem::replace(stage, Stage::Broken) {
                Stage::Learning { rule, last, .. } => {
                    let last =
                        || last.clone().context("the layer has seen no sample to scale its features by");
                    *stage = self.answering(rule, &last, None)?;
                }
                other => *stage = other,
            }
            match stage {
                Stage::Answering(model) => ask(model),
                _ => Err(broken()),
            }
        })
    }
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

fn broken() -> anyhow::Error {
    anyhow::anyhow!("the layer was left in the middle of a step that failed; fit it again")
}
