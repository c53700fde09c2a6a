//! The permanences of all columns, and beside them the connected synapses as bit sets.

use candle_core::{Device, Result, Tensor, bail};

use multiversion::multiversion;

use super::bit_sets::BitSets;

/// How many inputs a synapse can tell apart.
const SOURCES: usize = 1 << u16::BITS;
/// The permanence where there is no synapse: no gain changes it, and no comparison finds it connected.
const NO_SYNAPSE: f32 = f32::NAN;
/// Synapses that a kernel moves together: one AVX-512 register. Rows are filled up to whole blocks.
const BLOCK: usize = 16;
/// Looking up what one synapse of a list gains takes as long as moving so many places of a whole row, where gains lie
/// in order.
const LOOK_UP: usize = 3;

/// Where pools are small, a column is a list of its synapses; else a row with a place for each input. A bit is written
/// only when a permanence crosses the threshold.
#[derive(Debug)]
pub(super) struct Synapses {
    inputs: usize,
    threshold: f32,
    /// Where each column begins; one more than there are columns.
    starts: Vec<usize>,
    permanences: Vec<f32>,
    /// The input of each synapse, ascending within a column, if columns are lists.
    sources: Option<Vec<u16>>,
    connected: BitSets,
    /// See [`full`](Self::full).
    full: Vec<bool>,
    /// Room for the places of the synapses that one column's move takes across the threshold.
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
        let pooled = pool.to_vec2::<u8>()?;
        let synapses = pooled.iter().flatten().filter(|&&member| member != 0).count();
        let mut columns = Self {
            inputs,
            threshold,
            starts: vec![0],
            permanences: Vec::new(),
            sources: (synapses * LOOK_UP < units * inputs).then(Vec::new),
            connected: BitSets::empty(units, inputs),
            full: vec![false; units],
            crossed: Vec::new(),
        };
        for (column, pool) in pooled.iter().enumerate() {
            columns.push(column, &weights.get(column)?.to_vec1::<f32>()?, pool);
        }
        Ok(columns)
    }

    fn push(&mut self, column: usize, weights: &[f32], pool: &[u8]) {
        for (source, (&weight, &member)) in weights.iter().zip(pool).enumerate() {
            if member == 0 && self.sources.is_some() {
                continue;
            }
            self.permanences.push(if member == 0 { NO_SYNAPSE } else { weight });
            self.sources.iter_mut().for_each(|sources| sources.push(source as u16));
            if member != 0 && weight >= self.threshold {
                self.connected.flip(column, source);
            }
        }
        let whole_blocks = self.permanences.len().next_multiple_of(BLOCK);
        self.permanences.resize(whole_blocks, NO_SYNAPSE);
        self.sources.iter_mut().for_each(|sources| sources.resize(whole_blocks, 0));
        self.starts.push(whole_blocks);
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn columns(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many connected synapses of each column the `input` reaches, `(columns)`.
    pub(super) fn overlaps(&self, input: &[u32], counts: &mut [u32]) {
        self.connected.overlaps(input, counts);
    }

    /// Moves each permanence of `column` by its input's gain, and returns how many crossed the threshold.
    pub(super) fn adapt(&mut self, column: usize, gains: &Gains) -> usize {
        let row = self.starts[column]..self.starts[column + 1];
        let (permanences, crossed) = (&mut self.permanences[row.clone()], &mut self.crossed);
        match &self.sources {
            Some(sources) => adapt_list(permanences, &sources[row], self.threshold, crossed, gains),
            None => adapt_row(permanences, self.threshold, crossed, gains),
        }
        self.full[column] = false;
        self.connect(column)
    }

    /// Moves all permanences of `column` by `gain`, and returns how many crossed the threshold.
    pub(super) fn raise(&mut self, column: usize, gain: f32) -> usize {
        if self.full[column] {
            return 0;
        }
        let permanences = &mut self.permanences[self.starts[column]..self.starts[column + 1]];
        self.full[column] = raise_row(permanences, self.threshold, &mut self.crossed, gain);
        self.connect(column)
    }

    /// Columns known to have all permanences at 1, which no raising changes.
    pub(super) fn full(&self) -> &[bool] {
        &self.full
    }

    /// Brings the bits of `column` up to date with what has crossed the threshold, and returns how many did.
    fn connect(&mut self, column: usize) -> usize {
        let start = self.starts[column];
        let crossings = self.crossed.len();
        for place in self.crossed.drain(..).map(usize::from) {
            let source = self.sources.as_ref().map_or(place, |sources| sources[start + place].into());
            self.connected.flip(column, source);
        }
        crossings
    }

    /// The permanences, `(columns, inputs)`, 0 where there is no synapse.
    pub(super) fn weights(&self) -> Result<Tensor> {
        let mut weights = vec![0f32; self.columns() * self.inputs];
        self.for_each(|column, source, permanence| weights[column * self.inputs + source] = permanence);
        Tensor::from_vec(weights, (self.columns(), self.inputs), &Device::Cpu)
    }

    /// Where there is a synapse, `(columns, inputs)` u8.
    pub(super) fn pool(&self) -> Result<Tensor> {
        let mut pool = vec![0u8; self.columns() * self.inputs];
        self.for_each(|column, source, _| pool[column * self.inputs + source] = 1);
        Tensor::from_vec(pool, (self.columns(), self.inputs), &Device::Cpu)
    }

    /// Calls `visit` with the column, the input and the permanence of each synapse.
    fn for_each(&self, mut visit: impl FnMut(usize, usize, f32)) {
        for (column, bounds) in self.starts.windows(2).enumerate() {
            for (place, &permanence) in self.permanences[bounds[0]..bounds[1]].iter().enumerate() {
                if !permanence.is_nan() {
                    let sources = self.sources.as_ref();
                    let source = sources.map_or(place, |sources| sources[bounds[0] + place].into());
                    visit(column, source, permanence);
                }
            }
        }
    }
}

#[multiversion(targets = "simd")]
fn adapt_list(
    permanences: &mut [f32],
    sources: &[u16],
    threshold: f32,
    crossed: &mut Vec<u16>,
    gains: &Gains,
) {
    let blocks = permanences.as_chunks_mut::<BLOCK>().0.iter_mut().zip(sources.as_chunks::<BLOCK>().0);
    for (block, (permanences, sources)) in blocks.enumerate() {
        let mut gained = [0.0; BLOCK];
        for synapse in 0..BLOCK {
            gained[synapse] = gains[usize::from(sources[synapse])];
        }
        move_block(permanences, &gained, block * BLOCK, threshold, crossed);
    }
}

#[multiversion(targets = "simd")]
fn adapt_row(permanences: &mut [f32], threshold: f32, crossed: &mut Vec<u16>, gains: &Gains) {
    let blocks = permanences.as_chunks_mut::<BLOCK>().0.iter_mut().zip(gains.as_chunks::<BLOCK>().0);
    for (block, (permanences, gains)) in blocks.enumerate() {
        move_block(permanences, gains, block * BLOCK, threshold, crossed);
    }
}

/// Returns whether all permanences are at 1 now.
#[multiversion(targets = "simd")]
fn raise_row(permanences: &mut [f32], threshold: f32, crossed: &mut Vec<u16>, gain: f32) -> bool {
    let mut below_1 = [0u32; BLOCK];
    for (block, permanences) in permanences.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        move_block(permanences, &[gain; BLOCK], block * BLOCK, threshold, crossed);
        below_1.iter_mut().zip(permanences).for_each(|(below, &mut after)| *below |= u32::from(after < 1.0));
    }
    below_1.iter().fold(0, |any, below| any | below) == 0
}

/// Adds its gain to each permanence, and the places of those that cross the threshold to `crossed`; `first` is the place
/// of the block's first.
#[inline(always)]
fn move_block(
    permanences: &mut [f32; BLOCK],
    gains: &[f32; BLOCK],
    first: usize,
    threshold: f32,
    crossed: &mut Vec<u16>,
) {
    let mut crosses = [0u32; BLOCK];
    for synapse in 0..BLOCK {
        let before = permanences[synapse];
        let after = (before + gains[synapse]).clamp(0.0, 1.0);
        permanences[synapse] = after;
        crosses[synapse] = u32::from((before >= threshold) != (after >= threshold));
    }
    if crosses.iter().fold(0, |any, crosses| any | crosses) != 0 {
        note_crossings(&crosses, first, crossed);
    }
}

/// Out of line: inside the loop it would keep the compiler from moving a block as one vector.
#[cold]
#[inline(never)]
fn note_crossings(crosses: &[u32; BLOCK], first: usize, crossed: &mut Vec<u16>) {
    let mut rest = (0..BLOCK).fold(0, |bits, synapse| bits | crosses[synapse] << synapse);
    while rest != 0 {
        crossed.push((first + rest.trailing_zeros() as usize) as u16);
        rest &= rest - 1;
    }
}
