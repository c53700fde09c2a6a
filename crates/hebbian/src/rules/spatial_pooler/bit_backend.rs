//! The pooler on the CPU: one input at a time, its overlaps counted in bits, and only the winners' synapses touched.

use candle_core::{CpuStorage, Device, Result, Storage, Tensor, bail};
use multiversion::multiversion;
use rayon::prelude::*;

use super::bit_sets::{elements_on, words as words_of};
use super::largest::{below, largest, smallest};
use super::synapses::{Gains, Synapses, no_gains};
use super::{Backend, BoostToward, Columns, NO_COLUMN, RAISE, SpatialPoolerConfig, Starved};
use crate::ops::{NEGLIGIBLE, exp, sum_of};

#[derive(Debug)]
pub(super) struct BitBackend {
    synapses: Synapses,
    activity: Vec<f32>,
    overlap: Vec<f32>,
    boosts: Vec<f32>,
    gains: Gains,
    competition: Competition,
    starved: Vec<u32>,
}

/// What one input sets off, in buffers that the next one uses again.
#[derive(Clone, Debug)]
struct Competition {
    /// What is on in the input, as [`elements_on`] lists it.
    input: Vec<u32>,
    counts: Vec<u32>,
    boosted: Vec<f32>,
    /// In ascending order.
    winners: Vec<u32>,
    /// What the last input's winners reached, and the next one's will nearly reach.
    least: f32,
}

impl Competition {
    fn among(columns: usize) -> Self {
        let (counts, boosted) = (vec![0; columns], vec![0.0; columns]);
        Self { input: Vec::new(), counts, boosted, winners: Vec::new(), least: 0.0 }
    }

    fn run(&mut self, config: &SpatialPoolerConfig, synapses: &Synapses, boosts: &[f32], input: &[u64]) {
        let Self { input: on, counts, boosted, winners, least } = self;
        elements_on(input, synapses.inputs(), on);
        synapses.overlaps(on, counts);
        boost(config.stimulus_threshold, counts, boosts, boosted);
        winners.clear();
        largest(boosted, config.active(), least, winners);
        let enough = config.least_activation();
        if *least < enough {
            winners.retain(|&column| boosted[column as usize] >= enough);
        }
    }
}

/// The overlaps that count, times the boosts.
#[multiversion(targets = "simd")]
fn boost(stimulus_threshold: u32, counts: &[u32], boosts: &[f32], boosted: &mut [f32]) {
    for ((boosted, boost), &count) in boosted.iter_mut().zip(boosts).zip(counts) {
        *boosted = if count >= stimulus_threshold { count as i32 as f32 * boost } else { 0.0 };
    }
}

impl BitBackend {
    pub(super) fn new(config: &SpatialPoolerConfig, columns: &Columns) -> Result<Self> {
        let synapses = Synapses::new(&columns.weights, &columns.pool, config.connected as f32)?;
        let units = synapses.columns();
        let mut backend = Self {
            synapses,
            activity: columns.activity.to_vec1()?,
            overlap: columns.overlap.to_vec1()?,
            boosts: vec![1.0; units],
            gains: no_gains(),
            competition: Competition::among(units),
            starved: Vec::new(),
        };
        backend.refresh_boosts(config);
        Ok(backend)
    }

    /// Learns from one input, and returns how many synapses crossed the threshold.
    fn learn_one(&mut self, config: &SpatialPoolerConfig, rate_scale: f64, input: &[u64]) -> usize {
        self.competition.run(config, &self.synapses, &self.boosts, input);
        let [increment, decrement] =
            [config.increment, config.decrement].map(|rate| (rate * rate_scale) as f32);
        set_gains(&mut self.gains[..self.synapses.inputs()], input, -decrement, increment);
        let mut crossings = 0;
        for &winner in &self.competition.winners {
            crossings += self.synapses.adapt(winner as usize, &self.gains);
        }
        self.count_activity(config.activity_period);
        self.refresh_boosts(config);
        crossings + self.raise_starved(config, rate_scale)
    }

    fn count_activity(&mut self, period: f64) {
        decay(&mut self.activity, ((period - 1.0) / period) as f32);
        let share = (1.0 / period) as f32;
        self.competition.winners.iter().for_each(|&winner| self.activity[winner as usize] += share);
    }

    fn refresh_boosts(&mut self, config: &SpatialPoolerConfig) {
        if config.boost_strength == 0.0 {
            return;
        }
        let reference = match config.boost_toward {
            BoostToward::Mean => mean(&self.activity),
            BoostToward::Target => config.sparsity as f32,
        };
        boost_towards(reference, config.boost_strength as f32, &self.activity, &mut self.boosts);
    }

    /// Raises the permanences of columns that the input hardly reaches, and returns how many crossed the threshold.
    fn raise_starved(&mut self, config: &SpatialPoolerConfig, rate_scale: f64) -> usize {
        let Competition { counts, boosted, .. } = &mut self.competition;
        let share = (1.0 / config.overlap_period) as f32;
        self.starved.clear();
        match config.starved {
            Starved::Left => return 0,
            Starved::Lowest { .. } => {
                follow(&mut self.overlap, boosted, share);
                smallest(&self.overlap, config.lowest(), boosted, &mut self.starved);
            }
            Starved::BelowBest { fraction } => {
                let best = follow_reached(&mut self.overlap, counts, config.stimulus_threshold.max(1), share);
                below(&self.overlap, fraction as f32 * best, self.synapses.full(), &mut self.starved);
            }
        }
        let gain = (RAISE * config.connected * rate_scale) as f32;
        self.starved.iter().map(|&column| self.synapses.raise(column as usize, gain)).sum()
    }
}

/// Activities that have become negligible are 0.
#[multiversion(targets = "simd")]
fn decay(activity: &mut [f32], kept: f32) {
    for activity in activity {
        let decayed = *activity * kept;
        *activity = if decayed < NEGLIGIBLE { 0.0 } else { decayed };
    }
}

/// Moves each mean towards its newest value.
#[multiversion(targets = "simd")]
fn follow(means: &mut [f32], newest: &[f32], share: f32) {
    for (mean, newest) in means.iter_mut().zip(newest) {
        *mean += (newest - *mean) * share;
    }
}

/// Moves each mean towards 1 where its count is `enough` and else towards 0, and returns the largest.
#[multiversion(targets = "simd")]
fn follow_reached(means: &mut [f32], counts: &[u32], enough: u32, share: f32) -> f32 {
    let mut best = [0f32; 16];
    let reached = |count: u32| if count >= enough { 1.0 } else { 0.0 };
    let (chunks, rest) = means.as_chunks_mut::<16>();
    let (counts, last) = counts.as_chunks::<16>();
    for (means, counts) in chunks.iter_mut().zip(counts) {
        for lane in 0..16 {
            means[lane] += (reached(counts[lane]) - means[lane]) * share;
            best[lane] = if means[lane] > best[lane] { means[lane] } else { best[lane] };
        }
    }
    for (mean, &count) in rest.iter_mut().zip(last) {
        *mean += (reached(count) - *mean) * share;
        best[0] = best[0].max(*mean);
    }
    best.into_iter().fold(0.0, f32::max)
}

/// `exp(strength (reference - activity))` of each column.
#[multiversion(targets = "simd")]
fn boost_towards(reference: f32, strength: f32, activity: &[f32], boosts: &mut [f32]) {
    for (boost, activity) in boosts.iter_mut().zip(activity) {
        *boost = exp(strength * (reference - activity));
    }
}

impl Backend for BitBackend {
    fn learn(
        &mut self,
        config: &SpatialPoolerConfig,
        rate_scale: f64,
        inputs: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let inputs = Bits::of(inputs)?;
        let mut winners = Winners::none(inputs.rows().len(), config.active());
        let mut crossings = 0;
        for (input, winners) in inputs.rows().zip(winners.rows()) {
            crossings += self.learn_one(config, rate_scale, input);
            winners[..self.competition.winners.len()].copy_from_slice(&self.competition.winners);
        }
        Ok((winners.tensor()?, Tensor::new(crossings as f32, &Device::Cpu)?))
    }

    fn encode(&self, config: &SpatialPoolerConfig, inputs: &Tensor) -> Result<Tensor> {
        let inputs = Bits::of(inputs)?;
        let mut winners = Winners::none(inputs.rows().len(), config.active());
        let pairs = inputs.par_rows().zip(winners.par_rows()).with_min_len(INPUTS_PER_TASK);
        pairs.for_each_init(
            || Competition::among(self.synapses.columns()),
            |competition, (input, winners)| {
                competition.run(config, &self.synapses, &self.boosts, input);
                winners[..competition.winners.len()].copy_from_slice(&competition.winners);
            },
        );
        winners.tensor()
    }

    fn overlaps(&self, config: &SpatialPoolerConfig, inputs: &Tensor) -> Result<Tensor> {
        let inputs = Bits::of(inputs)?;
        let mut competition = Competition::among(self.boosts.len());
        let mut overlaps = Vec::new();
        for input in inputs.rows() {
            competition.run(config, &self.synapses, &self.boosts, input);
            overlaps.extend_from_slice(&competition.boosted);
        }
        Tensor::from_vec(overlaps, (inputs.rows().len(), self.boosts.len()), &Device::Cpu)
    }

    fn boosts(&self) -> Result<Tensor> {
        Tensor::from_slice(&self.boosts, self.boosts.len(), &Device::Cpu)
    }

    fn columns(&self) -> Result<Columns> {
        let units = self.activity.len();
        Ok(Columns {
            weights: self.synapses.weights()?,
            pool: self.synapses.pool()?,
            activity: Tensor::from_slice(&self.activity, units, &Device::Cpu)?,
            overlap: Tensor::from_slice(&self.overlap, units, &Device::Cpu)?,
        })
    }
}

/// Below this, handing inputs to another thread costs more than it saves.
const INPUTS_PER_TASK: usize = 8;

/// What a synapse gains where the input is off and where it is on.
#[multiversion(targets = "simd")]
fn set_gains(gains: &mut [f32], input: &[u64], off: f32, on: f32) {
    for (gains, word) in gains.chunks_mut(64).zip(input) {
        for (bit, gain) in gains.iter_mut().enumerate() {
            *gain = if word >> bit & 1 == 1 { on } else { off };
        }
    }
}

#[multiversion(targets = "simd")]
fn mean(values: &[f32]) -> f32 {
    sum_of(values, |value| value) / values.len() as f32
}

/// The winners of each input, ascending, `NO_COLUMN` where fewer won.
struct Winners {
    columns: Vec<u32>,
    most: usize,
}

impl Winners {
    fn none(inputs: usize, most: usize) -> Self {
        Self { columns: vec![NO_COLUMN; inputs * most], most }
    }

    fn rows(&mut self) -> std::slice::ChunksExactMut<'_, u32> {
        self.columns.chunks_exact_mut(self.most)
    }

    fn par_rows(&mut self) -> rayon::slice::ChunksExactMut<'_, u32> {
        self.columns.par_chunks_exact_mut(self.most)
    }

    fn tensor(self) -> Result<Tensor> {
        let inputs = self.columns.len() / self.most;
        Tensor::from_vec(self.columns, (inputs, self.most), &Device::Cpu)
    }
}

/// Refuses `inputs` that are not 0 or 1, and names the first row.
pub(super) fn check_binary(inputs: &Tensor) -> Result<()> {
    Bits::of(inputs).map(drop)
}

/// Inputs as bits, a row of words each.
struct Bits {
    words: Vec<u64>,
    words_per_row: usize,
}

impl Bits {
    /// Packs `inputs (batch, inputs)`, f32 or u8, which must be 0 or 1.
    fn of(inputs: &Tensor) -> Result<Self> {
        let (_, columns) = inputs.dims2()?;
        let inputs = inputs.contiguous()?;
        let (storage, layout) = inputs.storage_and_layout();
        let (start, end) = (layout.start_offset(), layout.start_offset() + inputs.elem_count());
        let words = match &*storage {
            Storage::Cpu(CpuStorage::F32(values)) => pack(&values[start..end], columns, [0.0, 1.0]),
            Storage::Cpu(CpuStorage::U8(values)) => pack(&values[start..end], columns, [0, 1]),
            _ => bail!("a pooler's inputs are F32 or U8, these are {:?}", inputs.dtype()),
        };
        match words {
            Ok(words) => Ok(Self { words, words_per_row: words_of(columns) }),
            Err(row) => {
                bail!("input {row} holds a value other than 0 and 1: binarize the inputs of a pooler")
            }
        }
    }

    fn rows(&self) -> std::slice::ChunksExact<'_, u64> {
        self.words.chunks_exact(self.words_per_row)
    }

    fn par_rows(&self) -> rayon::slice::ChunksExact<'_, u64> {
        self.words.par_chunks_exact(self.words_per_row)
    }
}

/// The words of all rows, or the first row that holds something else than `[off, on]`.
#[multiversion(targets = "simd")]
fn pack<T: Copy + PartialEq>(
    values: &[T],
    columns: usize,
    [off, on]: [T; 2],
) -> std::result::Result<Vec<u64>, usize> {
    let mut words = Vec::with_capacity(values.len() / columns * words_of(columns));
    for (row, values) in values.chunks_exact(columns).enumerate() {
        for values in values.chunks(64) {
            let (mut word, mut binary) = (0, true);
            for (bit, value) in values.iter().enumerate() {
                word |= u64::from(*value == on) << bit;
                binary &= *value == on || *value == off;
            }
            if !binary {
                return Err(row);
            }
            words.push(word);
        }
    }
    Ok(words)
}
