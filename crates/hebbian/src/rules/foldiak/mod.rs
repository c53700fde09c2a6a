//! Földiák's sparse coding: units that are Hebbian towards their inputs and anti-Hebbian among themselves.
//!
//! A pattern x drives all units. They inhibit each other through lateral weights `w <= 0` until their outputs y settle;
//! those above one half have fired:
//!
//! ```text
//! dy_u/dt = f(Σ_i q_ui x_i + Σ_v w_uv y_v - t_u) - y_u          f(a) = 1 / (1 + e^(-slope a)), from y = 0
//! z_u     = 1 if y_u > 1/2, else 0
//! w_uv ← min(w_uv - inhibition_rate (z_u z_v - activity²), 0)   w_uu = 0: units that fire together come to inhibit each other
//! q_ui ← q_ui + learning_rate z_u (x_i - q_ui)                  a unit that fires comes to resemble its patterns
//! t_u  ← t_u + threshold_rate (z_u - activity)                  a unit that fires too often becomes harder to drive
//! ```
//!
//! Patterns are learned in order, one at a time; a batch is a sequence. Before the first, the thresholds alone are
//! adapted to about a hundred patterns, by [`Fit`](crate::Fit) or with [`Foldiak::preset_thresholds`].
//!
//! Source: P. Földiák, "Forming sparse representations by local anti-Hebbian learning", Biological Cybernetics 64 (1990),
//! [doi:10.1007/BF02331346](https://doi.org/10.1007/BF02331346).
//!
//! [`Settling::OneShot`] is the network of the notebook "Exploring Sparse Coding" (2020) instead, for showing why it
//! fails: units see each other's drive in a single step, their outputs stay graded, `z = y`, and w may become excitatory.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use candle_nn::Module;
//! use hebbian::{Foldiak, FoldiakConfig, LearningRule, Rule};
//! use hebbian_training::Generator;
//!
//! // Two causes of four inputs each, which appear alone and together.
//! let patterns = [[1f32, 1., 1., 1., 0., 0., 0., 0.], [0., 0., 0., 0., 1., 1., 1., 1.], [1.; 8], [0.; 8]];
//! let patterns = Tensor::new(&patterns, &Device::Cpu)?;
//! let config = FoldiakConfig { units: 2, activity: 0.5, ..Default::default() };
//! let mut rule = Foldiak::new(config, 8, &mut Generator::new(0, "doctest"), &Device::Cpu)?;
//! rule.preset_thresholds(&patterns.repeat((25, 1))?, 0.1)?;
//! for _ in 0..400 {
//!     rule.learn(&patterns)?;
//! }
//! // Each unit stands for one of them, so that the code of both together is both units.
//! let code = rule.forward(&patterns)?.to_vec2::<f32>()?;
//! assert_ne!(code[0], code[1]);
//! assert_eq!(code[2], [1.0, 1.0]);
//! assert_eq!(code[3], [0.0, 0.0]);
//! # Ok::<(), candle_core::Error>(())
//! ```

mod anti_hebbian;
mod basin;
mod lateral;
mod logistic;
mod settling;
mod symmetric;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::Module;
use hebbian_training::{Generator, Invalid, Parameters, State, fits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops::{LENGTH_FLOOR, RowNorm, check_batch, check_inputs, no_update, row_norms};
use crate::rule::{Learned, LearningRule, Rule, check_state};
use anti_hebbian::{AntiHebbian, AntiHebbianStep, Rates};
pub use settling::Settling;
use settling::{Layer, settle};

/// The parameters of [`Foldiak`]. The default is the paper's, for lines on a grid of 8 by 8.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FoldiakConfig {
    /// Number of units.
    #[schemars(range(min = 1))]
    pub units: usize,
    /// How the outputs follow from the inputs.
    pub settling: Settling,
    /// The share of patterns that each unit is to fire at, p.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub activity: f64,
    /// How fast the lateral weights learn, α.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub inhibition_rate: f64,
    /// How fast the weights from the inputs learn, β.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub learning_rate: f64,
    /// How fast the thresholds learn, γ.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold_rate: f64,
    /// What the weights from the inputs begin with.
    pub init: Init,
    /// Length, bound or largest entry of them, as [`Init`] says.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub init_scale: f64,
    /// The lateral weights begin as |N(0, 1)|, scaled so that the largest is this, its sign included; 0 begins without.
    pub init_lateral: f64,
    /// What the thresholds begin with.
    pub init_threshold: f64,
    /// Patterns that the thresholds alone adapt to before learning begins.
    pub preset_patterns: usize,
    /// How fast they adapt to those.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub preset_rate: f64,
}

/// What the weights from the inputs begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Uniform draws, each unit's scaled to the length `init_scale`.
    Length,
    /// Uniform draws from 0 to `init_scale`.
    Uniform,
    /// |N(0, 1)|, all scaled so that the largest is `init_scale`.
    FoldedNormal,
}

impl Default for FoldiakConfig {
    fn default() -> Self {
        let settling = Settling::Equilibrium { slope: 10.0, time_step: 0.1, iterations: 200, tolerance: 0.0 };
        Self {
            units: 16,
            settling,
            activity: 0.125,
            inhibition_rate: 0.1,
            learning_rate: 0.02,
            threshold_rate: 0.02,
            init: Init::Length,
            init_scale: 1.0,
            init_lateral: 0.0,
            init_threshold: 1.0,
            preset_patterns: 100,
            preset_rate: 0.1,
        }
    }
}

impl Parameters for FoldiakConfig {
    fn check_together(&self) -> std::result::Result<(), Invalid> {
        let free = matches!(self.settling, Settling::OneShot) || self.init_lateral <= 0.0;
        Invalid::unless(free, "init_lateral", self.init_lateral, "at most 0, which is inhibition")
    }
}

impl FoldiakConfig {
    /// The last cell of the notebook "Exploring Sparse Coding", in which all units come to be the same.
    pub fn notebook() -> Self {
        Self {
            units: 100,
            settling: Settling::OneShot,
            activity: 0.05,
            inhibition_rate: 0.001,
            learning_rate: 0.1,
            threshold_rate: 0.01,
            init: Init::Uniform,
            init_scale: 10.0,
            init_lateral: 0.0,
            init_threshold: 0.0,
            preset_patterns: 0,
            preset_rate: 0.1,
        }
    }
}

/// A layer of units that inhibit each other.
///
/// Its state is `weights (units, inputs)`, `lateral (units, units)`, whose row u is what unit u receives from each other,
/// and `thresholds (units)`. [`Module::forward`] is the code of each input, 0 or 1 per unit (graded with
/// [`Settling::OneShot`]).
#[derive(Debug)]
pub struct Foldiak {
    config: FoldiakConfig,
    rate_scale: f64,
    layer: Layer,
    /// How far the weights moved last, which tells on a GPU whether all inputs were finite.
    last_moved: Tensor,
}

impl Foldiak {
    /// Adapts the thresholds alone to the rows of `inputs (batch, inputs)` in order, by `rate`: the paper does so with
    /// 100 patterns and the rate 0.1 before learning begins, so that no unit begins by always firing.
    ///
    /// A training that goes on from a checkpoint has this behind it: the thresholds are part of the state.
    pub fn preset_thresholds(&mut self, inputs: &Tensor, rate: f64) -> Result<()> {
        Invalid::unless((0.0..=1.0).contains(&rate), "rate", rate, "0 to 1")?;
        let rates = Rates { feed_forward: 0.0, lateral: 0.0, threshold: rate };
        self.learn_with(rates, inputs).map(drop)
    }

    /// The outputs `(batch, units)` that each of `inputs (batch, inputs)` settles on, before it is decided who fired.
    pub fn settled(&self, inputs: &Tensor) -> Result<Tensor> {
        settle(&self.layer, inputs, &self.config.settling)
    }

    /// What each unit (row) receives from each other, `(units, units)`: a copy.
    pub fn lateral(&self) -> Result<Tensor> {
        self.layer.outgoing.t()?.copy()
    }

    /// The thresholds, `(units)`: a copy.
    pub fn thresholds(&self) -> Result<Tensor> {
        self.layer.thresholds.copy()
    }

    fn learn_with(&mut self, rates: Rates, inputs: &Tensor) -> Result<AntiHebbianStep> {
        check_batch(inputs, self.inputs())?;
        let Self { config: FoldiakConfig { settling, activity, .. }, layer, last_moved, .. } = self;
        let rule = AntiHebbian { settling, activity: *activity, rates, before: last_moved };
        let step = rule.learn(layer, inputs)?;
        *last_moved = step.moved.clone();
        Ok(step)
    }
}

fn folded_normal(
    shape: (usize, usize),
    largest: f64,
    generator: &mut Generator,
    device: &Device,
) -> Result<Tensor> {
    let draws = generator.normal(shape, 0.0, 1.0, device)?.abs()?;
    let most = f64::from(draws.max_all()?.to_scalar::<f32>()?).max(LENGTH_FLOOR);
    draws * (largest / most)
}

fn shapes(units: usize, inputs: usize) -> [(&'static str, candle_core::Shape); 3] {
    [("weights", (units, inputs).into()), ("lateral", (units, units).into()), ("thresholds", units.into())]
}

/// A copy, since kernels write in place.
fn layer_of(state: &State) -> Result<Layer> {
    Ok(Layer {
        weights: state["weights"].copy()?,
        outgoing: state["lateral"].t()?.copy()?,
        thresholds: state["thresholds"].copy()?,
    })
}

/// The units above one half, each row's in order and then `u32::MAX`.
fn fired(outputs: &Tensor) -> Result<Tensor> {
    let (batch, units) = outputs.dims2()?;
    let device = outputs.device();
    let index = Tensor::arange(0u32, units as u32, device)?.broadcast_as((batch, units))?;
    let none = Tensor::full(u32::MAX, (batch, units), device)?;
    Ok(outputs.gt(0.5)?.where_cond(&index, &none)?.sort_last_dim(true)?.0)
}

impl Module for Foldiak {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        let settled = self.settled(inputs)?;
        match self.config.settling {
            Settling::Equilibrium { .. } => settled.gt(0.5)?.to_dtype(DType::F32),
            Settling::OneShot => Ok(settled),
        }
    }
}

impl Rule for Foldiak {
    const NAME: &'static str = "foldiak";
    type Config = FoldiakConfig;

    /// A layer for `inputs` inputs, drawn as its config says.
    fn new(config: FoldiakConfig, inputs: usize, generator: &mut Generator, device: &Device) -> Result<Self> {
        config.validate()?;
        check_inputs(inputs)?;
        fits(&[config.units, config.units], size_of::<f32>())?;
        let (shape, scale) = ((config.units, inputs), config.init_scale);
        let weights = match config.init {
            Init::Uniform => generator.uniform(shape, 0.0, scale, device)?,
            Init::FoldedNormal => folded_normal(shape, scale, generator, device)?,
            Init::Length => {
                let draws = generator.uniform(shape, 0.0, 1.0, device)?;
                let lengths = row_norms(&draws, RowNorm::Euclidean)?.maximum(LENGTH_FLOOR)?;
                (draws.broadcast_div(&lengths.unsqueeze(1)?)? * scale)?
            }
        };
        let outgoing = match config.init_lateral {
            0.0 => Tensor::zeros((config.units, config.units), DType::F32, device)?,
            largest => {
                let draws = folded_normal((config.units, config.units), largest, generator, device)?;
                (&draws - (&draws * Tensor::eye(config.units, DType::F32, device)?)?)?
            }
        };
        let thresholds = (Tensor::ones(config.units, DType::F32, device)? * config.init_threshold)?;
        let layer = Layer { weights, outgoing, thresholds };
        Ok(Self { config, rate_scale: 1.0, layer, last_moved: no_update(device)? })
    }

    /// A layer that goes on from a saved state, on the device of its tensors.
    fn from_state(config: FoldiakConfig, state: State) -> Result<Self> {
        config.validate()?;
        let inputs = state.get("weights").map_or(Ok(0), |weights| weights.dim(D::Minus1))?;
        check_state(&state, &shapes(config.units, inputs))?;
        check_inputs(inputs)?;
        let layer = layer_of(&state)?;
        let last_moved = no_update(layer.weights.device())?;
        Ok(Self { config, rate_scale: 1.0, layer, last_moved })
    }
}

impl LearningRule for Foldiak {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!(self.config)
    }

    fn inputs(&self) -> usize {
        self.layer.weights.dims()[1]
    }

    fn units(&self) -> usize {
        self.config.units
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.config.learning_rate * self.rate_scale)
    }

    /// Adapts the thresholds alone to the first `preset_patterns` of `inputs`, as [`Foldiak::preset_thresholds`] does.
    fn prepare(&mut self, inputs: &Tensor) -> Result<()> {
        let patterns = self.config.preset_patterns.min(inputs.dim(0)?);
        match patterns {
            0 => Ok(()),
            _ => self.preset_thresholds(&inputs.narrow(0, 0, patterns)?, self.config.preset_rate),
        }
    }

    fn set_rate_scale(&mut self, scale: f64) {
        self.rate_scale = scale;
    }

    /// Passes z upward. Its winners are the units that fired. Measures `weight_change`, how far the weights from the
    /// inputs moved per pattern, the mean over the batch: it falls as units come to resemble what they fire at.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        let FoldiakConfig { learning_rate, inhibition_rate, threshold_rate, .. } = self.config;
        let rates = Rates {
            feed_forward: learning_rate * self.rate_scale,
            lateral: inhibition_rate * self.rate_scale,
            threshold: threshold_rate * self.rate_scale,
        };
        let AntiHebbianStep { outputs, moved } = self.learn_with(rates, inputs)?;
        let winners = fired(&outputs)?;
        Ok(Learned::new(outputs).with_winners(winners).measured("weight_change", moved))
    }

    fn weights(&self) -> Result<Tensor> {
        self.layer.weights.copy()
    }

    fn tensors(&self) -> Result<State> {
        Ok(State::from([
            ("weights".to_owned(), self.layer.weights.clone()),
            ("lateral".to_owned(), self.layer.outgoing.t()?),
            ("thresholds".to_owned(), self.layer.thresholds.clone()),
        ]))
    }

    fn restore(&mut self, state: State) -> Result<()> {
        let (units, inputs) = self.layer.weights.dims2()?;
        check_state(&state, &shapes(units, inputs))?;
        let device = &self.layer.weights.device().clone();
        let moved = state.into_iter().map(|(name, tensor)| Ok((name, tensor.to_device(device)?)));
        self.layer = layer_of(&moved.collect::<Result<State>>()?)?;
        self.last_moved = no_update(device)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settling: Settling) -> FoldiakConfig {
        FoldiakConfig { units: 12, settling, ..Default::default() }
    }

    fn equilibrium() -> FoldiakConfig {
        config(FoldiakConfig::default().settling)
    }

    fn rule(config: FoldiakConfig) -> Result<Foldiak> {
        Foldiak::new(config, 20, &mut Generator::new(0, "foldiak test"), &Device::Cpu)
    }

    fn batch(seed: u64) -> Result<Tensor> {
        Generator::new(seed, "batch").uniform((10, 20), 0.0, 1.0, &Device::Cpu)
    }

    fn bits(rule: &Foldiak) -> Result<Vec<Vec<u32>>> {
        let flat = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let bits = |tensor: &Tensor| Ok(flat(tensor)?.into_iter().map(f32::to_bits).collect());
        rule.state()?.values().map(bits).collect()
    }

    #[test]
    fn a_field_outside_its_range_is_named_with_what_is_allowed() {
        let settling = |slope, time_step, iterations, tolerance| {
            config(Settling::Equilibrium { slope, time_step, iterations, tolerance })
        };
        let fine = equilibrium();
        let cases = [
            (FoldiakConfig { units: 0, ..fine.clone() }, "units = 0 is not allowed: at least 1"),
            (FoldiakConfig { activity: 1.0, ..fine.clone() }, "activity = 1 is not allowed"),
            (FoldiakConfig { learning_rate: 0.0, ..fine.clone() }, "learning_rate = 0 is not allowed"),
            (
                FoldiakConfig { inhibition_rate: -0.1, ..fine.clone() },
                "inhibition_rate = -0.1 is not allowed",
            ),
            (
                FoldiakConfig { threshold_rate: f64::NAN, ..fine.clone() },
                "threshold_rate = NaN or infinity is not allowed",
            ),
            (FoldiakConfig { init_scale: 0.0, ..fine.clone() }, "init_scale = 0 is not allowed"),
            (
                FoldiakConfig { init_lateral: 1.0, ..fine.clone() },
                "init_lateral = 1 is not allowed: at most 0",
            ),
            (
                FoldiakConfig { init_threshold: f64::INFINITY, ..fine },
                "init_threshold = NaN or infinity is not allowed",
            ),
            (settling(0.0, 0.1, 1, 0.0), "settling.slope = 0 is not allowed"),
            (settling(1.0, 1.5, 1, 0.0), "settling.time_step = 1.5 is not allowed"),
            (settling(1.0, 0.1, 0, 0.0), "settling.iterations = 0 is not allowed"),
            (settling(1.0, 0.1, 1, -1.0), "settling.tolerance = -1 is not allowed"),
        ];
        for (config, expected) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        let excited = FoldiakConfig { init_lateral: 1.0, ..FoldiakConfig::notebook() };
        excited.validate().unwrap();
    }

    #[test]
    fn inhibition_stays_negative_and_no_unit_inhibits_itself() -> Result<()> {
        let mut rule = rule(FoldiakConfig { init_lateral: -1.0, ..equilibrium() })?;
        for seed in 0..20 {
            rule.learn(&batch(seed)?)?;
            for (unit, row) in rule.lateral()?.to_vec2::<f32>()?.into_iter().enumerate() {
                assert!(row.iter().all(|&weight| weight <= 0.0), "{row:?}");
                assert_eq!(row[unit], 0.0);
            }
        }
        Ok(())
    }

    #[test]
    fn the_notebooks_lateral_weights_become_excitatory_where_nothing_fires() -> Result<()> {
        let silent = FoldiakConfig { units: 12, init_threshold: 1e6, ..FoldiakConfig::notebook() };
        let mut rule = rule(silent)?;
        rule.learn(&batch(0)?)?;
        assert!(rule.lateral()?.max_all()?.to_scalar::<f32>()? > 0.0);
        Ok(())
    }

    #[test]
    fn what_fires_while_learning_is_what_forward_gives() -> Result<()> {
        let mut rule = rule(equilibrium())?;
        rule.preset_thresholds(&batch(0)?, 0.1)?;
        for seed in 0..20 {
            let sample = batch(seed)?.narrow(0, 0, 1)?;
            let code = rule.forward(&sample)?.to_vec2::<f32>()?;
            let learned = rule.learn(&sample)?;
            assert_eq!(learned.output.to_vec2::<f32>()?, code);
            let mut fired: Vec<u32> = (0..12).filter(|&unit| code[0][unit as usize] == 1.0).collect();
            fired.resize(12, u32::MAX);
            assert_eq!(learned.winners()?.to_vec2::<u32>()?, [fired]);
        }
        Ok(())
    }

    #[test]
    fn a_batch_settles_as_each_of_its_patterns_does_alone() -> Result<()> {
        let tolerant =
            Settling::Equilibrium { slope: 10.0, time_step: 0.1, iterations: 500, tolerance: 1e-2 };
        for config in [config(tolerant), FoldiakConfig { units: 12, ..FoldiakConfig::notebook() }] {
            let rule = rule(FoldiakConfig { init_lateral: -0.5, ..config })?;
            let together = rule.settled(&batch(0)?)?.to_vec2::<f32>()?;
            for (row, together) in together.iter().enumerate() {
                let alone = rule.settled(&batch(0)?.narrow(0, row, 1)?)?.to_vec2::<f32>()?;
                for (alone, together) in alone[0].iter().zip(together) {
                    assert!((alone - together).abs() < 1e-6, "{alone} and {together}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn presetting_moves_the_thresholds_only() -> Result<()> {
        let mut rule = rule(equilibrium())?;
        let (weights, thresholds) = (rule.weights()?.to_vec2::<f32>()?, rule.thresholds()?.to_vec1::<f32>()?);
        rule.preset_thresholds(&batch(0)?, 0.1)?;
        assert_eq!(rule.weights()?.to_vec2::<f32>()?, weights);
        assert_eq!(rule.lateral()?.abs()?.max_all()?.to_scalar::<f32>()?, 0.0);
        assert_ne!(rule.thresholds()?.to_vec1::<f32>()?, thresholds);
        assert!(rule.preset_thresholds(&batch(0)?, 2.0).is_err());
        Ok(())
    }

    #[test]
    fn a_restored_rule_learns_on_with_the_same_bits() -> Result<()> {
        let notebook = FoldiakConfig { units: 12, init_lateral: 1.0, ..FoldiakConfig::notebook() };
        for config in [equilibrium(), notebook] {
            let mut learned = rule(config.clone())?;
            for seed in 0..5 {
                learned.learn(&batch(seed)?)?;
            }
            let mut restored = Foldiak::from_state(config.clone(), learned.state()?)?;
            let mut other = rule(config)?;
            other.restore(learned.state()?)?;
            for seed in 5..10 {
                for rule in [&mut learned, &mut restored, &mut other] {
                    rule.learn(&batch(seed)?)?;
                }
            }
            assert_eq!(bits(&learned)?, bits(&restored)?);
            assert_eq!(bits(&learned)?, bits(&other)?);
        }
        Ok(())
    }

    #[test]
    fn samples_that_are_not_finite_are_refused_and_change_nothing() -> Result<()> {
        for config in [equilibrium(), FoldiakConfig { units: 12, ..FoldiakConfig::notebook() }] {
            let mut rule = rule(config)?;
            let before = bits(&rule)?;
            for value in [f64::NAN, f64::INFINITY] {
                assert!(rule.learn(&(batch(0)? * value)?).is_err());
                assert_eq!(bits(&rule)?, before);
            }
        }
        Ok(())
    }

    #[test]
    fn the_largest_samples_leave_everything_finite() -> Result<()> {
        for config in [equilibrium(), FoldiakConfig { units: 12, ..FoldiakConfig::notebook() }] {
            let mut rule = rule(config)?;
            for _ in 0..3 {
                rule.learn(&(batch(0)? * 3e38)?)?;
            }
            check_state(&rule.state()?, &shapes(12, 20))?;
        }
        Ok(())
    }
}
