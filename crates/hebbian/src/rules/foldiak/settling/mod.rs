//! Units that inhibit each other while they settle on an output.

#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::logistic::logistic;
use crate::ops::check::check_arguments;
use crate::ops::check_samples;

/// How the outputs `y (units)` follow from the drive `d (units)`, which is what the inputs bring, the lateral weights `w`
/// and the thresholds `t`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
pub enum Settling {
    /// Towards an equilibrium of `dy/dt = f(d + w y - t) - y` with `f(u) = 1 / (1 + e^(-slope u))`, from y = 0 by Euler's
    /// method: `y ← y + time_step dy/dt`.
    Equilibrium {
        /// Steepness λ of f.
        #[schemars(extend("exclusiveMinimum" = 0))]
        slope: f64,
        /// Length of a step.
        #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
        time_step: f64,
        /// The most steps that are made.
        #[schemars(range(min = 1, max = 1_000_000))]
        iterations: usize,
        /// A pattern has settled after a step in which all of |dy/dt| are below this; 0 makes all steps.
        #[schemars(range(min = 0.0))]
        tolerance: f64,
    },
    /// In one step, in which units see each other's drive and not each other's output: `y = f(d + w d - t)` at slope 1.
    OneShot,
}

/// What a settling layer consists of, all f32 and on one device.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// The weights from the inputs, `q (units, inputs)`.
    pub weights: Tensor,
    /// The lateral weights, `wᵀ (units, units)`: row v is what unit v does to each other.
    pub outgoing: Tensor,
    /// `t (units)`.
    pub thresholds: Tensor,
}

impl Layer {
    /// Refuses `inputs` that do not fit the weights, and a layer whose tensors do not fit each other.
    pub(super) fn check(&self, inputs: &Tensor) -> Result<()> {
        let (units, columns) = self.weights.dims2()?;
        let (batch, _) = check_samples(&[DType::F32], inputs, columns)?;
        let arguments = [
            ("inputs", inputs, DType::F32, (batch, columns).into()),
            ("weights", &self.weights, DType::F32, (units, columns).into()),
            ("outgoing", &self.outgoing, DType::F32, (units, units).into()),
            ("thresholds", &self.thresholds, DType::F32, units.into()),
        ];
        check_arguments("settle", self.weights.device(), arguments)
    }
}

/// The outputs `(batch, units)` for `inputs (batch, inputs)`, each of which settles on its own: one product of the whole
/// batch with the lateral weights per iteration.
///
/// The iterations feed rounding errors back through a steep function, so devices that can compute them in f64.
pub(super) fn settle(layer: &Layer, inputs: &Tensor, settling: &Settling) -> Result<Tensor> {
    layer.check(inputs)?;
    if inputs.dim(0)? == 0 {
        return Tensor::zeros((0, layer.thresholds.elem_count()), DType::F32, inputs.device());
    }
    let dtype = if inputs.device().is_metal() { DType::F32 } else { DType::F64 };
    let outgoing = layer.outgoing.to_dtype(dtype)?;
    let drive = inputs.to_dtype(dtype)?.matmul(&layer.weights.to_dtype(dtype)?.t()?)?;
    let excess = drive.broadcast_sub(&layer.thresholds.to_dtype(dtype)?)?;
    #[cfg(feature = "cuda")]
    if let Some(kernel) =
        cuda::Euler::of(settling, layer.thresholds.elem_count()).filter(|_| inputs.device().is_cuda())
    {
        return excess.apply_op2_no_bwd(&layer.outgoing.contiguous()?, &kernel)?.to_dtype(DType::F32);
    }
    let settled = match *settling {
        Settling::OneShot => logistic(&(excess + drive.matmul(&outgoing)?)?, 1.0)?,
        Settling::Equilibrium { slope, time_step, iterations, tolerance } => {
            let mut y = drive.zeros_like()?;
            let mut moving = Tensor::ones((drive.dim(0)?, 1), dtype, drive.device())?;
            for _ in 0..iterations {
                let slopes = (logistic(&(&excess + y.matmul(&outgoing)?)?, slope)? - &y)?;
                y = (y + (slopes.broadcast_mul(&moving)? * time_step)?)?;
                if tolerance > 0.0 {
                    let largest = slopes.abs()?.max_keepdim(1)?;
                    moving = (moving * largest.ge(tolerance)?.to_dtype(dtype)?)?;
                }
            }
            y
        }
    };
    settled.to_dtype(DType::F32)
}
