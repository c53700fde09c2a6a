//! Rules on top of each other.
//!
//! Each rule learns from what the one below passes upward. A [`Stack`] is itself a rule: it is trained, saved, resumed
//! and put into a `Sequential` like any other.
//!
//! * [`Learning::Online`]: all rules learn from every batch, the lower ones first, and a rule sees the outputs that those
//!   below gave *while* they learned.
//! * [`Learning::Greedy`]: one rule learns at a time, for so many epochs, from what the finished ones below make of the
//!   inputs ([`Module::forward`]); those above it wait.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use candle_nn::Module;
//! use hebbian::{
//!     Fit, FitConfig, Invariance, InvarianceConfig, Learning, LearningRule, MultiWinner, MultiWinnerConfig, Rule, Stack,
//! };
//! use hebbian_training::{Generator, Schedule};
//!
//! let mut draws = Generator::new(0, "doctest");
//! let sparse = MultiWinnerConfig { units: 12, winners: 3, ..Default::default() };
//! let invariant = InvarianceConfig { units: 4, ..Default::default() };
//! let mut stack = Stack::new(
//!     vec![
//!         Box::new(MultiWinner::new(sparse, 9, &mut draws, &Device::Cpu)?),
//!         Box::new(Invariance::new(invariant, 12, &mut draws, &Device::Cpu)?),
//!     ],
//!     Learning::Online,
//! )?;
//!
//! let stream = draws.uniform((200, 9), 0.0, 1.0, &Device::Cpu)?;
//! let config = FitConfig { epochs: 2, batch_size: 50, schedule: Schedule::Linear, in_order: true };
//! Fit::new(config, 0)?.run(&mut stack, &stream, &mut [])?;
//! assert_eq!(stack.forward(&stream)?.dims(), [200, 4]);
//! assert_eq!(stack.weights()?.dims(), [4, 9]); // what each top unit is made of, in pixels
//! # Ok::<(), candle_core::Error>(())
//! ```

use candle_core::{Device, Result, Tensor, bail};
use candle_nn::Module;
use hebbian_training::{Generator, State};
use serde::{Deserialize, Serialize};

use crate::Registry;
use crate::ops::in_portions;
use crate::rule::{Composite, Learned, LearningRule};

/// Who learns when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Learning {
    /// All rules, from every batch.
    Online,
    /// Each rule for its number of epochs, from the lowest up; the last goes on for as long as there are epochs.
    Greedy(Vec<usize>),
}

/// All that a [`Stack`] is made of, beside its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackConfig {
    /// Who learns when.
    pub learning: Learning,
    /// The rules, the lowest first.
    pub rules: Vec<StackedRule>,
}

/// One rule of a stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackedRule {
    /// Its name.
    pub rule: String,
    /// Its config.
    pub config: serde_json::Value,
}

impl StackedRule {
    /// What `rule` is.
    pub(super) fn of(rule: &dyn LearningRule) -> Self {
        Self { rule: rule.name().to_owned(), config: rule.config() }
    }
}

const NO_RULES: &str = "a stack needs at least one rule";

/// Rules of which each learns from the one below.
///
/// Its state is that of its rules, the tensor `weights` of the lowest as `0.weights`.
pub struct Stack {
    rules: Vec<Box<dyn LearningRule>>,
    learning: Learning,
    epoch: usize,
    /// Of each rule, the winners of the last step.
    winners: Vec<Option<Tensor>>,
    /// On the CPU, the states before the step of the rules below the last that cannot undo one.
    before: Vec<State>,
}

impl Stack {
    /// Puts `rules` on each other, the lowest first: each must take as many inputs as the one below has units.
    pub fn new(rules: Vec<Box<dyn LearningRule>>, learning: Learning) -> Result<Self> {
        if rules.is_empty() {
            bail!("{NO_RULES}");
        }
        for (layer, pair) in rules.windows(2).enumerate() {
            let (below, above) = (pair[0].units(), pair[1].inputs());
            if below != above {
                bail!(
                    "rule {} of the stack takes {above} inputs, but there are {below} units below it",
                    layer + 1
                );
            }
        }
        if let Learning::Greedy(epochs) = &learning
            && epochs.len() != rules.len()
        {
            bail!("{} numbers of epochs for {} rules, expected one for each", epochs.len(), rules.len());
        }
        let (winners, before) = (vec![None; rules.len()], vec![State::new(); rules.len() - 1]);
        Ok(Self { rules, learning, epoch: 0, winners, before })
    }

    /// The rules, the lowest first.
    pub fn rules(&self) -> &[Box<dyn LearningRule>] {
        &self.rules
    }

    /// What the rule `layer` is given while `inputs` are shown: what all below it make of them.
    pub fn below(&self, layer: usize, inputs: &Tensor) -> Result<Tensor> {
        let rules = &self.rules[..layer.min(self.rules.len())];
        let forward =
            |inputs: &Tensor| rules.iter().try_fold(inputs.clone(), |inputs, rule| rule.forward(&inputs));
        match rules.iter().any(|rule| rule.is_sequential()) {
            true => forward(inputs),
            false => in_portions(inputs, rules.iter().map(|rule| rule.units()).max().unwrap_or(0), forward),
        }
    }

    /// The units of the rule `layer` that won in the last step, as [`Learned::winners`]: what [`LearningRule::learn`] returns is
    /// only the highest rule's. None for a rule without winners, and for one that learned nothing in that step.
    pub fn winners(&self, layer: usize) -> Option<&Tensor> {
        self.winners.get(layer)?.as_ref()
    }

    /// The one rule that learns in this epoch, unless all do.
    fn learner(&self) -> Option<usize> {
        let Learning::Greedy(epochs) = &self.learning else { return None };
        let ends = ends(epochs).take(self.rules.len() - 1);
        Some(ends.filter(|&end| end <= self.epoch).count())
    }

    /// Lets all rules learn from `inputs`, and says what the highest has to report, and what the highest that measures has
    /// measured. If one fails, those below it take their
    /// steps back; away from the CPU none does.
    fn learn_all(&mut self, inputs: &Tensor) -> Result<Learned> {
        let mut learned: Option<Learned> = None;
        for layer in 0..self.rules.len() {
            let seen = learned.as_ref().map_or(inputs, |below| &below.output);
            match self.rules[layer].learn(seen) {
                Ok(mut step) => {
                    self.winners[layer].clone_from(&step.winners);
                    // What learns nothing measures nothing.
                    if step.measures.is_empty() {
                        step.measures = learned.map(|below| below.measures).unwrap_or_default();
                    }
                    learned = Some(step);
                }
                Err(error) => {
                    self.winners.fill(None);
                    if inputs.device().is_cpu() {
                        self.take_back(layer)?;
                    }
                    return Err(error);
                }
            }
        }
        learned.ok_or_else(|| candle_core::Error::msg(NO_RULES))
    }

    /// Keeps what `take_back` needs of the rules that cannot undo a step and have one above them that can fail.
    fn keep(&mut self) -> Result<()> {
        let last = self.rules.iter().rposition(|rule| rule.can_fail()).unwrap_or(0);
        let below = self.rules.iter().zip(&mut self.before).take(last);
        let kept = below.filter(|(rule, _)| !rule.can_undo());
        for (rule, before) in kept {
            copy_into(before, rule.tensors()?)?;
        }
        Ok(())
    }

    /// Takes back the step of the first `layers` rules.
    fn take_back(&mut self, layers: usize) -> Result<()> {
        let rules = self.rules.iter_mut().zip(&mut self.before).take(layers);
        for (rule, before) in rules {
            match rule.can_undo() {
                true => rule.undo()?,
                // Given away, since a rule may keep the tensors that it is given.
                false => rule.restore(std::mem::take(before))?,
            }
        }
        Ok(())
    }

    /// Lets the rule `layer` prepare for what those below it make of the first of `inputs`.
    fn prepare_layer(&mut self, layer: usize, inputs: &Tensor) -> Result<()> {
        let first = inputs.narrow(0, 0, inputs.dim(0)?.min(PREPARED))?;
        let seen = if layer == 0 { inputs.clone() } else { self.below(layer, &first)? };
        self.rules[layer].prepare(&seen)
    }
}

/// Samples that a rule above the lowest prepares with: what those below it make of all could be too much for memory.
const PREPARED: usize = 1000;

/// The epochs at which a rule's turn ends.
fn ends(epochs: &[usize]) -> impl Iterator<Item = usize> {
    epochs.iter().scan(0, |end, &epochs| {
        *end += epochs;
        Some(*end)
    })
}

/// The states of all layers under the layers' numbers.
fn joined(states: impl Iterator<Item = Result<State>>) -> Result<State> {
    let mut all = State::new();
    for (layer, state) in states.enumerate() {
        all.extend(state?.into_iter().map(|(name, tensor)| (format!("{layer}.{name}"), tensor)));
    }
    Ok(all)
}

/// Copies `tensors` into those of the same names, which are made at the first time: a step allocates nothing of their size.
fn copy_into(kept: &mut State, tensors: State) -> Result<()> {
    for (name, tensor) in tensors {
        match kept.get(&name) {
            Some(place) => place.slice_set(&tensor.contiguous()?, 0, 0)?,
            None => drop(kept.insert(name, tensor.copy()?)),
        }
    }
    Ok(())
}

fn part(state: &State, layer: usize) -> State {
    let prefix = format!("{layer}.");
    let named = state.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?, tensor)));
    named.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

/// Refuses a tensor that belongs to none of the `layers`.
fn check_layers(state: &State, layers: usize) -> Result<()> {
    let belongs = |name: &&String| (0..layers).any(|layer| name.starts_with(&format!("{layer}.")));
    match state.keys().find(|name| !belongs(name)) {
        Some(name) => bail!("state: tensor `{name}` does not belong to this rule"),
        None => Ok(()),
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.rules.iter().map(|rule| rule.name()).collect();
        f.debug_struct("Stack").field("rules", &names).field("learning", &self.learning).finish()
    }
}

impl Module for Stack {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        self.below(self.rules.len(), inputs)
    }
}

impl Composite for Stack {
    const NAME: &'static str = "stack";
    type Config = StackConfig;

    fn from_config(
        config: StackConfig,
        inputs: usize,
        generator: &mut Generator,
        device: &Device,
        registry: &Registry,
    ) -> Result<Self> {
        let mut rules: Vec<Box<dyn LearningRule>> = Vec::new();
        for StackedRule { rule, config } in &config.rules {
            let inputs = rules.last().map_or(inputs, |below| below.units());
            rules.push(registry.create(rule, config, inputs, generator, device)?);
        }
        Self::new(rules, config.learning)
    }

    fn from_state(config: StackConfig, state: State, registry: &Registry) -> Result<Self> {
        check_layers(&state, config.rules.len())?;
        let rules =
            config.rules.iter().enumerate().map(|(layer, StackedRule { rule, config })| {
                registry.load(rule, config, part(&state, layer))
            });
        Self::new(rules.collect::<Result<_>>()?, config.learning)
    }
}

impl LearningRule for Stack {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn config(&self) -> serde_json::Value {
        let rules = self.rules.iter().map(|rule| StackedRule::of(&**rule)).collect();
        serde_json::json!(StackConfig { learning: self.learning.clone(), rules })
    }

    fn inputs(&self) -> usize {
        self.rules.first().map_or(0, |rule| rule.inputs())
    }

    fn units(&self) -> usize {
        self.rules.last().map_or(0, |rule| rule.units())
    }

    /// The rate of the rule that learns in this epoch, of the lowest if all do.
    fn learning_rate(&self) -> Option<f64> {
        self.rules[self.learner().unwrap_or(0)].learning_rate()
    }

    fn is_sequential(&self) -> bool {
        self.rules.iter().any(|rule| rule.is_sequential())
    }

    /// Rules that learn one at a time are prepared when their turn begins.
    fn prepare(&mut self, inputs: &Tensor) -> Result<()> {
        let prepared = if self.learning == Learning::Online { self.rules.len() } else { 1 };
        (0..prepared).try_for_each(|layer| self.prepare_layer(layer, inputs))
    }

    /// `inputs` are those of the lowest rule, for all rules.
    fn begin_epoch(&mut self, epoch: usize, inputs: &Tensor) -> Result<()> {
        self.epoch = epoch;
        self.rules.iter_mut().try_for_each(|rule| rule.begin_epoch(epoch, inputs))?;
        let Learning::Greedy(epochs) = &self.learning else { return Ok(()) };
        let turns: Vec<usize> = ends(epochs).take(self.rules.len() - 1).collect();
        let beginning = (1..self.rules.len()).filter(|layer| turns[layer - 1] == epoch);
        beginning.collect::<Vec<_>>().into_iter().try_for_each(|layer| self.prepare_layer(layer, inputs))
    }

    fn set_rate_scale(&mut self, scale: f64) {
        self.rules.iter_mut().for_each(|rule| rule.set_rate_scale(scale));
    }

    /// What the highest rule that learns has to report.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        self.winners.fill(None);
        if let Some(learner) = self.learner() {
            let inputs = self.below(learner, inputs)?;
            let learned = self.rules[learner].learn(&inputs)?;
            self.winners[learner].clone_from(&learned.winners);
            return Ok(learned);
        }
        if inputs.device().is_cpu() {
            self.keep()?;
        }
        self.learn_all(inputs)
    }

    /// The product of all weights: what each unit of the highest rule is made of, in the inputs of the lowest. Where layers
    /// lie between that have none, or where units share theirs, the weights of the lowest rule that has any.
    fn weights(&self) -> Result<Tensor> {
        let dense =
            |rule: &dyn LearningRule, weights: &Tensor| weights.dims() == [rule.units(), rule.inputs()];
        let mut product: Option<Tensor> = None;
        for rule in &self.rules {
            product = match (product, rule.weights()) {
                (None, Ok(weights)) if !dense(&**rule, &weights) => return Ok(weights),
                (Some(below), Ok(weights)) if dense(&**rule, &weights) => Some(weights.matmul(&below)?),
                (Some(below), _) => return Ok(below),
                (None, weights) => weights.ok(),
            };
        }
        product.ok_or_else(|| candle_core::Error::msg("no layer of the stack has weights"))
    }

    fn tensors(&self) -> Result<State> {
        joined(self.rules.iter().map(|rule| rule.tensors()))
    }

    fn inference_state(&self) -> Result<State> {
        joined(self.rules.iter().map(|rule| rule.inference_state()))
    }

    fn restore(&mut self, state: State) -> Result<()> {
        check_layers(&state, self.rules.len())?;
        let before = self.state()?;
        let restore =
            |(layer, rule): (usize, &mut Box<dyn LearningRule>), state| rule.restore(part(state, layer));
        let restored = self.rules.iter_mut().enumerate().try_for_each(|rule| restore(rule, &state));
        if restored.is_err() {
            // What a rule gave it takes back.
            self.rules.iter_mut().enumerate().try_for_each(|rule| restore(rule, &before))?;
        }
        restored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fit, FitConfig, Invariance, InvarianceConfig, MultiWinner, MultiWinnerConfig, Rule};
    use candle_core::Device;
    use hebbian_training::{Checkpoint, Generator, Schedule};

    const FIT: FitConfig =
        FitConfig { epochs: 4, batch_size: 10, schedule: Schedule::Linear, in_order: true };

    fn stack(learning: Learning) -> Result<Stack> {
        let mut draws = Generator::new(0, "stack test");
        let sparse = MultiWinnerConfig { units: 12, winners: 2, ..Default::default() };
        let invariant = InvarianceConfig { units: 5, ..Default::default() };
        let sparse = MultiWinner::new(sparse, 9, &mut draws, &Device::Cpu)?;
        let invariant = Invariance::new(invariant, 12, &mut draws, &Device::Cpu)?;
        Stack::new(vec![Box::new(sparse), Box::new(invariant)], learning)
    }

    fn stream() -> Result<Tensor> {
        Generator::new(0, "stream").uniform((45, 9), -1.0, 1.0, &Device::Cpu)?.relu()
    }

    fn layer(stack: &Stack, layer: usize) -> Result<Vec<Vec<f32>>> {
        stack.rules()[layer].weights()?.to_vec2()
    }

    #[test]
    fn online_rules_learn_as_they_would_hand_in_hand() -> Result<()> {
        let (mut together, mut apart) = (stack(Learning::Online)?, stack(Learning::Online)?);
        Fit::new(FIT, 0)?.run(&mut together, &stream()?, &mut [])?;
        for epoch in 0..4 {
            apart.begin_epoch(epoch, &stream()?)?;
            for frame in 0..40 {
                apart.set_rate_scale(1.0 - epoch as f64 / 4.0);
                let below = apart.rules[0].learn(&stream()?.narrow(0, frame, 1)?)?.output;
                apart.rules[1].learn(&below)?;
            }
        }
        for number in 0..2 {
            assert_eq!(layer(&together, number)?, layer(&apart, number)?, "rule {number}");
        }
        Ok(())
    }

    #[test]
    fn the_winners_of_the_last_step_are_those_of_each_rule_that_learned_in_it() -> Result<()> {
        let winners = |tensor: &Tensor| tensor.to_vec2::<u32>();
        let (mut together, mut apart) = (stack(Learning::Online)?, stack(Learning::Online)?);
        assert!(together.winners(0).is_none());
        together.learn(&stream()?)?;
        let below = apart.rules[0].learn(&stream()?)?;
        let above = apart.rules[1].learn(&below.output)?;
        for (layer, learned) in [below, above].iter().enumerate() {
            let ours = together.winners(layer).map(winners).transpose()?;
            assert_eq!(ours, learned.winners.as_ref().map(winners).transpose()?, "rule {layer}");
        }
        assert!(together.winners(0).is_some() && together.winners(2).is_none());

        let mut greedy = stack(Learning::Greedy(vec![1, 1]))?;
        greedy.learn(&stream()?)?;
        assert!(greedy.winners(0).is_some() && greedy.winners(1).is_none());
        greedy.begin_epoch(1, &stream()?)?;
        greedy.learn(&stream()?)?;
        assert!(greedy.winners(0).is_none());
        Ok(())
    }

    #[test]
    fn greedy_rules_learn_one_at_a_time() -> Result<()> {
        let mut stack = stack(Learning::Greedy(vec![3, 1]))?;
        let mut before = [layer(&stack, 0)?, layer(&stack, 1)?];
        for epoch in 0..6 {
            stack.begin_epoch(epoch, &stream()?)?;
            stack.learn(&stream()?)?;
            let after = [layer(&stack, 0)?, layer(&stack, 1)?];
            let moved = [before[0] != after[0], before[1] != after[1]];
            assert_eq!(moved, if epoch < 3 { [true, false] } else { [false, true] }, "epoch {epoch}");
            before = after;
        }
        Ok(())
    }

    #[test]
    fn a_run_resumed_after_any_epoch_ends_with_the_same_bits() -> Result<()> {
        for learning in [Learning::Online, Learning::Greedy(vec![2, 2])] {
            let mut whole = stack(learning.clone())?;
            let mut checkpoints: Vec<Checkpoint> = Vec::new();
            let mut keep = |event: &crate::Event<'_, Stack>| {
                if event.epoch_report().is_some() {
                    checkpoints.push(event.fit.checkpoint(event.rule)?);
                }
                Ok(())
            };
            Fit::new(FIT, 0)?.run(&mut whole, &stream()?, &mut [&mut keep])?;
            for checkpoint in checkpoints {
                let mut resumed = stack(learning.clone())?;
                Fit::resume(FIT, 0, &mut resumed, &checkpoint)?.run(&mut resumed, &stream()?, &mut [])?;
                assert_eq!(layer(&resumed, 0)?, layer(&whole, 0)?);
                assert_eq!(layer(&resumed, 1)?, layer(&whole, 1)?);
            }
        }
        Ok(())
    }

    #[test]
    fn a_checkpoint_becomes_the_stack_that_it_was_taken_from() -> Result<()> {
        let mut stack = stack(Learning::Online)?;
        let mut fit = Fit::new(FIT, 0)?;
        fit.run(&mut stack, &stream()?, &mut [])?;
        let checkpoint = fit.checkpoint(&stack)?;
        assert!(checkpoint.tensors.contains_key("rule.1.weights"));
        let again = Registry::builtin().from_checkpoint(&checkpoint)?;
        let (ours, theirs) = (stack.forward(&stream()?)?, again.forward(&stream()?)?);
        assert_eq!(ours.to_vec2::<f32>()?, theirs.to_vec2::<f32>()?);
        assert_eq!(again.config(), stack.config());
        Ok(())
    }

    #[test]
    fn a_state_of_which_one_rule_is_wrong_changes_none() -> Result<()> {
        let mut stack = stack(Learning::Online)?;
        let before = [layer(&stack, 0)?, layer(&stack, 1)?];
        let mut other = stack.state()?;
        other.insert("0.weights".to_owned(), (&other["0.weights"] * 2.0)?);
        other.remove("1.average");
        let message = stack.restore(other).unwrap_err().to_string();
        assert!(message.contains("tensor `average` is missing"), "{message}");
        assert_eq!([layer(&stack, 0)?, layer(&stack, 1)?], before);

        let mut stranger = stack.state()?;
        stranger.insert("2.weights".to_owned(), stranger["1.weights"].clone());
        let message = stack.restore(stranger).unwrap_err().to_string();
        assert!(message.contains("tensor `2.weights` does not belong"), "{message}");
        Ok(())
    }

    /// A rule that passes on what it is given, and fails from a step on.
    struct Failing(usize);

    impl Module for Failing {
        fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
            Ok(inputs.clone())
        }
    }

    impl LearningRule for Failing {
        fn name(&self) -> &'static str {
            "failing"
        }

        fn config(&self) -> serde_json::Value {
            serde_json::Value::Null
        }

        fn inputs(&self) -> usize {
            12
        }

        fn units(&self) -> usize {
            12
        }

        fn set_rate_scale(&mut self, _scale: f64) {}

        fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| candle_core::Error::msg("no more steps"))?;
            Ok(Learned::new(inputs.clone()))
        }

        fn weights(&self) -> Result<Tensor> {
            Tensor::eye(12, candle_core::DType::F32, &Device::Cpu)
        }

        fn tensors(&self) -> Result<State> {
            Ok(State::new())
        }

        fn restore(&mut self, _state: State) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_step_that_fails_further_up_is_taken_back_below() -> Result<()> {
        let mut draws = Generator::new(0, "stack test");
        let sparse = MultiWinnerConfig { units: 12, winners: 2, ..Default::default() };
        let sparse = MultiWinner::new(sparse, 9, &mut draws, &Device::Cpu)?;
        let invariant = InvarianceConfig { units: 12, ..Default::default() };
        let invariant = Invariance::new(invariant, 12, &mut draws, &Device::Cpu)?;
        let rules: Vec<Box<dyn LearningRule>> =
            vec![Box::new(sparse), Box::new(invariant), Box::new(Failing(2))];
        let mut stack = Stack::new(rules, Learning::Online)?;
        let batch = |step: usize| stream()?.narrow(0, 10 * step, 10);
        stack.learn(&batch(0)?)?;
        stack.learn(&batch(1)?)?;
        let before = [layer(&stack, 0)?, layer(&stack, 1)?];
        let refused = stack.learn(&batch(2)?).unwrap_err().to_string();
        assert!(refused.starts_with("no more steps"), "{refused}");
        assert_eq!([layer(&stack, 0)?, layer(&stack, 1)?], before);
        Ok(())
    }

    #[test]
    fn rules_that_do_not_fit_on_each_other_are_refused() -> Result<()> {
        let sparse = || {
            let config = MultiWinnerConfig { units: 12, ..Default::default() };
            MultiWinner::new(config, 9, &mut Generator::new(0, "stack test"), &Device::Cpu)
        };
        let message = |rules, learning| Stack::new(rules, learning).unwrap_err().to_string();
        let refused = message(vec![Box::new(sparse()?), Box::new(sparse()?)], Learning::Online);
        assert!(refused.starts_with("rule 1 of the stack takes 9 inputs, but there are 12 units below it"));
        let refused = message(vec![Box::new(sparse()?)], Learning::Greedy(vec![1, 2]));
        assert!(refused.starts_with("2 numbers of epochs for 1 rules, expected one for each"));
        assert!(message(vec![], Learning::Online).starts_with("a stack needs at least one rule"));
        Ok(())
    }
}
