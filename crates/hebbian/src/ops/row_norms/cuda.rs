//! Norms of rows on CUDA, see `kernels/rows.cu`.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
use candle_core::{CudaStorage, Layout, Result};

use super::RowNorm;
use crate::ops::cuda;

/// Computes the norms of all rows.
pub(super) fn refresh(
    norms: &mut CudaStorage,
    norms_layout: &Layout,
    weights: &CudaStorage,
    weights_layout: &Layout,
    norm: RowNorm,
) -> Result<()> {
    let (units, columns) = weights_layout.shape().dims2()?;
    let weights_values = cuda::values::<f32>(weights, weights_layout)?;
    let mut norms = cuda::values_mut::<f32>(norms, norms_layout)?;
    let kernel = weights.device.get_or_load_custom_func("row_norms", "hebbian-rows", cuda::ROWS)?;
    let (width, euclidean) = (columns as u32, u8::from(norm == RowNorm::Euclidean));
    let mut launch = kernel.builder();
    launch.arg(&weights_values).arg(&mut norms).arg(&width).arg(&euclidean);
    // SAFETY: the arguments are those of the kernel, which writes one norm per row; the norms were checked to be as many.
    unsafe { launch.launch(cuda::blocks(units, 1, 256)) }.w()?;
    Ok(())
}
