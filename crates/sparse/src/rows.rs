//! What is on in a batch.

use std::ops::Range;

use candle_core::{Result, Storage, Tensor};
use rayon::prelude::*;

/// Over a fifth of the entries the sparse product took half as long as candle's dense one (2000 x 784, batch 100, two
/// cores with AVX-512). A third leaves room for machines whose dense product is faster.
const SPARSE: usize = 3;

/// Samples that show whether listing the others is worth a try.
const PROBE: usize = 8;

/// Inputs per tile. A tile of a panel stays in the first cache while all samples pass over it.
pub(crate) const TILE: usize = 56;

/// The entries of a batch `(batch, inputs)` that are not zero.
#[derive(Clone, Debug, Default)]
pub struct SparseRows {
    samples: usize,
    inputs: usize,
    /// Tile by tile, from `tile * samples * TILE` on: the entries of all samples, one after the other.
    entries: Vec<Entry>,
    /// Where each sample's entries begin among those of the tile, `samples + 1` per tile.
    bounds: Vec<u32>,
}

/// An input that is on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) input: u32,
    pub(crate) value: f32,
}

impl SparseRows {
    /// Lists `inputs (batch, inputs)` if they are a contiguous f32 tensor on the CPU with at most a third of its entries
    /// on: not zero.
    pub fn of(inputs: &Tensor) -> Result<Option<Self>> {
        let mut rows = Self::default();
        Ok(rows.list(inputs)?.then_some(rows))
    }

    /// Does the same in the memory that an earlier batch left, and says whether the inputs are sparse; if not, the list
    /// is empty. Inputs whose first samples are mostly on are not counted further.
    pub fn list(&mut self, inputs: &Tensor) -> Result<bool> {
        let (storage, layout) = inputs.storage_and_layout();
        let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
            return Ok(false);
        };
        let (samples, columns) = layout.shape().dims2()?;
        match storage.as_slice::<f32>() {
            Ok(values) => Ok(self.list_values(&values[start..end], samples, columns)),
            Err(_) => Ok(false),
        }
    }

    fn list_values(&mut self, values: &[f32], samples: usize, inputs: usize) -> bool {
        (self.samples, self.inputs) = (0, inputs);
        let probe = &values[..samples.min(PROBE) * inputs];
        if values.is_empty() || 2 * probe.iter().filter(|&&value| value != 0.0).count() > probe.len() {
            return false;
        }
        self.samples = samples;
        let (entries, bounds) = (samples * TILE, samples + 1);
        self.entries.resize(self.tiles() * entries, Entry::default());
        self.bounds.resize(self.tiles() * bounds, 0);
        let tiles = self.entries.par_chunks_exact_mut(entries).zip(self.bounds.par_chunks_exact_mut(bounds));
        let on = tiles.enumerate().map(|(tile, (entries, bounds))| {
            let first = tile * TILE;
            list(values, inputs, first..(first + TILE).min(inputs), entries, bounds)
        });
        let sparse = on.sum::<usize>() <= values.len() / SPARSE;
        if !sparse {
            self.samples = 0;
        }
        sparse
    }

    /// The same entries `(inputs, batch)`: those of an input, in the order of the samples.
    pub fn transposed(&self) -> Self {
        let (samples, inputs) = (self.inputs, self.samples);
        let mut counts = vec![0; inputs.div_ceil(TILE) * samples];
        self.for_each(|sample, entry| counts[sample / TILE * samples + entry.input as usize] += 1);
        let mut bounds = Vec::with_capacity(counts.len() + inputs.div_ceil(TILE));
        for counts in counts.chunks_exact(samples.max(1)) {
            let mut end = 0;
            bounds.push(0);
            bounds.extend(counts.iter().map(|count| {
                end += count;
                end
            }));
        }
        let mut entries = vec![Entry::default(); inputs.div_ceil(TILE) * samples * TILE];
        let mut next = bounds.clone();
        self.for_each(|sample, entry| {
            let tile = sample / TILE;
            let next = &mut next[tile * (samples + 1) + entry.input as usize];
            entries[tile * samples * TILE + *next as usize] =
                Entry { input: sample as u32, value: entry.value };
            *next += 1;
        });
        Self { samples, inputs, entries, bounds }
    }

    /// All entries, those of a tile sample by sample.
    fn for_each(&self, mut visit: impl FnMut(usize, Entry)) {
        for tile in 0..self.tiles() {
            for sample in 0..self.samples {
                self.tile(sample, tile).iter().for_each(|&entry| visit(sample, entry));
            }
        }
    }

    /// Samples and inputs of the batch.
    pub(crate) fn dims(&self) -> (usize, usize) {
        (self.samples, self.inputs)
    }

    pub(crate) fn tiles(&self) -> usize {
        self.inputs.div_ceil(TILE)
    }

    /// The entries of one sample within one tile.
    #[inline(always)]
    pub(crate) fn tile(&self, sample: usize, tile: usize) -> &[Entry] {
        let bounds = &self.bounds[tile * (self.samples + 1) + sample..][..2];
        &self.entries[tile * self.samples * TILE..][bounds[0] as usize..bounds[1] as usize]
    }
}

/// Lists what is on within `tile`, sample by sample, and counts it. Every entry is written, and one that is zero is
/// written over by the next: no branch has to be guessed.
fn list(
    values: &[f32],
    inputs: usize,
    tile: Range<usize>,
    entries: &mut [Entry],
    bounds: &mut [u32],
) -> usize {
    let mut on = 0;
    for (values, bound) in values.chunks_exact(inputs).zip(&mut bounds[1..]) {
        for (input, &value) in tile.clone().zip(&values[tile.clone()]) {
            entries[on] = Entry { input: input as u32, value };
            on += usize::from(value != 0.0);
        }
        *bound = on as u32;
    }
    on
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn what_is_on_is_listed_in_order_by_tile() {
        let mut values = vec![0.0; 2 * 300];
        values[5] = 1.5;
        values[55] = 2.0;
        values[56] = 3.0;
        values[299] = -1.0;
        values[300 + 112] = f32::NAN;
        let mut rows = SparseRows::default();
        assert!(rows.list_values(&values, 2, 300));
        let inputs =
            |sample, tile| rows.tile(sample, tile).iter().map(|entry| entry.input).collect::<Vec<_>>();
        assert_eq!([inputs(0, 0), inputs(0, 1), inputs(0, 5)], [vec![5, 55], vec![56], vec![299]]);
        assert_eq!([inputs(1, 0), inputs(1, 1), inputs(1, 2)], [vec![], vec![], vec![112]]);
        assert!(rows.tile(1, 2)[0].value.is_nan());
    }

    #[test]
    fn more_than_a_third_on_is_not_sparse() {
        let mut values = vec![0.0; 90];
        values[..30].fill(1.0);
        assert!(SparseRows::default().list_values(&values, 3, 30));
        values[30] = 1.0;
        assert!(!SparseRows::default().list_values(&values, 3, 30));
    }

    #[test]
    fn bytes_and_columns_of_a_wider_matrix_are_left_to_others() -> Result<()> {
        let zeros = Tensor::zeros((4, 10), DType::F32, &Device::Cpu)?;
        assert!(SparseRows::of(&zeros)?.is_some());
        assert!(SparseRows::of(&zeros.narrow(1, 0, 5)?)?.is_none());
        assert!(SparseRows::of(&zeros.to_dtype(DType::U8)?)?.is_none());
        Ok(())
    }
}
