//! The spatial pooler of Hierarchical Temporal Memory: binary inputs to sparse binary codes.
//!
//! Each column has a potential pool of inputs and, for each of them, a permanence in [0, 1]. A synapse is connected from
//! a threshold on. For each input `x ∈ {0, 1}`, in order:
//!
//! ```text
//! o_c = b_c · #{ i : x_i = 1, permanence_ci >= connected }      the boosted overlap
//! A   = the columns with the k largest o_c                      ties to the lowest index
//! permanence_ci ← clip(permanence_ci + increment)  where x_i = 1,  (permanence_ci - decrement)  where x_i = 0,  c ∈ A
//! a_c ← a_c (T - 1) / T + [c ∈ A] / T                            the activity duty cycle
//! b_c = exp(strength (mean a - a_c))                             or (target - a_c)
//! ```
//!
//! Columns that are seldom reached by the input may have their permanences raised. Without boosting, learning makes a
//! code worse: few columns win everything.
//!
//! Source: S. Ahmad, J. Hawkins and others, "Spatial Pooling Algorithm Details", in *Biological and Machine
//! Intelligence* (Numenta), and Y. Cui, S. Ahmad, J. Hawkins, "The HTM Spatial Pooler", Frontiers in Computational
//! Neuroscience 11 (2017), [doi:10.3389/fncom.2017.00111](https://doi.org/10.3389/fncom.2017.00111); the boost against
//! the mean and the raising of a fixed share are those of the notebook that this workspace began with.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use hebbian::{LearningRule, Rule, SpatialPooler, SpatialPoolerConfig};
//! use hebbian_training::Generator;
//!
//! let config = SpatialPoolerConfig { units: 50, sparsity: 0.1, ..Default::default() };
//! let mut pooler = SpatialPooler::new(config, 64, &mut Generator::new(0, "columns"), &Device::Cpu)?;
//! let input = Tensor::from_iter((0..64).map(|i| (i % 3 == 0) as u8), &Device::Cpu)?.unsqueeze(0)?;
//!
//! let before = pooler.encode_indices(&input)?.to_vec2::<u32>()?;
//! for _ in 0..20 {
//!     pooler.learn(&input)?;
//! }
//! // The columns that won have connected to every input of their pool that is on, and win more clearly.
//! let winner = before[0][0] as usize;
//! let permanences = pooler.weights()?.to_vec2::<f32>()?;
//! assert!(permanences[winner].iter().step_by(3).all(|&p| p == 0.0 || p >= 0.5));
//! # Ok::<(), candle_core::Error>(())
//! ```

mod bit_backend;
mod bit_sets;
mod columns;
mod graph_backend;
mod largest;
mod overlap_counts;
mod potential_pool;
mod synapses;

use std::fmt::Debug;

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::Module;
use hebbian_training::{Generator, Invalid, Parameters, State, fits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops::{check_batch_of, check_inputs, check_samples};
use crate::rule::{Learned, LearningRule, Rule, is_one};
use bit_backend::BitBackend;
use columns::{Columns, has_permanences};
use graph_backend::{GraphBackend, dense};
pub use potential_pool::PotentialPool;

/// What stands for a column where fewer than `k` won. candle's index operations pass over it.
pub const NO_COLUMN: u32 = u32::MAX;

/// What inputs may be.
const DTYPES: [DType; 2] = [DType::F32, DType::U8];

/// Starved columns gain this share of the connected threshold.
const RAISE: f64 = 0.1;

/// What a column's activity is compared with when it is boosted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BoostToward {
    /// The mean activity of all columns, as in the notebook.
    Mean,
    /// The sparsity, as in HTM with global inhibition.
    Target,
}

/// Which columns have their permanences raised after each input, since the input hardly reaches them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Starved {
    /// None.
    Left,
    /// The `share` of columns with the lowest mean boosted overlap, however large it is: the notebook's way.
    Lowest {
        /// The share that is raised.
        #[schemars(range(min = 0.0, max = 1.0))]
        share: f64,
    },
    /// Those that are reached less often than `fraction` of the time that the best column is: HTM's way.
    BelowBest {
        /// How often, against the best column.
        #[schemars(range(min = 0.0, max = 1.0))]
        fraction: f64,
    },
}

/// The parameters of [`SpatialPooler`]. The default is the notebook's last setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpatialPoolerConfig {
    /// Number of columns.
    #[schemars(range(min = 1))]
    pub units: usize,
    /// Share of the columns that win, rounded down; at least one column.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub sparsity: f64,
    /// Which inputs each column could connect to.
    pub pool: PotentialPool,
    /// Permanence from which a synapse is connected.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub connected: f64,
    /// What a winner's permanence gains where the input is on.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub increment: f64,
    /// What it loses where the input is off.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub decrement: f64,
    /// Overlap, before boosting, below which a column does not compete; HTM's.
    pub stimulus_threshold: u32,
    /// Boosted overlap below which a winner is dropped; the notebook's.
    #[schemars(range(min = 0.0))]
    pub min_activation: f64,
    /// What activity is held against.
    pub boost_toward: BoostToward,
    /// Boost strength; 0 boosts nothing.
    #[schemars(range(min = 0.0))]
    pub boost_strength: f64,
    /// Period T of the activity duty cycle, in inputs.
    #[schemars(range(min = 1.0))]
    pub activity_period: f64,
    /// Which columns are helped to synapses.
    pub starved: Starved,
    /// Period of the overlap duty cycle, in inputs.
    #[schemars(range(min = 1.0))]
    pub overlap_period: f64,
    /// Inputs per step. 1 is the rule itself, which learns each input before it sees the next. More are an approximation for
    /// devices on which one step per input is too short: all inputs of a step meet the columns as they were before it, what
    /// they add to the permanences is summed, and the duty cycles follow input by input; `docs/cuda.md` says what that
    /// does to the results.
    #[serde(skip_serializing_if = "is_one")]
    #[schemars(range(min = 1), extend("default" = 1))]
    pub minibatch: usize,
}

impl Default for SpatialPoolerConfig {
    fn default() -> Self {
        Self {
            units: 900,
            sparsity: 0.04,
            pool: PotentialPool::Anywhere { fraction: 0.8 },
            connected: 0.5,
            increment: 0.1,
            decrement: 0.03,
            stimulus_threshold: 0,
            min_activation: 4.0,
            boost_toward: BoostToward::Mean,
            boost_strength: 1.5,
            activity_period: 1000.0,
            starved: Starved::Left,
            overlap_period: 1000.0,
            minibatch: 1,
        }
    }
}

impl Parameters for SpatialPoolerConfig {
    fn check_together(&self) -> std::result::Result<(), Invalid> {
        let allowed = format!("above 0, at most 1, and at least one of units ({})", self.units);
        Invalid::unless(self.active() >= 1, "sparsity", self.sparsity, allowed)?;
        if let Some(most) = self.pool.most() {
            self.check_threshold(most)?;
        }
        self.pool.check_together(self.units)
    }
}

impl SpatialPoolerConfig {
    /// How many columns win.
    pub fn active(&self) -> usize {
        share_of(self.units, self.sparsity)
    }

    /// Refuses a threshold that no column can reach whose pool has at most `most` inputs.
    fn check_threshold(&self, most: usize) -> std::result::Result<(), Invalid> {
        let threshold = self.stimulus_threshold;
        let allowed = format!("0 to {most}, the inputs of the largest pool: no column could win");
        Invalid::unless(threshold as usize <= most, "stimulus_threshold", threshold, allowed)
    }

    /// How many columns are raised under [`Starved::Lowest`].
    fn lowest(&self) -> usize {
        match self.starved {
            Starved::Lowest { share } => share_of(self.units, share),
            _ => 0,
        }
    }

    /// The boosted overlap that a winner needs. Columns that do not compete have 0.
    fn least_activation(&self) -> f32 {
        let least = self.min_activation as f32;
        if self.stimulus_threshold > 0 { least.max(f32::MIN_POSITIVE) } else { least }
    }
}

/// How many of `units` their `share` is, rounded down; 0.29 of 100 is 29, whatever digits the product lost.
fn share_of(units: usize, share: f64) -> usize {
    const LOST: f64 = 1e-9;
    (units as f64 * share + LOST) as usize
}

/// Columns at work.
trait Backend: Debug + Send + Sync {
    /// Learns from the rows of `inputs` in order. Returns the winners `(batch, active)` and, as a scalar, how many
    /// synapses crossed the threshold.
    fn learn(
        &mut self,
        config: &SpatialPoolerConfig,
        rate_scale: f64,
        inputs: &Tensor,
    ) -> Result<(Tensor, Tensor)>;

    /// The winners `(batch, active)` of each row of `inputs`, ascending, [`NO_COLUMN`] last where fewer won.
    fn encode(&self, config: &SpatialPoolerConfig, inputs: &Tensor) -> Result<Tensor>;

    /// The boosted overlaps `(batch, units)` of each row of `inputs`.
    fn overlaps(&self, config: &SpatialPoolerConfig, inputs: &Tensor) -> Result<Tensor>;

    /// The boost of each column, `(units)`.
    fn boosts(&self) -> Result<Tensor>;

    /// Copies of what was learned.
    fn columns(&self) -> Result<Columns>;
}

fn backend(config: &SpatialPoolerConfig, columns: Columns) -> Result<Box<dyn Backend>> {
    match columns.weights.device().is_cpu() && config.minibatch == 1 {
        true => Ok(Box::new(BitBackend::new(config, &columns)?)),
        false => Ok(Box::new(GraphBackend::new(config, columns)?)),
    }
}

/// Columns that pool binary inputs into sparse binary codes.
///
/// Its state is the permanences `weights (units, inputs)`, the potential pools `pool (units, inputs)` u8 and the duty
/// cycles `activity (units)` and `overlap (units)`. [`Module::forward`] gives the code of each input, `(batch, units)`
/// of 0 and 1; [`encode_indices`](Self::encode_indices) the same as indices. Inputs must be 0 or 1, f32 or u8.
#[derive(Debug)]
pub struct SpatialPooler {
    config: SpatialPoolerConfig,
    rate_scale: f64,
    inputs: usize,
    device: Device,
    backend: Box<dyn Backend>,
    /// Whether permanences are known; a published pooler has nothing but connections.
    can_learn: bool,
}

impl SpatialPooler {
    fn with_columns(config: SpatialPoolerConfig, columns: Columns, can_learn: bool) -> Result<Self> {
        let (inputs, device) = (columns.weights.dim(1)?, columns.weights.device().clone());
        check_inputs(inputs)?;
        let backend = backend(&config, columns)?;
        Ok(Self { config, rate_scale: 1.0, inputs, device, backend, can_learn })
    }

    /// The active columns of each row of `inputs (batch, inputs)`: `(batch, k)` u32, ascending, [`NO_COLUMN`] at the end
    /// where fewer than `k` are active.
    pub fn encode_indices(&self, inputs: &Tensor) -> Result<Tensor> {
        check_samples(&DTYPES, inputs, self.inputs)?;
        self.backend.encode(&self.config, inputs)
    }

    /// The activity duty cycle of each column, `(units)`: a copy.
    pub fn activity(&self) -> Result<Tensor> {
        Ok(self.backend.columns()?.activity)
    }

    /// The boost of each column, `(units)`: what its overlap with the next input is multiplied by.
    pub fn boosts(&self) -> Result<Tensor> {
        self.backend.boosts()
    }

    /// The boosted overlap of each column with each row of `inputs (batch, inputs)`, `(batch, units)`.
    pub fn overlaps(&self, inputs: &Tensor) -> Result<Tensor> {
        check_samples(&DTYPES, inputs, self.inputs)?;
        self.backend.overlaps(&self.config, inputs)
    }
}

impl Module for SpatialPooler {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        dense(&self.encode_indices(inputs)?, self.config.units)
    }
}

impl Rule for SpatialPooler {
    const NAME: &'static str = "spatial-pooler";
    type Config = SpatialPoolerConfig;

    /// Columns for `inputs` inputs: pools drawn, permanences uniform in [0, 1), no column more active than another.
    fn new(
        config: SpatialPoolerConfig,
        inputs: usize,
        generator: &mut Generator,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        fits(&[config.units, inputs], size_of::<f32>())?;
        if let Some(expected) = config.pool.inputs().filter(|&expected| expected != inputs) {
            bail!("the pools are for images of {expected} inputs, the data has {inputs}");
        }
        let columns = Columns::drawn(&config, inputs, generator)?;
        config.check_threshold(columns.largest_pool()?)?;
        let columns = columns.to_device(device)?;
        Self::with_columns(config, columns, true)
    }

    /// A pooler that goes on from a saved state, on the device of its tensors.
    fn from_state(config: SpatialPoolerConfig, state: State) -> Result<Self> {
        config.validate()?;
        let can_learn = has_permanences(&state);
        let columns = Columns::checked(&config, state)?;
        Self::with_columns(config, columns, can_learn)
    }
}

impl LearningRule for SpatialPooler {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!(self.config)
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn units(&self) -> usize {
        self.config.units
    }

    fn set_rate_scale(&mut self, scale: f64) {
        self.rate_scale = scale;
    }

    /// Passes the codes upward; measures `changed_synapses`, the number that connected or disconnected.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        check_batch_of(&DTYPES, inputs, self.inputs)?;
        if !self.can_learn {
            bail!(
                "this pooler was published as connections without permanences, from which it cannot learn on"
            );
        }
        let (winners, changed) = self.backend.learn(&self.config, self.rate_scale, inputs)?;
        let output = dense(&winners, self.config.units)?;
        Ok(Learned::new(output).with_winners(winners).measured("changed_synapses", changed))
    }

    /// The permanences, 0 outside the pools.
    fn weights(&self) -> Result<Tensor> {
        Ok(self.backend.columns()?.weights)
    }

    /// Copies: the columns work in another layout.
    fn tensors(&self) -> Result<State> {
        let Columns { weights, pool, activity, overlap } = self.backend.columns()?;
        let named = [("weights", weights), ("pool", pool), ("activity", activity), ("overlap", overlap)];
        let kept = named.into_iter().filter(|(name, _)| self.can_learn || *name != "pool");
        Ok(kept.map(|(name, tensor)| (name.to_owned(), tensor)).collect())
    }

    /// Without the pools, and of the permanences only whether they connect: 1 or 0. Codes are the same, learning is not.
    fn inference_state(&self) -> Result<State> {
        let mut state = self.tensors()?;
        state.remove("pool");
        if let Some(weights) = state.get_mut("weights") {
            *weights = weights.ge(self.config.connected as f32)?.to_dtype(DType::F32)?;
        }
        Ok(state)
    }

    fn restore(&mut self, state: State) -> Result<()> {
        let can_learn = has_permanences(&state);
        let columns = Columns::checked(&self.config, state)?;
        if columns.weights.dim(1)? != self.inputs {
            bail!("state: tensor `weights` has {} inputs, expected {}", columns.weights.dim(1)?, self.inputs);
        }
        self.backend = backend(&self.config, columns.to_device(&self.device)?)?;
        self.can_learn = can_learn;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::columns::is_binary;
    use super::*;
    use proptest::prelude::*;

    const INPUTS: usize = 70;

    fn small() -> SpatialPoolerConfig {
        SpatialPoolerConfig {
            units: 40,
            sparsity: 0.1,
            min_activation: 1.0,
            activity_period: 20.0,
            overlap_period: 20.0,
            ..Default::default()
        }
    }

    fn columns(config: &SpatialPoolerConfig) -> Result<Columns> {
        Columns::drawn(config, INPUTS, &mut Generator::new(0, "columns"))
    }

    fn pooler(config: SpatialPoolerConfig) -> Result<SpatialPooler> {
        SpatialPooler::new(config, INPUTS, &mut Generator::new(0, "columns"), &Device::Cpu)
    }

    fn inputs(seed: u64, batch: usize) -> Result<Tensor> {
        Generator::new(seed, "inputs").uniform((batch, INPUTS), 0.0, 1.0, &Device::Cpu)?.lt(0.3)
    }

    fn refusal<T>(result: Result<T>) -> String {
        result
            .err()
            .map(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
            .unwrap_or_default()
    }

    #[test]
    fn a_field_outside_its_range_is_named_with_what_is_allowed() {
        let config = small();
        let cases = [
            (SpatialPoolerConfig { units: 0, ..config.clone() }, "units = 0 is not allowed: at least 1"),
            (
                SpatialPoolerConfig { sparsity: 0.02, ..config.clone() },
                "sparsity = 0.02 is not allowed: above 0, at most 1, and at least one of units (40)",
            ),
            (
                SpatialPoolerConfig { pool: PotentialPool::Anywhere { fraction: 0.0 }, ..config.clone() },
                "pool.fraction = 0 is not allowed",
            ),
            (
                SpatialPoolerConfig { connected: 0.0, ..config.clone() },
                "connected = 0 is not allowed: a number above 0, at most 1",
            ),
            (
                SpatialPoolerConfig { increment: f64::NAN, ..config.clone() },
                "increment = NaN or infinity is not allowed",
            ),
            (
                SpatialPoolerConfig { activity_period: 0.5, ..config.clone() },
                "activity_period = 0.5 is not allowed: a number of at least 1",
            ),
            (
                SpatialPoolerConfig { starved: Starved::Lowest { share: 1.5 }, ..config },
                "starved.share = 1.5 is not allowed: 0 to 1",
            ),
        ];
        for (config, expected) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn inputs_that_are_not_binary_or_not_as_many_are_refused() -> Result<()> {
        let mut pooler = pooler(small())?;
        let gray = Tensor::full(0.5f32, (1, INPUTS), &Device::Cpu)?;
        let message = refusal(pooler.learn(&gray));
        assert_eq!(message, "input 0 holds a value other than 0 and 1: binarize the inputs of a pooler");
        let narrow = Tensor::zeros((1, INPUTS - 1), DType::U8, &Device::Cpu)?;
        assert_eq!(refusal(pooler.encode_indices(&narrow)), "inputs: 69 per sample; allowed: 70");
        Ok(())
    }

    #[test]
    fn equal_columns_win_in_the_order_of_their_index() -> Result<()> {
        let config = SpatialPoolerConfig { pool: PotentialPool::Anywhere { fraction: 1.0 }, ..small() };
        let mut state = pooler(config.clone())?.state()?;
        state.insert("weights".to_owned(), Tensor::ones((40, INPUTS), DType::F32, &Device::Cpu)?);
        let pooler = SpatialPooler::from_state(config, state)?;
        assert_eq!(pooler.encode_indices(&inputs(0, 1)?)?.to_vec2::<u32>()?, [[0, 1, 2, 3]]);
        Ok(())
    }

    #[test]
    fn an_input_that_reaches_no_column_has_an_empty_code() -> Result<()> {
        let blank = Tensor::zeros((2, INPUTS), DType::U8, &Device::Cpu)?;
        let mut pooler = pooler(small())?;
        assert_eq!(pooler.encode_indices(&blank)?.to_vec2::<u32>()?, [[NO_COLUMN; 4]; 2]);
        assert_eq!(pooler.learn(&blank)?.output.sum_all()?.to_scalar::<f32>()?, 0.0);
        Ok(())
    }

    #[test]
    fn a_batch_is_learned_as_a_sequence() -> Result<()> {
        let (mut whole, mut single) = (pooler(small())?, pooler(small())?);
        let inputs = inputs(0, 30)?;
        let codes = whole.learn(&inputs)?.output.to_vec2::<f32>()?;
        for (row, code) in codes.into_iter().enumerate() {
            assert_eq!(single.learn(&inputs.narrow(0, row, 1)?)?.output.to_vec2::<f32>()?, [code]);
        }
        assert_eq!(whole.weights()?.to_vec2::<f32>()?, single.weights()?.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn a_restored_pooler_has_the_same_codes_and_learns_on_with_the_same_bits() -> Result<()> {
        let starved = [Starved::Left, Starved::Lowest { share: 0.1 }, Starved::BelowBest { fraction: 0.5 }];
        for starved in starved {
            let config = SpatialPoolerConfig { starved, ..small() };
            let mut learned = pooler(config.clone())?;
            learned.learn(&inputs(0, 100)?)?;
            let mut restored = SpatialPooler::from_state(config, learned.state()?)?;
            let seen = inputs(1, 50)?;
            assert_eq!(restored.forward(&seen)?.to_vec2::<f32>()?, learned.forward(&seen)?.to_vec2::<f32>()?);
            learned.learn(&seen)?;
            restored.learn(&seen)?;
            for (name, tensor) in learned.state()?.into_iter().filter(|(name, _)| name != "pool") {
                let ours = restored.state()?[&name].flatten_all()?.to_vec1::<f32>()?;
                assert_eq!(ours, tensor.flatten_all()?.to_vec1::<f32>()?, "{name}, {starved:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_state_of_connections_alone_has_the_same_codes() -> Result<()> {
        let mut learned = pooler(small())?;
        learned.learn(&inputs(0, 100)?)?;
        let connections = learned.inference_state()?;
        assert!(is_binary(&connections["weights"])? && !connections.contains_key("pool"));
        let mut published = SpatialPooler::from_state(small(), connections)?;
        let seen = inputs(1, 50)?;
        assert_eq!(published.forward(&seen)?.to_vec2::<f32>()?, learned.forward(&seen)?.to_vec2::<f32>()?);
        let refused = refusal(published.learn(&seen));
        assert!(
            refused.starts_with("this pooler was published as connections without permanences"),
            "{refused}"
        );
        assert!(!published.state()?.contains_key("pool"));
        Ok(())
    }

    #[test]
    fn a_share_that_is_no_column_raises_none_in_either_body() -> Result<()> {
        for minibatch in [1, 4] {
            let config = |starved| SpatialPoolerConfig { starved, minibatch, ..small() };
            let mut none = pooler(config(Starved::Lowest { share: 0.001 }))?;
            let mut left = pooler(config(Starved::Left))?;
            none.learn(&inputs(0, 40)?)?;
            left.learn(&inputs(0, 40)?)?;
            assert_eq!(none.weights()?.to_vec2::<f32>()?, left.weights()?.to_vec2::<f32>()?);
        }
        Ok(())
    }

    #[test]
    fn inputs_that_are_not_binary_are_refused_by_every_body_before_anything_moves() -> Result<()> {
        for minibatch in [1, 4] {
            let mut pooler = pooler(SpatialPoolerConfig { minibatch, ..small() })?;
            let before = pooler.weights()?.to_vec2::<f32>()?;
            let halves = (inputs(0, 8)?.to_dtype(DType::F32)? * 0.5)?;
            for refused in [
                refusal(pooler.learn(&halves)),
                refusal(pooler.forward(&halves)),
                refusal(pooler.overlaps(&halves)),
            ] {
                assert!(refused.contains("holds a value other than 0 and 1"), "{refused}");
            }
            assert_eq!(pooler.weights()?.to_vec2::<f32>()?, before);
        }
        Ok(())
    }

    #[test]
    fn a_share_of_the_columns_does_not_lose_one_to_rounding() {
        assert_eq!(share_of(100, 0.29), 29);
        assert_eq!(share_of(40, 0.99), 39);
    }

    #[test]
    fn a_state_that_does_not_fit_is_refused_and_changes_nothing() -> Result<()> {
        let mut pooler = pooler(small())?;
        let before = pooler.weights()?.to_vec2::<f32>()?;
        let with = |name: &str, tensor: Option<Tensor>| -> Result<State> {
            let mut state = pooler.state()?;
            state.remove(name);
            state.extend(tensor.map(|tensor| (name.to_owned(), tensor)));
            Ok(state)
        };
        let pool = |value: u8| Tensor::full(value, (40, INPUTS), &Device::Cpu);
        let refusals = [
            (with("pool", None)?, "state: tensor `pool` is missing"),
            (with("activity", None)?, "state: tensor `activity` is missing"),
            (with("bits", Some(pool(1)?))?, "state: tensor `bits` does not belong to this rule"),
            (
                with("pool", Some(pool(0)?))?,
                "state: tensor `weights` has a permanence outside its column's pool",
            ),
            (with("pool", Some(pool(2)?))?, "state: tensor `pool` holds a value other than 0 and 1"),
            (
                with("pool", Some(pool(1)?.to_dtype(DType::F32)?))?,
                "state: tensor `pool` is F32 [40, 70], expected U8 (40, 70)",
            ),
            (with("weights", Some((pooler.weights()? + 0.5)?))?, "state: tensor `weights` reaches from"),
            (
                with("overlap", Some((Tensor::ones(40, DType::F32, &Device::Cpu)? * -1.0)?))?,
                "state: tensor `overlap` reaches from -1 to -1",
            ),
        ];
        for (state, expected) in refusals {
            let message = refusal(pooler.restore(state));
            assert!(message.starts_with(expected), "{message}");
            assert_eq!(pooler.weights()?.to_vec2::<f32>()?, before);
        }
        Ok(())
    }

    #[test]
    fn boosting_brings_columns_into_use_that_learning_alone_leaves_out() -> Result<()> {
        // All inputs are on in the same half and differ in the other: the columns that reach that half best win them all.
        let half = |rows: usize, of: Result<Tensor>| of?.narrow(1, 0, INPUTS / 2)?.narrow(0, 0, rows);
        let inputs = Tensor::cat(
            &[half(50, inputs(0, 50))?, half(50, inputs(1, 50).and_then(|x| x.ones_like()))?],
            1,
        )?;
        let active = |boost_strength: f64| -> Result<usize> {
            let mut pooler = pooler(SpatialPoolerConfig { boost_strength, ..small() })?;
            for _ in 0..20 {
                pooler.learn(&inputs)?;
            }
            let wins = pooler.forward(&inputs)?.sum(0)?.to_vec1::<f32>()?;
            Ok(wins.into_iter().filter(|&wins| wins > 0.0).count())
        };
        let (plain, boosted) = (active(0.0)?, active(10.0)?);
        assert!(boosted > 2 * plain, "{plain} columns without boosting, {boosted} with");
        Ok(())
    }

    fn starved() -> impl Strategy<Value = Starved> {
        prop_oneof![
            Just(Starved::Left),
            Just(Starved::Lowest { share: 0.1 }),
            Just(Starved::BelowBest { fraction: 0.6 }),
        ]
    }

    #[test]
    fn a_minibatch_meets_the_columns_as_they_were_and_sums_what_it_adds() -> Result<()> {
        let config = SpatialPoolerConfig { minibatch: 5, ..small() };
        let (mut together, inputs) = (pooler(config)?, inputs(1, 5)?);
        let begin = together.state()?;
        let codes = together.encode_indices(&inputs)?.to_vec2::<u32>()?;
        assert_eq!(together.learn(&inputs)?.winners()?.to_vec2::<u32>()?, codes);
        // What each input adds on its own, had it been the first.
        let mut sum = begin["weights"].copy()?;
        for number in 0..5 {
            let mut alone = pooler(SpatialPoolerConfig { minibatch: 2, ..small() })?;
            alone.learn(&inputs.narrow(0, number, 1)?)?;
            sum = (sum + (alone.weights()? - &begin["weights"])?)?;
        }
        // Permanences that reached a bound on their own, or do so together, are not a sum.
        let weights = together.weights()?.flatten_all()?.to_vec1::<f32>()?;
        let (mut compared, sum) = (0, sum.flatten_all()?.to_vec1::<f32>()?);
        for (weight, sum) in weights.iter().zip(&sum).filter(|(weight, _)| **weight > 0.2 && **weight < 0.8) {
            assert!((weight - sum).abs() < 1e-6, "{weight}, expected {sum}");
            compared += 1;
        }
        assert!(compared > 500, "{compared}");
        Ok(())
    }

    #[test]
    fn minibatches_of_inputs_that_are_not_binary_are_refused_too() -> Result<()> {
        let mut pooler = pooler(SpatialPoolerConfig { minibatch: 5, ..small() })?;
        let gray = Tensor::full(0.5f32, (2, INPUTS), &Device::Cpu)?;
        assert!(refusal(pooler.learn(&gray)).starts_with("input 0 holds a value other than 0 and 1"));
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

        /// Rates that are sums of powers of two keep every permanence exact, so that no rounding decides.
        #[test]
        fn bit_sets_and_graph_agree(
            starved in starved(), stimulus_threshold in 0u32..8, min_activation in 0u32..8, boosted: bool, seed: u64,
        ) {
            let config = SpatialPoolerConfig {
                starved, stimulus_threshold,
                min_activation: f64::from(min_activation),
                boost_strength: if boosted { 2.0 } else { 0.0 },
                boost_toward: if seed.is_multiple_of(2) { BoostToward::Mean } else { BoostToward::Target },
                increment: 0.125,
                decrement: 0.0625,
                ..small()
            };
            let mut bits = BitBackend::new(&config, &columns(&config).unwrap()).unwrap();
            let mut graph = GraphBackend::new(&config, columns(&config).unwrap()).unwrap();
            let inputs = inputs(seed, 60).unwrap();
            let (winners, crossings) = bits.learn(&config, 1.0, &inputs).unwrap();
            let (expected, expected_crossings) = graph.learn(&config, 1.0, &inputs).unwrap();
            prop_assert_eq!(winners.to_vec2::<u32>().unwrap(), expected.to_vec2::<u32>().unwrap());
            prop_assert_eq!(crossings.to_scalar::<f32>().unwrap(), expected_crossings.to_scalar::<f32>().unwrap());
            let codes = [bits.encode(&config, &inputs).unwrap(), graph.encode(&config, &inputs).unwrap()];
            prop_assert_eq!(codes[0].to_vec2::<u32>().unwrap(), codes[1].to_vec2::<u32>().unwrap());
            let (ours, reference) = (bits.columns().unwrap(), graph.columns().unwrap());
            let pairs = [
                (ours.weights, reference.weights),
                (ours.activity, reference.activity),
                (ours.overlap, reference.overlap),
                (bits.boosts().unwrap(), graph.boosts().unwrap()),
                (bits.overlaps(&config, &inputs).unwrap(), graph.overlaps(&config, &inputs).unwrap()),
            ];
            for (ours, reference) in pairs {
                let scale = reference.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                let difference = (ours - reference).unwrap().abs().unwrap().max_all().unwrap();
                prop_assert!(difference.to_scalar::<f32>().unwrap() <= 1e-5 * scale);
            }
        }
    }
}
