//! The scores on CUDA, see `kernels/overlap_scores.cu`.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
use candle_core::{CpuStorage, CudaStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::ops::cuda;

/// The scores of checked arguments.
pub(super) fn overlap_scores(
    products: &Tensor,
    norms: &Tensor,
    lengths: &Tensor,
    gates: &Tensor,
) -> Result<Tensor> {
    let scores = Scores { gates: &gates.contiguous()? };
    products.contiguous()?.apply_op3_no_bwd(&norms.contiguous()?, &lengths.contiguous()?, &scores)
}

struct Scores<'a> {
    gates: &'a Tensor,
}

impl CustomOp3 for Scores<'_> {
    fn name(&self) -> &'static str {
        "overlap-scores"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("the CPU has a kernel of its own")
    }

    fn cuda_fwd(
        &self,
        products: &CudaStorage,
        layout: &Layout,
        norms: &CudaStorage,
        norms_layout: &Layout,
        lengths: &CudaStorage,
        lengths_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (batch, units) = layout.shape().dims2()?;
        let device = &products.device;
        let mut scores = device.alloc_zeros::<f32>(batch * units)?;
        let products = cuda::values::<f32>(products, layout)?;
        let (norms, lengths) =
            (cuda::values::<f32>(norms, norms_layout)?, cuda::values::<f32>(lengths, lengths_layout)?);
        let gates = cuda::address::<f32>(Some(self.gates), device)?;
        let module = ("hebbian-overlap-scores", cuda::OVERLAP_SCORES);
        let kernel = device.get_or_load_custom_func("overlap_scores", module.0, module.1)?;
        let width = units as u32;
        let mut launch = kernel.builder();
        launch.arg(&products).arg(&norms).arg(&lengths).arg(&gates).arg(&mut scores).arg(&width);
        // SAFETY: the arguments are those of the kernel, checked to be as long as it reads, which writes `batch * units`
        // scores; the gates live until the launch is queued.
        unsafe { launch.launch(cuda::blocks(batch, units.div_ceil(128), 128)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(scores, device.clone()), layout.shape().clone()))
    }
}
