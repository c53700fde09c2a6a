//! Settling on CUDA, see `kernels/settling.cu`.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, bail};

use super::Settling;
use crate::ops::cuda;

/// All steps of [`Settling::Equilibrium`] in one launch, instead of ten per iteration.
pub(super) struct Euler {
    slope: f64,
    time_step: f64,
    tolerance: f64,
    iterations: u32,
}

impl Euler {
    /// Threads of the block that a pattern settles in.
    const THREADS: usize = 512;
    /// What a block has of shared memory everywhere, in f64: one for each unit and for each thread.
    const ROOM: usize = 48 * 1024 / 8;

    /// `None` for another settling, and for more units than a block has room for.
    pub(super) fn of(settling: &Settling, units: usize) -> Option<Self> {
        let Settling::Equilibrium { slope, time_step, iterations, tolerance } = *settling else {
            return None;
        };
        let fits = units + Self::THREADS <= Self::ROOM;
        fits.then_some(Self { slope, time_step, tolerance, iterations: u32::try_from(iterations).ok()? })
    }
}

impl CustomOp2 for Euler {
    fn name(&self) -> &'static str {
        "settling"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("the CPU settles in a basin of its own")
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
