//! Soft competition of all units (Moraitis et al. 2022, Journé et al. 2023).
//!
//! For each sample all units share one unit of activity by a softmax of their currents. The winner learns the sample, and
//! every other unit, by as much as it was active, is pushed away from it:
//!
//! ```text
//! u_su = Σ_i w_ui x_si
//! y_su = softmax_u(t u_su)          ỹ = y for the winner, -y for all others (soft anti-Hebbian), or y for all
//! Δ_u  = Σ_s ỹ_su (x_s - u_su w_u)
//! w_u ← w_u + η_u Δ_u / max|Δ|      η_u = η (| |w_u|₂ - 1 | + 1e-10)^q
//! ```
//!
//! The maximum is that of the whole layer. A unit that keeps winning converges to length 1, where its rate vanishes; units
//! begin much longer, and those that are pushed away stay so. Nothing else anneals: use a constant schedule.
//!
//! Sources: T. Moraitis et al., "SoftHebb: Bayesian inference in unsupervised Hebbian soft winner-take-all networks" (2022),
//! [doi:10.1088/2634-4386/aca710](https://doi.org/10.1088/2634-4386/aca710); A. Journé et al., "Hebbian deep learning without
//! feedback" (2023), [arXiv:2209.11883](https://arxiv.org/abs/2209.11883), whose layers are this rule on patches:
//! [`Convolution`](crate::Convolution).
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use hebbian::{LearningRule, Rule, SoftHebb, SoftHebbConfig};
//! use hebbian_training::Generator;
//!
//! let config = SoftHebbConfig { units: 3, ..Default::default() };
//! let mut rule = SoftHebb::new(config, 4, &mut Generator::new(0, "doctest"), &Device::Cpu)?;
//! let sample = Tensor::new(&[[0.6f32, 0.8, 0.0, 0.0]], &Device::Cpu)?;
//! let mut winner = 0;
//! for _ in 0..4000 {
//!     winner = rule.learn(&sample)?.winners()?.to_vec2::<u32>()?[0][0] as usize;
//! }
//! // What wins comes to be what it wins, at length 1.
//! let weights = rule.weights()?.to_vec2::<f32>()?;
//! assert!((weights[winner][1] - 0.8).abs() < 0.05, "{weights:?}");
//! # Ok::<(), candle_core::Error>(())
//! ```

mod competition;
mod step;

use candle_core::{D, Device, Result, Tensor};
use candle_nn::Module;
use hebbian_training::{Generator, Parameters, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops::{RowNorm, check_batch, check_inputs, no_update, refresh_row_norms};
use crate::rule::{Learned, LearningRule, Rule, check_state};
use competition::Competition;
use step::{Step, Stepped, Workspace, currents};

/// The parameters of [`SoftHebb`]. The default is the published first layer for CIFAR-10.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SoftHebbConfig {
    /// Number of units.
    #[schemars(range(min = 1))]
    pub units: usize,
    /// Inverse temperature t of the softmax; the larger, the more the winner takes.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub inverse_temperature: f64,
    /// Whether all units but the winner are pushed away (soft anti-Hebbian); if not, all are attracted.
    pub anti_hebbian: bool,
    /// Rate η of a unit of length 2.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// Exponent q with which a unit's rate falls as it comes to length 1; 0 keeps the rate.
    #[schemars(range(min = 0.0))]
    pub rate_exponent: f64,
    /// Whether the units respond with what is above their mean current, while they compete too.
    pub rectified: bool,
    /// What the weights begin with.
    pub init: SoftHebbInit,
    /// About what length they begin with; much more than 1.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub init_length: f64,
}

/// What the weights of a [`SoftHebb`] begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SoftHebbInit {
    /// Normal draws, for inputs that are standardized.
    Normal,
    /// Uniform draws from 0, for inputs that are never negative.
    Positive,
}

impl Default for SoftHebbConfig {
    fn default() -> Self {
        Self {
            units: 96,
            inverse_temperature: 1.0,
            anti_hebbian: true,
            learning_rate: 0.08,
            rate_exponent: 0.5,
            rectified: false,
            init: SoftHebbInit::Normal,
            init_length: 25.0,
        }
    }
}

impl Parameters for SoftHebbConfig {}

/// A layer of units of which all learn from every sample.
///
/// Its state is one tensor, `weights (units, inputs)`; [`Module::forward`] is the plain product `x wᵀ`, or what of it is above
/// the units' mean where the layer is [`rectified`](SoftHebbConfig::rectified).
#[derive(Debug)]
pub struct SoftHebb {
    config: SoftHebbConfig,
    rate_scale: f64,
    weights: Tensor,
    /// Lengths of the weights, `(units)`: derived.
    norms: Tensor,
    /// The size of the last update, which tells on a GPU whether all were finite.
    last_update: Tensor,
    workspace: Workspace,
}

/// Lengths above or below 1 by this have a rate above 0.
const LEAST_DISTANCE: f64 = 1e-10;

impl SoftHebb {
    fn with_weights(config: SoftHebbConfig, weights: Tensor) -> Result<Self> {
        let (norms, last_update) =
            (weights.narrow(1, 0, 1)?.flatten_all()?.copy()?, no_update(weights.device())?);
        refresh_row_norms(&norms, &weights, RowNorm::Euclidean, None)?;
        Ok(Self { config, rate_scale: 1.0, weights, norms, last_update, workspace: Workspace::default() })
    }

    /// The length of each unit's weights, `(units)`: 1 once a unit has converged.
    pub fn norms(&self) -> Result<Tensor> {
        self.norms.copy()
    }

    /// The rate of each unit's next step, `(units)`.
    pub fn rates(&self) -> Result<Tensor> {
        let distance = ((&self.norms - 1.0)?.abs()? + LEAST_DISTANCE)?;
        distance.powf(self.config.rate_exponent)? * (self.config.learning_rate * self.rate_scale)
    }
}

impl Module for SoftHebb {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        check_batch(inputs, self.inputs())?;
        currents(&self.weights, &inputs.contiguous()?, self.config.rectified)
    }
}

impl Rule for SoftHebb {
    const NAME: &'static str = "soft-hebb";
    type Config = SoftHebbConfig;

    /// A layer for `inputs` inputs: normal draws of deviation `init_length / √inputs`, or uniform ones from 0 to
    /// `init_length √(3 / inputs)`.
    fn new(
        config: SoftHebbConfig,
        inputs: usize,
        generator: &mut Generator,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        check_inputs(inputs)?;
        let (shape, length, inputs) = ((config.units, inputs), config.init_length, inputs as f64);
        let weights = match config.init {
            SoftHebbInit::Normal => generator.normal(shape, 0.0, length / inputs.sqrt(), device)?,
            SoftHebbInit::Positive => {
                generator.uniform(shape, 0.0, length * (3.0 / inputs).sqrt(), device)?
            }
        };
        Self::with_weights(config, weights)
    }

    /// A layer that goes on from a saved state, on the device of its tensors.
    fn from_state(config: SoftHebbConfig, state: State) -> Result<Self> {
        config.validate()?;
        let inputs = state.get("weights").map_or(Ok(0), |weights| weights.dim(D::Minus1))?;
        check_state(&state, &[("weights", (config.units, inputs).into())])?;
        check_inputs(inputs)?;
        Self::with_weights(config, state["weights"].copy()?)
    }
}

impl LearningRule for SoftHebb {
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

    /// Of a unit of length 2.
    fn learning_rate(&self) -> Option<f64> {
        Some(self.config.learning_rate * self.rate_scale)
    }

    fn set_rate_scale(&mut self, scale: f64) {
        self.rate_scale = scale;
    }

    /// Passes the currents upward; measures `largest_update`, the largest |Δ| before the scaling.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        check_batch(inputs, self.inputs())?;
        let competition = Competition {
            inverse_temperature: self.config.inverse_temperature as f32,
            anti_hebbian: self.config.anti_hebbian,
            rectified: self.config.rectified,
        };
        let (weights, norms, rates) = (&self.weights, &self.norms, &self.rates()?);
        let step = Step { competition, inputs: &inputs.contiguous()?, weights, norms, rates };
        let Stepped { currents, winners, size } = step.take(&mut self.workspace, &self.last_update)?;
        self.last_update = size;
        let learned = Learned::new(currents).with_winners(winners);
        Ok(learned.measured("largest_update", self.last_update.clone()))
    }

    fn weights(&self) -> Result<Tensor> {
        self.weights.copy()
    }

    fn tensors(&self) -> Result<State> {
        Ok(State::from([("weights".to_owned(), self.weights.clone())]))
    }

    fn restore(&mut self, state: State) -> Result<()> {
        check_state(&state, &[("weights", self.weights.shape().clone())])?;
        self.weights.slice_set(&state["weights"].contiguous()?.to_device(self.weights.device())?, 0, 0)?;
        self.last_update = no_update(self.weights.device())?;
        refresh_row_norms(&self.norms, &self.weights, RowNorm::Euclidean, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(config: SoftHebbConfig) -> Result<SoftHebb> {
        SoftHebb::new(config, 20, &mut Generator::new(0, "soft-hebb test"), &Device::Cpu)
    }

    fn small() -> SoftHebbConfig {
        SoftHebbConfig { units: 12, ..Default::default() }
    }

    fn batch(seed: u64) -> Result<Tensor> {
        Generator::new(seed, "batch").normal((10, 20), 0.0, 1.0, &Device::Cpu)
    }

    #[test]
    fn both_beginnings_have_about_the_length_that_was_asked_for() -> Result<()> {
        for init in [SoftHebbInit::Normal, SoftHebbInit::Positive] {
            let rule = SoftHebb::new(
                SoftHebbConfig { init, units: 50, ..small() },
                400,
                &mut Generator::new(0, "init"),
                &Device::Cpu,
            )?;
            for norm in rule.norms()?.to_vec1::<f32>()? {
                assert!((20.0..30.0).contains(&norm), "{init:?}: {norm}");
            }
            let negative = rule.weights()?.min_all()?.to_scalar::<f32>()? < 0.0;
            assert_eq!(negative, init == SoftHebbInit::Normal);
        }
        Ok(())
    }

    #[test]
    fn no_weight_moves_by_more_than_its_units_rate() -> Result<()> {
        let mut rule = rule(small())?;
        let (before, rates) = (rule.weights()?, rule.rates()?.to_vec1::<f32>()?);
        rule.learn(&batch(0)?)?;
        let moved = (rule.weights()? - before)?.abs()?.max(1)?.to_vec1::<f32>()?;
        assert!(moved.iter().zip(&rates).all(|(moved, rate)| *moved <= rate * 1.0001), "{moved:?} {rates:?}");
        let largest = moved.iter().zip(&rates).map(|(moved, rate)| moved / rate).fold(0f32, f32::max);
        assert!((largest - 1.0).abs() < 1e-3, "the largest change of the layer is a whole rate: {largest}");
        Ok(())
    }

    #[test]
    fn a_unit_of_length_one_hardly_moves() -> Result<()> {
        let mut weights = rule(small())?.weights()?.to_vec2::<f32>()?;
        weights[3] = vec![0.0; 20];
        weights[3][5] = 1.0;
        let weights = Tensor::new(weights, &Device::Cpu)?;
        let mut rule = SoftHebb::from_state(small(), State::from([("weights".to_owned(), weights.copy()?)]))?;
        rule.learn(&batch(0)?)?;
        let moved = (rule.weights()? - weights)?.abs()?.max(1)?.to_vec1::<f32>()?;
        assert!(moved[3] < 1e-5 && moved.iter().any(|&moved| moved > 1e-2), "{moved:?}");
        Ok(())
    }

    #[test]
    fn a_step_that_is_not_finite_changes_nothing() -> Result<()> {
        let mut rule = rule(small())?;
        let before = rule.weights()?.to_vec2::<f32>()?;
        for bad in [f32::NAN, f32::INFINITY, f32::MAX] {
            let mut inputs = batch(0)?.to_vec2::<f32>()?;
            inputs[4][7] = bad;
            assert!(rule.learn(&Tensor::new(inputs, &Device::Cpu)?).is_err(), "{bad}");
            assert_eq!(rule.weights()?.to_vec2::<f32>()?, before);
        }
        Ok(())
    }

    #[test]
    fn a_rectified_layer_responds_with_what_is_above_the_mean() -> Result<()> {
        let (plain, rectified) = (rule(small())?, rule(SoftHebbConfig { rectified: true, ..small() })?);
        let currents = plain.forward(&batch(0)?)?;
        let expected = currents.broadcast_sub(&currents.mean_keepdim(1)?)?.relu()?.to_vec2::<f32>()?;
        assert_eq!(rectified.forward(&batch(0)?)?.to_vec2::<f32>()?, expected);
        Ok(())
    }
}
