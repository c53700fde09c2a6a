//! The product with a matrix as it lies.

use std::ops::Range;

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

use crate::kernel::{Lanes, Panel, WIDTH, multiply, stripes};
use crate::panels::with_values;
use crate::rows::{SparseRows, TILE};

impl SparseRows {
    /// `x m (batch, columns)` for a contiguous f32 `matrix (inputs, columns)` on the CPU, whose rows are read where they lie.
    pub fn matmul(&self, matrix: &Tensor) -> Result<Tensor> {
        let ((samples, inputs), (rows, columns)) = (self.dims(), matrix.dims2()?);
        if rows != inputs {
            bail!("a batch of {inputs} inputs for a matrix with {rows} rows");
        }
        let (mut output, stride) = (vec![0.0; samples * columns], columns);
        with_values(matrix, |matrix| {
            let panels = stripes(&mut output, columns).into_par_iter().enumerate();
            panels.for_each(|(panel, stripes)| {
                let first = panel * WIDTH;
                let columns = first..(first + WIDTH).min(columns);
                multiply(Copied { matrix, stride, columns, tile: Vec::with_capacity(TILE) }, self, stripes);
            });
        })?;
        Tensor::from_vec(output, (samples, columns), &Device::Cpu)
    }
}

/// Some `columns` of a matrix, a copy of a tile at a time: it lies together in the first cache, each vector within a line.
struct Copied<'a> {
    matrix: &'a [f32],
    stride: usize,
    columns: Range<usize>,
    tile: Vec<Lanes>,
}

impl Panel for Copied<'_> {
    fn tile(&mut self, inputs: Range<usize>) -> &[Lanes] {
        let rows =
            self.matrix[inputs.start * self.stride..inputs.end * self.stride].chunks_exact(self.stride);
        self.tile.clear();
        self.tile.extend(rows.map(|row| {
            let mut lanes = Lanes([0.0; WIDTH]);
            lanes.0[..self.columns.len()].copy_from_slice(&row[self.columns.clone()]);
            lanes
        }));
        &self.tile
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    /// A matrix with about a fifth of its entries on.
    fn sparse(rows: usize, columns: usize, seed: u64) -> Result<Tensor> {
        Generator::new(seed, "sparse").uniform((rows, columns), -4.0, 1.0, &Device::Cpu)?.relu()
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> Result<f32> {
        (a - b)?.abs()?.max_all()?.to_scalar()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn it_agrees_with_the_dense_product_and_so_does_the_transposed_batchs(
            samples in 1usize..150, inputs in 20usize..300, columns in 1usize..400, seed in any::<u64>(),
        ) {
            let batch = sparse(samples, inputs, seed).unwrap();
            let Some(rows) = SparseRows::of(&batch).unwrap() else { return Ok(()) };
            let matrix = |rows| Generator::new(seed, "matrix").normal((rows, columns), 0.0, 1.0, &Device::Cpu);
            let (below, above) = (matrix(inputs).unwrap(), matrix(samples).unwrap());
            let dense = batch.matmul(&below).unwrap();
            prop_assert!(largest_difference(&rows.matmul(&below).unwrap(), &dense).unwrap() < 1e-4);
            let dense = batch.t().unwrap().matmul(&above).unwrap();
            prop_assert!(largest_difference(&rows.transposed().matmul(&above).unwrap(), &dense).unwrap() < 1e-4);
        }
    }

    #[test]
    fn a_matrix_of_other_height_is_refused() -> Result<()> {
        let Some(rows) = SparseRows::of(&sparse(5, 100, 3)?)? else { bail!("it is sparse") };
        let refused = rows.matmul(&sparse(90, 30, 0)?).unwrap_err().to_string();
        assert!(refused.starts_with("a batch of 100 inputs for a matrix with 90 rows"), "{refused}");
        Ok(())
    }
}
