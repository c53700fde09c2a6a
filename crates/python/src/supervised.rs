//! What learns from labels: the softmax readout, and the votes of units.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use hebbian_classifier::{DescentConfig, Epoch, Labeled, SoftmaxRegression, WinnerTakeAll, train};
use hebbian_experiment::Progress;
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::arrays::array;
use crate::devices::open;
use crate::failure::exception;
use crate::memory::Memory;
use crate::rows::Rows;
use crate::values::{config, json};
use crate::work::detached;

/// Weights and biases of a readout.
type WeightsAndBiases<'py> = (Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<f32>>);

/// A softmax regression of `x (samples, features)` on the classes `y (samples)`, numbers from 0: its weights
/// `(classes, features)` and biases `(classes)`.
#[pyfunction]
#[pyo3(signature = (x, y, classes, descent, seed, *, device="cpu", verbose=false, threads=None))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub fn train_readout<'py>(
    py: Python<'py>,
    x: PyReadonlyArray2<'py, f32>,
    y: PyReadonlyArray1<'py, u32>,
    classes: usize,
    descent: &Bound<'py, PyAny>,
    seed: u64,
    device: &str,
    verbose: bool,
    threads: Option<usize>,
) -> PyResult<WeightsAndBiases<'py>> {
    let device = open(device)?;
    let (rows, labels) = (Rows::of(&x, &device, None)?, labels(&y)?);
    let keywords = json(descent).map_err(exception)?;
    let memory = Memory::of_machine(py);
    let (weight, bias) = detached(py, threads, |stop| {
        let config: DescentConfig = config(keywords.as_object().context("the settings of a descent")?)?;
        memory.allow(rows.inputs(), classes)?;
        memory.hold(rows.samples(), rows.inputs().max(classes))?;
        let examples = labeled(&rows, labels, &device)?;
        let readout = SoftmaxRegression::new(rows.inputs(), classes, &device)?;
        let bar = Progress::new(!verbose).bar("readout", config.epochs, 0);
        let mut watch = |epoch: &Epoch| {
            bar.set_message(format!("loss {:.4}, accuracy {:.4}", epoch.loss, epoch.accuracy));
            bar.inc(1);
            stop.check()
        };
        train(&readout, &config, seed, &examples, &[], &mut [&mut watch])?;
        bar.finish_and_clear();
        let state = readout.state()?;
        let values = |name: &str| -> Result<Vec<f32>> {
            let tensor = state.get(name).with_context(|| format!("no `{name}`"))?;
            Ok(tensor.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?)
        };
        Ok((values("weight")?, values("bias")?))
    })?;
    let features = rows.inputs();
    Ok((array(py, weight, features)?, PyArray1::from_vec(py, bias)))
}

/// How often each unit of `weights (units, inputs)` wins samples of each class, `(units, classes)`.
#[pyfunction]
#[pyo3(signature = (weights, x, y, classes, *, threads=None))]
pub fn count_votes<'py>(
    py: Python<'py>,
    weights: PyReadonlyArray2<'py, f32>,
    x: PyReadonlyArray2<'py, f32>,
    y: PyReadonlyArray1<'py, u32>,
    classes: usize,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let device = Device::Cpu;
    let (units, rows) = (Rows::of(&weights, &device, None)?, Rows::of(&x, &device, None)?);
    let labels = labels(&y)?;
    let votes = detached(py, threads, |_| {
        let examples = labeled(&rows, labels, &device)?;
        let fitted = WinnerTakeAll::fit(&units.range(0, units.samples())?, &examples, classes)?;
        Ok(fitted.votes().iter().flatten().map(|&count| count as f32).collect::<Vec<f32>>())
    })?;
    array(py, votes, classes)
}

fn labels<'a>(y: &'a PyReadonlyArray1<'_, u32>) -> PyResult<&'a [u32]> {
    y.as_slice().map_err(|error| exception(anyhow::anyhow!("y: {error}")))
}

fn labeled(rows: &Rows<'_>, labels: &[u32], device: &Device) -> Result<Labeled> {
    let labels = Tensor::from_slice(labels, labels.len(), device)?;
    Ok(Labeled::new(rows.range(0, rows.samples())?, labels)?)
}
