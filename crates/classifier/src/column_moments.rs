//! Mean and variance of each column of a batch.

use candle_core::{Device, Result, Storage, Tensor};
use multiversion::multiversion;

use crate::input_layer::mean_rows;
use crate::rows::place;

/// Mean and variance, not corrected for the batch's size, of each column of a batch `(batch, columns)` f32.
///
/// On the CPU one thread takes both in one pass, summed as f64: as a graph it is four operations on the whole batch, for which
/// candle's threads wait for one another.
pub(crate) fn column_moments(batch: &Tensor) -> Result<[Tensor; 2]> {
    if !(batch.device().is_cpu() && batch.is_contiguous()) {
        return by_graph(batch);
    }
    let columns = batch.dim(1)?;
    let (storage, layout) = batch.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { return by_graph(batch) };
    let values = &storage.as_slice::<f32>()?[place(layout)?];
    let (mut sums, mut squares) = (vec![0.0; columns], vec![0.0; columns]);
    values.chunks_exact(columns.max(1)).for_each(|row| add(row, &mut sums, &mut squares));
    let count = batch.dim(0)? as f64;
    let variances = sums.iter().zip(&squares).map(|(sum, square)| {
        let mean = sum / count;
        (square / count - mean * mean).max(0.0) as f32
    });
    let variances = Tensor::from_iter(variances, &Device::Cpu)?;
    Ok([Tensor::from_iter(sums.iter().map(|sum| (sum / count) as f32), &Device::Cpu)?, variances])
}

fn by_graph(batch: &Tensor) -> Result<[Tensor; 2]> {
    let mean = mean_rows(batch)?;
    let variance = mean_rows(&batch.broadcast_sub(&mean)?.sqr()?)?;
    Ok([mean, variance])
}

#[multiversion(targets = "simd")]
fn add(row: &[f32], sums: &mut [f64], squares: &mut [f64]) {
    for ((&value, sum), square) in row.iter().zip(sums).zip(squares) {
        let value = f64::from(value);
        *sum += value;
        *square += value * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hebbian_training::Generator;

    #[test]
    fn kernel_and_graph_agree() -> Result<()> {
        let batch = Generator::new(0, "moments").normal((100, 70), 3.0, 2.0, &Device::Cpu)?;
        for (kernel, graph) in column_moments(&batch)?.iter().zip(by_graph(&batch)?) {
            assert!((kernel - graph)?.abs()?.max_all()?.to_scalar::<f32>()? < 1e-4);
        }
        Ok(())
    }

    #[test]
    fn a_constant_column_has_no_variance() -> Result<()> {
        let batch = Tensor::full(0.1f32, (7, 3), &Device::Cpu)?;
        let [mean, variance] = column_moments(&batch)?;
        assert_eq!((mean.to_vec1::<f32>()?, variance.to_vec1::<f32>()?), (vec![0.1; 3], vec![0.0; 3]));
        Ok(())
    }
}
