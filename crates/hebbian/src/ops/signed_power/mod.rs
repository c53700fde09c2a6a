//! `sign(w) |w|^e`, the synapse as a rule with Lebesgue norm `p = e + 1` sees it.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor};

use super::check::{check_arguments, check_contiguous, check_rows};
use super::cpu::{values, values_mut};
pub(crate) use cpu::raise_row;

/// `sign(w) |w|^exponent` of every weight; 0 where the weight is 0, whatever the exponent.
pub(crate) fn signed_power(weights: &Tensor, exponent: f64) -> Result<Tensor> {
    weights.sign()? * weights.abs()?.powf(exponent)?
}

/// `sign(x) |x|^exponent` of `images (batch, channels, height, width)`, with a gradient where they track one: that of zeros is
/// taken for 0, since below an exponent of 1 there is none.
pub(crate) fn power_of_planes(images: &Tensor, exponent: f64) -> Result<Tensor> {
    /// The least magnitude that has a gradient.
    const LEAST: f64 = 1e-6;
    if images.track_op() {
        let sign = (images.gt(0.0)?.to_dtype(DType::F32)? - images.lt(0.0)?.to_dtype(DType::F32)?)?;
        return images.abs()?.maximum(LEAST)?.powf(exponent)? * sign;
    }
    let rows = images.flatten_to(1)?.flatten_from(1)?;
    let powers = rows.zeros_like()?;
    refresh_signed_power(&powers, &rows, exponent, None)?;
    powers.reshape(images.shape())
}

/// Brings `powers (units, inputs)` up to date after the named `rows` (ascending, distinct) of `weights (units, inputs)`
/// changed; `None` means all rows. Both are f32, on one device and contiguous; anything else is an error.
///
/// One kernel serves both, so that a restored rule holds the same bits as one that learned its way there. Away from
/// the CPU, where nobody knows which rows changed, all are computed.
pub(crate) fn refresh_signed_power(
    powers: &Tensor,
    weights: &Tensor,
    exponent: f64,
    rows: Option<&[u32]>,
) -> Result<()> {
    const NAME: &str = "refresh_signed_power";
    let (units, inputs) = weights.dims2()?;
    let shapes = [("weights", weights), ("powers", powers)]
        .map(|(name, tensor)| (name, tensor, DType::F32, (units, inputs).into()));
    check_arguments(NAME, weights.device(), shapes)?;
    check_contiguous(NAME, "powers", powers)?;
    if let Some(rows) = rows {
        check_rows(NAME, rows, units)?;
    }
    if weights.device().is_metal() {
        return powers.slice_set(&signed_power(weights, exponent)?, 0, 0);
    }
    if weights.elem_count() == 0 {
        return Ok(());
    }
    let all: Vec<u32>;
    let rows = match rows {
        Some(rows) => rows,
        None => {
            all = (0..units as u32).collect();
            &all
        }
    };
    powers.inplace_op2(&weights.contiguous()?, &Refresh { exponent, rows })
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
        let (powers, weights) = (values_mut(powers, powers_layout)?, values(weights, weights_layout)?);
        cpu::refresh(powers, weights, columns, self.exponent, self.rows);
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        powers: &mut candle_core::CudaStorage,
        powers_layout: &Layout,
        weights: &candle_core::CudaStorage,
        weights_layout: &Layout,
    ) -> Result<()> {
        cuda::refresh(powers, powers_layout, weights, weights_layout, self.exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
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

    #[test]
    fn powers_of_another_shape_and_rows_out_of_range_are_refused_and_nothing_changes() -> Result<()> {
        let zeros = |shape: (usize, usize)| Tensor::zeros(shape, DType::F32, &Device::Cpu);
        let powers = zeros((40, 30))?;
        let refusal = |powers: &Tensor, rows: &[u32]| {
            refresh_signed_power(powers, &weights(), 2.0, Some(rows)).unwrap_err().to_string()
        };
        let expected = "refresh_signed_power: powers is F32 [30, 40]; allowed: F32 [40, 30]";
        assert!(refusal(&zeros((30, 40))?, &[0]).starts_with(expected));
        assert!(refusal(&powers, &[40]).starts_with("refresh_signed_power: row 40; allowed: below 40"));
        assert!(refusal(&powers, &[3, 3]).starts_with("refresh_signed_power: row 3 comes before row 3"));
        let transposed = zeros((30, 40))?.t()?;
        assert!(refusal(&transposed, &[0]).starts_with("refresh_signed_power: powers is not contiguous"));
        assert_eq!(powers.sum_all()?.to_scalar::<f32>()?, 0.0);
        Ok(())
    }
}
