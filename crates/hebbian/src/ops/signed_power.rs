//! `sign(w) |w|^e`, the synapse as a rule with Lebesgue norm `p = e + 1` sees it.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{
    CudaStorage,
    cuda_backend::{WrapErr, cudarc::driver::PushKernelArg},
};
use multiversion::multiversion;
use rayon::prelude::*;

use super::cpu;
#[cfg(feature = "cuda")]
use super::cuda;

/// `sign(w) |w|^exponent` of every weight; 0 where the weight is 0, whatever the exponent.
pub fn signed_power(weights: &Tensor, exponent: f64) -> Result<Tensor> {
    weights.sign()? * weights.abs()?.powf(exponent)?
}

/// Brings `powers` up to date after the named `rows` (ascending, distinct) of `weights` changed; `None` means all rows.
///
/// One kernel serves both, so that a restored rule holds the same bits as one that learned its way there. Away from
/// the CPU, where nobody knows which rows changed, all are computed.
pub fn refresh_signed_power(
    powers: &Tensor,
    weights: &Tensor,
    exponent: f64,
    rows: Option<&[u32]>,
) -> Result<()> {
    if weights.device().is_metal() {
        return powers.slice_set(&signed_power(weights, exponent)?, 0, 0);
    }
    let all: Vec<u32>;
    let rows = match rows {
        Some(rows) => rows,
        None => {
            all = (0..weights.dim(0)? as u32).collect();
            &all
        }
    };
    powers.inplace_op2(weights, &Refresh { exponent, rows })
}

struct Refresh<'a> {
    exponent: f64,
    rows: &'a [u32],
}

impl InplaceOp2 for Refresh<'_> {
    fn name(&self) -> &'static str {
        "refresh-signed-power"
    }

    fn cpu_fwd(
        &self,
        powers: &mut CpuStorage,
        powers_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<()> {
        let (_, columns) = weights_layout.shape().dims2()?;
        let powers = cpu::values_mut(powers, powers_layout)?;
        let weights = cpu::values(weights, weights_layout)?;
        cpu::rows_mut(powers, columns, self.rows)
            .into_par_iter()
            .zip(self.rows)
            .with_min_len(ROWS_A_TASK)
            .for_each(|(powers, &row)| {
                raise_row(powers, &weights[row as usize * columns..][..columns], self.exponent)
            });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        powers: &mut CudaStorage,
        powers_layout: &Layout,
        weights: &CudaStorage,
        weights_layout: &Layout,
    ) -> Result<()> {
        let count = weights_layout.shape().elem_count();
        let weights_values = cuda::values::<f32>(weights, weights_layout)?;
        let mut powers = cuda::values_mut::<f32>(powers, powers_layout)?;
        let kernel = weights.device.get_or_load_custom_func("signed_power", "hebbian-rows", cuda::ROWS)?;
        let exponent = self.exponent as f32;
        let mut launch = kernel.builder();
        launch.arg(&weights_values).arg(&mut powers).arg(&exponent).arg(&count);
        // SAFETY: the arguments are those of the kernel, which writes `count` powers.
        unsafe { launch.launch(cuda::blocks(count.div_ceil(256), 1, 256)) }.w()?;
        Ok(())
    }
}

const ROWS_A_TASK: usize = 16;

/// Whole exponents up to 3 are products, which vectorize; `powf` does not. A power that would be subnormal is 0: products
/// with such numbers take many times longer.
#[multiversion(targets = "simd")]
pub(super) fn raise_row(powers: &mut [f32], weights: &[f32], exponent: f64) {
    let least = f64::from(f32::MIN_POSITIVE).powf(1.0 / exponent) as f32;
    let weights = weights.iter().map(|&w| if w.abs() < least { 0.0 } else { w });
    let pairs = powers.iter_mut().zip(weights);
    if exponent == 1.0 {
        pairs.for_each(|(power, w)| *power = w);
    } else if exponent == 2.0 {
        pairs.for_each(|(power, w)| *power = w * w.abs());
    } else if exponent == 3.0 {
        pairs.for_each(|(power, w)| *power = w * w * w);
    } else {
        let exponent = exponent as f32;
        pairs.for_each(|(power, w)| *power = if w == 0.0 { 0.0 } else { w.abs().powf(exponent).copysign(w) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use hebbian_training::Generator;

    fn weights() -> Tensor {
        Generator::new(0, "signed power").normal((40, 30), 0.0, 1.0, &Device::Cpu).unwrap()
    }

    fn refreshed(weights: &Tensor, exponent: f64) -> Tensor {
        let powers = weights.zeros_like().unwrap();
        refresh_signed_power(&powers, weights, exponent, None).unwrap();
        powers
    }

    #[test]
    fn kernel_and_graph_agree() -> Result<()> {
        for exponent in [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0] {
            let (kernel, graph) = (refreshed(&weights(), exponent), signed_power(&weights(), exponent)?);
            let difference = (&kernel - &graph)?.abs()?.max_all()?.to_scalar::<f32>()?;
            let largest = graph.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(difference <= 1e-6 * largest, "exponent {exponent}: {difference}");
        }
        Ok(())
    }

    #[test]
    fn a_zero_weight_stays_zero_even_at_exponent_zero() -> Result<()> {
        let zeros = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?;
        for exponent in [0.0, 0.5, 1.0, 2.0] {
            assert_eq!(refreshed(&zeros, exponent).sum_all()?.to_scalar::<f32>()?, 0.0);
            assert_eq!(signed_power(&zeros, exponent)?.sum_all()?.to_scalar::<f32>()?, 0.0);
        }
        Ok(())
    }

    #[test]
    fn no_power_is_subnormal() -> Result<()> {
        let weights = Tensor::new(&[[1e-18f32, 1e-20, -1e-22, 1e-12, 0.0]], &Device::Cpu)?;
        for exponent in [1.0, 1.5, 2.0, 3.0, 4.0] {
            for power in refreshed(&weights, exponent).to_vec2::<f32>()?.concat() {
                assert!(power == 0.0 || power.is_normal(), "exponent {exponent}: {power}");
            }
        }
        Ok(())
    }

    #[test]
    fn named_rows_get_the_bits_that_all_rows_get() -> Result<()> {
        let weights = weights();
        let powers = weights.zeros_like()?;
        refresh_signed_power(&powers, &weights, 2.0, Some(&[0, 3, 39]))?;
        let (some, all) = (powers.to_vec2::<f32>()?, refreshed(&weights, 2.0).to_vec2::<f32>()?);
        for row in 0..40 {
            let expected = if [0, 3, 39].contains(&row) { all[row].clone() } else { vec![0.0; 30] };
            assert_eq!(some[row], expected, "row {row}");
        }
        Ok(())
    }
}
