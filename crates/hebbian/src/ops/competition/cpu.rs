//! The update of competing units on the CPU, which reads and writes only the rows of units that a sample moves.

use std::cell::Cell;

use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Tensor, bail};
use multiversion::multiversion;
use rayon::prelude::*;

use super::{Competition, FLOOR, Scale, Strength, Updated};
use crate::ops::check::check_below;
use crate::ops::cpu;

/// Updates `weights` in place.
pub(super) fn update(competition: &Competition<'_>, weights: &Tensor) -> Result<Updated> {
    let assignments = assignments(competition, weights.dim(0)?)?;
    let rows = assignments.chunk_by(same_unit).map(|assignments| assignments[0].unit).collect();
    let kernel = Kernel { scale: competition.scale, assignments, rows, largest: Cell::new(FLOOR) };
    weights.inplace_op3(&competition.inputs.contiguous()?, &competition.currents.contiguous()?, &kernel)?;
    let largest = Tensor::new(kernel.largest.get(), weights.device())?;
    Ok(Updated { largest, rows: Some(kernel.rows) })
}

/// One sample that moves one unit by `g_ub`.
struct Assignment {
    unit: u32,
    sample: usize,
    g: f32,
}

fn same_unit(a: &Assignment, b: &Assignment) -> bool {
    a.unit == b.unit
}

/// All assignments of the batch, those of one unit together and in the order of the samples.
fn assignments(competition: &Competition<'_>, units: usize) -> Result<Vec<Assignment>> {
    let mut assignments = competition.attraction.assignments("winner", competition.winners, units, 1.0)?;
    if let Some(repelled) = competition.repelled {
        assignments.extend(competition.repulsion.assignments("repelled unit", repelled, units, -1.0)?);
    }
    assignments.sort_by_key(|assignment| (assignment.unit, assignment.sample));
    Ok(assignments)
}

impl Strength<'_> {
    /// What [`spread`](Self::spread) gives, as a list of what is not zero.
    fn assignments(&self, name: &str, numbers: &Tensor, units: usize, sign: f64) -> Result<Vec<Assignment>> {
        let numbers = numbers.to_vec1::<u32>()?;
        check_below("competition", name, numbers.iter().max().copied(), units)?;
        let strengths = match self {
            Strength::Each(strength) => vec![(sign * strength) as f32; numbers.len()],
            Strength::Mean(strengths) => shares(&numbers, &strengths.to_vec1()?, sign as f32),
        };
        let assigned = numbers.into_iter().zip(strengths).enumerate();
        Ok(assigned.map(|(sample, (unit, g))| Assignment { unit, sample, g }).collect())
    }
}

/// Each sample's share of its unit's strength.
fn shares(units: &[u32], strengths: &[f32], sign: f32) -> Vec<f32> {
    let mut samples = vec![0f32; strengths.len()];
    units.iter().for_each(|&unit| samples[unit as usize] += 1.0);
    units.iter().map(|&unit| sign * strengths[unit as usize] / samples[unit as usize]).collect()
}

struct Kernel {
    scale: Scale,
    assignments: Vec<Assignment>,
    rows: Vec<u32>,
    /// The largest entry of the change, which the operation has no other way to return.
    largest: Cell<f32>,
}

/// Below this, handing rows to another thread costs more than it saves.
const ROWS_PER_TASK: usize = 16;

impl InplaceOp3 for Kernel {
    fn name(&self) -> &'static str {
        "competition"
    }

    /// Computes each row's change twice, once for the largest entry and once to apply it: the rows are still in the
    /// cache then, and nothing of their size has to be kept.
    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        weights_layout: &Layout,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        currents: &CpuStorage,
        currents_layout: &Layout,
    ) -> Result<()> {
        let (units, columns) = weights_layout.shape().dims2()?;
        let inputs = cpu::values(inputs, inputs_layout)?;
        let currents = cpu::values(currents, currents_layout)?;
        let weights = cpu::values_mut(weights, weights_layout)?;
        let batch = Batch { inputs, currents, units, columns };

        let groups: Vec<&[Assignment]> = self.assignments.chunk_by(same_unit).collect();
        let mut rows: Vec<_> = cpu::rows_mut(weights, columns, &self.rows).into_iter().zip(groups).collect();
        let magnitudes = rows
            .par_iter_mut()
            .with_min_len(ROWS_PER_TASK)
            .map(|(weights, assignments)| largest_change(&batch, weights, assignments));
        let largest = f32::from_bits(magnitudes.max().unwrap_or(0));
        if !largest.is_finite() {
            bail!("the update is not finite: no weight was changed");
        }
        self.largest.set(largest.max(FLOOR));
        let scale = match self.scale {
            Scale::AsIs => 1.0,
            Scale::LargestIs(rate) => (rate / f64::from(self.largest.get())) as f32,
        };
        rows.par_iter_mut()
            .with_min_len(ROWS_PER_TASK)
            .for_each(|(weights, assignments)| add_change(&batch, weights, assignments, scale));
        Ok(())
    }
}

struct Batch<'a> {
    inputs: &'a [f32],
    currents: &'a [f32],
    units: usize,
    columns: usize,
}

impl Batch<'_> {
    /// Calls `work` with every block of one unit's weights and `Δ_u` of it; all `assignments` are on that unit.
    #[inline(always)]
    fn visit(
        &self,
        weights: &mut [f32],
        assignments: &[Assignment],
        mut work: impl FnMut(&mut [f32], &[f32]),
    ) {
        let current = |assignment: &Assignment| {
            self.currents[assignment.sample * self.units + assignment.unit as usize]
        };
        let pull: f32 = assignments.iter().map(|assignment| assignment.g * current(assignment)).sum();
        let (blocks, rest) = weights.as_chunks_mut::<64>();
        let at = self.visit_blocks(0, blocks, pull, assignments, &mut work);
        let (blocks, rest) = rest.as_chunks_mut::<16>();
        let at = self.visit_blocks(at, blocks, pull, assignments, &mut work);
        let (blocks, _) = rest.as_chunks_mut::<1>();
        self.visit_blocks(at, blocks, pull, assignments, &mut work);
    }

    /// The blocks from input `at` on, and where they end. A block's change stays in registers while its assignments add to it.
    #[inline(always)]
    fn visit_blocks<const N: usize>(
        &self,
        at: usize,
        blocks: &mut [[f32; N]],
        pull: f32,
        assignments: &[Assignment],
        work: &mut impl FnMut(&mut [f32], &[f32]),
    ) -> usize {
        for (number, weights) in blocks.iter_mut().enumerate() {
            let mut change = weights.map(|weight| -pull * weight);
            for assignment in assignments {
                let from = assignment.sample * self.columns + at + number * N;
                let inputs = &self.inputs[from..from + N];
                change.iter_mut().zip(inputs).for_each(|(change, x)| *change += assignment.g * x);
            }
            work(weights, &change);
        }
        at + blocks.len() * N
    }
}

/// The bits of the largest magnitude of a row's change. Compared as integers, a NaN is larger than infinity and never
/// lost.
#[multiversion(targets = "simd")]
fn largest_change(batch: &Batch<'_>, weights: &mut [f32], assignments: &[Assignment]) -> u32 {
    let mut largest = [0u32; 64];
    batch.visit(weights, assignments, |_, change| {
        largest
            .iter_mut()
            .zip(change)
            .for_each(|(largest, value)| *largest = value.abs().to_bits().max(*largest));
    });
    largest.into_iter().fold(0, u32::max)
}

/// Adds a row's change times `scale` to its weights.
#[multiversion(targets = "simd")]
fn add_change(batch: &Batch<'_>, weights: &mut [f32], assignments: &[Assignment], scale: f32) {
    batch.visit(weights, assignments, |weights, change| {
        weights.iter_mut().zip(change).for_each(|(weight, change)| {
            let moved = *weight + scale * change;
            *weight = if moved.abs() < cpu::NEGLIGIBLE { 0.0 } else { moved };
        });
    });
}
