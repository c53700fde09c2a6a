//! The update of competing units: for each sample one unit is attracted, and another may be repelled.

use std::cell::Cell;

use candle_core::{CpuStorage, DType, Device, InplaceOp3, Layout, Result, Tensor, bail};
use multiversion::multiversion;
use rayon::prelude::*;

use super::cpu;
use super::fault::{size_or_fault, unless_fault, zero_if_finite};

#[cfg(feature = "cuda")]
#[path = "competition_cuda.rs"]
mod on_cuda;

/// One batch that units compete for, and how strongly they move:
///
/// ```text
/// Δ_u = Σ_b g_ub (x_b - I_ub w_u)
/// w_u ← w_u + Δ_u                               Scale::AsIs
/// w_u ← w_u + rate Δ_u / max(max|Δ|, 1e-30)     Scale::LargestIs(rate)
/// ```
///
/// where `g_ub` is the attraction for b's winner, minus the repulsion for b's repelled unit, and 0 for all others. A
/// batch touches at most twice as many rows of `w` as it has samples: the CPU kernel reads and writes only those.
#[derive(Clone, Copy, Debug)]
pub struct Competition<'a> {
    /// `x (batch, inputs)`.
    pub inputs: &'a Tensor,
    /// `I (batch, units)`.
    pub currents: &'a Tensor,
    /// The attracted unit of each sample, `(batch)` u32.
    pub winners: &'a Tensor,
    /// The repelled unit of each sample, `(batch)` u32.
    pub repelled: Option<&'a Tensor>,
    /// How strongly a winner is attracted.
    pub attraction: Strength<'a>,
    /// How strongly a repelled unit is repelled.
    pub repulsion: Strength<'a>,
    /// What becomes of the update before it is added.
    pub scale: Scale,
    /// [`Updated::largest`] of the update before, a scalar 0 for the first. Away from the CPU, where it is not a
    /// number, nothing is added any more.
    pub before: &'a Tensor,
}

/// How strongly the samples of a unit move it.
#[derive(Clone, Copy, Debug)]
pub enum Strength<'a> {
    /// Each sample by this much: a unit moves by the sum over its samples.
    Each(f64),
    /// All samples of a unit together by the unit's entry of `(units)`: it moves by their mean.
    Mean(&'a Tensor),
}

/// What becomes of an update before it is added.
#[derive(Clone, Copy, Debug)]
pub enum Scale {
    /// It is added as it is.
    AsIs,
    /// It is scaled so that its largest entry is this rate.
    LargestIs(f64),
}

/// What [`Competition::update`] did.
#[derive(Clone, Debug)]
pub struct Updated {
    /// `max(max|Δ|, 1e-30)`, a scalar. Away from the CPU it is not a number once an update was not finite.
    pub largest: Tensor,
    /// The rows that changed, ascending; `None` where the device does not tell.
    pub rows: Option<Vec<u32>>,
}

/// The floor under the largest entry: an update of zeros stays one.
const FLOOR: f32 = 1e-30;

impl Competition<'_> {
    /// Updates `weights (units, inputs)` in place.
    ///
    /// On CPU an update that is not finite is an error, and no weight has changed; elsewhere it and all later ones are
    /// left out, and [`Updated::largest`] tells.
    pub fn update(&self, weights: &Tensor) -> Result<Updated> {
        match weights.device() {
            Device::Cpu => {}
            #[cfg(feature = "cuda")]
            Device::Cuda(_) => return self.launch(weights),
            _ => return self.graph(weights),
        }
        let claims = self.claims()?;
        let rows = claims.chunk_by(same_unit).map(|claims| claims[0].unit).collect();
        let kernel = Kernel { scale: self.scale, claims, rows, largest: Cell::new(FLOOR) };
        weights.inplace_op3(&self.inputs.contiguous()?, &self.currents.contiguous()?, &kernel)?;
        let largest = Tensor::new(kernel.largest.get(), weights.device())?;
        Ok(Updated { largest, rows: Some(kernel.rows) })
    }

    fn graph(&self, weights: &Tensor) -> Result<Updated> {
        let mut g = self.attraction.spread(self.winners, self.currents)?;
        if let Some(repelled) = self.repelled {
            g = (g - self.repulsion.spread(repelled, self.currents)?)?;
        }
        let pull = (&g * self.currents)?.sum(0)?.unsqueeze(1)?;
        let change = (g.t()?.matmul(self.inputs)? - weights.broadcast_mul(&pull)?)?;
        let largest = change.abs()?.max_all()?.maximum(f64::from(FLOOR))?;
        let scaled = match self.scale {
            Scale::AsIs => change.clone(),
            Scale::LargestIs(rate) => (change.broadcast_div(&largest)? * rate)?,
        };
        // The maximum of some backends passes over a NaN, a sum does not.
        let largest = size_or_fault(&(largest + zero_if_finite(&change)?)?, self.before)?;
        weights.slice_set(&unless_fault(&largest, &(weights + scaled)?, weights)?, 0, 0)?;
        Ok(Updated { largest, rows: None })
    }

    /// Three launches: the changes, the largest of their entries, and their addition.
    #[cfg(feature = "cuda")]
    fn launch(&self, weights: &Tensor) -> Result<Updated> {
        let claims = on_cuda::Claims::of(self)?;
        let changes = weights.apply_op3_no_bwd(
            &self.inputs.contiguous()?,
            &self.currents.contiguous()?,
            &on_cuda::Changes { claims: &claims, attraction: self.attraction, repulsion: self.repulsion },
        )?;
        let columns = weights.dim(1)?;
        let largest = changes.apply_op2_no_bwd(self.before, &on_cuda::Size { columns })?;
        weights.inplace_op3(&changes, &largest, &on_cuda::Apply { claims: &claims, scale: self.scale })?;
        Ok(Updated { largest, rows: None })
    }

    /// All claims of the batch, those on one unit together and in the order of the samples.
    fn claims(&self) -> Result<Vec<Claim>> {
        let mut claims = self.attraction.claims(self.winners, 1.0)?;
        if let Some(repelled) = self.repelled {
            claims.extend(self.repulsion.claims(repelled, -1.0)?);
        }
        claims.sort_by_key(|claim| (claim.unit, claim.sample));
        Ok(claims)
    }
}

impl Strength<'_> {
    /// `g (batch, units)` of one unit a sample.
    fn spread(&self, units: &Tensor, currents: &Tensor) -> Result<Tensor> {
        let column = units.unsqueeze(1)?.contiguous()?;
        let ones = column.ones_like()?.to_dtype(DType::F32)?;
        let mask = currents.zeros_like()?.scatter_add(&column, &ones, 1)?;
        match self {
            Strength::Each(strength) => mask * *strength,
            Strength::Mean(strengths) => {
                let samples = mask.sum(0)?.maximum(1.0)?;
                mask.broadcast_mul(&(*strengths / samples)?)
            }
        }
    }

    /// The same, as a list of what is not zero.
    fn claims(&self, units: &Tensor, sign: f64) -> Result<Vec<Claim>> {
        let units = units.to_vec1::<u32>()?;
        let strengths = match self {
            Strength::Each(strength) => vec![(sign * strength) as f32; units.len()],
            Strength::Mean(strengths) => shares(&units, &strengths.to_vec1()?, sign as f32),
        };
        let claims = units.into_iter().zip(strengths).enumerate();
        Ok(claims.map(|(sample, (unit, g))| Claim { unit, sample, g }).collect())
    }
}

/// Each sample's share of its unit's strength.
fn shares(units: &[u32], strengths: &[f32], sign: f32) -> Vec<f32> {
    let mut samples = vec![0f32; strengths.len()];
    units.iter().for_each(|&unit| samples[unit as usize] += 1.0);
    units.iter().map(|&unit| sign * strengths[unit as usize] / samples[unit as usize]).collect()
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
    scale: Scale,
    claims: Vec<Claim>,
    rows: Vec<u32>,
    largest: Cell<f32>,
}

/// Below this, handing rows to another thread costs more than it saves.
const ROWS_A_TASK: usize = 16;

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

        let groups: Vec<&[Claim]> = self.claims.chunk_by(same_unit).collect();
        let mut rows: Vec<_> = cpu::rows_mut(weights, columns, &self.rows).into_iter().zip(groups).collect();
        let magnitudes = rows
            .par_iter_mut()
            .with_min_len(ROWS_A_TASK)
            .map(|(weights, claims)| largest_change(&batch, weights, claims));
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
            .with_min_len(ROWS_A_TASK)
            .for_each(|(weights, claims)| add_change(&batch, weights, claims, scale));
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
    /// Calls `work` with every block of one unit's weights and `Δ_u` of it; all `claims` are on that unit.
    #[inline(always)]
    fn visit(&self, weights: &mut [f32], claims: &[Claim], mut work: impl FnMut(&mut [f32], &[f32])) {
        let current = |claim: &Claim| self.currents[claim.sample * self.units + claim.unit as usize];
        let pull: f32 = claims.iter().map(|claim| claim.g * current(claim)).sum();
        let (blocks, rest) = weights.as_chunks_mut::<64>();
        let at = self.visit_blocks(0, blocks, pull, claims, &mut work);
        let (blocks, rest) = rest.as_chunks_mut::<16>();
        let at = self.visit_blocks(at, blocks, pull, claims, &mut work);
        let (blocks, _) = rest.as_chunks_mut::<1>();
        self.visit_blocks(at, blocks, pull, claims, &mut work);
    }

    /// The blocks from input `at` on, and where they end. A block's change stays in registers while its claims add to it.
    #[inline(always)]
    fn visit_blocks<const N: usize>(
        &self,
        at: usize,
        blocks: &mut [[f32; N]],
        pull: f32,
        claims: &[Claim],
        work: &mut impl FnMut(&mut [f32], &[f32]),
    ) -> usize {
        for (number, weights) in blocks.iter_mut().enumerate() {
            let mut change = weights.map(|weight| -pull * weight);
            for claim in claims {
                let from = claim.sample * self.columns + at + number * N;
                let inputs = &self.inputs[from..from + N];
                change.iter_mut().zip(inputs).for_each(|(change, x)| *change += claim.g * x);
            }
            work(weights, &change);
        }
        at + blocks.len() * N
    }
}

/// The bits of the largest magnitude of a row's change. Compared as integers, a NaN is larger than infinity and never
/// lost.
#[multiversion(targets = "simd")]
fn largest_change(batch: &Batch<'_>, weights: &mut [f32], claims: &[Claim]) -> u32 {
    let mut largest = [0u32; 64];
    batch.visit(weights, claims, |_, change| {
        largest
            .iter_mut()
            .zip(change)
            .for_each(|(largest, value)| *largest = value.abs().to_bits().max(*largest));
    });
    largest.into_iter().fold(0, u32::max)
}

/// Adds a row's change times `scale` to its weights.
#[multiversion(targets = "simd")]
fn add_change(batch: &Batch<'_>, weights: &mut [f32], claims: &[Claim], scale: f32) {
    batch.visit(weights, claims, |weights, change| {
        weights.iter_mut().zip(change).for_each(|(weight, change)| {
            let moved = *weight + scale * change;
            *weight = if moved.abs() < cpu::NEGLIGIBLE { 0.0 } else { moved };
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    struct Case {
        weights: Tensor,
        inputs: Tensor,
        currents: Tensor,
        winners: Tensor,
        repelled: Tensor,
        strengths: Tensor,
        before: Tensor,
    }

    fn case(units: usize, inputs: usize, batch: usize, k: usize, seed: u64) -> Result<Case> {
        let mut generator = Generator::new(seed, "competition");
        let weights = generator.normal((units, inputs), 0.0, 1.0, &Device::Cpu)?;
        let inputs = generator.uniform((batch, inputs), 0.0, 1.0, &Device::Cpu)?;
        let strengths = generator.uniform(units, 0.0, 1.0, &Device::Cpu)?;
        let currents = inputs.matmul(&weights.t()?)?;
        let ranks = super::super::top_k(&currents, k)?;
        let (winners, repelled) =
            (ranks.narrow(1, 0, 1)?.squeeze(1)?, ranks.narrow(1, k - 1, 1)?.squeeze(1)?);
        let before = super::super::no_update(&Device::Cpu)?;
        Ok(Case { weights, inputs, currents, winners, repelled, strengths, before })
    }

    impl Case {
        /// Summed over samples and scaled to its largest entry, as Krotov and Hopfield do.
        fn summed(&self) -> Competition<'_> {
            let Case { inputs, currents, winners, repelled, before, .. } = self;
            Competition {
                inputs,
                currents,
                winners,
                repelled: Some(repelled),
                attraction: Strength::Each(1.0),
                repulsion: Strength::Each(0.4),
                scale: Scale::LargestIs(0.04),
                before,
            }
        }

        /// The mean over samples, each unit at its own rate, as CompSpec does.
        fn averaged(&self) -> Competition<'_> {
            let strength = Strength::Mean(&self.strengths);
            Competition { attraction: strength, repulsion: strength, scale: Scale::AsIs, ..self.summed() }
        }
    }

    fn kernel(case: &Case, competition: Competition<'_>) -> Result<(Tensor, Updated)> {
        let weights = case.weights.copy()?;
        let updated = competition.update(&weights)?;
        Ok((weights, updated))
    }

    fn graph(case: &Case, competition: Competition<'_>) -> Result<(Tensor, Updated)> {
        let weights = case.weights.copy()?;
        let updated = competition.graph(&weights)?;
        Ok((weights, updated))
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn the_largest_change_of_a_weight_is_the_rate() -> Result<()> {
        let case = case(50, 30, 10, 3, 1)?;
        let (weights, _) = kernel(&case, case.summed())?;
        assert!((largest_difference(&weights, &case.weights) - 0.04).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn a_weight_that_falls_for_ever_becomes_zero_and_never_subnormal() -> Result<()> {
        let weights = Tensor::new(&[[1f32, 1e-29], [0.5, 0.5]], &Device::Cpu)?;
        let (inputs, currents) =
            (Tensor::new(&[[1f32, 0.0]], &Device::Cpu)?, Tensor::new(&[[1f32, 0.0]], &Device::Cpu)?);
        let winners = Tensor::new(&[0u32], &Device::Cpu)?;
        let competition = Competition {
            inputs: &inputs,
            currents: &currents,
            winners: &winners,
            repelled: None,
            attraction: Strength::Each(0.5),
            repulsion: Strength::Each(0.0),
            scale: Scale::AsIs,
            before: &super::super::no_update(&Device::Cpu)?,
        };
        let second = || -> Result<f32> { weights.get(0)?.get(1)?.to_scalar() };
        competition.update(&weights)?;
        assert_eq!(second()?, 0.5e-29);
        for _ in 0..5 {
            competition.update(&weights)?;
        }
        assert_eq!(second()?, 0.0);
        Ok(())
    }

    #[test]
    fn only_the_rows_that_it_names_change() -> Result<()> {
        let case = case(50, 30, 10, 3, 2)?;
        let (weights, updated) = kernel(&case, case.summed())?;
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
            for competition in [case.summed(), case.averaged()] {
                let weights = case.weights.copy()?;
                let refused = competition.update(&weights).unwrap_err().to_string();
                assert!(refused.starts_with("the update is not finite"));
                assert_eq!(largest_difference(&weights, &case.weights), 0.0);
            }
        }
        Ok(())
    }

    #[test]
    fn where_nobody_reads_an_update_that_is_not_finite_it_and_all_later_ones_are_left_out() -> Result<()> {
        for value in [f32::NAN, f32::INFINITY] {
            let sound = case(50, 30, 10, 3, 3)?;
            let mut broken = case(50, 30, 10, 3, 3)?;
            broken.inputs = broken.inputs.affine(1.0, f64::from(value))?;
            let largest = broken.summed().graph(&broken.weights)?.largest;
            assert!(largest.to_scalar::<f32>()?.is_nan());
            let later = Competition { before: &largest, ..sound.summed() };
            assert!(later.graph(&broken.weights)?.largest.to_scalar::<f32>()?.is_nan());
            assert_eq!(largest_difference(&broken.weights, &sound.weights), 0.0);
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
            for competition in [case.summed(), case.averaged()] {
                let (kernel, graph) = (kernel(&case, competition).unwrap(), graph(&case, competition).unwrap());
                prop_assert!(largest_difference(&kernel.0, &graph.0) < 2e-5);
                let ratio = (kernel.1.largest / graph.1.largest).unwrap().to_scalar::<f32>().unwrap();
                prop_assert!((ratio - 1.0).abs() < 1e-5);
            }
        }
    }
}
