//! Units that inhibit each other while they settle on an output.

#[cfg(feature = "cuda")]
use candle_core::{
    CudaStorage, CustomOp2, Layout, Shape,
    cuda_backend::{WrapErr, cudarc::driver::PushKernelArg},
};
use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::logistic::logistic;
#[cfg(feature = "cuda")]
use crate::ops::cuda;

/// How the outputs `y (units)` follow from the drive `d (units)`, which is what the inputs bring, the lateral weights `w`
/// and the thresholds `t`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
pub enum Settling {
    /// Towards an equilibrium of `dy/dt = f(d + w y - t) - y` with `f(u) = 1 / (1 + e^(-slope u))`, from y = 0 by Euler's
    /// method: `y ← y + time_step dy/dt`.
    Equilibrium {
        /// Steepness λ of f.
        slope: f64,
        /// Length of a step.
        time_step: f64,
        /// The most steps that are made.
        iterations: usize,
        /// A pattern has settled after a step in which all of |dy/dt| are below this; 0 makes all steps.
        tolerance: f64,
    },
    /// In one step, in which units see each other's drive and not each other's output: `y = f(d + w d - t)` at slope 1.
    OneShot,
}

/// What a settling layer consists of.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The weights from the inputs, `q (units, inputs)`.
    pub weights: Tensor,
    /// The lateral weights, `wᵀ (units, units)`: row v is what unit v does to each other.
    pub outgoing: Tensor,
    /// `t (units)`.
    pub thresholds: Tensor,
}

/// The outputs `(batch, units)` for `inputs (batch, inputs)`, each of which settles on its own: one product of the whole
/// batch with the lateral weights an iteration.
///
/// The iterations feed rounding errors back through a steep function, so devices that can compute them in f64.
pub fn settle(layer: &Layer, inputs: &Tensor, settling: &Settling) -> Result<Tensor> {
    let dtype = if inputs.device().is_metal() { DType::F32 } else { DType::F64 };
    let outgoing = layer.outgoing.to_dtype(dtype)?;
    let drive = inputs.to_dtype(dtype)?.matmul(&layer.weights.to_dtype(dtype)?.t()?)?;
    let excess = drive.broadcast_sub(&layer.thresholds.to_dtype(dtype)?)?;
    #[cfg(feature = "cuda")]
    if let Some(kernel) = Euler::of(settling, layer).filter(|_| inputs.device().is_cuda()) {
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

/// All steps of [`Settling::Equilibrium`] in one launch, instead of ten an iteration.
#[cfg(feature = "cuda")]
struct Euler {
    slope: f64,
    time_step: f64,
    tolerance: f64,
    iterations: u32,
}

#[cfg(feature = "cuda")]
impl Euler {
    /// Threads of the block that a pattern settles in.
    const THREADS: usize = 512;
    /// What a block has of shared memory everywhere, in f64: one for each unit and for each thread.
    const ROOM: usize = 48 * 1024 / 8;

    /// `None` for another settling, and for more units than a block has room for.
    fn of(settling: &Settling, layer: &Layer) -> Option<Self> {
        let Settling::Equilibrium { slope, time_step, iterations, tolerance } = *settling else {
            return None;
        };
        let fits = layer.thresholds.elem_count() + Self::THREADS <= Self::ROOM;
        fits.then_some(Self { slope, time_step, tolerance, iterations: u32::try_from(iterations).ok()? })
    }
}

#[cfg(feature = "cuda")]
impl CustomOp2 for Euler {
    fn name(&self) -> &'static str {
        "settling"
    }

    fn cpu_fwd(
        &self,
        _: &candle_core::CpuStorage,
        _: &Layout,
        _: &candle_core::CpuStorage,
        _: &Layout,
    ) -> Result<(candle_core::CpuStorage, Shape)> {
        candle_core::bail!("the CPU settles in a basin of its own")
    }

    fn cuda_fwd(
        &self,
        excess: &CudaStorage,
        excess_layout: &Layout,
        outgoing: &CudaStorage,
        outgoing_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (batch, units) = excess_layout.shape().dims2()?;
        let device = &excess.device;
        let (excess, outgoing) =
            (cuda::values::<f64>(excess, excess_layout)?, cuda::values::<f32>(outgoing, outgoing_layout)?);
        let mut settled = device.alloc_zeros::<f64>(batch * units)?;
        let kernel = device.get_or_load_custom_func("settle", "hebbian-settling", cuda::SETTLING)?;
        let threads = units.next_power_of_two().clamp(32, Self::THREADS);
        let mut grid = cuda::blocks(batch, 1, threads as u32);
        grid.shared_mem_bytes = (8 * (units + threads)) as u32;
        let width = units as u32;
        let mut launch = kernel.builder();
        launch.arg(&excess).arg(&outgoing).arg(&mut settled).arg(&self.slope).arg(&self.time_step);
        launch.arg(&self.tolerance).arg(&self.iterations).arg(&width);
        // SAFETY: the arguments are those of the kernel, which writes `batch * units` outputs and uses as much shared
        // memory as it is given.
        unsafe { launch.launch(grid) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(settled, device.clone()), excess_layout.shape().clone()))
    }
}
