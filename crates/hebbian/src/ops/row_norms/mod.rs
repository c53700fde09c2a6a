//! Norms of rows, kept up to date instead of recomputed.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor};

pub(crate) use cpu::norm_of_row;

use super::check::{check_arguments, check_contiguous, check_rows};
use super::cpu::{values, values_mut};

/// The smallest length that is divided by.
pub(crate) const LENGTH_FLOOR: f64 = 1e-12;

/// Which norm of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowNorm {
    /// The root of the sum of squares.
    Euclidean,
    /// The largest magnitude.
    Maximum,
}

/// The norm of each row of `weights (units, inputs)`, `(units)`.
pub fn row_norms(weights: &Tensor, norm: RowNorm) -> Result<Tensor> {
    match norm {
        RowNorm::Euclidean => weights.sqr()?.sum(1)?.sqrt(),
        RowNorm::Maximum => weights.abs()?.max(1),
    }
}

/// Brings `norms (units)` up to date after the named `rows` (ascending, distinct) of `weights (units, inputs)` changed;
/// `None` means all rows. Both are f32, on one device and contiguous; anything else is an error.
///
/// One kernel serves both, so that a restored rule holds the same bits as one that learned its way there. Away from
/// the CPU, where nobody knows which rows changed, all are computed.
pub fn refresh_row_norms(
    norms: &Tensor,
    weights: &Tensor,
    norm: RowNorm,
    rows: Option<&[u32]>,
) -> Result<()> {
    const NAME: &str = "refresh_row_norms";
    let (units, inputs) = weights.dims2()?;
    let shapes = [
        ("weights", weights, DType::F32, (units, inputs).into()),
        ("norms", norms, DType::F32, units.into()),
    ];
    check_arguments(NAME, weights.device(), shapes)?;
    check_contiguous(NAME, "norms", norms)?;
    if let Some(rows) = rows {
        check_rows(NAME, rows, units)?;
    }
    if weights.device().is_metal() {
        return norms.slice_set(&row_norms(weights, norm)?, 0, 0);
    }
    if weights.elem_count() == 0 {
        return norms.slice_set(&norms.zeros_like()?, 0, 0);
    }
    let rows = rows.map_or_else(|| (0..units as u32).collect(), <[u32]>::to_vec);
    norms.inplace_op2(&weights.contiguous()?, &Refresh { norm, rows })
}

struct Refresh {
    norm: RowNorm,
    rows: Vec<u32>,
}

impl InplaceOp2 for Refresh {
    fn name(&self) -> &'static str {
        "refresh-row-norms"
    }

    fn cpu_fwd(
        &self,
        norms: &mut CpuStorage,
        norms_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<()> {
        let (_, columns) = weights_layout.shape().dims2()?;
        let (norms, weights) = (values_mut(norms, norms_layout)?, values(weights, weights_layout)?);
        cpu::refresh(norms, weights, columns, self.norm, &self.rows);
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        norms: &mut candle_core::CudaStorage,
        norms_layout: &Layout,
        weights: &candle_core::CudaStorage,
        weights_layout: &Layout,
    ) -> Result<()> {
        cuda::refresh(norms, norms_layout, weights, weights_layout, self.norm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;

    fn weights() -> Result<Tensor> {
        Generator::new(0, "row norms").normal((70, 45), 0.0, 1.0, &Device::Cpu)
    }

    fn refreshed(weights: &Tensor, norm: RowNorm, rows: Option<&[u32]>) -> Result<Vec<f32>> {
        let norms = Tensor::zeros(70, candle_core::DType::F32, &Device::Cpu)?;
        refresh_row_norms(&norms, weights, norm, rows)?;
        norms.to_vec1()
    }

    #[test]
    fn kernel_and_graph_agree() -> Result<()> {
        for norm in [RowNorm::Euclidean, RowNorm::Maximum] {
            let graph = row_norms(&weights()?, norm)?.to_vec1::<f32>()?;
            for (kernel, graph) in refreshed(&weights()?, norm, None)?.into_iter().zip(graph) {
                assert!((kernel - graph).abs() < 1e-5, "{norm:?}: {kernel} and {graph}");
            }
        }
        Ok(())
    }

    #[test]
    fn named_rows_get_the_bits_that_all_rows_get() -> Result<()> {
        let all = refreshed(&weights()?, RowNorm::Euclidean, None)?;
        let some = refreshed(&weights()?, RowNorm::Euclidean, Some(&[0, 3, 69]))?;
        for (row, norm) in some.into_iter().enumerate() {
            assert_eq!(norm, if [0, 3, 69].contains(&row) { all[row] } else { 0.0 }, "row {row}");
        }
        Ok(())
    }

    #[test]
    fn norms_of_another_length_and_rows_out_of_range_are_refused_and_nothing_changes() -> Result<()> {
        let zeros = |units: usize, dtype| Tensor::zeros(units, dtype, &Device::Cpu);
        let norms = zeros(70, DType::F32)?;
        let refusal = |norms: &Tensor, rows: &[u32]| {
            let refused = refresh_row_norms(norms, &weights().unwrap(), RowNorm::Maximum, Some(rows));
            refused.unwrap_err().to_string()
        };
        let expected = "refresh_row_norms: norms is F32 [69]; allowed: F32 [70]";
        assert!(refusal(&zeros(69, DType::F32)?, &[0]).starts_with(expected));
        let expected = "refresh_row_norms: norms is F64 [70]; allowed: F32 [70]";
        assert!(refusal(&zeros(70, DType::F64)?, &[0]).starts_with(expected));
        assert!(refusal(&norms, &[0, 70]).starts_with("refresh_row_norms: row 70; allowed: below 70"));
        assert!(refusal(&norms, &[3, 1]).starts_with("refresh_row_norms: row 3 comes before row 1"));
        let column = Tensor::zeros((70, 2), DType::F32, &Device::Cpu)?.narrow(1, 0, 1)?.squeeze(1)?;
        assert!(refusal(&column, &[0]).starts_with("refresh_row_norms: norms is not contiguous"));
        assert_eq!(norms.to_vec1::<f32>()?, [0.0; 70]);
        Ok(())
    }
}
