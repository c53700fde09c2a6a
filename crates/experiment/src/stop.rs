//! Signals that ask a run to end. It then finishes the step, saves, and ends; a second signal ends it at once.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use candle_nn::Module;
use hebbian_classifier::Network;

use crate::learning::plain;

/// The number of the signal that came, 0 for none.
static CAME: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// A signal, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(usize);

impl Signal {
    /// What a shell gives for a program that the signal ended.
    pub(crate) fn exit_code(self) -> u8 {
        128 + self.0 as u8
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            1 => f.write_str("SIGHUP"),
            2 => f.write_str("SIGINT"),
            15 => f.write_str("SIGTERM"),
            other => write!(f, "signal {other}"),
        }
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP are noticed instead of ending the process, but for those that it was started to
/// ignore, as by `nohup`.
#[cfg(unix)]
pub(crate) fn listen() -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::flag::{register_conditional_default, register_usize};
    use std::sync::atomic::AtomicBool;

    if CAME.get().is_some() {
        return Ok(());
    }
    let came = CAME.get_or_init(Arc::default);
    let again = Arc::new(AtomicBool::new(false));
    let ignored = ignored();
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0) {
        register_conditional_default(signal, again.clone())?;
        register_usize(signal, came.clone(), signal as usize)?;
        signal_hook::flag::register(signal, again.clone())?;
    }
    Ok(())
}

/// Where there are none of these signals.
#[cfg(not(unix))]
pub(crate) fn listen() -> Result<()> {
    Ok(())
}

/// The signals that the process ignores, a bit each, as far as the system tells.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// The signal that came, if one did.
pub(crate) fn asked() -> Option<Signal> {
    let number = CAME.get()?.load(Ordering::Relaxed);
    (number > 0).then_some(Signal(number))
}

/// # Errors
/// If a signal came.
pub(crate) fn check() -> Result<()> {
    match asked() {
        Some(signal) => bail!("stopped by {signal}"),
        None => Ok(()),
    }
}

/// A layer or a network whose work ends where a signal comes: between two portions of inputs, or two steps.
pub(crate) struct Stoppable<'a, M: ?Sized>(pub(crate) &'a M);

impl<M: Module + ?Sized> Module for Stoppable<'_, M> {
    fn forward(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        check().map_err(plain)?;
        self.0.forward(inputs)
    }
}

impl<N: Network + ?Sized> Network for Stoppable<'_, N> {
    fn descend(
        &self,
        inputs: &Tensor,
        loss: &dyn Fn(&Tensor) -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<(Tensor, GradStore)> {
        check().map_err(plain)?;
        self.0.descend(inputs, loss)
    }

    fn variables(&self) -> Vec<Var> {
        self.0.variables()
    }
}
