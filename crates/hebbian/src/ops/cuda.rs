//! Our own kernels on CUDA: their code, and candle's storage as what they are launched with.

use candle_core::cuda_backend::CudaDType;
use candle_core::cuda_backend::cudarc::driver::{CudaView, CudaViewMut, LaunchConfig};
use candle_core::{CudaStorage, Layout, Result, Storage, bail};

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The values of a contiguous tensor.
pub(super) fn values<'a, T: CudaDType>(storage: &'a CudaStorage, layout: &Layout) -> Result<CudaView<'a, T>> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the tensor must be contiguous") };
    Ok(storage.as_cuda_slice::<T>()?.slice(start..end))
}

/// The values of a contiguous tensor, to write to.
pub(super) fn values_mut<'a, T: CudaDType>(
    storage: &'a mut CudaStorage,
    layout: &Layout,
) -> Result<CudaViewMut<'a, T>> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the tensor must be contiguous") };
    Ok(storage.as_cuda_slice_mut::<T>()?.slice_mut(start..end))
}

/// The storage of a tensor that an operation needs beside those that candle hands it.
pub(super) fn on_cuda(storage: &Storage) -> Result<&CudaStorage> {
    match storage {
        Storage::Cuda(storage) => Ok(storage),
        _ => bail!("all tensors of an operation must be on the same device"),
    }
}

/// `across` by `down` blocks of `threads`.
pub(super) fn blocks(across: usize, down: usize, threads: u32) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (across as u32, down as u32, 1),
        block_dim: (threads, 1, 1),
        shared_mem_bytes: 0,
    }
}
