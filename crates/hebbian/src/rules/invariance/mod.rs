//! Invariance to time: units that average what drives them, and learn to reconstruct the sparse code below from that.
//!
//! The average `m` of a unit outlasts the frame; what it learns to reconstruct is then what tends to follow one another,
//! the same stroke in the next position. Each synapse grows or shrinks by the factor by which the reconstruction missed:
//!
//! ```text
//! m_j  ← m_j + average_rate (Σ_i w_ji v_i - m_j)
//! r_i  = Σ_j m_j w_ji
//! w_ji ← w_ji (1 + m_j z_i (v_i - r_i) / max(r_i, floor))      z = on_rate where v > 0, else off_rate
//! ```
//!
//! The two rates are what makes it work. One rate for all synapses teaches the units to ignore inputs, since most
//! inputs are off most of the time; a rate only where the input is on forgets too slowly. Every so many frames of an
//! epoch, the first included, the rows are brought back to one size ([`Normalization`]).
//!
//! A batch is a stretch of time: `learn` goes on from the average that the last batch left, and an epoch begins from
//! zero. `forward` always begins from zero.
//!
//! Source: the notebook "Variable Xi Invariance" (2021).
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use candle_nn::Module;
//! use hebbian::{Invariance, InvarianceConfig, LearningRule, Rule};
//! use hebbian_training::Generator;
//!
//! // Two things, each of which is seen in two ways, one after the other.
//! let frames = [[1f32, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
//! let frames = [0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3].map(|view: usize| frames[view]);
//! let frames = Tensor::new(&frames, &Device::Cpu)?;
//!
//! let config = InvarianceConfig { units: 2, init_max: 1.0, off_rate: 0.05, ..Default::default() };
//! let config = InvarianceConfig { normalization: None, ..config };
//! let mut rule = Invariance::new(config, 4, &mut Generator::new(0, "doctest"), &Device::Cpu)?;
//! let error_before = rule.relative_error(&frames)?;
//! for epoch in 0..300 {
//!     rule.begin_epoch(epoch, &frames)?;
//!     rule.learn(&frames)?;
//! }
//! // From averages over time it reconstructs better what is seen at one time.
//! assert!(rule.relative_error(&frames)? < error_before);
//! # Ok::<(), candle_core::Error>(())
//! ```

mod steps;

use candle_core::{D, DType, Device, Result, Tensor, bail};
use candle_nn::Module;
use hebbian_training::{Generator, Parameters, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops::{
    check_batch, check_frames, check_inputs, no_update, reconstruction_error, running_average, top_k,
    unless_fault,
};
use crate::rule::{Learned, LearningRule, Rule, check_state, is_one};
use steps::{InvarianceSteps, RowScale, Workspace};

/// The parameters of [`Invariance`]. The default is the notebook's last setting with 100 units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InvarianceConfig {
    /// Number of units.
    #[schemars(range(min = 1))]
    pub units: usize,
    /// Weight of the newest frame in the average, α.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub average_rate: f64,
    /// Rate of the synapses whose input is on.
    #[schemars(range(min = 0.0))]
    pub on_rate: f64,
    /// Rate of the synapses whose input is off.
    #[schemars(range(min = 0.0))]
    pub off_rate: f64,
    /// The least that a reconstruction divides by.
    #[schemars(extend("minimum" = f64::from(f32::MIN_POSITIVE)))]
    pub floor: f64,
    /// The weights begin uniform in 0 to this.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub init_max: f64,
    /// Whether a schedule lowers the two rates. Where they fall, units that have lost their inputs do not come back.
    pub annealed: bool,
    /// How rows are brought back to one size, if they are.
    #[serde(alias = "normalisation")]
    pub normalization: Option<Normalization>,
    /// Frames per step. 1 is the rule itself, which learns each frame before it sees the next. More are an approximation
    /// for devices on which one step per frame is too short: all frames of a step see the weights that it began with, and
    /// what they add is summed, while the averages follow frame by frame; `docs/cuda.md` says what that does to the results.
    #[serde(skip_serializing_if = "is_one")]
    #[schemars(range(min = 1), extend("default" = 1))]
    pub minibatch: usize,
}

/// Rows of weights brought back to one size every so many frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Normalization {
    /// Frames from one to the next, counted from the first frame of an epoch, after which it happens too.
    #[schemars(range(min = 1, max = MOST_FRAMES))]
    pub every: usize,
    /// What the size of a row becomes.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub size: f64,
    /// What the size of a row is.
    pub of: RowSize,
}

/// What the size of a row of weights is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RowSize {
    /// Their sum.
    Sum,
    /// The largest of them.
    Maximum,
}

impl Default for InvarianceConfig {
    fn default() -> Self {
        Self {
            units: 100,
            average_rate: 1.0 / 3.0,
            on_rate: 0.05,
            off_rate: 0.0005,
            floor: 1e-10,
            init_max: 0.1,
            annealed: false,
            normalization: Some(Normalization::default()),
            minibatch: 1,
        }
    }
}

impl Parameters for InvarianceConfig {}

impl Default for Normalization {
    fn default() -> Self {
        Self { every: 2000, size: 9.0, of: RowSize::Sum }
    }
}

/// Up to here the frame's number is exact in f32, as which it is saved.
const MOST_FRAMES: usize = 1 << 24;

/// A layer of units that average over time.
///
/// Its state is `weights (units, inputs)`, and where it stands in its stream: `average (units)` and `frame`, how many
/// frames have gone by since rows were last due. [`Module::forward`] takes a batch as a stretch of time and gives the
/// averages after each frame.
#[derive(Debug)]
pub struct Invariance {
    config: InvarianceConfig,
    rate_scale: f64,
    weights: Tensor,
    average: Tensor,
    frame: usize,
    workspace: Option<Workspace>,
    /// The error of the last call, which tells on a GPU whether all updates were finite.
    last_error: Tensor,
}

impl Invariance {
    fn with_state(config: InvarianceConfig, weights: Tensor, average: Tensor, frame: usize) -> Result<Self> {
        check_inputs(weights.dim(1)?)?;
        let workspace = if config.minibatch == 1 { Workspace::of(&weights)? } else { None };
        let last_error = no_update(weights.device())?;
        Ok(Self { config, rate_scale: 1.0, weights, average, frame, workspace, last_error })
    }

    /// The average of each unit after the last frame that was learned, `(units)`: a copy.
    pub fn average(&self) -> Result<Tensor> {
        self.average.copy()
    }

    /// What drives each unit at each frame, before it is averaged: `Σ_i w_ji v_i`, `(frames, units)`.
    pub fn drive(&self, frames: &Tensor) -> Result<Tensor> {
        frames.matmul(&self.weights.t()?)
    }

    /// `Σ |v - r|² / Σ |v|²` over the frames of one stretch of time, with the weights as they are.
    pub fn relative_error(&self, frames: &Tensor) -> Result<f64> {
        reconstruction_error(frames, &self.forward(frames)?.matmul(&self.weights)?)
    }

    fn every(&self) -> usize {
        self.config.normalization.map_or(1, |normalization| normalization.every)
    }
}

impl InvarianceConfig {
    /// Checks a state for weights of `shape`, and returns its frame.
    fn read(&self, shape: (usize, usize), state: &State) -> Result<usize> {
        let expected = [("weights", shape.into()), ("average", shape.0.into()), ("frame", 1.into())];
        check_state(state, &expected)?;
        let frame = state["frame"].to_vec1::<f32>()?[0];
        if !(0.0..MOST_FRAMES as f32).contains(&frame) || frame.fract() != 0.0 {
            bail!("state: `frame` is {frame}, expected a whole number below {MOST_FRAMES}");
        }
        Ok(frame as usize)
    }
}

impl Module for Invariance {
    fn forward(&self, frames: &Tensor) -> Result<Tensor> {
        running_average(&self.drive(frames)?, self.config.average_rate)
    }
}

impl Rule for Invariance {
    const NAME: &'static str = "invariance";
    type Config = InvarianceConfig;

    /// A layer for `inputs` inputs at the start of a stream, its weights drawn uniform in 0 to `init_max`.
    fn new(
        config: InvarianceConfig,
        inputs: usize,
        generator: &mut Generator,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        let weights = generator.uniform((config.units, inputs), 0.0, config.init_max, device)?;
        let average = Tensor::zeros(config.units, DType::F32, device)?;
        Self::with_state(config, weights, average, 0)
    }

    /// A layer that goes on from a saved state, on the device of its tensors.
    fn from_state(config: InvarianceConfig, state: State) -> Result<Self> {
        config.validate()?;
        let inputs = state.get("weights").map_or(Ok(0), |weights| weights.dim(D::Minus1))?;
        let frame = config.read((config.units, inputs), &state)?;
        Self::with_state(config, state["weights"].copy()?, state["average"].copy()?, frame)
    }
}

impl LearningRule for Invariance {
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
        Some(self.config.on_rate * self.rate_scale)
    }

    fn is_sequential(&self) -> bool {
        true
    }

    /// A new epoch is a new stretch of time: the average begins at zero and frames are counted anew.
    fn begin_epoch(&mut self, _epoch: usize, _inputs: &Tensor) -> Result<()> {
        self.average = self.average.zeros_like()?;
        self.frame = 0;
        Ok(())
    }

    /// Without effect unless [`InvarianceConfig::annealed`].
    fn set_rate_scale(&mut self, scale: f64) {
        self.rate_scale = if self.config.annealed { scale } else { 1.0 };
    }

    /// Passes the averages upward; the winner of a frame is the unit with the largest. Measures `reconstruction_error`,
    /// what the update corrects: `Σ |v - r|² / Σ |v|²` over the frames.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        let (frames, _) = check_batch(inputs, self.inputs())?;
        check_frames(inputs)?;
        let config = &self.config;
        let steps = InvarianceSteps {
            average_rate: config.average_rate,
            on_rate: config.on_rate * self.rate_scale,
            off_rate: config.off_rate * self.rate_scale,
            floor: config.floor,
            normalize: config.normalization.map(|Normalization { every, size, of }| RowScale {
                every,
                size,
                by_maximum: of == RowSize::Maximum,
            }),
            minibatch: config.minibatch,
        };
        let workspace = self.workspace.as_mut();
        let stepped =
            steps.run(&self.weights, inputs, &self.average, self.frame, workspace, &self.last_error)?;
        let average = stepped.output.get(frames - 1)?.copy()?;
        self.average = match self.weights.device().is_cpu() {
            true => average,
            false => unless_fault(&stepped.error, &average, &self.average)?,
        };
        self.last_error = stepped.error.clone();
        self.frame = (self.frame + frames) % self.every();
        let winners = top_k(&stepped.output, 1)?;
        let learned = Learned::new(stepped.output).with_winners(winners);
        Ok(learned.measured("reconstruction_error", stepped.error))
    }

    fn weights(&self) -> Result<Tensor> {
        self.weights.copy()
    }

    fn tensors(&self) -> Result<State> {
        let frame = Tensor::new(&[self.frame as f32], self.weights.device())?;
        Ok(State::from([
            ("weights".to_owned(), self.weights.clone()),
            ("average".to_owned(), self.average.clone()),
            ("frame".to_owned(), frame),
        ]))
    }

    fn restore(&mut self, state: State) -> Result<()> {
        let frame = self.config.read(self.weights.dims2()?, &state)?;
        let device = self.weights.device();
        let average = state["average"].to_device(device)?.copy()?;
        self.weights.slice_set(&state["weights"].contiguous()?.to_device(device)?, 0, 0)?;
        (self.average, self.frame) = (average, frame);
        self.last_error = no_update(device)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> InvarianceConfig {
        let normalization = Some(Normalization { every: 7, size: 2.0, of: RowSize::Sum });
        InvarianceConfig { units: 6, normalization, ..Default::default() }
    }

    fn rule(config: InvarianceConfig) -> Result<Invariance> {
        Invariance::new(config, 70, &mut Generator::new(0, "invariance test"), &Device::Cpu)
    }

    /// Sparse frames.
    fn frames(seed: u64) -> Result<Tensor> {
        Generator::new(seed, "frames").uniform((10, 70), -9.0, 1.0, &Device::Cpu)?.relu()
    }

    fn row_sums(rule: &Invariance) -> Result<Vec<f32>> {
        rule.weights()?.sum(1)?.to_vec1()
    }

    #[test]
    fn a_field_outside_its_range_is_named_with_what_is_allowed() {
        let every = |every| Some(Normalization { every, ..Default::default() });
        let size = |size| Some(Normalization { size, ..Default::default() });
        let cases = [
            (InvarianceConfig { units: 0, ..config() }, "units = 0 is not allowed: at least 1"),
            (
                InvarianceConfig { average_rate: 0.0, ..config() },
                "average_rate = 0 is not allowed: a number above 0",
            ),
            (InvarianceConfig { average_rate: 1.5, ..config() }, "average_rate = 1.5 is not allowed"),
            (InvarianceConfig { on_rate: f64::NAN, ..config() }, "on_rate = NaN or infinity is not allowed"),
            (InvarianceConfig { off_rate: -1.0, ..config() }, "off_rate = -1 is not allowed"),
            (InvarianceConfig { floor: 0.0, ..config() }, "floor = 0 is not allowed"),
            (InvarianceConfig { init_max: 0.0, ..config() }, "init_max = 0 is not allowed"),
            (
                InvarianceConfig { normalization: every(0), ..config() },
                "normalization.every = 0 is not allowed: 1 to",
            ),
            (
                InvarianceConfig { normalization: size(0.0), ..config() },
                "normalization.size = 0 is not allowed",
            ),
        ];
        for (config, expected) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn rows_are_normalized_after_the_first_frame_of_an_epoch_and_then_every_so_many() -> Result<()> {
        let mut rule = rule(config())?;
        for epoch in 0..2 {
            rule.begin_epoch(epoch, &frames(0)?)?;
            for frame in 0..20 {
                rule.learn(&frames(0)?.narrow(0, frame % 10, 1)?)?;
                let normal = row_sums(&rule)?.iter().all(|sum| (sum - 2.0).abs() < 1e-5);
                assert_eq!(normal, frame % 7 == 0, "frame {frame} of epoch {epoch}");
            }
        }
        Ok(())
    }

    #[test]
    fn one_call_for_all_frames_gives_the_bits_of_a_call_for_each() -> Result<()> {
        let (mut together, mut apart) = (rule(config())?, rule(config())?);
        let all = together.learn(&frames(0)?)?.output.to_vec2::<f32>()?;
        for (number, averages) in all.into_iter().enumerate() {
            let one = apart.learn(&frames(0)?.narrow(0, number, 1)?)?.output.to_vec2::<f32>()?;
            assert_eq!(one, [averages]);
        }
        assert_eq!(together.weights()?.to_vec2::<f32>()?, apart.weights()?.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn an_epoch_begins_at_rest_whatever_went_before() -> Result<()> {
        let (mut rested, mut moved) = (rule(config())?, rule(config())?);
        moved.learn(&frames(0)?)?;
        let mut state = moved.state()?;
        state.insert("weights".to_owned(), rested.weights()?);
        moved.restore(state)?;
        moved.begin_epoch(1, &frames(1)?)?;
        rested.begin_epoch(0, &frames(1)?)?;
        let outputs = [moved.learn(&frames(1)?)?, rested.learn(&frames(1)?)?].map(|learned| learned.output);
        assert_eq!(outputs[0].to_vec2::<f32>()?, outputs[1].to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn a_rule_restored_within_an_epoch_learns_on_with_the_same_bits() -> Result<()> {
        let mut learned = rule(config())?;
        learned.learn(&frames(0)?)?;
        let mut restored = Invariance::from_state(config(), learned.state()?)?;
        for seed in 1..5 {
            learned.learn(&frames(seed)?)?;
            restored.learn(&frames(seed)?)?;
        }
        assert_eq!(learned.weights()?.to_vec2::<f32>()?, restored.weights()?.to_vec2::<f32>()?);
        assert_eq!(learned.average()?.to_vec1::<f32>()?, restored.average()?.to_vec1::<f32>()?);
        Ok(())
    }

    #[test]
    fn forward_takes_the_batch_for_time_and_begins_at_rest() -> Result<()> {
        let rule = rule(config())?;
        let (averages, drive) = (rule.forward(&frames(0)?)?, rule.drive(&frames(0)?)?);
        let first = (drive.narrow(0, 0, 1)? * (1.0 / 3.0))?;
        let second = (&first + ((drive.narrow(0, 1, 1)? - &first)? * (1.0 / 3.0))?)?;
        let difference = (averages.narrow(0, 1, 1)? - second)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(difference < 1e-6, "{difference}");
        Ok(())
    }

    #[test]
    fn a_blank_frame_is_legal_and_lets_the_average_fall() -> Result<()> {
        let mut rule = rule(InvarianceConfig { normalization: None, ..config() })?;
        rule.learn(&frames(0)?)?;
        let before = rule.average()?.to_vec1::<f32>()?;
        rule.learn(&Tensor::zeros((1, 70), DType::F32, &Device::Cpu)?)?;
        for (after, before) in rule.average()?.to_vec1::<f32>()?.into_iter().zip(before) {
            assert!((after - before * 2.0 / 3.0).abs() < 1e-6, "{before} to {after}");
        }
        Ok(())
    }

    #[test]
    fn a_state_that_does_not_fit_is_refused_and_changes_nothing() -> Result<()> {
        let mut rule = rule(config())?;
        let before = rule.weights()?.to_vec2::<f32>()?;
        let mut missing = rule.state()?;
        missing.remove("average");
        let mut halfway = rule.state()?;
        halfway.insert("frame".to_owned(), Tensor::new(&[0.5f32], &Device::Cpu)?);
        for (state, expected) in [(missing, "tensor `average` is missing"), (halfway, "`frame` is 0.5")] {
            let message = rule.restore(state).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert_eq!(rule.weights()?.to_vec2::<f32>()?, before);
        }
        Ok(())
    }
}
