//! The update: what the samples add to each unit, scaled by the largest of it in the whole layer.

use candle_core::{CpuStorage, CustomOp2, InplaceOp2, Layout, Result, Shape, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::ops::cpu::{values, values_mut};
use crate::ops::settle_update;

/// One step of learning.
pub(super) struct Step<'a> {
    /// `(samples, inputs)`.
    pub inputs: &'a Tensor,
    /// `(samples, units)`.
    pub currents: &'a Tensor,
    /// Signed, `(samples, units)`.
    pub activity: &'a Tensor,
    /// The rate of each unit, `(units)`.
    pub rates: &'a Tensor,
}

/// The least that an update is divided by.
const FLOOR: f64 = 1e-30;

impl Step<'_> {
    /// Changes `weights (units, inputs)` and returns the size of the update, the largest |Δ|, a scalar. `before` is the size
    /// of the update before.
    ///
    /// # Errors
    /// On the CPU if the update is not finite: `weights` are then as they were.
    pub(super) fn apply(&self, weights: &Tensor, before: &Tensor) -> Result<Tensor> {
        let attraction = self.activity.t()?.matmul(self.inputs)?;
        match weights.device().is_cpu() {
            true => self.apply_on_cpu(weights, &attraction),
            false => self.graph(weights, &attraction, before),
        }
    }

    fn graph(&self, weights: &Tensor, attraction: &Tensor, before: &Tensor) -> Result<Tensor> {
        let decay = (self.activity * self.currents)?.sum(0)?.unsqueeze(1)?;
        let update = (attraction - weights.broadcast_mul(&decay)?)?;
        let size = update.abs()?.max_all()?;
        let scaled = update.broadcast_mul(&self.rates.unsqueeze(1)?)?.broadcast_div(&size.maximum(FLOOR)?)?;
        settle_update(weights, &(weights + scaled)?, &size, before)
    }

    fn apply_on_cpu(&self, weights: &Tensor, attraction: &Tensor) -> Result<Tensor> {
        let decay = self.activity.apply_op2_no_bwd(self.currents, &ColumnDots)?.to_vec1::<f32>()?;
        let size = weights.apply_op2_no_bwd(attraction, &Largest { decay: &decay })?;
        let largest = size.to_scalar::<f32>()?;
        if !largest.is_finite() {
            bail!("the update is not finite: no weight was changed");
        }
        let rates = self.rates.to_vec1::<f32>()?;
        let factors: Vec<f32> = rates.iter().map(|rate| rate / largest.max(FLOOR as f32)).collect();
        weights.inplace_op2(attraction, &Add { decay: &decay, factors: &factors })?;
        Ok(size)
    }
}

/// `Σ_s a_su b_su` of each column, in the order of the samples.
struct ColumnDots;

/// Columns that one task sums.
const COLUMNS: usize = 32;

impl CustomOp2 for ColumnDots {
    fn name(&self) -> &'static str {
        "column-dots"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, columns) = a_layout.shape().dims2()?;
        let (a, b) = (values(a, a_layout)?, values(b, b_layout)?);
        let mut dots = vec![0f32; columns];
        dots.par_chunks_mut(COLUMNS).enumerate().for_each(|(block, dots)| {
            let first = block * COLUMNS;
            for (a, b) in a.chunks(columns).zip(b.chunks(columns)) {
                let pairs = a[first..].iter().zip(&b[first..]);
                dots.iter_mut().zip(pairs).for_each(|(dot, (a, b))| *dot += a * b);
            }
        });
        Ok((CpuStorage::F32(dots), columns.into()))
    }
}

/// Rows that are handed to another thread at once.
const ROWS_PER_TASK: usize = 8;

/// The largest |attraction - decay w| of the whole layer; not a number where any is not.
struct Largest<'a> {
    decay: &'a [f32],
}

impl CustomOp2 for Largest<'_> {
    fn name(&self) -> &'static str {
        "largest-update"
    }

    fn cpu_fwd(
        &self,
        weights: &CpuStorage,
        weights_layout: &Layout,
        attraction: &CpuStorage,
        attraction_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, inputs) = weights_layout.shape().dims2()?;
        let (weights, attraction) =
            (values(weights, weights_layout)?, values(attraction, attraction_layout)?);
        let rows = weights.par_chunks(inputs).zip(attraction.par_chunks(inputs)).zip(self.decay);
        let largest = rows.with_min_len(ROWS_PER_TASK).map(|((weights, attraction), &decay)| {
            Arch::new().dispatch(LargestOfRow { weights, attraction, decay })
        });
        let largest =
            largest.reduce(|| 0f32, |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) });
        Ok((CpuStorage::F32(vec![largest]), Shape::from(())))
    }
}

struct LargestOfRow<'a> {
    weights: &'a [f32],
    attraction: &'a [f32],
    decay: f32,
}

impl WithSimd for LargestOfRow<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let mut partial = [(0f32, 0f32); 16];
        let mut take = |place: usize, weight: f32, attraction: f32| {
            let update = self.decay.mul_add(-weight, attraction);
            let (largest, flaw) = &mut partial[place];
            *largest = largest.max(update.abs());
            // 0, or not a number.
            *flaw += update * 0.0;
        };
        let (weights, rest) = self.weights.as_chunks::<16>();
        let (attractions, other) = self.attraction.as_chunks::<16>();
        for (weights, attractions) in weights.iter().zip(attractions) {
            for place in 0..16 {
                take(place, weights[place], attractions[place]);
            }
        }
        rest.iter().zip(other).for_each(|(&weight, &attraction)| take(0, weight, attraction));
        let (largest, flaw) = partial.iter().fold((0f32, 0f32), |all, one| (all.0.max(one.0), all.1 + one.1));
        largest + flaw
    }
}

/// Adds `factor (attraction - decay w)` to each weight.
struct Add<'a> {
    decay: &'a [f32],
    factors: &'a [f32],
}

impl InplaceOp2 for Add<'_> {
    fn name(&self) -> &'static str {
        "add-update"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        weights_layout: &Layout,
        attraction: &CpuStorage,
        attraction_layout: &Layout,
    ) -> Result<()> {
        let (_, inputs) = weights_layout.shape().dims2()?;
        let (weights, attraction) =
            (values_mut(weights, weights_layout)?, values(attraction, attraction_layout)?);
        let rows = weights.par_chunks_mut(inputs).zip(attraction.par_chunks(inputs));
        let rows = rows.zip(self.decay).zip(self.factors).with_min_len(ROWS_PER_TASK);
        rows.for_each(|(((weights, attraction), &decay), &factor)| {
            Arch::new().dispatch(AddToRow { weights, attraction, decay, factor });
        });
        Ok(())
    }
}

struct AddToRow<'a> {
    weights: &'a mut [f32],
    attraction: &'a [f32],
    decay: f32,
    factor: f32,
}

impl WithSimd for AddToRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (weight, &attraction) in self.weights.iter_mut().zip(self.attraction) {
            *weight = self.factor.mul_add(self.decay.mul_add(-*weight, attraction), *weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::no_update;
    use candle_core::Device;
    use hebbian_training::Generator;

    #[test]
    fn kernel_and_graph_agree() -> Result<()> {
        for (samples, units, inputs) in [(1, 1, 1), (30, 40, 100), (9, 7, 33)] {
            let mut draws = Generator::new(units as u64, "step");
            let weights = draws.normal((units, inputs), 0.0, 1.0, &Device::Cpu)?;
            let seen = draws.normal((samples, inputs), 0.0, 1.0, &Device::Cpu)?;
            let activity = draws.uniform((samples, units), -1.0, 1.0, &Device::Cpu)?;
            let currents = draws.normal((samples, units), 0.0, 3.0, &Device::Cpu)?;
            let rates = draws.uniform(units, 0.0, 0.1, &Device::Cpu)?;
            let step = Step { inputs: &seen, currents: &currents, activity: &activity, rates: &rates };
            let (kernel, graph) = (weights.copy()?, weights.copy()?);
            let size = step.apply(&kernel, &no_update(&Device::Cpu)?)?.to_scalar::<f32>()?;
            let attraction = activity.t()?.matmul(&seen)?;
            let expected = step.graph(&graph, &attraction, &no_update(&Device::Cpu)?)?.to_scalar::<f32>()?;
            assert!((size / expected - 1.0).abs() < 1e-5, "{size} and {expected}");
            let off = (kernel - graph)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(off < 1e-6, "{off}");
        }
        Ok(())
    }
}
