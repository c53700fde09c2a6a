//! A running average along time.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use multiversion::multiversion;

use super::cpu;

/// `m_t = m_(t-1) + rate (x_t - m_(t-1))` from `m = 0`, for every row `x_t` of `values (time, units)`.
pub fn running_average(values: &Tensor, rate: f64) -> Result<Tensor> {
    match values.device().is_cpu() {
        true => values.contiguous()?.apply_op1_no_bwd(&RunningAverage(rate as f32)),
        false => graph(values, rate),
    }
}

fn graph(values: &Tensor, rate: f64) -> Result<Tensor> {
    let mut average = values.zeros_like()?.narrow(0, 0, 1.min(values.dim(0)?))?;
    let mut averages = vec![];
    for time in 0..values.dim(0)? {
        average = (&average + ((values.narrow(0, time, 1)? - &average)? * rate)?)?;
        averages.push(average.clone());
    }
    if averages.is_empty() { Ok(average) } else { Tensor::cat(&averages, 0) }
}

struct RunningAverage(f32);

impl CustomOp1 for RunningAverage {
    fn name(&self) -> &'static str {
        "running-average"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, units) = layout.shape().dims2()?;
        let mut averages = cpu::values(storage, layout)?.to_vec();
        let mut average = vec![0f32; units];
        for row in averages.chunks_exact_mut(units.max(1)) {
            follow(&mut average, row, self.0);
        }
        Ok((CpuStorage::F32(averages), layout.shape().clone()))
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
        let kernel = running_average(&values, 0.3)?;
        let difference = (kernel - graph(&values, 0.3)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
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
        assert_eq!(graph(&none, 0.5)?.dims(), [0, 4]);
        Ok(())
    }
}
