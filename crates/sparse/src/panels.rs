//! Weights in the order in which a sparse product reads them.

use std::fmt;

use candle_core::{Result, Storage, Tensor, bail};
use rayon::prelude::*;

use crate::kernel::{Lanes, WIDTH, multiply, stripes};
use crate::rows::SparseRows;

/// What a row of weights becomes before it is multiplied: `map(weights, row)` fills `row`.
pub type RowMap<'a> = &'a (dyn Fn(&[f32], &mut [f32]) + Sync);

/// A copy of weights `(units, inputs)` in panels of 128 units, the weights of one input together within a panel.
///
/// ```text
/// (panels, inputs, 128)        the last panel ends in zeros
/// ```
///
/// It is kept up to date lazily: [`mark`](Self::mark) notes the rows that changed, and the next
/// [`refreshed_product`](Self::refreshed_product) rewrites each panel's share of them just before it reads the panel
/// anyway.
#[derive(Clone)]
pub struct Panels {
    units: usize,
    inputs: usize,
    values: Vec<Lanes>,
    /// The rows that no longer hold what the weights do, ascending.
    stale: Vec<u32>,
}

impl fmt::Debug for Panels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { units, inputs, .. } = self;
        formatter.debug_struct("Panels").field("units", units).field("inputs", inputs).finish_non_exhaustive()
    }
}

impl Panels {
    /// Panels for `units` and `inputs`, every row yet to be refreshed.
    pub fn new(units: usize, inputs: usize) -> Self {
        let values = vec![Lanes([0.0; WIDTH]); units.div_ceil(WIDTH) * inputs];
        Self { units, inputs, values, stale: (0..units as u32).collect() }
    }

    /// Panels of `weights (units, inputs)`, a contiguous f32 tensor on the CPU.
    pub fn of(weights: &Tensor) -> Result<Self> {
        let (units, inputs) = weights.dims2()?;
        let mut panels = Self::new(units, inputs);
        with_values(weights, |weights| {
            panels.refresh_all(weights, &|weights, row| row.copy_from_slice(weights))
        })?;
        Ok(panels)
    }

    /// Notes that these `rows` of the weights, in any order, have changed; `None` means any of them.
    ///
    /// # Errors
    /// If there is no such row; nothing is noted then.
    pub fn mark(&mut self, rows: Option<&[u32]>) -> Result<()> {
        if let Some(row) = rows.unwrap_or_default().iter().find(|&&row| row as usize >= self.units) {
            bail!("row {row} of weights with {} rows", self.units);
        }
        match rows {
            Some(rows) => self.stale.extend_from_slice(rows),
            None => self.stale = (0..self.units as u32).collect(),
        }
        if !self.stale.is_sorted_by(|one, next| one < next) {
            self.stale.sort_unstable();
            self.stale.dedup();
        }
        Ok(())
    }

    /// `x wᵀ (batch, units)` for what [`Panels::of`] was given.
    pub fn product(&self, rows: &SparseRows) -> Result<Tensor> {
        let mut output = self.output(rows)?;
        let panels = self.values.par_chunks_exact(self.inputs.max(1));
        panels.zip(stripes(&mut output, self.units)).for_each(|(panel, stripes)| {
            multiply(panel, rows, stripes);
        });
        self.tensor(output, rows)
    }

    /// `x map(w)ᵀ (batch, units)` for `weights (units, inputs)`, of which only marked rows may have changed.
    pub fn refreshed_product(
        &mut self,
        rows: &SparseRows,
        weights: &Tensor,
        map: RowMap<'_>,
    ) -> Result<Tensor> {
        if weights.dims() != [self.units, self.inputs] {
            bail!("weights {:?} in panels for {:?}", weights.dims(), (self.units, self.inputs));
        }
        let mut output = self.output(rows)?;
        let stripes = stripes(&mut output, self.units);
        let panels = self.values.par_chunks_exact_mut(self.inputs.max(1)).enumerate();
        let stale = &self.stale;
        with_values(weights, |weights| {
            panels.zip(stripes).for_each(|((number, panel), stripes)| {
                refresh(panel, within(stale, number), weights, map);
                multiply(&*panel, rows, stripes);
            });
        })?;
        self.stale.clear();
        self.tensor(output, rows)
    }

    fn refresh_all(&mut self, weights: &[f32], map: RowMap<'_>) {
        let panels = self.values.par_chunks_exact_mut(self.inputs.max(1)).enumerate();
        panels.for_each(|(number, panel)| refresh(panel, within(&self.stale, number), weights, map));
        self.stale.clear();
    }

    fn output(&self, rows: &SparseRows) -> Result<Vec<f32>> {
        let (samples, inputs) = rows.dims();
        if inputs != self.inputs {
            bail!("a batch of {inputs} inputs for weights of {}", self.inputs);
        }
        Ok(vec![0.0; samples * self.units])
    }

    fn tensor(&self, output: Vec<f32>, rows: &SparseRows) -> Result<Tensor> {
        Tensor::from_vec(output, (rows.dims().0, self.units), &candle_core::Device::Cpu)
    }
}

/// The stale rows of one panel.
fn within(stale: &[u32], panel: usize) -> &[u32] {
    let at = |row: usize| stale.partition_point(|&stale| (stale as usize) < row);
    &stale[at(panel * WIDTH)..at((panel + 1) * WIDTH)]
}

/// Calls `work` with the values of a contiguous f32 tensor on the CPU.
pub(crate) fn with_values<T>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((start, end))) => Ok(work(&storage.as_slice::<f32>()?[start..end])),
        _ => bail!("a sparse product needs contiguous weights on the CPU"),
    }
}

/// Rewrites the lanes of `stale` rows in their panel: input by input, so that the panel is passed over once, in order.
fn refresh(panel: &mut [Lanes], stale: &[u32], weights: &[f32], map: RowMap<'_>) {
    let inputs = panel.len();
    let mut rows = vec![0.0; stale.len() * inputs];
    for (row, &unit) in rows.chunks_exact_mut(inputs.max(1)).zip(stale) {
        map(&weights[unit as usize * inputs..][..inputs], row);
    }
    for (input, lanes) in panel.iter_mut().enumerate() {
        let stale = stale.iter().enumerate();
        stale.for_each(|(row, &unit)| lanes.0[unit as usize % WIDTH] = rows[row * inputs + input]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use hebbian_training::Generator;
    use proptest::prelude::*;

    fn weights(units: usize, inputs: usize) -> Result<Tensor> {
        Generator::new(0, "panels").normal((units, inputs), 0.0, 1.0, &Device::Cpu)
    }

    /// A batch with about a fifth of its inputs on.
    fn batch(samples: usize, inputs: usize, seed: u64) -> Result<Tensor> {
        let mut generator = Generator::new(seed, "panels");
        let values = generator.uniform((samples, inputs), -1.0, 1.0, &Device::Cpu)?;
        values
            * generator.uniform((samples, inputs), 0.0, 1.0, &Device::Cpu)?.lt(0.2)?.to_dtype(DType::F32)?
    }

    fn sparse(inputs: &Tensor) -> Result<SparseRows> {
        let mut rows = SparseRows::default();
        assert!(rows.list(inputs)?, "a batch of the test is not sparse");
        Ok(rows)
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> Result<f32> {
        (a - b)?.abs()?.max_all()?.to_scalar()
    }

    fn copy(weights: &[f32], row: &mut [f32]) {
        row.copy_from_slice(weights);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn sparse_and_dense_products_agree(
            units in 1usize..400, inputs in 20usize..300, samples in 1usize..20, seed in any::<u64>(),
        ) {
            let (weights, batch) = (weights(units, inputs).unwrap(), batch(samples, inputs, seed).unwrap());
            if let Some(rows) = SparseRows::of(&batch).unwrap() {
                let product = Panels::of(&weights).unwrap().product(&rows).unwrap();
                let dense = batch.matmul(&weights.t().unwrap()).unwrap();
                prop_assert!(largest_difference(&product, &dense).unwrap() < 1e-5);
            }
        }
    }

    #[test]
    fn one_thread_and_several_give_the_same_bits() -> Result<()> {
        let (weights, rows) = (weights(700, 300)?, sparse(&batch(50, 300, 1)?)?);
        let panels = Panels::of(&weights)?;
        let with = |threads| -> Result<Vec<Vec<f32>>> {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .map_err(candle_core::Error::wrap)?;
            pool.install(|| panels.product(&rows))?.to_vec2()
        };
        assert_eq!(with(1)?, with(3)?);
        Ok(())
    }

    #[test]
    fn marked_rows_are_brought_up_to_date_by_the_next_product_and_others_are_not() -> Result<()> {
        let (weights, rows) = (weights(300, 100)?, sparse(&batch(5, 100, 2)?)?);
        let mut panels = Panels::of(&weights)?;
        let before = panels.product(&rows)?;
        let changed = weights.affine(2.0, 0.0)?;
        for row in [0, 127, 128, 299, 40] {
            panels.mark(Some(&[row]))?;
        }
        let after = panels.refreshed_product(&rows, &changed, &copy)?;
        let (before, after) = (before.to_vec2::<f32>()?, after.to_vec2::<f32>()?);
        for (before, after) in before.iter().zip(&after) {
            for (unit, (before, after)) in before.iter().zip(after).enumerate() {
                let factor = if [0, 40, 127, 128, 299].contains(&unit) { 2.0 } else { 1.0 };
                assert_eq!(*after, before * factor, "unit {unit}");
            }
        }
        panels.mark(None)?;
        let all = panels.refreshed_product(&rows, &changed, &copy)?.to_vec2::<f32>()?;
        assert_eq!(all, Panels::of(&changed)?.product(&rows)?.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn rows_may_be_marked_in_any_order_and_none_beyond_the_last() -> Result<()> {
        let (weights, rows) = (weights(300, 100)?, sparse(&batch(5, 100, 2)?)?);
        let mut panels = Panels::of(&weights)?;
        let changed = weights.affine(2.0, 0.0)?;
        let all: Vec<u32> = (0..300).rev().chain([7, 7]).collect();
        panels.mark(Some(&all))?;
        let after = panels.refreshed_product(&rows, &changed, &copy)?.to_vec2::<f32>()?;
        assert_eq!(after, Panels::of(&changed)?.product(&rows)?.to_vec2::<f32>()?);
        let refused = panels.mark(Some(&[0, 300])).unwrap_err().to_string();
        assert!(refused.starts_with("row 300 of weights with 300 rows"), "{refused}");
        Ok(())
    }

    #[test]
    fn a_batch_of_other_width_is_refused() -> Result<()> {
        let rows = sparse(&batch(5, 100, 3)?)?;
        let refused = Panels::of(&weights(30, 90)?)?.product(&rows).unwrap_err().to_string();
        assert!(refused.starts_with("a batch of 100 inputs for weights of 90"), "{refused}");
        Ok(())
    }
}
