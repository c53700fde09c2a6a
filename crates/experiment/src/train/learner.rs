//! What `train` can train: any rule with a config of its own, and stacks.

use anyhow::{Context, Result};
use candle_core::Device;
use hebbian::{
    Composite, Learning, LearningRule, Parameters, Registry, Rule, Stack, StackConfig, StackedRule,
};
use hebbian_training::{Generator, Invalid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rule, and the settings that make it.
pub trait Learner: 'static {
    /// The name that `--rule` gives.
    const NAME: &'static str;
    /// Its parameters.
    type Settings: Parameters + Default;
    /// What they make.
    type Layer: LearningRule;

    /// A layer for `inputs` values per sample that has learned nothing yet.
    ///
    /// # Errors
    /// If the settings do not go with so many inputs.
    fn create(
        settings: &Self::Settings,
        inputs: usize,
        draws: &mut Generator,
        device: &Device,
    ) -> Result<Self::Layer>;
}

impl<R: Rule<Config: Default + Clone>> Learner for R {
    const NAME: &'static str = R::NAME;
    type Settings = R::Config;
    type Layer = R;

    fn create(settings: &R::Config, inputs: usize, draws: &mut Generator, device: &Device) -> Result<R> {
        Ok(R::new(settings.clone(), inputs, draws, device)?)
    }
}

/// Rules on top of each other, from a config.
#[derive(Debug)]
pub struct StackOfRules;

/// A stack as a config says it.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StackSettings {
    /// For how many epochs each rule learns, one after the other; if none are given, all learn from every batch.
    pub greedy_epochs: Vec<usize>,
    /// The rules, the lowest first.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>", length(min = 1))]
    pub rules: Vec<StackedRule>,
}

impl Parameters for StackSettings {
    fn check_together(&self) -> Result<(), Invalid> {
        let one_for_each = self.greedy_epochs.is_empty() || self.greedy_epochs.len() == self.rules.len();
        let given = format!("{:?}", self.greedy_epochs);
        Invalid::unless(
            one_for_each,
            "greedy_epochs",
            given,
            format!("one number for each of {} rules", self.rules.len()),
        )
    }
}

impl Learner for StackOfRules {
    const NAME: &'static str = <Stack as Composite>::NAME;
    type Settings = StackSettings;
    type Layer = Stack;

    fn create(
        settings: &StackSettings,
        inputs: usize,
        draws: &mut Generator,
        device: &Device,
    ) -> Result<Stack> {
        let StackSettings { greedy_epochs, rules } = settings;
        let learning = match greedy_epochs.as_slice() {
            [] => Learning::Online,
            epochs => Learning::Greedy(epochs.to_vec()),
        };
        let config = StackConfig { learning, rules: rules.clone() };
        Stack::from_config(config, inputs, draws, device, &Registry::builtin()).context("rule.rules")
    }
}
