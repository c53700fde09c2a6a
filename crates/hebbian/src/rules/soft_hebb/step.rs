//! One step: what the samples add to each unit, scaled by the largest of it in the whole layer.

use std::sync::Mutex;

use candle_core::{CpuStorage, D, DType, InplaceOp1, Layout, Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::competition::Competition;
use crate::ops::blocks::Block;
use crate::ops::cpu::{values_mut, with_values};
use crate::ops::product::{Right, Room, Sizes, product};
use crate::ops::{NEGLIGIBLE, RowNorm, has_kernel, norm_of_row, refresh_row_norms, settle_update, top_k};

/// The weights, and what they learn from.
pub(super) struct Step<'a> {
    pub competition: Competition,
    /// `(samples, inputs)`.
    pub inputs: &'a Tensor,
    /// `(units, inputs)`.
    pub weights: &'a Tensor,
    /// The lengths of the weights, `(units)`.
    pub norms: &'a Tensor,
    /// The rate of each unit, `(units)`.
    pub rates: &'a Tensor,
}

/// What came of a step.
pub(super) struct Stepped {
    /// The currents before the step, `(samples, units)`.
    pub currents: Tensor,
    /// `(samples, 1)`.
    pub winners: Tensor,
    /// The largest |Δ|, a scalar.
    pub size: Tensor,
}

/// Room of the weights' and of the batch's size that one step leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    /// Currents decide who wins, and are multiplied in full.
    for_currents: Room<2>,
    /// An update moves the weights by a fraction of their size: eight bits of it are more than they keep.
    for_update: Room<1>,
    /// `(units, samples)`.
    activity: Vec<f32>,
    /// `(units, inputs)`.
    update: Vec<f32>,
}

/// The least that an update is divided by.
const FLOOR: f64 = 1e-30;

impl Step<'_> {
    /// Changes the weights and their norms. `before` is the size of the update before.
    ///
    /// # Errors
    /// On the CPU if the update is not finite: the weights are then as they were.
    pub fn take(&self, workspace: &mut Workspace, before: &Tensor) -> Result<Stepped> {
        match self.weights.device().is_cpu() {
            true => self.take_on_cpu(workspace),
            false => self.graph(before),
        }
    }

    fn graph(&self, before: &Tensor) -> Result<Stepped> {
        let currents = currents(self.weights, self.inputs, self.competition.rectified)?.contiguous()?;
        let activity = softmax_with_sign(&currents, self.competition)?;
        let decay = (&activity * &currents)?.sum(0)?.unsqueeze(1)?;
        let update = (activity.t()?.matmul(self.inputs)? - self.weights.broadcast_mul(&decay)?)?;
        let size = update.abs()?.max_all()?;
        let scaled = update.broadcast_mul(&self.rates.unsqueeze(1)?)?.broadcast_div(&size.maximum(FLOOR)?)?;
        let size = settle_update(self.weights, &(self.weights + scaled)?, &size, before)?;
        refresh_row_norms(self.norms, self.weights, RowNorm::Euclidean, None)?;
        Ok(Stepped { winners: top_k(&currents, 1)?, currents, size })
    }

    fn take_on_cpu(
        &self,
        Workspace { for_currents, for_update, activity, update }: &mut Workspace,
    ) -> Result<Stepped> {
        let ((samples, inputs), units) = (self.inputs.dims2()?, self.weights.dims()[0]);
        let mut currents = vec![0f32; units * samples];
        let (outcome, largest) = with_values([self.inputs, self.weights], |[seen, weights]| {
            let sizes = Sizes { rows: units, depth: inputs, columns: samples };
            product(weights, Right::Transposed(seen), sizes, &mut currents, for_currents, |_| ());
            activity.resize(currents.len(), 0.0);
            let outcome = self.competition.compete(&mut currents, units, activity);
            update.resize(weights.len(), 0.0);
            let sizes = Sizes { rows: units, depth: samples, columns: inputs };
            let attraction = Right::Plain(seen);
            let sizes = product(activity, attraction, sizes, update, for_update, |block| {
                Arch::new().dispatch(Decay { weights, decay: &outcome.decay, block })
            });
            Ok((outcome, sizes.into_iter().fold(0f32, largest_or_flaw)))
        })?;
        if !largest.is_finite() {
            bail!("the update is not finite: no weight was changed");
        }
        self.add(update, largest)?;
        let device = self.weights.device();
        Ok(Stepped {
            currents: Tensor::from_vec(currents, (units, samples), device)?.t()?,
            winners: Tensor::from_vec(outcome.winners, (samples, 1), device)?,
            size: Tensor::new(largest, device)?,
        })
    }

    /// Adds each unit's share of the `update (units, inputs)`, whose `largest` value has a whole rate.
    fn add(&self, update: &[f32], largest: f32) -> Result<()> {
        let rates = self.rates.to_vec1::<f32>()?;
        let factors: Vec<f32> = rates.iter().map(|rate| rate / largest.max(FLOOR as f32)).collect();
        let norms = Mutex::new(Vec::new());
        self.weights.inplace_op1(&Add { update, factors: &factors, norms: &norms })?;
        let norms = norms.into_inner().map_err(candle_core::Error::msg)?;
        self.norms.slice_set(&Tensor::new(norms, self.weights.device())?, 0, 0)
    }
}

/// The currents of units with the given `weights (units, inputs)` for `inputs (samples, inputs)`, `(samples, units)`.
pub(super) fn currents(weights: &Tensor, inputs: &Tensor, rectified: bool) -> Result<Tensor> {
    let currents = match has_kernel(inputs) {
        true => {
            let ((samples, depth), units) = (inputs.dims2()?, weights.dims()[0]);
            let sizes = Sizes { rows: units, depth, columns: samples };
            let mut currents = vec![0f32; units * samples];
            with_values([inputs, weights], |[inputs, weights]| {
                product(
                    weights,
                    Right::Transposed(inputs),
                    sizes,
                    &mut currents,
                    &mut Room::<2>::default(),
                    |_| (),
                );
                Ok(())
            })?;
            Tensor::from_vec(currents, (units, samples), inputs.device())?.t()?
        }
        false => inputs.matmul(&weights.t()?)?,
    };
    match rectified {
        true => currents.broadcast_sub(&currents.mean_keepdim(D::Minus1)?)?.relu(),
        false => Ok(currents),
    }
}

/// The softmax of the inverse temperature times the `currents (samples, units)`, with the sign of who won.
fn softmax_with_sign(currents: &Tensor, competition: Competition) -> Result<Tensor> {
    let largest = currents.max_keepdim(1)?;
    let inverse_temperature = f64::from(competition.inverse_temperature);
    let exponential = (currents.broadcast_sub(&largest)? * inverse_temperature)?.exp()?;
    let activity = exponential.broadcast_div(&exponential.sum_keepdim(1)?)?;
    let activity = (&activity * activity.ge(f64::from(NEGLIGIBLE))?.to_dtype(DType::F32)?)?;
    if !competition.anti_hebbian {
        return Ok(activity);
    }
    let units = Tensor::arange(0, currents.dim(1)? as u32, currents.device())?.unsqueeze(0)?;
    let sign = units.broadcast_eq(&top_k(currents, 1)?)?.to_dtype(DType::F32)?.affine(2.0, -1.0)?;
    activity * sign
}

/// The larger, or what is not a number.
fn largest_or_flaw(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }
}

/// Takes `decay w` from a block of what the samples add; gives the largest magnitude of what is left, or what is not a number.
struct Decay<'a, 'b> {
    weights: &'a [f32],
    decay: &'a [f32],
    block: &'a mut Block<'b>,
}

impl WithSimd for Decay<'_, '_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let Self { weights, decay, block } = self;
        let mut partial = [(0f32, 0f32); 16];
        for row in 0..block.rows {
            let (unit, columns) = (block.first_row + row, block.columns);
            let weights = &weights[unit * block.stride + block.first_column..][..columns];
            for (updates, weights) in block.row(row).chunks_mut(16).zip(weights.chunks(16)) {
                for ((update, weight), (largest, flaw)) in updates.iter_mut().zip(weights).zip(&mut partial) {
                    *update = decay[unit].mul_add(-weight, *update);
                    *largest = largest.max(update.abs());
                    // 0, or not a number.
                    *flaw += *update * 0.0;
                }
            }
        }
        partial.iter().fold(0f32, |all, (largest, flaw)| largest_or_flaw(all, largest + flaw))
    }
}

/// Adds `factor · update` to the weights of each unit, and computes their new lengths.
struct Add<'a> {
    update: &'a [f32],
    factors: &'a [f32],
    norms: &'a Mutex<Vec<f32>>,
}

/// Rows that are handed to another thread at once.
const ROWS_PER_TASK: usize = 8;

impl InplaceOp1 for Add<'_> {
    fn name(&self) -> &'static str {
        "add-update"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (_, inputs) = layout.shape().dims2()?;
        let rows = values_mut(weights, layout)?.par_chunks_mut(inputs).zip(self.update.par_chunks(inputs));
        let norms = rows.zip(self.factors).with_min_len(ROWS_PER_TASK).map(|((weights, update), &factor)| {
            Arch::new().dispatch(AddToRow { weights, update, factor });
            norm_of_row(weights, RowNorm::Euclidean)
        });
        let norms = norms.collect();
        *self.norms.lock().map_err(|error| candle_core::Error::msg(error.to_string()))? = norms;
        Ok(())
    }
}

struct AddToRow<'a> {
    weights: &'a mut [f32],
    update: &'a [f32],
    factor: f32,
}

impl WithSimd for AddToRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (weight, &update) in self.weights.iter_mut().zip(self.update) {
            *weight = self.factor.mul_add(update, *weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{no_update, row_norms};
    use candle_core::Device;
    use hebbian_training::Generator;

    /// How far the weights of a large layer are off after a step, of the largest.
    #[test]
    fn a_step_of_a_large_layer_agrees_with_the_graph_to_1e_5() -> Result<()> {
        let mut draws = Generator::new(0, "large step");
        let (samples, units, inputs) = (512, 384, 864);
        let weights = draws.normal((units, inputs), 0.0, 25.0 / (inputs as f64).sqrt(), &Device::Cpu)?;
        let seen = draws.normal((samples, inputs), 0.0, 1.0, &Device::Cpu)?;
        let norms = row_norms(&weights, RowNorm::Euclidean)?;
        let rates = ((&norms - 1.0)?.sqrt()? * 0.005)?;
        let competition = Competition { inverse_temperature: 0.65, anti_hebbian: true, rectified: false };
        let (kernel, graph) = (weights.copy()?, weights.copy()?);
        let step = |weights| Step { competition, inputs: &seen, weights, norms: &norms, rates: &rates };
        step(&kernel).take_on_cpu(&mut Workspace::default())?;
        step(&graph).graph(&no_update(&Device::Cpu)?)?;
        let off = (kernel - &graph)?.abs()?.max_all()?.to_scalar::<f32>()?;
        let largest = graph.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(off < 1e-5 * largest, "{off} of {largest}");
        Ok(())
    }

    #[test]
    fn kernel_and_graph_agree() -> Result<()> {
        for (samples, units, inputs) in [(1, 1, 1), (30, 40, 100), (9, 7, 33), (200, 130, 70)] {
            for (inverse_temperature, anti_hebbian, rectified) in
                [(1.0, true, false), (12.0, false, false), (0.25, true, true), (1e6, true, false)]
            {
                let mut draws = Generator::new(units as u64, "step");
                let weights = draws.normal((units, inputs), 0.0, 1.0, &Device::Cpu)?;
                let seen = draws.normal((samples, inputs), 0.0, 1.0, &Device::Cpu)?;
                let rates = draws.uniform(units, 0.0, 0.1, &Device::Cpu)?;
                let competition = Competition { inverse_temperature, anti_hebbian, rectified };
                let norms = row_norms(&weights, RowNorm::Euclidean)?;
                let (kernel, graph) = (weights.copy()?, weights.copy()?);
                let step =
                    |weights| Step { competition, inputs: &seen, weights, norms: &norms, rates: &rates };
                let ours = step(&kernel).take_on_cpu(&mut Workspace::default())?;
                let lengths = norms.to_vec1::<f32>()?;
                let theirs = step(&graph).graph(&no_update(&Device::Cpu)?)?;
                let off = |a: &Tensor, b: &Tensor| (a - b)?.abs()?.max_all()?.to_scalar::<f32>();
                let (size, expected) = (ours.size.to_scalar::<f32>()?, theirs.size.to_scalar::<f32>()?);
                assert!((size / expected - 1.0).abs() < 1e-4, "{size} and {expected}");
                assert!(off(&kernel, &graph)? < 1e-5, "{}", off(&kernel, &graph)?);
                assert!(off(&ours.currents, &theirs.currents)? < 1e-4);
                assert_eq!(ours.winners.to_vec2::<u32>()?, theirs.winners.to_vec2::<u32>()?);
                for (ours, theirs) in lengths.into_iter().zip(norms.to_vec1::<f32>()?) {
                    assert!((ours - theirs).abs() < 1e-5 * theirs);
                }
            }
        }
        Ok(())
    }
}
