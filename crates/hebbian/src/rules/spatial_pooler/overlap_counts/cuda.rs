//! The counts on CUDA, of bits, see `kernels/overlaps.cu`.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, PushKernelArg};
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, bail};

use crate::ops::cuda;

/// The counts of inputs whose permanence is at least this.
pub(super) struct Count(pub(super) f32);

impl CustomOp2 for Count {
    fn name(&self) -> &'static str {
        "overlap-counts"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("the CPU counts with a product")
    }

    fn cuda_fwd(
        &self,
        inputs: &CudaStorage,
        inputs_layout: &Layout,
        permanences: &CudaStorage,
        permanences_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (batch, units) = (inputs_layout.dims()[0], permanences_layout.dims()[0]);
        let words = permanences_layout.dims()[1].div_ceil(32);
        let device = &inputs.device;
        let input_bits = pack(inputs, inputs_layout, 0.5)?;
        let connected = pack(permanences, permanences_layout, self.0)?;
        let mut counts = device.alloc_zeros::<f32>(batch * units)?;
        let kernel = device.get_or_load_custom_func("count_overlaps", "hebbian-overlaps", cuda::OVERLAPS)?;
        let (columns, width) = (units as u32, words as u32);
        let mut launch = kernel.builder();
        launch.arg(&input_bits).arg(&connected).arg(&mut counts).arg(&columns).arg(&width);
        // SAFETY: the arguments are those of the kernel, which writes `batch * units` counts.
        unsafe { launch.launch(cuda::blocks(batch, units.div_ceil(128), 128)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(counts, device.clone()), Shape::from((batch, units))))
    }
}

/// A bit for each value that is at least `least`, each row in whole words.
fn pack(storage: &CudaStorage, layout: &Layout, least: f32) -> Result<CudaSlice<u32>> {
    let (rows, columns) = layout.shape().dims2()?;
    let words = columns.div_ceil(32);
    let values = cuda::values::<f32>(storage, layout)?;
    let mut bits = storage.device.alloc_zeros::<u32>(rows * words)?;
    let kernel = storage.device.get_or_load_custom_func("pack_bits", "hebbian-overlaps", cuda::OVERLAPS)?;
    let (columns, width) = (columns as u32, words as u32);
    let mut launch = kernel.builder();
    launch.arg(&values).arg(&mut bits).arg(&least).arg(&columns).arg(&width);
    // SAFETY: the arguments are those of the kernel, which writes `rows * words` words.
    unsafe { launch.launch(cuda::blocks(rows, words.div_ceil(128), 128)) }.w()?;
    Ok(bits)
}
