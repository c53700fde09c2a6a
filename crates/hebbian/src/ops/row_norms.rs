//! Norms of rows, kept up to date instead of recomputed.

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

/// Brings `norms` up to date after the named `rows` (ascending, distinct) of `weights` changed; `None` means all rows.
///
/// One kernel serves both, so that a restored rule holds the same bits as one that learned its way there. Away from
/// the CPU, where nobody knows which rows changed, all are computed.
pub fn refresh_row_norms(
    norms: &Tensor,
    weights: &Tensor,
    norm: RowNorm,
    rows: Option<&[u32]>,
) -> Result<()> {
    if weights.device().is_metal() {
        return norms.slice_set(&row_norms(weights, norm)?, 0, 0);
    }
    let rows = rows.map_or_else(|| (0..norms.elem_count() as u32).collect(), <[u32]>::to_vec);
    norms.inplace_op2(weights, &Refresh { norm, rows })
}

struct Refresh {
    norm: RowNorm,
    rows: Vec<u32>,
}

const ROWS_A_TASK: usize = 32;

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
        let norms = cpu::values_mut(norms, norms_layout)?;
        let weights = cpu::values(weights, weights_layout)?;
        let entries = cpu::rows_mut(norms, 1, &self.rows).into_par_iter().zip(&self.rows);
        entries.with_min_len(ROWS_A_TASK).for_each(|(entry, &row)| {
            let row = &weights[row as usize * columns..][..columns];
            entry[0] = norm_of(row, self.norm);
        });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        norms: &mut CudaStorage,
        norms_layout: &Layout,
        weights: &CudaStorage,
        weights_layout: &Layout,
    ) -> Result<()> {
        let (units, columns) = weights_layout.shape().dims2()?;
        let weights_values = cuda::values::<f32>(weights, weights_layout)?;
        let mut norms = cuda::values_mut::<f32>(norms, norms_layout)?;
        let kernel = weights.device.get_or_load_custom_func("row_norms", "hebbian-rows", cuda::ROWS)?;
        let (width, euclidean) = (columns as u32, u8::from(self.norm == RowNorm::Euclidean));
        let mut launch = kernel.builder();
        launch.arg(&weights_values).arg(&mut norms).arg(&width).arg(&euclidean);
        // SAFETY: the arguments are those of the kernel, which writes a norm a row.
        unsafe { launch.launch(cuda::blocks(units, 1, 256)) }.w()?;
        Ok(())
    }
}

#[multiversion(targets = "simd")]
fn norm_of(row: &[f32], norm: RowNorm) -> f32 {
    match norm {
        RowNorm::Euclidean => cpu::sum_of(row, |value| value * value).sqrt(),
        RowNorm::Maximum => row.iter().fold(0f32, |most, value| most.max(value.abs())),
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
}
