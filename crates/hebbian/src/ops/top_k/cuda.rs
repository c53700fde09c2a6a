//! The ranks of rows on CUDA, see `kernels/top_k.cu`.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
use candle_core::{CudaStorage, Layout, Result, Shape};

use crate::ops::cuda;

/// Up to this rank, a round for each is cheaper than bisecting.
const MOST_ROUNDS: usize = 32;

/// The indices `(rows, k)` of the `k` largest values of each row.
pub(super) fn top_k(storage: &CudaStorage, layout: &Layout, k: usize) -> Result<(CudaStorage, Shape)> {
    let (rows, columns) = layout.shape().dims2()?;
    let values = cuda::values::<f32>(storage, layout)?;
    let device = &storage.device;
    let mut ranked = device.alloc_zeros::<u32>(rows * k)?;
    let (width, most) = (columns as u32, k as u32);
    let load = |name| device.get_or_load_custom_func(name, "hebbian-top-k", cuda::TOP_K);
    let grid = cuda::blocks(rows, 1, 256);
    if k <= MOST_ROUNDS {
        let kernel = load("top_few")?;
        let mut launch = kernel.builder();
        launch.arg(&values).arg(&mut ranked).arg(&width).arg(&most);
        // SAFETY: the arguments are those of the kernel, which writes `rows * k` indices.
        unsafe { launch.launch(grid) }.w()?;
    } else {
        let kernel = load("top_many")?;
        let mut chosen = device.alloc_zeros::<u64>(rows * k)?;
        let mut launch = kernel.builder();
        launch.arg(&values).arg(&mut chosen).arg(&mut ranked).arg(&width).arg(&most);
        // SAFETY: the arguments are those of the kernel, which writes `rows * k` places and as many indices.
        unsafe { launch.launch(grid) }.w()?;
    }
    Ok((CudaStorage::wrap_cuda_slice(ranked, device.clone()), Shape::from((rows, k))))
}
