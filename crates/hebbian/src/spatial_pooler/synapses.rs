//! The synapses of all columns as lists, and beside them the connected ones as bit sets.

use candle_core::{Device, Result, Tensor, bail};

use multiversion::multiversion;

use crate::ops::BitSets;

/// How many inputs a synapse can tell apart, and the one that stands for none.
const SOURCES: usize = 1 << u16::BITS;
const NO_SOURCE: u16 = u16::MAX;
/// Synapses that a kernel moves together: one AVX-512 register. Rows are filled up to whole blocks.
const BLOCK: usize = 16;

/// A synapse outside its column's pool takes no room and no time; a bit is written only when a permanence crosses the
/// threshold.
#[derive(Debug)]
pub(super) struct Synapses {
    inputs: usize,
    threshold: f32,
    /// Where the synapses of each column begin; one more than there are columns.
    starts: Vec<usize>,
    /// The input of each synapse, ascending within a column.
    sources: Vec<u16>,
    permanences: Vec<f32>,
    connected: BitSets,
    /// Columns known to have all permanences at 1, which no raising changes.
    full: Vec<bool>,
    /// Room for the sources of the synapses that one column's move takes across the threshold.
    crossed: Vec<u16>,
}

/// What a synapse gains by the input that it comes from. As long as there are sources, so that no look-up can be out
/// of bounds.
pub(super) type Gains = Box<[f32; SOURCES]>;

/// No gain anywhere.
pub(super) fn no_gains() -> Gains {
    Box::new([0.0; SOURCES])
}

impl Synapses {
    /// The synapses with permanences `weights (units, inputs)` where `pool (units, inputs)` u8 is 1.
    pub(super) fn new(weights: &Tensor, pool: &Tensor, threshold: f32) -> Result<Self> {
        let (units, inputs) = weights.dims2()?;
        if inputs >= SOURCES {
            bail!("a pooler on the CPU takes at most {} inputs, these are {inputs}", SOURCES - 1);
        }
        let mut synapses = Self {
            inputs,
            threshold,
            starts: vec![0],
            sources: Vec::new(),
            permanences: Vec::new(),
            connected: BitSets::empty(units, inputs),
            full: vec![false; units],
            crossed: Vec::new(),
        };
        for column in 0..units {
            let weights = weights.get(column)?.to_vec1::<f32>()?;
            let pool = pool.get(column)?.to_vec1::<u8>()?;
            for source in (0..inputs).filter(|&source| pool[source] != 0) {
                synapses.sources.push(source as u16);
                synapses.permanences.push(weights[source]);
                if weights[source] >= threshold {
                    synapses.connected.flip(column, source);
                }
            }
            let whole_blocks = synapses.sources.len().next_multiple_of(BLOCK);
            synapses.sources.resize(whole_blocks, NO_SOURCE);
            synapses.permanences.resize(whole_blocks, 0.0);
            synapses.starts.push(whole_blocks);
        }
        Ok(synapses)
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn columns(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many connected synapses of each column the `input` reaches, `(columns)`.
    pub(super) fn overlaps(&self, input: &[(usize, u64)], counts: &mut [u32]) {
        self.connected.overlaps(input, counts);
    }

    /// Moves each permanence of `column` by its input's gain, and returns how many crossed the threshold.
    pub(super) fn adapt(&mut self, column: usize, gains: &Gains) -> usize {
        self.full[column] = false;
        self.move_by(column, |permanences, sources, threshold, crossed| {
            adapt_row(permanences, sources, threshold, crossed, gains);
        })
    }

    /// Moves all permanences of `column` by `gain`, and returns how many crossed the threshold.
    pub(super) fn raise(&mut self, column: usize, gain: f32) -> usize {
        if self.full[column] {
            return 0;
        }
        let crossings = self.move_by(column, |permanences, sources, threshold, crossed| {
            raise_row(permanences, sources, threshold, crossed, gain);
        });
        let row = self.starts[column]..self.starts[column + 1];
        let synapses = self.permanences[row.clone()].iter().zip(&self.sources[row]);
        self.full[column] = synapses.into_iter().all(|(p, &source)| *p == 1.0 || source == NO_SOURCE);
        crossings
    }

    /// Moves the permanences of `column` with `move_row`, and returns how many crossed the threshold.
    fn move_by(
        &mut self,
        column: usize,
        move_row: impl FnOnce(&mut [f32], &[u16], f32, &mut Vec<u16>),
    ) -> usize {
        let row = self.starts[column]..self.starts[column + 1];
        self.crossed.clear();
        move_row(&mut self.permanences[row.clone()], &self.sources[row], self.threshold, &mut self.crossed);
        for &source in &self.crossed {
            self.connected.flip(column, source.into());
        }
        self.crossed.len()
    }

    /// The permanences, `(columns, inputs)`, 0 where there is no synapse.
    pub(super) fn weights(&self) -> Result<Tensor> {
        let mut weights = vec![0f32; self.columns() * self.inputs];
        for (row, bounds) in weights.chunks_exact_mut(self.inputs).zip(self.starts.windows(2)) {
            let synapses = self.sources[bounds[0]..bounds[1]].iter().zip(&self.permanences[bounds[0]..]);
            for (&source, &permanence) in synapses.filter(|(source, _)| **source != NO_SOURCE) {
                row[usize::from(source)] = permanence;
            }
        }
        Tensor::from_vec(weights, (self.columns(), self.inputs), &Device::Cpu)
    }

    /// Where there is a synapse, `(columns, inputs)` u8.
    pub(super) fn pool(&self) -> Result<Tensor> {
        let mut pool = vec![0u8; self.columns() * self.inputs];
        for (row, bounds) in pool.chunks_exact_mut(self.inputs).zip(self.starts.windows(2)) {
            let sources = self.sources[bounds[0]..bounds[1]].iter().filter(|&&source| source != NO_SOURCE);
            sources.for_each(|&source| row[usize::from(source)] = 1);
        }
        Tensor::from_vec(pool, (self.columns(), self.inputs), &Device::Cpu)
    }
}

#[multiversion(targets = "simd")]
fn adapt_row(
    permanences: &mut [f32],
    sources: &[u16],
    threshold: f32,
    crossed: &mut Vec<u16>,
    gains: &Gains,
) {
    move_row(permanences, sources, threshold, crossed, |source| gains[usize::from(source)]);
}

#[multiversion(targets = "simd")]
fn raise_row(permanences: &mut [f32], sources: &[u16], threshold: f32, crossed: &mut Vec<u16>, gain: f32) {
    move_row(permanences, sources, threshold, crossed, |source| if source == NO_SOURCE { 0.0 } else { gain });
}

/// Adds its gain to each permanence, and the sources of those that cross the threshold to `crossed`.
#[inline(always)]
fn move_row(
    permanences: &mut [f32],
    sources: &[u16],
    threshold: f32,
    crossed: &mut Vec<u16>,
    gain: impl Fn(u16) -> f32,
) {
    let permanences = permanences.as_chunks_mut::<BLOCK>().0;
    for (permanences, sources) in permanences.iter_mut().zip(sources.as_chunks::<BLOCK>().0) {
        let before = *permanences;
        let mut crosses = [0u32; BLOCK];
        for synapse in 0..BLOCK {
            let after = (before[synapse] + gain(sources[synapse])).clamp(0.0, 1.0);
            permanences[synapse] = after;
            crosses[synapse] = u32::from((before[synapse] >= threshold) != (after >= threshold));
        }
        if crosses.iter().fold(0, |any, crosses| any | crosses) != 0 {
            note_crossings(&before, permanences, sources, threshold, crossed);
        }
    }
}

/// Out of line: inside the loop it would keep the compiler from moving a block as one vector.
#[cold]
#[inline(never)]
fn note_crossings(
    before: &[f32; BLOCK],
    after: &[f32; BLOCK],
    sources: &[u16; BLOCK],
    threshold: f32,
    crossed: &mut Vec<u16>,
) {
    for ((before, after), &source) in before.iter().zip(after).zip(sources) {
        if (*before >= threshold) != (*after >= threshold) {
            crossed.push(source);
        }
    }
}
