//! Competing hidden units (Krotov and Hopfield 2019).
//!
//! For each sample the unit with the largest current is attracted to it and the unit of rank `k` is repelled:
//!
//! ```text
//! I_ub = Σ_i sign(w_ui) |w_ui|^(p-1) x_bi
//! Δ_u  = Σ_b g_ub (x_b - I_ub w_u)       g = 1 for the winner, -delta for rank k, else 0
//! w_u ← w_u + rate Δ_u / max|Δ|
//! ```
//!
//! A unit that keeps winning converges to norm 1 in the Lebesgue p-norm. There is no other normalization: a unit that
//! never wins and is never repelled keeps its random beginning.
//!
//! Source: D. Krotov, J. J. Hopfield, "Unsupervised learning by competing hidden units", PNAS 116 (2019),
//! [doi:10.1073/pnas.1820458116](https://doi.org/10.1073/pnas.1820458116), equations 3, 9 and 10, and the authors' batched form of it,
//! which scales each batch's update by its largest entry.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use candle_nn::Module;
//! use hebbian::{KrotovHopfield, KrotovHopfieldConfig, LearningRule, Rule};
//! use hebbian_training::Generator;
//!
//! let config = KrotovHopfieldConfig { units: 8, p: 3.0, k: 2, ..Default::default() };
//! let mut rule = KrotovHopfield::new(config, 4, &mut Generator::new(0, "doctest"), &Device::Cpu)?;
//! let sample = Tensor::new(&[[1f32, 0.0, 0.0, 0.0]], &Device::Cpu)?;
//!
//! let winner = rule.learn(&sample)?.winners()?.to_vec2::<u32>()?[0][0] as usize;
//! let before = rule.forward(&sample)?.to_vec2::<f32>()?[0][winner];
//! for _ in 0..200 {
//!     rule.learn(&sample)?;
//! }
//! // What wins comes to resemble what it wins: w → x with |w|_p = 1.
//! let after = rule.forward(&sample)?.to_vec2::<f32>()?[0][winner];
//! assert!((after - 1.0).abs() < (before - 1.0).abs());
//! # Ok::<(), candle_core::Error>(())
//! ```

use candle_core::{D, Device, Result, Tensor};
use candle_nn::{Linear, Module};
use hebbian_training::{Generator, Invalid, Parameters, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops::{
    Competition, Currents, Scale, Strength, check_batch, check_inputs, no_update, refresh_signed_power, top_k,
};
use crate::rule::{Learned, LearningRule, Rule, check_state};

/// The parameters of [`KrotovHopfield`]. The default is the paper's MNIST setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KrotovHopfieldConfig {
    /// Number of hidden units.
    #[schemars(range(min = 2))]
    pub units: usize,
    /// Lebesgue norm `p` of the weights.
    #[schemars(range(min = 1.0))]
    pub p: f64,
    /// Rank of the repelled unit, at most `units`; the winner has rank 1.
    #[schemars(range(min = 2))]
    pub k: usize,
    /// Anti-Hebbian strength Δ.
    #[schemars(range(min = 0.0))]
    pub delta: f64,
    /// Largest change of a weight in one step, ε.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// Mean μ of the normal draws that the weights begin with.
    pub init_mean: f64,
    /// Standard deviation σ of those draws.
    #[schemars(range(min = 0.0))]
    pub init_std: f64,
}

impl Default for KrotovHopfieldConfig {
    fn default() -> Self {
        Self { units: 2000, p: 3.0, k: 7, delta: 0.4, learning_rate: 0.04, init_mean: 0.0, init_std: 1.0 }
    }
}

impl Parameters for KrotovHopfieldConfig {
    fn check_together(&self) -> std::result::Result<(), Invalid> {
        Invalid::unless(self.k <= self.units, "k", self.k, format!("2 to units ({})", self.units))
    }
}

/// A layer of competing units.
///
/// Its state is one tensor, `weights (units, inputs)`; [`Module::forward`] is the plain product `x wᵀ`.
#[derive(Debug)]
pub struct KrotovHopfield {
    config: KrotovHopfieldConfig,
    rate_scale: f64,
    weights: Tensor,
    /// Sees the weights as synapses, `sign(w) |w|^(p-1)`.
    currents: Currents,
    /// The size of the last update, which tells on a GPU whether all were finite.
    last_update: Tensor,
}

impl KrotovHopfield {
    fn with_weights(config: KrotovHopfieldConfig, weights: Tensor) -> Result<Self> {
        let (currents, last_update) = (Currents::new(config.p - 1.0), no_update(weights.device())?);
        Ok(Self { config, rate_scale: 1.0, weights, currents, last_update })
    }

    /// The p-norm of each unit's weights, `(units)`: 1 once a unit has converged.
    pub fn norms(&self) -> Result<Tensor> {
        self.weights.abs()?.powf(self.config.p)?.sum(1)?.powf(1.0 / self.config.p)
    }
}

impl Module for KrotovHopfield {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        Linear::new(self.weights.clone(), None).forward(inputs)
    }
}

impl Rule for KrotovHopfield {
    const NAME: &'static str = "krotov-hopfield";
    type Config = KrotovHopfieldConfig;

    /// A layer for `inputs` inputs, its weights drawn from N(`init_mean`, `init_std`²).
    fn new(
        config: KrotovHopfieldConfig,
        inputs: usize,
        generator: &mut Generator,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        check_inputs(inputs)?;
        let shape = (config.units, inputs);
        let weights = generator.normal(shape, config.init_mean, config.init_std, device)?;
        Self::with_weights(config, weights)
    }

    /// A layer that goes on from a saved state, on the device of its tensors.
    fn from_state(config: KrotovHopfieldConfig, state: State) -> Result<Self> {
        config.validate()?;
        let inputs = state.get("weights").map_or(Ok(0), |weights| weights.dim(D::Minus1))?;
        check_state(&state, &[("weights", (config.units, inputs).into())])?;
        check_inputs(inputs)?;
        Self::with_weights(config, state["weights"].copy()?)
    }
}

impl LearningRule for KrotovHopfield {
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

    /// Passes the currents upward; measures `largest_update`, the largest |Δ| before the scaling.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        check_batch(inputs, self.inputs())?;
        let currents = self.currents.of(&self.weights, inputs)?;
        let ranks = top_k(&currents, self.config.k)?;
        let winners = ranks.narrow(1, 0, 1)?;
        let repelled = ranks.narrow(1, self.config.k - 1, 1)?.squeeze(1)?;
        let competition = Competition {
            inputs,
            currents: &currents,
            winners: &winners.squeeze(1)?,
            repelled: Some(&repelled),
            attraction: Strength::Each(1.0),
            repulsion: Strength::Each(self.config.delta),
            scale: Scale::LargestIs(self.config.learning_rate * self.rate_scale),
            before: &self.last_update,
        };
        let updated = competition.update(&self.weights)?;
        self.currents.changed(&self.weights, updated.rows.as_deref())?;
        self.last_update = updated.largest.clone();
        let learned = Learned::new(currents).with_winners(winners).with_repelled(Some(repelled));
        Ok(learned.measured("largest_update", updated.largest))
    }

    fn weights(&self) -> Result<Tensor> {
        self.weights.copy()
    }

    /// The weights as the currents of learning see them, `sign(w) |w|^(p-1)`, `(units, inputs)`: a copy.
    fn synapses(&self) -> Result<Tensor> {
        let synapses = self.weights.zeros_like()?;
        refresh_signed_power(&synapses, &self.weights, self.config.p - 1.0, None)?;
        Ok(synapses)
    }

    fn tensors(&self) -> Result<State> {
        Ok(State::from([("weights".to_owned(), self.weights.clone())]))
    }

    fn restore(&mut self, state: State) -> Result<()> {
        check_state(&state, &[("weights", self.weights.shape().clone())])?;
        self.weights.slice_set(&state["weights"].contiguous()?.to_device(self.weights.device())?, 0, 0)?;
        self.last_update = no_update(self.weights.device())?;
        self.currents.changed(&self.weights, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    fn rule(config: KrotovHopfieldConfig, inputs: usize) -> Result<KrotovHopfield> {
        KrotovHopfield::new(config, inputs, &mut Generator::new(0, "krotov-hopfield test"), &Device::Cpu)
    }

    fn small() -> KrotovHopfieldConfig {
        KrotovHopfieldConfig { units: 12, k: 3, ..Default::default() }
    }

    fn batch(seed: u64) -> Result<Tensor> {
        Generator::new(seed, "batch").uniform((10, 20), 0.0, 1.0, &Device::Cpu)
    }

    #[test]
    fn a_field_outside_its_range_is_named_with_what_is_allowed() {
        let config = small();
        let cases = [
            (KrotovHopfieldConfig { units: 1, ..config.clone() }, "units = 1 is not allowed: at least 2"),
            (
                KrotovHopfieldConfig { p: 0.5, ..config.clone() },
                "p = 0.5 is not allowed: a number of at least 1",
            ),
            (KrotovHopfieldConfig { k: 1, ..config.clone() }, "k = 1 is not allowed: at least 2"),
            (KrotovHopfieldConfig { k: 13, ..config.clone() }, "k = 13 is not allowed: 2 to units (12)"),
            (
                KrotovHopfieldConfig { delta: f64::NAN, ..config.clone() },
                "delta = NaN or infinity is not allowed",
            ),
            (KrotovHopfieldConfig { learning_rate: 0.0, ..config }, "learning_rate = 0 is not allowed"),
        ];
        for (config, expected) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn the_largest_rank_allowed_is_the_last_unit() -> Result<()> {
        let mut rule = rule(KrotovHopfieldConfig { k: 12, ..small() }, 20)?;
        let learned = rule.learn(&batch(0)?)?;
        let currents = learned.output.to_vec2::<f32>()?;
        for (row, unit) in currents.iter().zip(learned.repelled.unwrap().to_vec1::<u32>()?) {
            assert!(row.iter().all(|&current| current >= row[unit as usize]));
        }
        Ok(())
    }

    #[test]
    fn a_restored_rule_learns_on_with_the_same_bits() -> Result<()> {
        for p in [1.0, 2.0, 2.5, 3.0] {
            let config = KrotovHopfieldConfig { p, ..small() };
            let mut learned = rule(config.clone(), 20)?;
            for seed in 0..5 {
                learned.learn(&batch(seed)?)?;
            }
            let mut restored = KrotovHopfield::from_state(config, learned.state()?)?;
            for seed in 5..10 {
                learned.learn(&batch(seed)?)?;
                restored.learn(&batch(seed)?)?;
            }
            assert_eq!(
                learned.weights()?.to_vec2::<f32>()?,
                restored.weights()?.to_vec2::<f32>()?,
                "p = {p}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_state_that_does_not_fit_is_refused_and_changes_nothing() -> Result<()> {
        let mut rule = rule(small(), 20)?;
        let before = rule.weights()?.to_vec2::<f32>()?;
        let zeros = |shape: (usize, usize)| Tensor::zeros(shape, DType::F32, &Device::Cpu);
        let state = |name: &str, tensor: Tensor| State::from([(name.to_owned(), tensor)]);
        let refusals = [
            (State::new(), "state: tensor `weights` is missing"),
            (state("weight", zeros((12, 20))?), "state: tensor `weight` does not belong to this rule"),
            (
                state("weights", zeros((12, 21))?),
                "state: tensor `weights` has shape [12, 21], expected [12, 20]",
            ),
            (state("weights", zeros((12, 20))?.to_dtype(DType::F64)?), "`weights` is F64, expected F32"),
            (state("weights", (zeros((12, 20))? + f64::NAN)?), "`weights` holds a value that is not finite"),
        ];
        for (state, expected) in refusals {
            let message = rule.restore(state).unwrap_err().to_string();
            assert_eq!(message.lines().next(), Some(expected));
            assert_eq!(rule.weights()?.to_vec2::<f32>()?, before);
        }
        Ok(())
    }

    #[test]
    fn a_state_is_a_copy_that_later_learning_does_not_touch() -> Result<()> {
        let mut rule = rule(small(), 20)?;
        let (state, before) = (rule.state()?, rule.weights()?.to_vec2::<f32>()?);
        rule.learn(&batch(0)?)?;
        assert_eq!(state["weights"].to_vec2::<f32>()?, before);
        assert_ne!(rule.weights()?.to_vec2::<f32>()?, before);
        Ok(())
    }

    #[test]
    fn units_that_win_approach_norm_one() -> Result<()> {
        let mut rule = rule(KrotovHopfieldConfig { delta: 0.0, ..small() }, 20)?;
        let sample = batch(0)?.narrow(0, 0, 1)?;
        let mut winner = 0;
        for _ in 0..600 {
            winner = rule.learn(&sample)?.winners()?.to_vec2::<u32>()?[0][0] as usize;
            rule.set_rate_scale(0.5);
        }
        let norm = rule.norms()?.to_vec1::<f32>()?[winner];
        assert!((norm - 1.0).abs() < 0.1, "{norm}");
        Ok(())
    }
}
