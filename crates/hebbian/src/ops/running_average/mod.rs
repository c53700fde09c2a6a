//! A running average along time.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};

use super::check::check_arguments;
use super::cpu::values;

/// `m_t = m_(t-1) + rate (x_t - m_(t-1))` from `m = 0`, for every row `x_t` of `values (time, units)`, f32.
pub fn running_average(values: &Tensor, rate: f64) -> Result<Tensor> {
    let units = values.dims2()?.1;
    running_average_from(&Tensor::zeros(units, DType::F32, values.device())?, values, rate)
}

/// The same from `before (units)` on.
pub(crate) fn running_average_from(before: &Tensor, values: &Tensor, rate: f64) -> Result<Tensor> {
    let shape = values.dims2()?;
    let arguments =
        [("values", values, DType::F32, shape.into()), ("before", before, DType::F32, shape.1.into())];
    check_arguments("running_average", values.device(), arguments)?;
    if values.elem_count() == 0 {
        return values.zeros_like();
    }
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
    Tensor::cat(&averages, 0)
}

struct RunningAverage(f32);

impl CustomOp2 for RunningAverage {
    fn name(&self) -> &'static str {
        "running-average"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        before: &CpuStorage,
        before_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut averages = values(storage, layout)?.to_vec();
        let mut average = values(before, before_layout)?.to_vec();
        cpu::running_average(&mut averages, &mut average, self.0);
        Ok((CpuStorage::F32(averages), layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        values: &candle_core::CudaStorage,
        layout: &Layout,
        before: &candle_core::CudaStorage,
        before_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        cuda::running_average(values, layout, before, before_layout, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
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
        Ok(())
    }

    #[test]
    fn an_average_of_another_length_and_another_type_are_refused() -> Result<()> {
        let values = Tensor::zeros((3, 4), DType::F32, &Device::Cpu)?;
        let refused = running_average_from(&Tensor::zeros(5, DType::F32, &Device::Cpu)?, &values, 0.5);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("running_average: before is F32 [5]; allowed: F32 [4]"), "{refused}");
        let refused = running_average(&values.to_dtype(DType::F64)?, 0.5).unwrap_err().to_string();
        assert!(
            refused.starts_with("running_average: values is F64 [3, 4]; allowed: F32 [3, 4]"),
            "{refused}"
        );
        Ok(())
    }
}
