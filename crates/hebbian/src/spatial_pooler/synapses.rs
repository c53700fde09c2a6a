//! The synapses of all columns as lists, and beside them the connected ones as bit sets.

use candle_core::{Device, Result, Tensor, bail};

use crate::ops::BitSets;

/// How many inputs a synapse can tell apart.
const SOURCES: usize = 1 << u16::BITS;
/// Synapses that are looked at together for having crossed the threshold, which few do.
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
}

/// What a synapse gains by the input that it comes from. As long as there are sources, so that no look-up can be out
/// of bounds.
pub(super) type Gains = Box<[f32; SOURCES]>;

/// No gain anywhere.
pub(super) fn no_gains() -> Gains {
    let zeros = vec![0.0; SOURCES].into_boxed_slice();
    zeros.try_into().unwrap_or_else(|_| unreachable!("the slice has this length"))
}

impl Synapses {
    /// The synapses with permanences `weights (units, inputs)` where `pool (units, inputs)` u8 is 1.
    pub(super) fn new(weights: &Tensor, pool: &Tensor, threshold: f32) -> Result<Self> {
        let (units, inputs) = weights.dims2()?;
        if inputs > SOURCES {
            bail!("a pooler on the CPU takes at most {SOURCES} inputs, these are {inputs}");
        }
        let connected = BitSets::empty(units, inputs);
        let (sources, permanences) = (Vec::new(), Vec::new());
        let mut synapses = Self { inputs, threshold, starts: vec![0], sources, permanences, connected };
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
            synapses.starts.push(synapses.sources.len());
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
    pub(super) fn overlaps(&self, input: &[u64], counts: &mut [u32]) {
        self.connected.overlaps(input, counts);
    }

    /// Moves each permanence of `column` by its input's gain, and returns how many crossed the threshold.
    pub(super) fn adapt(&mut self, column: usize, gains: &Gains) -> usize {
        self.move_by(column, |source| gains[source as usize])
    }

    /// Moves all permanences of `column` by `gain`, and returns how many crossed the threshold.
    pub(super) fn raise(&mut self, column: usize, gain: f32) -> usize {
        self.move_by(column, |_| gain)
    }

    fn move_by(&mut self, column: usize, gain: impl Fn(u16) -> f32) -> usize {
        let row = self.starts[column]..self.starts[column + 1];
        let blocks = self.permanences[row.clone()].chunks_mut(BLOCK).zip(self.sources[row].chunks(BLOCK));
        let mut crossings = 0;
        for (permanences, sources) in blocks {
            let crossed = move_block(permanences, sources, self.threshold, &gain);
            if crossed.contains(&true) {
                for (&source, _) in sources.iter().zip(crossed).filter(|(_, crossed)| *crossed) {
                    self.connected.flip(column, source.into());
                    crossings += 1;
                }
            }
        }
        crossings
    }

    /// The permanences, `(columns, inputs)`, 0 where there is no synapse.
    pub(super) fn weights(&self) -> Result<Tensor> {
        let mut weights = vec![0f32; self.columns() * self.inputs];
        for (row, bounds) in weights.chunks_exact_mut(self.inputs).zip(self.starts.windows(2)) {
            for synapse in bounds[0]..bounds[1] {
                row[usize::from(self.sources[synapse])] = self.permanences[synapse];
            }
        }
        Tensor::from_vec(weights, (self.columns(), self.inputs), &Device::Cpu)
    }

    /// Where there is a synapse, `(columns, inputs)` u8.
    pub(super) fn pool(&self) -> Result<Tensor> {
        let mut pool = vec![0u8; self.columns() * self.inputs];
        for (row, bounds) in pool.chunks_exact_mut(self.inputs).zip(self.starts.windows(2)) {
            self.sources[bounds[0]..bounds[1]].iter().for_each(|&source| row[usize::from(source)] = 1);
        }
        Tensor::from_vec(pool, (self.columns(), self.inputs), &Device::Cpu)
    }
}

/// Moves up to a block of permanences, and returns which of them crossed the threshold.
#[inline(always)]
fn move_block(
    permanences: &mut [f32],
    sources: &[u16],
    threshold: f32,
    gain: impl Fn(u16) -> f32,
) -> [bool; BLOCK] {
    let mut crossed = [false; BLOCK];
    for ((permanence, &source), crossed) in permanences.iter_mut().zip(sources).zip(&mut crossed) {
        let before = *permanence >= threshold;
        *permanence = (*permanence + gain(source)).clamp(0.0, 1.0);
        *crossed = before != (*permanence >= threshold);
    }
    crossed
}
