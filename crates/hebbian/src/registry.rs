//! Names to rules. The only file that lists the built-in ones.
//!
//! ```
//! use candle_core::Device;
//! use hebbian::{Fit, FitConfig, KrotovHopfield, KrotovHopfieldConfig, Registry, Rule};
//! use hebbian_training::Generator;
//!
//! let config = KrotovHopfieldConfig { units: 8, k: 2, ..Default::default() };
//! let mut rule = KrotovHopfield::new(config, 4, &mut Generator::new(0, "weights"), &Device::Cpu)?;
//! let checkpoint = Fit::new(FitConfig::default(), 0)?.checkpoint(&rule)?;
//!
//! let registry = Registry::builtin(); // `.with::<MyRule>()` adds a rule of one's own
//! let loaded = registry.from_checkpoint(&checkpoint)?;
//! assert_eq!((loaded.inputs(), loaded.units()), (4, 8));
//! assert!(loaded.downcast_ref::<KrotovHopfield>().is_some());
//! # Ok::<(), candle_core::Error>(())
//! ```

use std::collections::BTreeMap;

use candle_core::{Device, Result, bail};
use hebbian_training::{Checkpoint, Generator, State};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::rule::{Composite, LearningRule, Rule};
use crate::{
    CompSpec, Convolution, Foldiak, Interleaved, Invariance, KrotovHopfield, Mirrored, MultiWinner, Pooling,
    Power, SoftHebb, SpatialPooler, Stack, Standardize, Triangle,
};

/// The rules that a program knows by name.
///
/// Whatever loads, stacks or resumes a rule by its name takes a registry.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    rules: BTreeMap<&'static str, Constructors>,
}

type Boxed = Result<Box<dyn LearningRule>>;

/// What can be done with a rule's name.
#[derive(Clone, Copy, Debug)]
struct Constructors {
    new: fn(&Registry, &Value, usize, &mut Generator, &Device) -> Boxed,
    from_state: fn(&Registry, &Value, State) -> Boxed,
}

impl Registry {
    /// All rules of this crate.
    pub fn builtin() -> Self {
        Self::default()
            .with_composite::<Stack>()
            .with_composite::<Convolution>()
            .with_composite::<Mirrored>()
            .with::<Interleaved>()
            .with::<Standardize>()
            .with::<Triangle>()
            .with::<Pooling>()
            .with::<Power>()
            .with_learning_rules()
    }

    /// This and the rule `R`, in place of one of the same name.
    pub fn with<R: Rule>(mut self) -> Self {
        let constructors = Constructors {
            new: |_, config, inputs, generator, device| {
                Ok(Box::new(R::new(read_config(R::NAME, config)?, inputs, generator, device)?))
            },
            from_state: |_, config, state| Ok(Box::new(R::from_state(read_config(R::NAME, config)?, state)?)),
        };
        self.rules.insert(R::NAME, constructors);
        self
    }

    /// This and the rule `C` that is made of others, in place of one of the same name.
    pub fn with_composite<C: Composite>(mut self) -> Self {
        let constructors = Constructors {
            new: |registry, config, inputs, generator, device| {
                let config = read_config(C::NAME, config)?;
                Ok(Box::new(C::from_config(config, inputs, generator, device, registry)?))
            },
            from_state: |registry, config, state| {
                Ok(Box::new(C::from_state(read_config(C::NAME, config)?, state, registry)?))
            },
        };
        self.rules.insert(C::NAME, constructors);
        self
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.rules.keys().copied()
    }

    /// A rule called `name` for `inputs` values per sample that has learned nothing yet.
    pub fn create(
        &self,
        name: &str,
        config: &Value,
        inputs: usize,
        generator: &mut Generator,
        device: &Device,
    ) -> Boxed {
        (self.constructors(name)?.new)(self, config, inputs, generator, device)
    }

    /// The rule called `name`, of a config and a state that it once gave, on the device of the state's tensors.
    pub fn load(&self, name: &str, config: &Value, state: State) -> Boxed {
        (self.constructors(name)?.from_state)(self, config, state)
    }

    /// The rule that a checkpoint holds, on the device of the checkpoint's tensors.
    pub fn from_checkpoint(&self, checkpoint: &Checkpoint) -> Boxed {
        self.load(&checkpoint.metadata.rule, &checkpoint.metadata.config, checkpoint.part("rule"))
    }

    fn constructors(&self, name: &str) -> Result<Constructors> {
        let Some(constructors) = self.rules.get(name) else {
            let known = Vec::from_iter(self.names()).join(", ");
            bail!("rule `{name}` is unknown; known: {known}; Registry::with adds a rule")
        };
        Ok(*constructors)
    }
}

/// What is to be done with a rule of which only the name is known: see [`with_rule`].
pub trait WithRule {
    /// What comes of it.
    type Output;

    /// Does it with the rule `R`.
    fn with<R: Rule<Config: Clone + Default>>(self) -> Self::Output;
}

macro_rules! learning_rules {
    ($($rule:ident),+) => {
        /// The names of this crate's rules that learn and need nothing but a config with defaults.
        pub const LEARNING_RULES: &[&str] = &[$($rule::NAME),+];

        /// Does `what` with the type of the rule called `name`, if it is one of the [`LEARNING_RULES`].
        pub fn with_rule<W: WithRule>(name: &str, what: W) -> Option<W::Output> {
            match name {
                $($rule::NAME => Some(what.with::<$rule>()),)+
                _ => None,
            }
        }

        impl Registry {
            fn with_learning_rules(self) -> Self {
                self$(.with::<$rule>())+
            }
        }
    };
}

learning_rules!(CompSpec, Foldiak, Invariance, KrotovHopfield, MultiWinner, SoftHebb, SpatialPooler);

fn read_config<C: DeserializeOwned>(name: &str, config: &Value) -> Result<C> {
    C::deserialize(config).map_err(|error| candle_core::Error::msg(format!("config of `{name}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_rule_is_refused_with_those_that_are_known() {
        let refused =
            Registry::builtin().load("hopfield", &Value::Null, State::new()).err().unwrap().to_string();
        assert!(
            refused.starts_with(
                "rule `hopfield` is unknown; known: comp-spec, convolution, foldiak, interleaved"
            ),
            "{refused}"
        );
    }

    #[test]
    fn a_config_with_an_unknown_field_is_refused_by_the_rules_name() {
        let config = serde_json::json!({"units": 3, "colour": 1});
        let refused = Registry::builtin().load("foldiak", &config, State::new()).err().unwrap().to_string();
        assert!(refused.starts_with("config of `foldiak`: unknown field `colour`"), "{refused}");
    }
}
