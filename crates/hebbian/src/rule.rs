//! What a rule is: the trait that everything that trains, saves, draws or evaluates sees, and the typed one that its
//! author implements beside it.
//!
//! No rule is named here. [`Registry`] turns the name in a checkpoint into a rule again.

use std::any::Any;

use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::Module;
use hebbian_training::{Generator, Parameters, State, all_finite};
use serde::de::DeserializeOwned;

use crate::Registry;

/// A candle layer that learns without gradients.
///
/// [`Module::forward`] is the trained layer, ready for a `Sequential`. [`learn`](Self::learn) is one step of learning.
/// From inputs that track a gradient (of a `Var`), layers whose output has one give it to candle's `backward`: those of
/// convolutional networks and all rules whose output is a product, though not their weights, which no gradient moves.
///
/// The trait is object safe: a [`Stack`](crate::Stack) holds any rules, and [`Fit`](crate::Fit) trains any of them. How
/// a rule is made is said by [`Rule`].
pub trait LearningRule: Module + Any + Send + Sync {
    /// The name in checkpoints and results, `krotov-hopfield`.
    fn name(&self) -> &'static str;

    /// The config, as it is written into a checkpoint.
    fn config(&self) -> serde_json::Value;

    /// Values per sample that the rule takes.
    fn inputs(&self) -> usize;

    /// Values per sample that the rule gives.
    fn units(&self) -> usize;

    /// The rate of the next step, the config's rate times the scale of [`set_rate_scale`](Self::set_rate_scale), for a
    /// rule that has one rate.
    fn learning_rate(&self) -> Option<f64> {
        None
    }

    /// Called once, before the first step of a training, with all its `inputs (examples, inputs)`, or with the first of them
    /// where they do not lie in one tensor ([`Examples`](crate::Examples)): for what must be measured on the data before
    /// learning begins. A resumed training has this behind it.
    fn prepare(&mut self, _inputs: &Tensor) -> Result<()> {
        Ok(())
    }

    /// Called before the first step of each epoch with the inputs of [`prepare`](Self::prepare); `epoch` counts from 0. A
    /// training that is resumed in the middle of an epoch calls it again, and then [`restore`](Self::restore) with the state
    /// from before the call: what a step needs is saved, or set up here.
    fn begin_epoch(&mut self, _epoch: usize, _inputs: &Tensor) -> Result<()> {
        Ok(())
    }

    /// Multiplies the config's rates by `scale` from the next step on; 1 at the start.
    fn set_rate_scale(&mut self, scale: f64);

    /// Learns from one batch `(batch, inputs)`; for a rule that learns online, from the rows in order.
    ///
    /// On the CPU, a step that fails leaves the state as it was; one that would store a value that is not finite fails.
    /// On other devices nothing is read to find out: such a step and all later ones leave the state as it was, and their
    /// [`Learned::measures`] are not numbers.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned>;

    /// Whether [`Module::forward`] takes a batch as a stretch of time, so that a row's output depends on the rows before
    /// it and a batch cannot be cut.
    fn is_sequential(&self) -> bool {
        false
    }

    /// A copy of the weights `(units, inputs)`, whatever the layout that the rule works in.
    fn weights(&self) -> Result<Tensor>;

    /// A copy of what the units respond with, `(units, inputs)`, for a rule that learns through a function of its weights.
    fn synapses(&self) -> Result<Tensor> {
        self.weights()
    }

    /// All that the rule has learned, by name. What can be derived from it is not in it. The tensors may share the rule's
    /// own memory, which the next step writes to: [`state`](Self::state) copies them.
    fn tensors(&self) -> Result<State>;

    /// Copies of all that the rule has learned, for a checkpoint.
    fn state(&self) -> Result<State> {
        self.tensors()?.into_iter().map(|(name, tensor)| Ok((name, tensor.copy()?))).collect()
    }

    /// Copies of what [`Module::forward`] needs, in a form that makes the rule again: without what only learning needs,
    /// where the rule can do without.
    fn inference_state(&self) -> Result<State> {
        self.state()
    }

    /// Whether a step on inputs of the right size can fail. Above a layer that has nothing to learn no step need be taken
    /// back.
    fn can_fail(&self) -> bool {
        true
    }

    /// Whether [`undo`](Self::undo) can take the last step back. Where it cannot, an online stack copies the rule's tensors
    /// before each step.
    fn can_undo(&self) -> bool {
        false
    }

    /// Takes back the last step that [`learn`](Self::learn) made, once: for a stack in which a rule above has failed.
    fn undo(&mut self) -> Result<()> {
        bail!("the rule `{}` does not remember what its last step changed", self.name())
    }

    /// Takes over a state of the same names, shapes and types, or refuses it and changes nothing.
    fn restore(&mut self, state: State) -> Result<()>;
}

impl dyn LearningRule {
    /// The rule as what it is, if it is an `R`.
    pub fn downcast_ref<R: LearningRule>(&self) -> Option<&R> {
        (self as &dyn Any).downcast_ref()
    }

    /// The rule as what it is, to change, if it is an `R`.
    pub fn downcast_mut<R: LearningRule>(&mut self) -> Option<&mut R> {
        (self as &mut dyn Any).downcast_mut()
    }
}

/// How a rule is made: what its author implements beside [`LearningRule`], so that a
/// [`Registry`] can hold it.
pub trait Rule: LearningRule + Sized {
    /// The name in checkpoints and results; what [`LearningRule::name`] returns.
    const NAME: &'static str;

    /// The parameters, each with its meaning, range and default. What serde writes of them is what
    /// [`LearningRule::config`] returns.
    type Config: Parameters;

    /// A rule for `inputs` values per sample that has learned nothing yet; all that is random comes from `generator`.
    fn new(config: Self::Config, inputs: usize, generator: &mut Generator, device: &Device) -> Result<Self>;

    /// The rule that goes on from a `state` which [`LearningRule::state`] once gave, on the device of its tensors.
    fn from_state(config: Self::Config, state: State) -> Result<Self>;
}

/// How a rule that is made of others is made: with a [`Registry`] that knows them by name.
pub trait Composite: LearningRule + Sized {
    /// The name in checkpoints and results; what [`LearningRule::name`] returns.
    const NAME: &'static str;

    /// The parameters, and the names and configs of the other rules. What serde writes of them is what
    /// [`LearningRule::config`] returns.
    type Config: DeserializeOwned;

    /// A rule for `inputs` values per sample of which none of the rules in it has learned anything yet; those that see the
    /// inputs first draw from `generator` first.
    fn from_config(
        config: Self::Config,
        inputs: usize,
        generator: &mut Generator,
        device: &Device,
        registry: &Registry,
    ) -> Result<Self>;

    /// The rule that goes on from a `state` which [`LearningRule::state`] once gave, on the device of its tensors.
    fn from_state(config: Self::Config, state: State, registry: &Registry) -> Result<Self>;
}

/// What happened in one step. The tensors stay on the device; reading one is the reader's choice.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Learned {
    /// What the rule passes upward while it learns, `(batch, units)`.
    pub output: Tensor,
    /// The units that won, `(batch, winners)` u32, the first winner first where the rule ranks them; none for a rule
    /// without winners. Where a sample has fewer winners, `u32::MAX` stands at the end, which candle's `index_add` passes
    /// over.
    pub winners: Option<Tensor>,
    /// The units that were repelled, `(batch)` u32, where the rule repels any.
    pub repelled: Option<Tensor>,
    /// What the step measured, by name, each a scalar: the size of its update, its error. The first is the one that a
    /// progress bar shows. Away from the CPU they are not numbers once a step would have stored a value that is not
    /// finite.
    pub measures: Vec<(&'static str, Tensor)>,
}

impl Learned {
    /// A step that gave `output (batch, units)` and reports nothing else.
    pub fn new(output: Tensor) -> Self {
        Self { output, winners: None, repelled: None, measures: Vec::new() }
    }

    /// With the units that won, `(batch, winners)` u32.
    pub fn with_winners(self, winners: Tensor) -> Self {
        Self { winners: Some(winners), ..self }
    }

    /// With the units that were repelled, `(batch)` u32.
    pub fn with_repelled(self, repelled: Option<Tensor>) -> Self {
        Self { repelled, ..self }
    }

    /// With the scalar `value` under `name`.
    pub fn measured(mut self, name: &'static str, value: Tensor) -> Self {
        self.measures.push((name, value));
        self
    }

    /// The units that won, or an error for a rule without winners.
    pub fn winners(&self) -> Result<&Tensor> {
        self.winners.as_ref().ok_or_else(|| candle_core::Error::msg("this rule has no winners"))
    }

    /// The scalar that was measured under `name`.
    pub fn measure(&self, name: &str) -> Result<&Tensor> {
        let found = self.measures.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value).ok_or_else(|| {
            let known: Vec<&str> = self.measures.iter().map(|(known, _)| *known).collect();
            candle_core::Error::msg(format!("no measure `{name}`; this rule has: {}", known.join(", ")))
        })
    }
}

/// Whether a field of a config has the value with which it is left out of a saved config: configs from before it was
/// there stay the same bytes.
pub(crate) fn is_one(value: &usize) -> bool {
    *value == 1
}

/// Checks that `state` holds exactly the `expected` f32 tensors, and finite values only: for a rule's
/// [`from_state`](Rule::from_state) and [`restore`](LearningRule::restore).
pub fn check_state(state: &State, expected: &[(&str, Shape)]) -> Result<()> {
    if let Some(name) = state.keys().find(|name| expected.iter().all(|(known, _)| known != name)) {
        bail!("state: tensor `{name}` does not belong to this rule");
    }
    for (name, shape) in expected {
        let Some(tensor) = state.get(*name) else { bail!("state: tensor `{name}` is missing") };
        if tensor.shape() != shape {
            bail!("state: tensor `{name}` has shape {:?}, expected {:?}", tensor.dims(), shape.dims());
        }
        check_finite(name, tensor)?;
    }
    Ok(())
}

/// Checks that `tensor`, called `name` in the error, is f32 and holds finite values only.
pub fn check_finite(name: &str, tensor: &Tensor) -> Result<()> {
    if tensor.dtype() != DType::F32 {
        bail!("`{name}` is {:?}, expected F32", tensor.dtype());
    }
    if !all_finite(tensor)? {
        bail!("`{name}` holds a value that is not finite");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InvarianceConfig, MultiWinnerConfig, SpatialPoolerConfig};

    #[test]
    fn a_config_without_minibatches_is_saved_as_it_was_before_there_were_any() {
        let configs = |minibatch| {
            [
                serde_json::json!(MultiWinnerConfig { minibatch, ..Default::default() }),
                serde_json::json!(InvarianceConfig { minibatch, ..Default::default() }),
                serde_json::json!(SpatialPoolerConfig { minibatch, ..Default::default() }),
            ]
        };
        assert!(configs(1).iter().all(|config| config.get("minibatch").is_none()));
        assert!(configs(2).iter().all(|config| config["minibatch"] == 2));
    }

    #[test]
    fn a_minibatch_of_nothing_is_refused() {
        let refusals = [
            MultiWinnerConfig { minibatch: 0, ..Default::default() }.validate(),
            InvarianceConfig { minibatch: 0, ..Default::default() }.validate(),
            SpatialPoolerConfig { minibatch: 0, ..Default::default() }.validate(),
        ];
        for refused in refusals {
            assert_eq!(refused.unwrap_err().to_string(), "minibatch = 0 is not allowed: at least 1");
        }
    }
}
