//! The trait that every rule implements, and what one step reports.

use candle_core::{DType, Result, Shape, Tensor, bail};
use candle_nn::Module;
use hebbian_training::{Checkpoint, State, all_finite};

use crate::{CompSpec, Foldiak, Invariance, KrotovHopfield, MultiWinner, SpatialPooler, Stack};

/// A candle layer that learns without gradients.
///
/// [`Module::forward`] is the trained layer, ready for a `Sequential`. [`learn`](Self::learn) is one step of learning.
/// Everything that trains, saves, draws or evaluates reaches a rule through this trait only, so that a new rule is one
/// file and one line in [`from_state`].
pub trait LearningRule: Module + Send + Sync {
    /// The name in checkpoints and results, `krotov-hopfield`.
    fn name(&self) -> &'static str;

    /// The config, as it is written into a checkpoint.
    fn config(&self) -> serde_json::Value;

    /// Called before the first step of each epoch; `epoch` counts from 0.
    fn begin_epoch(&mut self, _epoch: usize) -> Result<()> {
        Ok(())
    }

    /// Multiplies the config's rates by `factor` from the next step on; 1 at the start.
    fn set_anneal(&mut self, factor: f64);

    /// Learns from one batch `(batch, inputs)`; for a rule that learns online, from the rows in order.
    ///
    /// On CPU, a step that would store a value that is not finite is an error and leaves the state as it was. On other
    /// devices nothing is read to find out: such a step and all later ones leave the state as it was, and their
    /// [`Learned::update_size`] is not a number.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned>;

    /// Whether [`Module::forward`] takes a batch as a stretch of time, so that a row's answer hangs on those before it and a
    /// batch cannot be cut.
    fn is_sequential(&self) -> bool {
        false
    }

    /// A copy of the weights `(units, inputs)`, whatever the layout that the rule works in.
    fn weights(&self) -> Result<Tensor>;

    /// Copies of all that the rule has learned. What can be derived from it is not in it.
    fn state(&self) -> Result<State>;

    /// Takes over a state of the same names, shapes and types, or refuses it and changes nothing.
    fn restore(&mut self, state: State) -> Result<()>;
}

/// What happened in one step. The tensors stay on the device; reading one is the reader's choice.
#[derive(Clone, Debug)]
pub struct Learned {
    /// What the rule passes upward while it learns, `(batch, units)`.
    pub output: Tensor,
    /// The units that won, `(batch, winners)` u32, the first winner first where the rule ranks them. Where a sample has
    /// fewer winners, `u32::MAX` stands at the end, which candle's index operations pass over.
    pub winners: Tensor,
    /// The units that were repelled, `(batch)` u32, where the rule repels any.
    pub repelled: Option<Tensor>,
    /// How large the update was, a scalar in the rule's own measure; away from the CPU, not a number once a step would
    /// have stored a value that is not finite.
    pub update_size: Tensor,
}

/// The rule that a checkpoint holds, on the device of the checkpoint's tensors.
pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Box<dyn LearningRule>> {
    let metadata = &checkpoint.metadata;
    from_state(&metadata.rule, &metadata.config, checkpoint.part("rule"))
}

/// The rule called `name`, of a config and a state that it once gave, on the device of the state's tensors.
pub fn from_state(name: &str, config: &serde_json::Value, state: State) -> Result<Box<dyn LearningRule>> {
    match name {
        KrotovHopfield::NAME => Ok(Box::new(KrotovHopfield::from_state(read_config(config)?, state)?)),
        CompSpec::NAME => Ok(Box::new(CompSpec::from_state(read_config(config)?, state)?)),
        Foldiak::NAME => Ok(Box::new(Foldiak::from_state(read_config(config)?, state)?)),
        MultiWinner::NAME => Ok(Box::new(MultiWinner::from_state(read_config(config)?, state)?)),
        Invariance::NAME => Ok(Box::new(Invariance::from_state(read_config(config)?, state)?)),
        SpatialPooler::NAME => Ok(Box::new(SpatialPooler::from_state(read_config(config)?, state)?)),
        Stack::NAME => Ok(Box::new(Stack::from_state(read_config(config)?, state)?)),
        other => bail!("rule `{other}` is unknown; known: {}", KNOWN.join(", ")),
    }
}

const KNOWN: [&str; 7] = [
    KrotovHopfield::NAME,
    CompSpec::NAME,
    Foldiak::NAME,
    MultiWinner::NAME,
    Invariance::NAME,
    SpatialPooler::NAME,
    Stack::NAME,
];

fn read_config<C: serde::de::DeserializeOwned>(config: &serde_json::Value) -> Result<C> {
    C::deserialize(config).map_err(|error| candle_core::Error::msg(format!("config: {error}")))
}

/// Whether a field of a config has the value with which it is left out of a saved config: configs from before it was
/// there stay the same bytes.
pub(crate) fn is_one(value: &usize) -> bool {
    *value == 1
}

/// Checks that `state` holds exactly the `expected` f32 tensors, and finite values only.
pub(crate) fn check_state(state: &State, expected: &[(&str, Shape)]) -> Result<()> {
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

/// Checks that `tensor` is f32 and holds finite values only.
pub(crate) fn check_finite(name: &str, tensor: &Tensor) -> Result<()> {
    if tensor.dtype() != DType::F32 {
        bail!("`{name}` is {:?}, expected F32", tensor.dtype());
    }
    if !all_finite(tensor)? {
        bail!("`{name}` holds a value that is not finite");
    }
    Ok(())
}

/// `Σ |v - r|² / Σ |v|²` over all rows, 0 where nothing was shown. A row's squares are summed where it is, the rows in
/// f64: millions of pixels would lose digits in f32.
pub(crate) fn relative_error(shown: &Tensor, reconstructed: &Tensor) -> Result<f64> {
    let energy = |rows: &Tensor| {
        let rows = rows.sqr()?.sum(1)?.to_vec1::<f32>()?;
        Ok::<_, candle_core::Error>(rows.into_iter().map(f64::from).sum::<f64>())
    };
    let missed = energy(&(shown - reconstructed)?)?;
    Ok(missed / energy(shown)?.max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
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
