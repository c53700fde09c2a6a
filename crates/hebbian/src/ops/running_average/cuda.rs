//! A running average on CUDA, see `kernels/running_average.cu`.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
use candle_core::{CudaStorage, Layout, Result, Shape};

use crate::ops::cuda;

/// The averages after each row of `values`.
pub(super) fn running_average(
    values: &CudaStorage,
    layout: &Layout,
    before: &CudaStorage,
    before_layout: &Layout,
    rate: f32,
) -> Result<(CudaStorage, Shape)> {
    let (times, units) = layout.shape().dims2()?;
    let device = &values.device;
    let (values, before) =
        (cuda::values::<f32>(values, layout)?, cuda::values::<f32>(before, before_layout)?);
    let mut averages = device.alloc_zeros::<f32>(times * units)?;
    let module = ("hebbian-running-average", cuda::RUNNING_AVERAGE);
    let kernel = device.get_or_load_custom_func("running_average", module.0, module.1)?;
    let (times, width) = (times as u32, units as u32);
    let mut launch = kernel.builder();
    launch.arg(&values).arg(&before).arg(&mut averages).arg(&rate).arg(&times).arg(&width);
    // SAFETY: the arguments are those of the kernel, which writes `times * units` averages.
    unsafe { launch.launch(cuda::blocks(units.div_ceil(128), 1, 128)) }.w()?;
    Ok((CudaStorage::wrap_cuda_slice(averages, device.clone()), layout.shape().clone()))
}
