//! A running average along time.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{
    CudaStorage,
    cuda_backend::{WrapErr, cudarc::driver::PushKernelArg},
};
use multiversion::multiversion;

use super::cpu;
#[cfg(feature = "cuda")]
use super::cuda;

/// `m_t = m_(t-1) + rate (x_t - m_(t-1))` from `m = 0`, for every row `x_t` of `values (time, units)`.
pub fn running_average(values: &Tensor, rate: f64) -> Result<Tensor> {
    let units = values.dim(1)?;
    running_average_from(&Tensor::zeros(units, values.dtype(), values.device())?, values, rate)
}

/// The same from `before (units)` on.
pub(crate) fn running_average_from(before: &Tensor, values: &Tensor, rate: f64) -> Result<Tensor> {
    match values.device().is_metal() {
        false => values.contiguous()?.apply_op2_no_bwd(&before.contiguous()?, &RunningAverage(rate as f32)),
        true => graph(before, values, rate),
    }
}

fn graph(before: &Tensor, values: &Tensor, rate: f64) -> Result<Tensor> {
    let mut average = before.unsqueeze(0)?;
    let mut averages = vec![];
    for time in 0..values.dim(0)? {
        average = (&average + ((values.narrow(0, time, 1)? - &average)? * rate)?)?;
        averages.push(average.clone());
    }
    if averages.is_empty() { average.narrow(0, 0, 0) } else { Tensor::cat(&averages, 0) }
}

struct RunningAverage(f32);

impl CustomOp2 for RunningAverage {
    fn name(&self) -> &'static str {
        "running-average"
    }

    fn cpu_fwd(
        &self,
        values: &CpuStorage,
        layout: &Layout,
        before: &CpuStorage,
        before_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, units) = layout.shape().dims2()?;
        let mut averages = cpu::values(values, layout)?.to_vec();
        let mut average = cpu::values(before, before_layout)?.to_vec();
        for row in averages.chunks_exact_mut(units.max(1)) {
            follow(&mut average, row, self.0);
        }
        Ok((CpuStorage::F32(averages), layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        values: &CudaStorage,
        layout: &Layout,
        before: &CudaStorage,
        before_layout: &Layout,
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
        launch.arg(&values).arg(&before).arg(&mut averages).arg(&self.0).arg(&times).arg(&width);
        // SAFETY: the arguments are those of the kernel, which writes `times * units` averages.
        unsafe { launch.launch(cuda::blocks(units.div_ceil(128), 1, 128)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(averages, device.clone()), layout.shape().clone()))
    }
}

#[multiversion(targets = "simd")]
fn follow(average: &mut [f32], row: &mut [f32], rate: f32) {
    for (value, average) in row.iter_mut().zip(average) {
        *average += rate * (*value - *average);
        *value = *average;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use hebbian_training::Generator;

    #[test]
    fn kernel_and_graph_agree() -> Result<()> {
        let values = Generator::new(0, "running average").uniform((30, 17), 0.0, 1.0, &Device::Cpu)?;
        let before = Generator::new(1, "running average").uniform(17, 0.0, 1.0, &Device::Cpu)?;
        let kernel = running_average_from(&before, &values, 0.3)?;
        let difference = (kernel - graph(&before, &values, 0.3)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(difference < 1e-6, "{difference}");
        Ok(())
    }

    #[test]
    fn a_constant_is_approached_from_zero() -> Result<()> {
        let averages = running_average(&Tensor::ones((3, 1), DType::F32, &Device::Cpu)?, 0.5)?;
        assert_eq!(averages.to_vec2::<f32>()?, [[0.5], [0.75], [0.875]]);
        Ok(())
    }

    #[test]
    fn no_time_has_no_average() -> Result<()> {
        let none = Tensor::zeros((0, 4), DType::F32, &Device::Cpu)?;
        assert_eq!(running_average(&none, 0.5)?.dims(), [0, 4]);
        assert_eq!(graph(&Tensor::zeros(4, DType::F32, &Device::Cpu)?, &none, 0.5)?.dims(), [0, 4]);
        Ok(())
    }
}
