//! Golden traces: a few steps of a rule as a reference computed them, to be replayed.
//!
//! A trace is a checkpoint of the rule before its first step, `rule.NAME` for each tensor of its state, with beside them
//! `trace.inputs (steps, batch, inputs)`, and what the reference had after each step: `trace.NAME (steps, ..)` for
//! tensors of the state, and `trace.winners (steps, batch, winners)` where the rule has winners.
//! `tests/golden/generate.py` writes one from a function in NumPy.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, bail};
use hebbian_training::Checkpoint;

use crate::Registry;

/// Lets the rule of the trace at `path` learn its steps on `device`, and holds it to the reference: integers exactly,
/// states to `tolerance` times the largest magnitude of the reference's tensor.
///
/// An error names the step and the tensor that differ, or what the trace lacks.
pub fn replay(path: &Path, registry: &Registry, device: &Device, tolerance: f64) -> Result<()> {
    let checkpoint = Checkpoint::load(path, device)?;
    let mut rule = registry.from_checkpoint(&checkpoint)?;
    let mut trace = checkpoint.part("trace");
    let Some(inputs) = trace.remove("inputs") else { bail!("{}: no tensor `trace.inputs`", path.display()) };
    let winners = trace.remove("winners");
    if trace.is_empty() {
        bail!("{}: no tensor `trace.NAME` to compare a state with", path.display());
    }
    for step in 0..inputs.dim(0)? {
        let learned = rule.learn(&inputs.get(step)?)?;
        if let Some(winners) = &winners {
            ensure_equal(&format!("step {step}: winners"), learned.winners()?, &winners.get(step)?)?;
        }
        let state = rule.state()?;
        for (name, expected) in &trace {
            let Some(ours) = state.get(name) else { bail!("the rule's state has no tensor `{name}`") };
            ensure_close(&format!("step {step}: {name}"), ours, &expected.get(step)?, tolerance)?;
        }
    }
    Ok(())
}

/// An error that names `what` unless `ours` is `reference` to `tolerance` times its largest magnitude.
pub fn ensure_close(what: &str, ours: &Tensor, reference: &Tensor, tolerance: f64) -> Result<()> {
    let wide = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64);
    let most = |tensor: &Tensor| tensor.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();
    let (ours, reference) = (wide(ours)?, wide(reference)?);
    let (difference, scale) = (most(&(ours - &reference)?)?, most(&reference)?);
    if difference <= tolerance * scale {
        return Ok(());
    }
    bail!("{what} is off by {difference:e}, the largest magnitude being {scale:e}")
}

/// An error that names `what` unless the integers `ours` and `reference` are the same.
pub fn ensure_equal(what: &str, ours: &Tensor, reference: &Tensor) -> Result<()> {
    let integers = |tensor: &Tensor| tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>();
    let (ours, reference) = (integers(ours)?, integers(reference)?);
    if ours == reference {
        return Ok(());
    }
    bail!("{what} are {ours:?}, expected {reference:?}")
}
