//! Our own kernels on CUDA: their code, and candle's storage as what they are launched with.

use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::CudaDType;
use candle_core::cuda_backend::cudarc::driver::{CudaView, CudaViewMut, DevicePtr, LaunchConfig};
use candle_core::{CudaDevice, CudaStorage, Layout, Result, Storage, Tensor, bail};

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The values of a contiguous tensor.
pub(crate) fn values<'a, T: CudaDType>(storage: &'a CudaStorage, layout: &Layout) -> Result<CudaView<'a, T>> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the tensor must be contiguous") };
    Ok(storage.as_cuda_slice::<T>()?.slice(start..end))
}

/// The values of a contiguous tensor, to write to.
pub(crate) fn values_mut<'a, T: CudaDType>(
    storage: &'a mut CudaStorage,
    layout: &Layout,
) -> Result<CudaViewMut<'a, T>> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the tensor must be contiguous") };
    Ok(storage.as_cuda_slice_mut::<T>()?.slice_mut(start..end))
}

/// The address of the values of a tensor on `device`, 0 for none: a kernel sees a null pointer then. The tensor must
/// outlive the launch, on whose stream it is also freed.
pub(crate) fn address<T: CudaDType>(tensor: Option<&Tensor>, device: &CudaDevice) -> Result<u64> {
    let Some(tensor) = tensor else { return Ok(0) };
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else { bail!("a tensor is not on CUDA") };
    let (given, allowed) = (storage.device.location(), device.location());
    if given != allowed {
        bail!("a tensor is on {given:?}; allowed: {allowed:?}");
    }
    let values = values::<T>(storage, layout)?;
    let stream = storage.device.cuda_stream();
    let (address, _used) = values.device_ptr(&stream);
    Ok(address)
}

/// `across` by `down` blocks of `threads`.
pub(crate) fn blocks(across: usize, down: usize, threads: u32) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (across as u32, down as u32, 1),
        block_dim: (threads, 1, 1),
        shared_mem_bytes: 0,
    }
}
