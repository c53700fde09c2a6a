//! The update of competing units, scaled by its own largest entry.

use std::cell::Cell;

use candle_core::{CpuStorage, DType, InplaceOp3, Layout, Result, Tensor, bail};
use pulp::Arch;
use rayon::prelude::*;

use super::cpu;

/// One unit is attracted and one repelled by each sample; then the whole update is scaled so that its largest entry
/// is the learning rate:
///
/// ```text
/// Δ_u = Σ_b g_ub (x_b - I_ub w_u)        g_ub = 1 for b's winner, -delta for b's repelled unit, else 0
/// w_u ← w_u + rate Δ_u / max(max|Δ|, 1e-30)
/// ```
///
/// A batch touches at most twice as many rows of `w` as it has samples: the CPU kernel reads and writes only those.
#[derive(Clone, Copy, Debug)]
pub struct CompetitiveUpdate {
    /// Strength of the repulsion.
    pub delta: f64,
    /// Size of the largest change of a weight.
    pub rate: f64,
}

/// What [`CompetitiveUpdate::apply`] did.
#[derive(Clone, Debug)]
pub struct Updated {
    /// `max(max|Δ|, 1e-30)`, a scalar.
    pub largest: Tensor,
    /// The rows that changed, ascending; `None` where the device does not tell.
    pub rows: Option<Vec<u32>>,
}

/// The floor under the largest entry: an update of zeros stays one.
const FLOOR: f32 = 1e-30;

impl CompetitiveUpdate {
    /// Updates `weights (units, inputs)` in place for a batch: `inputs (batch, inputs)`, `currents (batch, units)`,
    /// and the `winners` and `repelled` units of each sample, both `(batch)` u32.
    ///
    /// On CPU an update that is not finite is an error, and no weight has changed.
    pub fn apply(
        &self,
        weights: &Tensor,
        inputs: &Tensor,
        currents: &Tensor,
        winners: &Tensor,
        repelled: &Tensor,
    ) -> Result<Updated> {
        if !weights.device().is_cpu() {
            return self.graph(weights, inputs, currents, winners, repelled);
        }
        let claims = self.claims(&winners.to_vec1()?, &repelled.to_vec1()?);
        let rows = claims.chunk_by(same_unit).map(|claims| claims[0].unit).collect();
        let kernel = Kernel { rate: self.rate, claims, rows, largest: Cell::new(FLOOR) };
        weights.inplace_op3(&inputs.contiguous()?, &currents.contiguous()?, &kernel)?;
        let largest = Tensor::new(kernel.largest.get(), weights.device())?;
        Ok(Updated { largest, rows: Some(kernel.rows) })
    }

    fn graph(
        &self,
        weights: &Tensor,
        inputs: &Tensor,
        currents: &Tensor,
        winners: &Tensor,
        repelled: &Tensor,
    ) -> Result<Updated> {
        let column = |units: &Tensor| units.unsqueeze(1)?.contiguous();
        let (winners, repelled) = (column(winners)?, column(repelled)?);
        let attraction = winners.ones_like()?.to_dtype(DType::F32)?;
        let repulsion = (&attraction * -self.delta)?;
        let g = currents.zeros_like()?.scatter_add(&winners, &attraction, 1)?;
        let g = g.scatter_add(&repelled, &repulsion, 1)?;
        let pull = (&g * currents)?.sum(0)?.unsqueeze(1)?;
        let change = (g.t()?.matmul(inputs)? - weights.broadcast_mul(&pull)?)?;
        let largest = change.abs()?.max_all()?.maximum(f64::from(FLOOR))?;
        let next = (weights + (change.broadcast_div(&largest)? * self.rate)?)?;
        weights.slice_set(&next, 0, 0)?;
        Ok(Updated { largest, rows: None })
    }

    /// All claims of the batch, those on one unit together and in the order of the samples.
    fn claims(&self, winners: &[u32], repelled: &[u32]) -> Vec<Claim> {
        let claim = |g: f64| move |(sample, &unit): (usize, &u32)| Claim { unit, sample, g: g as f32 };
        let attracted = winners.iter().enumerate().map(claim(1.0));
        let repelled = repelled.iter().enumerate().map(claim(-self.delta));
        let mut claims: Vec<Claim> = attracted.chain(repelled).collect();
        claims.sort_by_key(|claim| (claim.unit, claim.sample));
        claims
    }
}

/// One sample's wish to move one unit: `g_ub`.
struct Claim {
    unit: u32,
    sample: usize,
    g: f32,
}

fn same_unit(a: &Claim, b: &Claim) -> bool {
    a.unit == b.unit
}

struct Kernel {
    rate: f64,
    claims: Vec<Claim>,
    rows: Vec<u32>,
    largest: Cell<f32>,
}

/// Below this, handing rows to another thread costs more than it saves.
const ROWS_A_TASK: usize = 16;

impl InplaceOp3 for Kernel {
    fn name(&self) -> &'static str {
        "competitive-update"
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

        let groups: Vec<&[Claim]> = self.claims.chunk_by(same_unit).collect();
        let mut rows: Vec<_> = cpu::rows_mut(weights, columns, &self.rows).into_iter().zip(groups).collect();
        let buffer = || vec![0.0; columns];
        let magnitudes =
            rows.par_iter().with_min_len(ROWS_A_TASK).map_init(buffer, |change, (weights, claims)| {
                Arch::new().dispatch(|| {
                    batch.row_change(weights, claims, change);
                    largest_magnitude(change)
                })
            });
        let largest = f32::from_bits(magnitudes.max().unwrap_or(0));
        if !largest.is_finite() {
            bail!("the update is not finite: no weight was changed");
        }
        self.largest.set(largest.max(FLOOR));
        let scale = (self.rate / f64::from(self.largest.get())) as f32;
        rows.par_iter_mut().with_min_len(ROWS_A_TASK).for_each_init(buffer, |change, (weights, claims)| {
            Arch::new().dispatch(|| {
                batch.row_change(weights, claims, change);
                weights.iter_mut().zip(change.iter()).for_each(|(weight, change)| *weight += scale * change);
            });
        });
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
    /// `Δ_u` of the one unit that all `claims` are on.
    #[inline(always)]
    fn row_change(&self, weights: &[f32], claims: &[Claim], change: &mut [f32]) {
        let current = |claim: &Claim| self.currents[claim.sample * self.units + claim.unit as usize];
        let pull: f32 = claims.iter().map(|claim| claim.g * current(claim)).sum();
        change.iter_mut().zip(weights).for_each(|(change, weight)| *change = -pull * weight);
        for claim in claims {
            let input = &self.inputs[claim.sample * self.columns..][..self.columns];
            change.iter_mut().zip(input).for_each(|(change, x)| *change += claim.g * x);
        }
    }
}

/// The bits of the largest magnitude. Compared as integers, a NaN is larger than infinity and never lost.
#[inline(always)]
fn largest_magnitude(values: &[f32]) -> u32 {
    values.iter().fold(0, |largest, value| largest.max(value.abs().to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    const UPDATE: CompetitiveUpdate = CompetitiveUpdate { delta: 0.4, rate: 0.04 };

    struct Case {
        weights: Tensor,
        inputs: Tensor,
        currents: Tensor,
        winners: Tensor,
        repelled: Tensor,
    }

    fn case(units: usize, inputs: usize, batch: usize, k: usize, seed: u64) -> Result<Case> {
        let mut generator = Generator::new(seed, "competitive update");
        let weights = generator.normal((units, inputs), 0.0, 1.0, &Device::Cpu)?;
        let inputs = generator.uniform((batch, inputs), 0.0, 1.0, &Device::Cpu)?;
        let currents = inputs.matmul(&weights.t()?)?;
        let ranks = super::super::top_k(&currents, k)?;
        let (winners, repelled) =
            (ranks.narrow(1, 0, 1)?.squeeze(1)?, ranks.narrow(1, k - 1, 1)?.squeeze(1)?);
        Ok(Case { weights, inputs, currents, winners, repelled })
    }

    impl Case {
        fn kernel(&self) -> Result<(Tensor, Updated)> {
            let weights = self.weights.copy()?;
            let updated =
                UPDATE.apply(&weights, &self.inputs, &self.currents, &self.winners, &self.repelled)?;
            Ok((weights, updated))
        }

        fn graph(&self) -> Result<(Tensor, Updated)> {
            let weights = self.weights.copy()?;
            let updated =
                UPDATE.graph(&weights, &self.inputs, &self.currents, &self.winners, &self.repelled)?;
            Ok((weights, updated))
        }
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn the_largest_change_of_a_weight_is_the_rate() -> Result<()> {
        let case = case(50, 30, 10, 3, 1)?;
        let (weights, _) = case.kernel()?;
        assert!((largest_difference(&weights, &case.weights) - 0.04).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn only_the_rows_that_it_names_change() -> Result<()> {
        let case = case(50, 30, 10, 3, 2)?;
        let (weights, updated) = case.kernel()?;
        let rows = updated.rows.unwrap();
        assert!(rows.len() <= 20 && rows.is_sorted());
        for unit in 0..50 {
            let changed = largest_difference(&weights.get(unit)?, &case.weights.get(unit)?) > 0.0;
            assert_eq!(changed, rows.contains(&(unit as u32)), "unit {unit}");
        }
        Ok(())
    }

    #[test]
    fn an_update_that_is_not_finite_changes_nothing() -> Result<()> {
        let mut case = case(50, 30, 10, 3, 3)?;
        for value in [f32::NAN, f32::INFINITY] {
            case.inputs = case.inputs.affine(1.0, f64::from(value))?;
            let weights = case.weights.copy()?;
            let refused = UPDATE.apply(&weights, &case.inputs, &case.currents, &case.winners, &case.repelled);
            assert!(refused.unwrap_err().to_string().starts_with("the update is not finite"));
            assert_eq!(largest_difference(&weights, &case.weights), 0.0);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn kernel_and_graph_agree(
            units in 2usize..80, inputs in 1usize..70, batch in 1usize..40, k in 2usize..80, seed in any::<u64>(),
        ) {
            let case = case(units, inputs, batch, k.min(units), seed).unwrap();
            let (kernel, graph) = (case.kernel().unwrap(), case.graph().unwrap());
            prop_assert!(largest_difference(&kernel.0, &graph.0) < 1e-5);
            let ratio = (kernel.1.largest / graph.1.largest).unwrap().to_scalar::<f32>().unwrap();
            prop_assert!((ratio - 1.0).abs() < 1e-5);
        }
    }
}
