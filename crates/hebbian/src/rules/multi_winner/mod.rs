//! Sparse coding by several winners that reconstruct the input together.
//!
//! The few units that a frame drives most share its reconstruction, and each synapse of theirs grows or shrinks by the
//! factor by which the reconstruction missed its input:
//!
//! ```text
//! p_u = w_u · v                              the `winners` largest win; a_u = p_u for them, else 0
//! r   = Σ_u a_u w_u
//! w_u ← w_u (1 + rate a_u (v - r) / max(r, floor))
//! y_u = a_u / Σ_i w_ui                       what is passed upward, the sum taken after the update
//! ```
//!
//! The updates are multiplicative, so that weights that begin positive stay so; where the factor itself would be
//! negative (an activation above 1 / rate), the weight becomes 0, unless [`MultiWinnerConfig::clamp`] says otherwise.
//!
//! Frames are learned one at a time, in the order in which they come, whatever the size of a batch. At a constant rate
//! reconstruction is best after a few passes and then becomes worse while units die; let the rate fall.
//!
//! Source: the notebook "Variable Xi Invariance" (2021).
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use candle_nn::Module;
//! use hebbian::{LearningRule, Rule, MultiWinner, MultiWinnerConfig};
//! use hebbian_training::Generator;
//!
//! let config = MultiWinnerConfig { units: 8, winners: 2, learning_rate: 0.05, ..Default::default() };
//! let mut rule = MultiWinner::new(config, 4, &mut Generator::new(0, "doctest"), &Device::Cpu)?;
//! let frames = Tensor::new(&[[1f32, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 1.0]], &Device::Cpu)?;
//!
//! let error_before = rule.learn(&frames)?.measure("reconstruction_error")?.to_scalar::<f32>()?;
//! for _ in 0..300 {
//!     rule.learn(&frames)?;
//! }
//! // What is shown again and again is reconstructed, by two units per frame.
//! assert!(rule.learn(&frames)?.measure("reconstruction_error")?.to_scalar::<f32>()? < 0.01 * error_before);
//! let code = rule.forward(&frames)?.to_vec2::<f32>()?;
//! assert!(code.iter().all(|units| units.iter().filter(|&&unit| unit > 0.0).count() == 2));
//! # Ok::<(), candle_core::Error>(())
//! ```

mod steps;

use candle_core::{D, Device, Result, Tensor, bail};
use candle_nn::Module;
use hebbian_training::{Generator, Invalid, Parameters, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops::{check_batch, check_frames, check_inputs, no_update, reconstruction_error, top_k};
use crate::rule::{Learned, LearningRule, Rule, check_state, is_one};
use steps::{MultiWinnerSteps, Panels, over_sums};

/// The parameters of [`MultiWinner`]. The default is the notebook's last setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MultiWinnerConfig {
    /// Number of units.
    #[schemars(range(min = 1))]
    pub units: usize,
    /// Units that win a frame, at most `units`.
    #[schemars(range(min = 1))]
    pub winners: usize,
    /// How strongly a miss changes the winners, ξ.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// The least that a reconstruction divides by.
    #[schemars(extend("minimum" = f64::from(f32::MIN_POSITIVE)))]
    pub floor: f64,
    /// The weights begin uniform in 0 to this.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub init_max: f64,
    /// Whether a weight that would become negative becomes 0.
    pub clamp: bool,
    /// Frames per step. 1 is the rule itself, which learns each frame before it sees the next. More are an approximation
    /// for devices on which one step per frame is too short: all frames of a step see the weights that it began with, and
    /// what they add is summed; `docs/cuda.md` says what that does to the results.
    #[serde(skip_serializing_if = "is_one")]
    #[schemars(range(min = 1), extend("default" = 1))]
    pub minibatch: usize,
}

impl Default for MultiWinnerConfig {
    fn default() -> Self {
        Self {
            units: 900,
            winners: 4,
            learning_rate: 0.008,
            floor: 1e-10,
            init_max: 0.2,
            clamp: true,
            minibatch: 1,
        }
    }
}

impl Parameters for MultiWinnerConfig {
    fn check_together(&self) -> std::result::Result<(), Invalid> {
        let winners = format!("1 to units ({})", self.units);
        Invalid::unless(self.winners <= self.units, "winners", self.winners, winners)
    }
}

impl MultiWinnerConfig {
    /// The panels that `weights` are learned in, where they are.
    fn panels(&self, weights: &Tensor) -> Result<Option<Panels>> {
        if self.minibatch == 1 { Panels::of(weights) } else { Ok(None) }
    }
}

/// A layer of units of which a few win each frame.
///
/// Its state is `weights (units, inputs)`; [`Module::forward`] gives the winners' activations over their row sums, 0 where
/// a sum is 0, and 0 for all others.
#[derive(Debug)]
pub struct MultiWinner {
    config: MultiWinnerConfig,
    rate_scale: f64,
    weights: Tensor,
    /// The weights once more, in the order of the CPU kernel.
    panels: Option<Panels>,
    /// The error of the last call, which tells on a GPU whether all updates were finite.
    last_error: Tensor,
}

impl MultiWinner {
    fn with_weights(config: MultiWinnerConfig, weights: Tensor) -> Result<Self> {
        check_inputs(weights.dim(1)?)?;
        let (panels, last_error) = (config.panels(&weights)?, no_update(weights.device())?);
        Ok(Self { config, rate_scale: 1.0, weights, panels, last_error })
    }

    /// `r (frames, inputs)`: what the winners of each frame make of it.
    pub fn reconstruct(&self, frames: &Tensor) -> Result<Tensor> {
        self.activations(frames)?.matmul(&self.weights)
    }

    /// `Σ |v - r|² / Σ |v|²` over all frames, with the weights as they are.
    pub fn relative_error(&self, frames: &Tensor) -> Result<f64> {
        reconstruction_error(frames, &self.reconstruct(frames)?)
    }

    /// The units that win each frame, `(frames, winners)` u32, the first winner first.
    pub fn winners(&self, frames: &Tensor) -> Result<Tensor> {
        top_k(&frames.matmul(&self.weights.t()?)?, self.config.winners)
    }

    /// `a (frames, units)`.
    fn activations(&self, frames: &Tensor) -> Result<Tensor> {
        let products = frames.matmul(&self.weights.t()?)?;
        let winners = top_k(&products, self.config.winners)?;
        products.zeros_like()?.scatter_add(&winners, &products.gather(&winners, 1)?, 1)
    }
}

impl Module for MultiWinner {
    fn forward(&self, frames: &Tensor) -> Result<Tensor> {
        over_sums(&self.activations(frames)?, &self.weights.sum(1)?)
    }
}

impl Rule for MultiWinner {
    const NAME: &'static str = "multi-winner";
    type Config = MultiWinnerConfig;

    /// A layer for `inputs` inputs, its weights drawn uniform in 0 to `init_max`.
    fn new(
        config: MultiWinnerConfig,
        inputs: usize,
        generator: &mut Generator,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        let weights = generator.uniform((config.units, inputs), 0.0, config.init_max, device)?;
        Self::with_weights(config, weights)
    }

    /// A layer that goes on from a saved state, on the device of its tensors.
    fn from_state(config: MultiWinnerConfig, state: State) -> Result<Self> {
        config.validate()?;
        let inputs = state.get("weights").map_or(Ok(0), |weights| weights.dim(D::Minus1))?;
        check_state(&state, &[("weights", (config.units, inputs).into())])?;
        Self::with_weights(config, state["weights"].copy()?)
    }
}

impl LearningRule for MultiWinner {
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

    /// Passes the winners' activations from before a frame's update upward, over the row sums after it. Measures
    /// `reconstruction_error`, what the update corrects: `Σ |v - r|² / Σ |v|²` over the frames.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        check_batch(inputs, self.inputs())?;
        check_frames(inputs)?;
        let MultiWinnerConfig { winners, learning_rate, floor, clamp, minibatch, .. } = self.config;
        let steps =
            MultiWinnerSteps { winners, rate: learning_rate * self.rate_scale, floor, clamp, minibatch };
        let stepped = steps.run(&self.weights, inputs, self.panels.as_mut(), &self.last_error)?;
        self.last_error = stepped.error.clone();
        let learned = Learned::new(stepped.output).with_winners(stepped.winners);
        Ok(learned.measured("reconstruction_error", stepped.error))
    }

    fn weights(&self) -> Result<Tensor> {
        self.weights.copy()
    }

    fn tensors(&self) -> Result<State> {
        Ok(State::from([("weights".to_owned(), self.weights.clone())]))
    }

    fn can_undo(&self) -> bool {
        self.panels.is_some()
    }

    fn undo(&mut self) -> Result<()> {
        match &mut self.panels {
            Some(panels) => panels.undo(&self.weights),
            None => bail!("a step of minibatches cannot be undone"),
        }
    }

    fn restore(&mut self, state: State) -> Result<()> {
        check_state(&state, &[("weights", self.weights.shape().clone())])?;
        self.weights.slice_set(&state["weights"].contiguous()?.to_device(self.weights.device())?, 0, 0)?;
        self.panels = self.config.panels(&self.weights)?;
        self.last_error = no_update(self.weights.device())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    fn config() -> MultiWinnerConfig {
        MultiWinnerConfig { units: 70, winners: 3, learning_rate: 0.03, ..Default::default() }
    }

    fn rule(config: MultiWinnerConfig) -> Result<MultiWinner> {
        MultiWinner::new(config, 20, &mut Generator::new(0, "multi-winner test"), &Device::Cpu)
    }

    fn frames(seed: u64) -> Result<Tensor> {
        Generator::new(seed, "frames").uniform((10, 20), -1.0, 1.0, &Device::Cpu)?.relu()
    }

    fn with_weights(weights: &[[f32; 2]], winners: usize) -> Result<MultiWinner> {
        let config = MultiWinnerConfig { units: weights.len(), winners, ..config() };
        let weights = Tensor::from_slice(weights.as_flattened(), (weights.len(), 2), &Device::Cpu)?;
        MultiWinner::from_state(config, State::from([("weights".to_owned(), weights)]))
    }

    #[test]
    fn a_step_that_was_undone_leaves_no_trace() -> Result<()> {
        let (mut undone, mut never) = (rule(config())?, rule(config())?);
        for rule in [&mut undone, &mut never] {
            rule.learn(&frames(0)?)?;
        }
        undone.learn(&frames(1)?)?;
        assert_ne!(undone.weights()?.to_vec2::<f32>()?, never.weights()?.to_vec2::<f32>()?);
        undone.undo()?;
        assert_eq!(undone.weights()?.to_vec2::<f32>()?, never.weights()?.to_vec2::<f32>()?);
        let outputs = [undone.learn(&frames(2)?)?, never.learn(&frames(2)?)?].map(|learned| learned.output);
        assert_eq!(outputs[0].to_vec2::<f32>()?, outputs[1].to_vec2::<f32>()?);
        assert_eq!(undone.weights()?.to_vec2::<f32>()?, never.weights()?.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn a_field_outside_its_range_is_named_with_what_is_allowed() {
        let cases = [
            (MultiWinnerConfig { units: 0, ..config() }, "units = 0 is not allowed: at least 1"),
            (MultiWinnerConfig { winners: 71, ..config() }, "winners = 71 is not allowed: 1 to units (70)"),
            (MultiWinnerConfig { winners: 0, ..config() }, "winners = 0 is not allowed: at least 1"),
            (MultiWinnerConfig { learning_rate: -0.1, ..config() }, "learning_rate = -0.1 is not allowed"),
            (MultiWinnerConfig { floor: 0.0, ..config() }, "floor = 0 is not allowed: a number of at least"),
            (
                MultiWinnerConfig { init_max: f64::NAN, ..config() },
                "init_max = NaN or infinity is not allowed",
            ),
        ];
        for (config, expected) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn of_equal_units_the_lower_win() -> Result<()> {
        let mut rule = with_weights(&[[0.1, 0.1], [0.3, 0.1], [0.3, 0.1], [0.1, 0.1]], 3)?;
        let learned = rule.learn(&Tensor::new(&[[1f32, 1.0], [0.0, 0.0]], &Device::Cpu)?)?;
        assert_eq!(learned.winners()?.to_vec2::<u32>()?, [[1, 2, 0], [0, 1, 2]]);
        Ok(())
    }

    #[test]
    fn a_blank_frame_is_legal_and_changes_nothing() -> Result<()> {
        let mut rule = rule(config())?;
        let before = rule.weights()?.to_vec2::<f32>()?;
        let learned = rule.learn(&Tensor::zeros((2, 20), DType::F32, &Device::Cpu)?)?;
        assert_eq!(learned.output.max_all()?.to_scalar::<f32>()?, 0.0);
        assert_eq!(learned.measure("reconstruction_error")?.to_scalar::<f32>()?, 0.0);
        assert_eq!(rule.weights()?.to_vec2::<f32>()?, before);
        Ok(())
    }

    #[test]
    fn the_output_is_the_activation_before_the_update_over_the_row_sum_after_it() -> Result<()> {
        let mut rule = with_weights(&[[0.2, 0.4], [0.1, 0.1]], 1)?;
        let output = rule.learn(&Tensor::new(&[[1f32, 0.5]], &Device::Cpu)?)?.output.to_vec2::<f32>()?;
        let sum = rule.weights()?.sum(1)?.to_vec1::<f32>()?[0];
        assert!((output[0][0] - 0.4 / sum).abs() < 1e-6 && output[0][1] == 0.0, "{output:?}");
        // At rest, the same weights serve for both.
        let at_rest = rule.forward(&Tensor::new(&[[1f32, 0.5]], &Device::Cpu)?)?.to_vec2::<f32>()?[0][0];
        assert!((at_rest - output[0][0]).abs() > 1e-6);
        Ok(())
    }

    #[test]
    fn a_factor_below_zero_ends_at_zero_or_goes_through_it() -> Result<()> {
        for clamp in [true, false] {
            let config = MultiWinnerConfig { units: 1, winners: 1, learning_rate: 10.0, clamp, ..config() };
            let weights = Tensor::new(&[[1f32, 1.0]], &Device::Cpu)?;
            let mut rule = MultiWinner::from_state(config, State::from([("weights".to_owned(), weights)]))?;
            rule.learn(&Tensor::new(&[[1f32, 0.0]], &Device::Cpu)?)?;
            let weights = rule.weights()?.to_vec2::<f32>()?;
            assert_eq!(weights, [[1.0, if clamp { 0.0 } else { -9.0 }]]);
        }
        Ok(())
    }

    #[test]
    fn weights_that_begin_positive_stay_so() -> Result<()> {
        let mut rule = rule(MultiWinnerConfig { learning_rate: 0.5, ..config() })?;
        for seed in 0..50 {
            rule.learn(&frames(seed)?)?;
        }
        assert!(rule.weights()?.min_all()?.to_scalar::<f32>()? >= 0.0);
        Ok(())
    }

    #[test]
    fn frames_that_are_negative_or_not_finite_are_refused_by_number_and_teach_nothing() -> Result<()> {
        let mut rule = rule(config())?;
        let before = rule.weights()?.to_vec2::<f32>()?;
        for value in [f32::NAN, f32::INFINITY, -1.0] {
            let bad = Tensor::full(value, (1, 20), &Device::Cpu)?;
            let frames = Tensor::cat(&[frames(0)?, bad], 0)?;
            let message = rule.learn(&frames).unwrap_err().to_string();
            assert!(message.starts_with(&format!("frame 10 holds {value}")), "{message}");
            assert_eq!(rule.weights()?.to_vec2::<f32>()?, before);
        }
        Ok(())
    }

    #[test]
    fn a_restored_rule_learns_on_with_the_same_bits() -> Result<()> {
        let mut learned = rule(config())?;
        for seed in 0..5 {
            learned.learn(&frames(seed)?)?;
        }
        let mut restored = MultiWinner::from_state(config(), learned.state()?)?;
        for seed in 5..10 {
            learned.learn(&frames(seed)?)?;
            restored.learn(&frames(seed)?)?;
        }
        assert_eq!(learned.weights()?.to_vec2::<f32>()?, restored.weights()?.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn reconstruction_improves_with_learning() -> Result<()> {
        let mut rule = rule(config())?;
        let frames = frames(0)?;
        let before = rule.relative_error(&frames)?;
        for _ in 0..200 {
            rule.learn(&frames)?;
        }
        let after = rule.relative_error(&frames)?;
        assert!(after < 0.2 * before, "{before} to {after}");
        Ok(())
    }
}
