//! CompSpec: competition in which specialized units step back.
//!
//! Each unit keeps a running average `s_u` of how well it matches what it wins. A unit that already matches well needs a
//! closer match to win again, and moves less when it does:
//!
//! ```text
//! o_bu = (x_b · w_u) / (|x_b| |w_u|)
//! c_bu = (1 - s_u)² / (1 - o_bu)                     the unit with the largest c wins the sample
//! w_u ← w_u + rate ((1 - s_u)² + 0.1) mean_b (x_b - (x_b · w_u) w_u)       over the samples b that u won
//! s_u ← (1 - phi) s_u + phi mean_b o_bu
//! ```
//!
//! The charged rule also repels the unit of rank k, by `-delta rate s_u²` times the same mean over the samples that u
//! was repelled by. Repulsion along the weights makes them grow without end; whenever a weight is past 10, all rows are
//! brought back to length 1.
//!
//! Source: the notebook "CompSpec Krotov Hopfield MNIST Benchmark" (2020), in which k counts from the winner, so that its
//! k is one less than the rank here.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use hebbian::{CompSpec, CompSpecConfig, LearningRule, Rule};
//! use hebbian_training::Generator;
//!
//! let config = CompSpecConfig { units: 4, ..Default::default() };
//! let mut rule = CompSpec::new(config, 3, &mut Generator::new(0, "doctest"), &Device::Cpu)?;
//! let samples = Tensor::new(&[[1f32, 0.0, 0.0], [0.0, 1.0, 0.0]], &Device::Cpu)?;
//! for _ in 0..400 {
//!     rule.learn(&samples)?;
//! }
//! // Two different samples end with two different units, each specialized on its own.
//! let winners = rule.learn(&samples)?.winners()?.flatten_all()?.to_vec1::<u32>()?;
//! assert_ne!(winners[0], winners[1]);
//! let specialization = rule.specialization()?.to_vec1::<f32>()?;
//! assert!(specialization[winners[0] as usize] > 0.9);
//! # Ok::<(), candle_core::Error>(())
//! ```

mod overlap_scores;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Linear, Module};
use hebbian_training::{Generator, Invalid, Parameters, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops::{
    Competition, Currents, LENGTH_FLOOR, RowNorm, Scale, Strength, check_batch, check_inputs, no_update,
    refresh_row_norms, row_norms, top_k, unless_fault,
};
use crate::rule::{Learned, LearningRule, Rule, check_state};
use overlap_scores::overlap_scores;

/// The parameters of [`CompSpec`]. The default is the notebook's, without charge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompSpecConfig {
    /// Number of hidden units.
    #[schemars(range(min = 1))]
    pub units: usize,
    /// How far a unit moves towards the mean of what it won, ξ.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// Weight of the newest batch in the specialization average, φ.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub specialization_rate: f64,
    /// The repulsion of the charged rule, if any.
    pub charge: Option<Charge>,
}

/// Repulsion of the unit of one rank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Charge {
    /// Strength of the repulsion.
    #[schemars(range(min = 0.0))]
    pub delta: f64,
    /// Rank of the repelled unit, at most `units`; the winner has rank 1.
    #[schemars(range(min = 2))]
    pub k: usize,
    /// Once a weight is past this, all rows are brought back to length 1.
    #[schemars(range(min = 1.0))]
    pub largest_weight: f64,
}

impl Default for CompSpecConfig {
    fn default() -> Self {
        Self { units: 2000, learning_rate: 0.1, specialization_rate: 2.0 / 11.0, charge: None }
    }
}

impl Parameters for CompSpecConfig {
    fn check_together(&self) -> std::result::Result<(), Invalid> {
        let Some(Charge { k, .. }) = self.charge else { return Ok(()) };
        Invalid::unless(k <= self.units, "charge.k", k, format!("2 to units ({})", self.units))
    }
}

impl Default for Charge {
    fn default() -> Self {
        Self { delta: 0.4, k: 3, largest_weight: 10.0 }
    }
}

/// A layer of units that compete and specialize.
///
/// Its state is `weights (units, inputs)` and `specialization (units)`; [`Module::forward`] is the plain product `x wᵀ`.
#[derive(Debug)]
pub struct CompSpec {
    config: CompSpecConfig,
    rate_scale: f64,
    weights: Tensor,
    specialization: Tensor,
    products: Currents,
    /// |w| of each row.
    norms: Tensor,
    /// The largest magnitude of each row: whether a charged rule must come back to length 1.
    maxima: Option<Tensor>,
    /// The size of the last update, which tells on a GPU whether all were finite.
    last_update: Tensor,
}

impl CompSpec {
    fn with_state(config: CompSpecConfig, weights: Tensor, specialization: Tensor) -> Result<Self> {
        let norms = specialization.zeros_like()?;
        let maxima = config.charge.is_some().then(|| specialization.zeros_like()).transpose()?;
        let (products, last_update) = (Currents::new(1.0), no_update(weights.device())?);
        let mut rule =
            Self { config, rate_scale: 1.0, weights, specialization, products, norms, maxima, last_update };
        rule.refresh(None)?;
        Ok(rule)
    }

    /// How well each unit matches what it wins, `(units)`: a copy.
    pub fn specialization(&self) -> Result<Tensor> {
        self.specialization.copy()
    }

    fn refresh(&mut self, rows: Option<&[u32]>) -> Result<()> {
        self.products.changed(&self.weights, rows)?;
        refresh_row_norms(&self.norms, &self.weights, RowNorm::Euclidean, rows)?;
        match &self.maxima {
            Some(maxima) => refresh_row_norms(maxima, &self.weights, RowNorm::Maximum, rows),
            None => Ok(()),
        }
    }

    /// The specialization after a batch: of units that won, drawn towards the mean overlap with what they won.
    fn specialized(&self, products: &Tensor, lengths: &Tensor, winners: &Tensor) -> Result<Tensor> {
        let phi = self.config.specialization_rate;
        let column = winners.unsqueeze(1)?.contiguous()?;
        let divisor = (self.norms.index_select(winners, 0)?.maximum(LENGTH_FLOOR)? * lengths)?;
        let overlaps = (products.gather(&column, 1)?.squeeze(1)? / divisor)?;
        let zeros = self.specialization.zeros_like()?;
        let wins = zeros.index_add(winners, &overlaps.ones_like()?, 0)?;
        let mean = (zeros.index_add(winners, &overlaps, 0)? / wins.maximum(1.0)?)?;
        let kept = (wins.minimum(1.0)? * -phi)?.affine(1.0, 1.0)?;
        (&self.specialization * kept)? + (mean * phi)?
    }

    /// Brings all rows back to length 1 if a weight is past the bound.
    fn shorten(&mut self, bound: f64) -> Result<()> {
        let Some(maxima) = &self.maxima else { return Ok(()) };
        let largest = maxima.max(0)?;
        let divisors = self.norms.maximum(LENGTH_FLOOR)?;
        if self.weights.device().is_cpu() {
            if f64::from(largest.to_scalar::<f32>()?) <= bound {
                return Ok(());
            }
            self.weights.slice_set(&self.weights.broadcast_div(&divisors.unsqueeze(1)?)?, 0, 0)?;
        } else {
            let past = largest.gt(bound)?.broadcast_as(divisors.shape())?;
            let divisors = past.where_cond(&divisors, &divisors.ones_like()?)?;
            self.weights.slice_set(&self.weights.broadcast_div(&divisors.unsqueeze(1)?)?, 0, 0)?;
        }
        self.refresh(None)
    }
}

impl Module for CompSpec {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        Linear::new(self.weights.clone(), None).forward(inputs)
    }
}

impl Rule for CompSpec {
    const NAME: &'static str = "comp-spec";
    type Config = CompSpecConfig;

    /// A layer for `inputs` inputs: weights |N(0, 1)|, each row of length 1, no unit specialized.
    fn new(
        config: CompSpecConfig,
        inputs: usize,
        generator: &mut Generator,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        check_inputs(inputs)?;
        let weights = generator.normal((config.units, inputs), 0.0, 1.0, device)?.abs()?;
        let lengths = row_norms(&weights, RowNorm::Euclidean)?.maximum(LENGTH_FLOOR)?;
        let weights = weights.broadcast_div(&lengths.unsqueeze(1)?)?;
        let specialization = Tensor::zeros(config.units, DType::F32, device)?;
        Self::with_state(config, weights, specialization)
    }

    /// A layer that goes on from a saved state, on the device of its tensors.
    fn from_state(config: CompSpecConfig, state: State) -> Result<Self> {
        config.validate()?;
        let inputs = state.get("weights").map_or(Ok(0), |weights| weights.dim(D::Minus1))?;
        let expected = [("weights", (config.units, inputs).into()), ("specialization", config.units.into())];
        check_state(&state, &expected)?;
        check_inputs(inputs)?;
        Self::with_state(config, state["weights"].copy()?, state["specialization"].copy()?)
    }
}

impl LearningRule for CompSpec {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!(self.config)
    }

    fn inputs(&self) -> usize {
        self.weights.dims()[1]
    }

    fn units(&self) -> usize {
        self.config.units
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.config.learning_rate * self.rate_scale)
    }

    fn set_rate_scale(&mut self, scale: f64) {
        self.rate_scale = scale;
    }

    /// Passes the plain products upward; measures `largest_update`, the largest change of a weight.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        check_batch(inputs, self.inputs())?;
        let rate = self.config.learning_rate * self.rate_scale;
        let products = self.products.of(&self.weights, inputs)?;
        let lengths = inputs.sqr()?.sum(1)?.sqrt()?.maximum(LENGTH_FLOOR)?;
        let unspecialized = self.specialization.affine(-1.0, 1.0)?.sqr()?;
        let scores = overlap_scores(&products, &self.norms, &lengths, &unspecialized)?;

        let ranks = top_k(&scores, self.config.charge.map_or(1, |charge| charge.k))?;
        let winners = ranks.narrow(1, 0, 1)?;
        let winner = winners.squeeze(1)?.contiguous()?;
        let charge = self.config.charge.map(|Charge { delta, k, .. }| {
            let repelled = ranks.narrow(1, k - 1, 1)?.squeeze(1)?.contiguous()?;
            Ok::<_, candle_core::Error>((repelled, (self.specialization.sqr()? * (delta * rate))?))
        });
        let charge = charge.transpose()?;
        let attraction = unspecialized.affine(rate, 0.1 * rate)?;
        let specialization = self.specialized(&products, &lengths, &winner)?;

        let competition = Competition {
            inputs,
            currents: &products,
            winners: &winner,
            repelled: charge.as_ref().map(|(repelled, _)| repelled),
            attraction: Strength::Mean(&attraction),
            repulsion: charge.as_ref().map_or(Strength::Each(0.0), |(_, strength)| Strength::Mean(strength)),
            scale: Scale::AsIs,
            before: &self.last_update,
        };
        let updated = competition.update(&self.weights)?;
        self.specialization = match self.weights.device().is_cpu() {
            true => specialization,
            false => unless_fault(&updated.largest, &specialization, &self.specialization)?,
        };
        self.last_update = updated.largest.clone();
        self.refresh(updated.rows.as_deref())?;
        if let Some(charge) = self.config.charge {
            self.shorten(charge.largest_weight)?;
        }
        let repelled = charge.map(|(repelled, _)| repelled);
        let learned = Learned::new(products).with_winners(winners).with_repelled(repelled);
        Ok(learned.measured("largest_update", updated.largest))
    }

    fn weights(&self) -> Result<Tensor> {
        self.weights.copy()
    }

    fn tensors(&self) -> Result<State> {
        Ok(State::from([
            ("weights".to_owned(), self.weights.clone()),
            ("specialization".to_owned(), self.specialization.clone()),
        ]))
    }

    fn restore(&mut self, state: State) -> Result<()> {
        let expected = [
            ("weights", self.weights.shape().clone()),
            ("specialization", self.specialization.shape().clone()),
        ];
        check_state(&state, &expected)?;
        let device = self.weights.device();
        let specialization = state["specialization"].to_device(device)?.copy()?;
        self.weights.slice_set(&state["weights"].contiguous()?.to_device(device)?, 0, 0)?;
        self.specialization = specialization;
        self.last_update = no_update(device)?;
        self.refresh(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(charge: Option<Charge>) -> CompSpecConfig {
        CompSpecConfig { units: 12, charge, ..Default::default() }
    }

    fn rule(charge: Option<Charge>) -> Result<CompSpec> {
        CompSpec::new(config(charge), 20, &mut Generator::new(0, "comp-spec test"), &Device::Cpu)
    }

    fn batch(seed: u64) -> Result<Tensor> {
        Generator::new(seed, "batch").uniform((10, 20), 0.0, 1.0, &Device::Cpu)
    }

    fn largest(tensor: &Tensor) -> Result<f32> {
        tensor.abs()?.max_all()?.to_scalar()
    }

    #[test]
    fn a_field_outside_its_range_is_named_with_what_is_allowed() {
        let charged = |charge: Charge| config(Some(charge));
        let cases = [
            (CompSpecConfig { units: 0, ..config(None) }, "units = 0 is not allowed: at least 1"),
            (CompSpecConfig { learning_rate: -1.0, ..config(None) }, "learning_rate = -1 is not allowed"),
            (
                CompSpecConfig { specialization_rate: 0.0, ..config(None) },
                "specialization_rate = 0 is not allowed",
            ),
            (
                charged(Charge { delta: f64::NAN, ..Default::default() }),
                "charge.delta = NaN or infinity is not allowed",
            ),
            (charged(Charge { k: 1, ..Default::default() }), "charge.k = 1 is not allowed: at least 2"),
            (
                charged(Charge { k: 13, ..Default::default() }),
                "charge.k = 13 is not allowed: 2 to units (12)",
            ),
        ];
        for (config, expected) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_blank_sample_goes_to_the_least_specialized_unit_and_leaves_everything_finite() -> Result<()> {
        let mut rule = rule(None)?;
        for seed in 0..5 {
            rule.learn(&batch(seed)?)?;
        }
        let specialization = rule.specialization()?.to_vec1::<f32>()?;
        let least = (0..12).min_by(|&a, &b| specialization[a].total_cmp(&specialization[b])).unwrap();
        let learned = rule.learn(&Tensor::zeros((1, 20), DType::F32, &Device::Cpu)?)?;
        assert_eq!(learned.winners()?.to_vec2::<u32>()?, [[least as u32]]);
        assert!(largest(&rule.weights()?)?.is_finite() && largest(&rule.specialization()?)?.is_finite());
        Ok(())
    }

    #[test]
    fn a_sample_equal_to_a_weight_row_is_won_by_that_unit() -> Result<()> {
        let mut rule = rule(None)?;
        let sample = rule.weights()?.narrow(0, 7, 1)?;
        assert_eq!(rule.learn(&sample)?.winners()?.to_vec2::<u32>()?, [[7]]);
        let specialization = rule.specialization()?.to_vec1::<f32>()?[7];
        assert!((specialization - 2.0 / 11.0).abs() < 1e-6, "its overlap is 1: {specialization}");
        Ok(())
    }

    #[test]
    fn of_two_equal_units_the_lower_wins() -> Result<()> {
        let row = Tensor::full(0.5f32, (12, 4), &Device::Cpu)?;
        let state = State::from([
            ("weights".to_owned(), row.copy()?),
            ("specialization".to_owned(), Tensor::zeros(12, DType::F32, &Device::Cpu)?),
        ]);
        let mut rule = CompSpec::from_state(config(None), state)?;
        assert_eq!(rule.learn(&row.narrow(0, 0, 2)?)?.winners()?.to_vec2::<u32>()?, [[0], [0]]);
        Ok(())
    }

    #[test]
    fn all_equal_samples_draw_one_unit_once() -> Result<()> {
        let sample = batch(0)?.narrow(0, 0, 1)?;
        let (mut once, mut often) = (rule(None)?, rule(None)?);
        once.learn(&sample)?;
        often.learn(&sample.repeat((50, 1))?)?;
        assert!(largest(&(once.weights()? - often.weights()?)?)? < 1e-5);
        assert!(largest(&(once.specialization()? - often.specialization()?)?)? < 1e-5);
        Ok(())
    }

    #[test]
    fn units_that_neither_win_nor_are_repelled_stay_as_they_are() -> Result<()> {
        let mut rule = rule(Some(Charge::default()))?;
        rule.learn(&batch(0)?)?;
        let (weights, specialization) = (rule.weights()?, rule.specialization()?.to_vec1::<f32>()?);
        let learned = rule.learn(&batch(1)?.narrow(0, 0, 1)?)?;
        let winner = learned.winners()?.to_vec2::<u32>()?[0][0] as usize;
        let repelled = learned.repelled.unwrap().to_vec1::<u32>()?[0] as usize;
        assert_ne!(winner, repelled);
        let after = rule.specialization()?.to_vec1::<f32>()?;
        for unit in (0..12).filter(|&unit| unit != winner) {
            assert_eq!(after[unit], specialization[unit], "unit {unit}");
            let moved = largest(&(rule.weights()?.get(unit)? - weights.get(unit)?)?)?;
            assert!(unit == repelled || moved == 0.0, "unit {unit} moved by {moved}");
        }
        Ok(())
    }

    #[test]
    fn a_charged_rule_past_its_bound_comes_back_to_length_one() -> Result<()> {
        let charge = Charge { delta: 40.0, k: 2, largest_weight: 1.0 };
        let mut rule = rule(Some(charge))?;
        let mut shortened = false;
        for seed in 0..40 {
            rule.learn(&batch(seed)?)?;
            assert!(largest(&rule.weights()?)? <= 1.0);
            let lengths = row_norms(&rule.weights()?, RowNorm::Euclidean)?;
            shortened |= seed > 0 && largest(&(lengths - 1.0)?)? < 1e-5;
        }
        assert!(shortened);
        Ok(())
    }

    #[test]
    fn a_restored_rule_learns_on_with_the_same_bits() -> Result<()> {
        for charge in [None, Some(Charge { largest_weight: 1.0, ..Charge::default() })] {
            let mut learned = rule(charge)?;
            for seed in 0..5 {
                learned.learn(&batch(seed)?)?;
            }
            let mut restored = CompSpec::from_state(config(charge), learned.state()?)?;
            for seed in 5..10 {
                learned.learn(&batch(seed)?)?;
                restored.learn(&batch(seed)?)?;
            }
            assert_eq!(learned.weights()?.to_vec2::<f32>()?, restored.weights()?.to_vec2::<f32>()?);
            assert_eq!(
                learned.specialization()?.to_vec1::<f32>()?,
                restored.specialization()?.to_vec1::<f32>()?
            );
        }
        Ok(())
    }

    #[test]
    fn samples_that_are_not_finite_are_refused_and_change_nothing() -> Result<()> {
        let mut rule = rule(None)?;
        let before = (rule.weights()?.to_vec2::<f32>()?, rule.specialization()?.to_vec1::<f32>()?);
        for value in [f64::NAN, f64::INFINITY] {
            assert!(rule.learn(&(batch(0)? * value)?).is_err());
            assert_eq!((rule.weights()?.to_vec2::<f32>()?, rule.specialization()?.to_vec1::<f32>()?), before);
        }
        Ok(())
    }
}
