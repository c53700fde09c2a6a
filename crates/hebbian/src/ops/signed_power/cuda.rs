//! Signed powers on CUDA, see `kernels/rows.cu`.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
use candle_core::{CudaStorage, Layout, Result};

use crate::ops::cuda;

/// Raises all weights.
pub(super) fn refresh(
    powers: &mut CudaStorage,
    powers_layout: &Layout,
    weights: &CudaStorage,
    weights_layout: &Layout,
    exponent: f64,
) -> Result<()> {
    let count = weights_layout.shape().elem_count();
    let weights_values = cuda::values::<f32>(weights, weights_layout)?;
    let mut powers = cuda::values_mut::<f32>(powers, powers_layout)?;
    let kernel = weights.device.get_or_load_custom_func("signed_power", "hebbian-rows", cuda::ROWS)?;
    let exponent = exponent as f32;
    let mut launch = kernel.builder();
    launch.arg(&weights_values).arg(&mut powers).arg(&exponent).arg(&count);
    // SAFETY: the arguments are those of the kernel, which writes `count` powers; the powers were checked to be as many.
    unsafe { launch.launch(cuda::blocks(count.div_ceil(256), 1, 256)) }.w()?;
    Ok(())
}
