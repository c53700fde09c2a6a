//! The update of competing units: for each sample one unit is attracted, and another may be repelled.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{DType, Device, Result, Tensor, bail};

use super::check::{check_arguments, check_contiguous};
use super::fault::{size_or_fault, unless_fault, zero_if_finite};

/// One batch that units compete for, and how strongly they move:
///
/// ```text
/// Δ_u = Σ_b g_ub (x_b - I_ub w_u)
/// w_u ← w_u + Δ_u                               Scale::AsIs
/// w_u ← w_u + rate Δ_u / max(max|Δ|, 1e-30)     Scale::LargestIs(rate)
/// ```
///
/// where `g_ub` is the attraction for b's winner, minus the repulsion for b's repelled unit, and 0 for all others. A
/// batch touches at most twice as many rows of `w` as it has samples: the kernels read and write only those.
///
/// Unless another type is named, tensors are f32; all lie on the device of the weights.
#[derive(Clone, Copy, Debug)]
pub struct Competition<'a> {
    /// `x (batch, inputs)`.
    pub inputs: &'a Tensor,
    /// `I (batch, units)`.
    pub currents: &'a Tensor,
    /// The attracted unit of each sample, `(batch)` u32, below `units`.
    pub winners: &'a Tensor,
    /// The repelled unit of each sample, `(batch)` u32, below `units`.
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
    /// Updates `weights (units, inputs)`, f32 and contiguous, in place.
    ///
    /// A batch without samples and tensors of other shapes, types or devices are errors. On CPU, so are a number that is not
    /// that of a unit, and an update that is not finite: no weight has changed then. On CUDA, where nothing is read back, such
    /// a number moves no unit; away from the CPU an update that is not finite and all later ones are left out, and
    /// [`Updated::largest`] tells.
    pub fn update(&self, weights: &Tensor) -> Result<Updated> {
        self.check(weights)?;
        match weights.device() {
            Device::Cpu => cpu::update(self, weights),
            #[cfg(feature = "cuda")]
            Device::Cuda(_) => cuda::update(self, weights),
            _ => self.graph(weights),
        }
    }

    fn check(&self, weights: &Tensor) -> Result<()> {
        const NAME: &str = "competition";
        let ((units, inputs), batch) = (weights.dims2()?, self.inputs.dim(0)?);
        if batch == 0 || units == 0 || inputs == 0 {
            bail!("{NAME}: {batch} samples, {units} units, {inputs} inputs; allowed: at least 1 of each");
        }
        let device = weights.device();
        let arguments = [
            ("weights", weights, DType::F32, (units, inputs).into()),
            ("inputs", self.inputs, DType::F32, (batch, inputs).into()),
            ("currents", self.currents, DType::F32, (batch, units).into()),
            ("winners", self.winners, DType::U32, batch.into()),
            ("before", self.before, DType::F32, ().into()),
        ];
        check_arguments(NAME, device, arguments)?;
        if let Some(repelled) = self.repelled {
            check_arguments(NAME, device, [("repelled", repelled, DType::U32, batch.into())])?;
        }
        for strength in [self.attraction, self.repulsion] {
            if let Strength::Mean(strengths) = strength {
                check_arguments(NAME, device, [("strengths", strengths, DType::F32, units.into())])?;
            }
        }
        check_contiguous(NAME, "weights", weights)
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
}

impl Strength<'_> {
    /// `g (batch, units)` of one unit per sample.
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
        let ranks = crate::ops::top_k(&currents, k)?;
        let (winners, repelled) =
            (ranks.narrow(1, 0, 1)?.squeeze(1)?, ranks.narrow(1, k - 1, 1)?.squeeze(1)?);
        let before = crate::ops::no_update(&Device::Cpu)?;
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
            before: &crate::ops::no_update(&Device::Cpu)?,
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

    #[test]
    fn what_does_not_fit_the_weights_is_refused_and_nothing_changes() -> Result<()> {
        let case = case(50, 30, 10, 3, 4)?;
        let (other, fewer) = (self::case(49, 29, 9, 3, 4)?, case.winners.narrow(0, 0, 9)?);
        let numbers = Tensor::full(50u32, 10, &Device::Cpu)?;
        let none = case.inputs.narrow(0, 0, 0)?;
        let refusals = [
            (
                Competition { inputs: &other.inputs, ..case.summed() },
                "inputs is F32 [9, 29]; allowed: F32 [9, 30]",
            ),
            (Competition { inputs: &none, ..case.summed() }, "0 samples, 50 units, 30 inputs"),
            (Competition { currents: &other.currents, ..case.summed() }, "currents is F32 [9, 49]"),
            (Competition { winners: &fewer, ..case.summed() }, "winners is U32 [9]; allowed: U32 [10]"),
            (
                Competition { repelled: Some(&fewer), ..case.summed() },
                "repelled is U32 [9]; allowed: U32 [10]",
            ),
            (Competition { winners: &case.before, ..case.summed() }, "winners is F32 []; allowed: U32 [10]"),
            (Competition { winners: &numbers, ..case.summed() }, "winner 50; allowed: below 50"),
            (
                Competition { repelled: Some(&numbers), ..case.averaged() },
                "repelled unit 50; allowed: below 50",
            ),
            (
                Competition { repulsion: Strength::Mean(&other.strengths), ..case.averaged() },
                "strengths is F32 [49]; allowed: F32 [50]",
            ),
            (Competition { before: &case.strengths, ..case.summed() }, "before is F32 [50]; allowed: F32 []"),
        ];
        let weights = case.weights.copy()?;
        for (competition, expected) in refusals {
            let refused = competition.update(&weights).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("competition: {expected}")), "{refused}");
        }
        let transposed = Tensor::zeros((30, 50), DType::F32, &Device::Cpu)?.t()?;
        let refused = case.summed().update(&transposed).unwrap_err().to_string();
        assert!(refused.starts_with("competition: weights is not contiguous"), "{refused}");
        assert_eq!(largest_difference(&weights, &case.weights), 0.0);
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
