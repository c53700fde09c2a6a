//! Epochs over a rule: shuffle, scale the rates, observe, and go on from a checkpoint.
//!
//! ```
//! use candle_core::Device;
//! use hebbian::{Event, Fit, FitConfig, KrotovHopfield, KrotovHopfieldConfig, Rule};
//! use hebbian_training::Generator;
//!
//! let inputs = Generator::new(0, "inputs").uniform((500, 16), 0.0, 1.0, &Device::Cpu)?;
//! let config = KrotovHopfieldConfig { units: 10, k: 2, ..Default::default() };
//! let mut rule = KrotovHopfield::new(config, 16, &mut Generator::new(0, "weights"), &Device::Cpu)?;
//!
//! let config = FitConfig { epochs: 3, batch_size: 100, ..Default::default() };
//! let mut epochs_seen = 0;
//! let mut count = |event: &Event<'_, KrotovHopfield>| {
//!     if let Some(report) = event.epoch_report() {
//!         epochs_seen += 1;
//!         assert_eq!(report.wins.iter().flatten().sum::<u32>(), 500);
//!     }
//!     Ok(())
//! };
//! Fit::new(config, 0)?.run(&mut rule, &inputs, &mut [&mut count])?;
//! assert_eq!(epochs_seen, 3);
//! # Ok::<(), candle_core::Error>(())
//! ```

use std::time::Instant;

use candle_core::{Result, Tensor, bail};
use hebbian_training::{
    Batches, Checkpoint, Generator, Invalid, Metadata, Observer, Parameters, Progress, Schedule, Training,
    UnderWay,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Registry;
use crate::examples::Examples;
use crate::report::{Report, Tally};
use crate::rule::{Learned, LearningRule};

/// How long and in what batches a rule learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FitConfig {
    /// Passes over the inputs.
    #[schemars(range(min = 1))]
    pub epochs: usize,
    /// Samples per step.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// How the rule's rates fall.
    pub schedule: Schedule,
    /// Whether every epoch takes the inputs in their order, as a stream must be taken; otherwise each epoch shuffles
    /// them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub in_order: bool,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self { epochs: 20, batch_size: 100, schedule: Schedule::Linear, in_order: false }
    }
}

impl Parameters for FitConfig {
    fn check_together(&self) -> std::result::Result<(), Invalid> {
        self.schedule.validate("schedule")
    }
}

/// The observers of a training.
pub type Observers<'o, R> = [&'o mut dyn for<'a> Observer<Event<'a, R>>];

/// The training of one rule, and where it stands: after so many epochs, and so many steps of the next.
#[derive(Clone, Debug)]
pub struct Fit {
    config: FitConfig,
    /// As it stood when the epoch began.
    shuffles: Generator,
    epoch: usize,
    step: usize,
    factor: f64,
    /// What was measured in the epoch under way.
    tally: Tally,
    /// Which run it is part of.
    run: Option<String>,
}

/// Something that observers may want to see.
pub struct Event<'a, R: ?Sized> {
    /// The training as it stands now.
    pub fit: &'a Fit,
    /// The rule as it is now.
    pub rule: &'a R,
    /// What has just ended.
    pub ended: Ended<'a>,
}

/// What an [`Event`] is the end of.
#[derive(Clone, Copy, Debug)]
pub enum Ended<'a> {
    /// A step, with what happened in it.
    Step(&'a Learned),
    /// An epoch, after its last step.
    Epoch(&'a Report),
}

impl<R: ?Sized> Event<'_, R> {
    /// The report, if an epoch has ended.
    pub fn epoch_report(&self) -> Option<&Report> {
        match self.ended {
            Ended::Epoch(report) => Some(report),
            Ended::Step(_) => None,
        }
    }
}

impl Fit {
    /// A training that has not begun; `seed` seeds the shuffles.
    pub fn new(config: FitConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let shuffles = Generator::new(seed, "shuffle");
        Ok(Self { config, shuffles, epoch: 0, step: 0, factor: 1.0, tally: Tally::default(), run: None })
    }

    /// The same training as part of the run of this name, which its checkpoints then hold.
    pub fn of_run(self, run: impl Into<String>) -> Self {
        Self { run: Some(run.into()), ..self }
    }

    /// The training that `checkpoint` was taken from, to go on exactly as if it had not stopped; `rule` takes over
    /// the checkpoint's state.
    ///
    /// Refused, with nothing changed, where rule, config, seed, epochs, batch size or schedule differ: the run would
    /// be neither the old one nor a new one. [`Fit::from_checkpoint`] makes the rule too, and takes all of these from the
    /// checkpoint.
    pub fn resume<R: LearningRule + ?Sized>(
        config: FitConfig,
        seed: u64,
        rule: &mut R,
        checkpoint: &Checkpoint,
    ) -> Result<Self> {
        let fresh = Self::new(config, seed)?;
        let Metadata { rule: name, config, .. } = &checkpoint.metadata;
        let training = training_of(checkpoint)?;
        let same = |what: &str, theirs: String, ours: String| match theirs == ours {
            true => Ok(()),
            false => bail!("the checkpoint's {what} is {theirs}, this run's is {ours}"),
        };
        same("rule", name.clone(), rule.name().to_owned())?;
        same("config", config.to_string(), rule.config().to_string())?;
        same("fit", training.fit.to_string(), serde_json::json!(fresh.config).to_string())?;
        same("seed", training.generator.seed.to_string(), seed.to_string())?;
        let fit = fresh.at(training)?;
        rule.restore(checkpoint.part("rule"))?;
        Ok(fit)
    }

    /// The training that `checkpoint` was taken from and its rule, one of the `registry`, with nothing else to be known.
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        registry: &Registry,
    ) -> Result<(Self, Box<dyn LearningRule>)> {
        let training = training_of(checkpoint)?;
        let config = FitConfig::deserialize(&training.fit)
            .map_err(|error| candle_core::Error::msg(format!("the checkpoint's fit: {error}")))?;
        let fit = Self::new(config, training.generator.seed)?.at(training)?;
        Ok((fit, registry.from_checkpoint(checkpoint)?))
    }

    /// The same training where it stood once.
    fn at(self, training: &Training) -> Result<Self> {
        let &Training { generator, epoch, step, ref under_way, ref run, .. } = training;
        let tally = under_way.as_ref().map(Tally::at).transpose()?.unwrap_or_default();
        let (shuffles, run) = (Generator::at(generator), run.clone());
        let fit = Self { shuffles, epoch, step, tally, run, ..self };
        // The step before this one was the last of the epoch before, unless one is under way.
        let before = if fit.epoch_step() > 0 { epoch } else { epoch.saturating_sub(1) };
        let factor = if step > 0 { fit.factor_at(before, step - 1) } else { 1.0 };
        Ok(Self { factor, ..fit })
    }

    fn factor_at(&self, epoch: usize, step: usize) -> f64 {
        self.config.schedule.factor(Progress { epoch, epochs: self.config.epochs, step })
    }

    /// Epochs finished.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    /// What the schedule multiplied the rule's rates by in the last step taken.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Steps taken.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Steps taken in the epoch under way; 0 between two epochs.
    pub fn epoch_step(&self) -> usize {
        self.tally.steps()
    }

    /// How long and in what batches.
    pub fn config(&self) -> &FitConfig {
        &self.config
    }

    /// Runs what is left of the epochs over `inputs`, a tensor `(examples, inputs)` or any other [`Examples`], and shows each
    /// step and epoch to the observers. Where an observer stopped it, it goes on with the step after.
    ///
    /// The inputs are checked once; nothing is read from the device until an epoch ends or an observer asks for a checkpoint.
    /// Before its very first step the rule may [`prepare`](LearningRule::prepare).
    pub fn run<R: LearningRule + ?Sized, E: Examples + ?Sized>(
        &mut self,
        rule: &mut R,
        inputs: &E,
        observers: &mut Observers<'_, R>,
    ) -> Result<()> {
        let examples = inputs.examples()?;
        inputs.check()?;
        let size = self.config.batch_size;
        Invalid::unless(
            size <= examples,
            "batch_size",
            size,
            format!("1 to the number of examples ({examples})"),
        )?;
        if self.epoch == self.config.epochs {
            return Ok(());
        }
        let first = inputs.first()?;
        if self.step == 0 {
            rule.prepare(&first)?;
        }
        while self.epoch < self.config.epochs {
            let report = self.run_epoch(rule, (inputs, &first), observers)?;
            self.tell(observers, rule, Ended::Epoch(&report))?;
        }
        Ok(())
    }

    fn tell<R: ?Sized>(&self, observers: &mut Observers<'_, R>, rule: &R, ended: Ended<'_>) -> Result<()> {
        let event = Event { fit: self, rule, ended };
        observers.iter_mut().try_for_each(|observer| observer.observe(&event))
    }

    fn run_epoch<R: LearningRule + ?Sized, E: Examples + ?Sized>(
        &mut self,
        rule: &mut R,
        (inputs, first): (&E, &Tensor),
        observers: &mut Observers<'_, R>,
    ) -> Result<Report> {
        let _span = tracing::info_span!("epoch", epoch = self.epoch).entered();
        let (examples, size) = (inputs.examples()?, self.config.batch_size);
        let mut shuffles = self.shuffles.clone();
        let batches = match self.config.in_order {
            true => Batches::in_order(examples, size),
            false => Batches::shuffled(&mut shuffles, examples, size),
        };
        match self.epoch_step() {
            0 => rule.begin_epoch(self.epoch, first)?,
            _ => self.rejoin_epoch(rule, first, batches.len())?,
        }
        for indices in batches.indices(first.device())?.skip(self.epoch_step()) {
            let learned = self.learn(rule, &inputs.batch(&indices?)?)?;
            self.tell(observers, &*rule, Ended::Step(&learned))?;
        }
        let begin = Instant::now();
        let mut sums = self.sums()?;
        sums.seconds += begin.elapsed().as_secs_f64();
        self.shuffles = shuffles;
        self.epoch += 1;
        self.tally = Tally::default();
        Ok(sums.into())
    }

    /// Prepares `rule`, which stands in the middle of an epoch of so many `steps`, for the next of them. What it set up when
    /// the epoch began and does not save, it sets up again; all that it saves stays as it is.
    fn rejoin_epoch<R: LearningRule + ?Sized>(
        &mut self,
        rule: &mut R,
        inputs: &Tensor,
        steps: usize,
    ) -> Result<()> {
        let taken = self.epoch_step();
        if taken > steps {
            bail!(
                "{taken} steps of the epoch were taken, but with these inputs it has {steps}: they are others"
            );
        }
        self.tally.move_to(inputs.device())?;
        let state = rule.state()?;
        rule.begin_epoch(self.epoch, inputs)?;
        rule.restore(state)?;
        rule.set_rate_scale(self.factor);
        Ok(())
    }

    /// Lets `rule` learn from one batch.
    fn learn<R: LearningRule + ?Sized>(&mut self, rule: &mut R, batch: &Tensor) -> Result<Learned> {
        self.factor = self.factor_at(self.epoch, self.step);
        rule.set_rate_scale(self.factor);
        let _span = tracing::debug_span!("step").entered();
        let begin = Instant::now();
        let learned = rule.learn(batch).map_err(|error| self.place(error))?;
        self.tally.add(&learned)?;
        self.step += 1;
        self.tally.add_seconds(begin.elapsed().as_secs_f64());
        Ok(learned)
    }

    fn place(&self, error: candle_core::Error) -> candle_core::Error {
        candle_core::Error::msg(format!("epoch {}, step {}: {error}", self.epoch + 1, self.step + 1))
    }

    /// What was measured so far in the epoch under way.
    fn sums(&self) -> Result<UnderWay> {
        let named = |error| candle_core::Error::msg(format!("epoch {}: {error}", self.epoch + 1));
        self.tally.read().map_err(named)
    }

    /// Where the training stands: what a checkpoint of its rule must say for the training to go on.
    pub fn training(&self) -> Result<Training> {
        Ok(Training {
            fit: serde_json::json!(self.config),
            epoch: self.epoch,
            step: self.step,
            generator: self.shuffles.state(),
            under_way: (self.epoch_step() > 0).then(|| self.sums()).transpose()?,
            run: self.run.clone(),
        })
    }

    /// All that is needed to go on from here, to the bit: after an epoch, or after any step of one.
    pub fn checkpoint<R: LearningRule + ?Sized>(&self, rule: &R) -> Result<Checkpoint> {
        let training = self.training()?;
        let mut checkpoint = Checkpoint::new(rule.name(), rule.config(), rule.state()?);
        checkpoint.metadata.training = Some(training);
        Ok(checkpoint)
    }
}

fn training_of(checkpoint: &Checkpoint) -> Result<&Training> {
    let Some(training) = &checkpoint.metadata.training else {
        bail!("the checkpoint is of a rule that no training made, so there is none to go on with")
    };
    Ok(training)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KrotovHopfield, KrotovHopfieldConfig, Measured, Rule};
    use candle_core::Device;

    const CONFIG: FitConfig =
        FitConfig { epochs: 3, batch_size: 10, schedule: Schedule::Linear, in_order: false };

    fn rule() -> Result<KrotovHopfield> {
        let config = KrotovHopfieldConfig { units: 8, k: 2, ..Default::default() };
        KrotovHopfield::new(config, 5, &mut Generator::new(0, "fit test"), &Device::Cpu)
    }

    fn inputs() -> Result<Tensor> {
        Generator::new(0, "inputs").uniform((55, 5), 0.0, 1.0, &Device::Cpu)
    }

    fn weights(rule: &KrotovHopfield) -> Result<Vec<Vec<f32>>> {
        rule.weights()?.to_vec2()
    }

    /// The checkpoint after each epoch of a whole run, and the rule at its end.
    fn whole_run() -> Result<(Vec<Checkpoint>, KrotovHopfield)> {
        let (mut rule, mut checkpoints) = (rule()?, Vec::new());
        let mut keep = |event: &Event<'_, KrotovHopfield>| {
            if event.epoch_report().is_some() {
                checkpoints.push(event.fit.checkpoint(event.rule)?);
            }
            Ok(())
        };
        Fit::new(CONFIG, 4)?.run(&mut rule, &inputs()?, &mut [&mut keep])?;
        Ok((checkpoints, rule))
    }

    /// The checkpoint after the second step of the second epoch.
    fn in_the_second_epoch() -> Result<Checkpoint> {
        let mut taken = None;
        let mut take = |event: &Event<'_, KrotovHopfield>| {
            if event.fit.step() == 7 {
                taken = Some(event.fit.checkpoint(event.rule)?);
            }
            Ok(())
        };
        Fit::new(CONFIG, 4)?.run(&mut rule()?, &inputs()?, &mut [&mut take])?;
        Ok(taken.expect("there are 15 steps"))
    }

    #[test]
    fn a_report_has_the_largest_update_of_the_epoch_and_the_fit_the_factor_that_it_learned_with() -> Result<()>
    {
        let (mut steps, mut seen) = (Vec::new(), Vec::new());
        let mut rule = rule()?;
        let inputs = Generator::new(1, "fit test").uniform((40, 5), 0.0, 1.0, &Device::Cpu)?;
        let mut watch = |event: &Event<'_, KrotovHopfield>| {
            match event.epoch_report() {
                Some(report) => {
                    let Measured { mean, largest } = report.measure("largest_update").expect("a measure");
                    seen.push((event.fit.factor(), mean, largest));
                }
                None => steps.push(event.fit.factor()),
            }
            Ok(())
        };
        Fit::new(CONFIG, 0)?.run(&mut rule, &inputs, &mut [&mut watch])?;
        let factors: Vec<f64> = seen.iter().map(|report| report.0).collect();
        assert_eq!(factors, [1.0, 1.0 - 1.0 / 3.0, 1.0 - 2.0 / 3.0]);
        assert_eq!(steps.len(), 12);
        assert!(seen.iter().all(|(_, mean, largest)| largest > mean), "{seen:?}");
        Ok(())
    }

    #[test]
    fn a_run_resumed_after_any_epoch_ends_with_the_same_bits() -> Result<()> {
        let (checkpoints, whole) = whole_run()?;
        assert_eq!(checkpoints.len(), 3);
        for checkpoint in checkpoints {
            let mut resumed = rule()?;
            let mut fit = Fit::resume(CONFIG, 4, &mut resumed, &checkpoint)?;
            fit.run(&mut resumed, &inputs()?, &mut [])?;
            assert_eq!((fit.epoch(), fit.step()), (3, 15));
            assert_eq!(weights(&resumed)?, weights(&whole)?);
        }
        Ok(())
    }

    #[test]
    fn a_fit_says_where_within_the_epoch_it_stands_and_what_rate_it_learned_with_last() -> Result<()> {
        let checkpoint = in_the_second_epoch()?;
        let fit = Fit::resume(CONFIG, 4, &mut rule()?, &checkpoint)?;
        assert_eq!((fit.epoch(), fit.epoch_step(), fit.step()), (1, 2, 7));
        assert_eq!(fit.factor(), 1.0 - 1.0 / 3.0);
        let (checkpoints, _) = whole_run()?;
        let fit = Fit::resume(CONFIG, 4, &mut rule()?, &checkpoints[1])?;
        assert_eq!((fit.epoch(), fit.epoch_step(), fit.step()), (2, 0, 10));
        assert_eq!(fit.factor(), 1.0 - 1.0 / 3.0);
        assert_eq!((Fit::new(CONFIG, 4)?.factor(), Fit::new(CONFIG, 4)?.epoch_step()), (1.0, 0));
        Ok(())
    }

    #[test]
    fn a_run_that_an_observer_stopped_goes_on_with_the_step_after_it() -> Result<()> {
        let (_, whole) = whole_run()?;
        let (mut rule, mut fit) = (rule()?, Fit::new(CONFIG, 4)?);
        let mut steps = 0;
        let mut stop = |event: &Event<'_, KrotovHopfield>| match event.fit.step() {
            step if step.is_multiple_of(2) => bail!("stopped"),
            _ => Ok(()),
        };
        while fit.run(&mut rule, &inputs()?, &mut [&mut stop]).is_err() {
            steps += 1;
        }
        // Seven times within an epoch, and once more after the tenth step, which is the last of one.
        assert_eq!((steps, fit.step()), (8, 15));
        assert_eq!(weights(&rule)?, weights(&whole)?);
        Ok(())
    }

    #[test]
    fn a_checkpoint_from_within_an_epoch_that_cannot_be_true_is_refused() -> Result<()> {
        let mut checkpoint = in_the_second_epoch()?;
        let refusal = |checkpoint: &Checkpoint| {
            let mut rule = rule()?;
            let fit = Fit::resume(CONFIG, 4, &mut rule, checkpoint);
            let refused = fit.and_then(|mut fit| fit.run(&mut rule, &inputs()?, &mut [])).unwrap_err();
            Result::Ok(refused.to_string().lines().next().unwrap_or_default().to_owned())
        };
        fn under_way(checkpoint: &mut Checkpoint) -> Option<&mut UnderWay> {
            checkpoint.metadata.training.as_mut()?.under_way.as_mut()
        }
        let sums = under_way(&mut checkpoint).expect("an epoch is under way");
        sums.wins = Some(vec![1; 3]);
        let refused = refusal(&checkpoint)?;
        assert_eq!(refused, "the wins of 3 units were counted so far, and the rule has 8");
        under_way(&mut checkpoint).expect("an epoch is under way").step = 6;
        let refused = refusal(&checkpoint)?;
        assert!(refused.starts_with("6 steps of the epoch were taken, but with these inputs it has 5"));
        Ok(())
    }

    #[test]
    fn a_checkpoint_alone_is_enough_to_go_on() -> Result<()> {
        let (checkpoints, whole) = whole_run()?;
        let (mut fit, mut rule) = Fit::from_checkpoint(&checkpoints[0], &Registry::builtin())?;
        fit.run(&mut *rule, &inputs()?, &mut [])?;
        assert_eq!(rule.weights()?.to_vec2::<f32>()?, weights(&whole)?);
        Ok(())
    }

    #[test]
    fn resuming_what_was_another_run_is_refused_and_changes_nothing() -> Result<()> {
        let (checkpoints, _) = whole_run()?;
        let checkpoint = &checkpoints[0];
        let mut rule = rule()?;
        let before = weights(&rule)?;
        let other_fit = FitConfig { epochs: 4, ..CONFIG };
        let mut other_rule = checkpoint.clone();
        other_rule.metadata.rule = "foldiak".to_owned();
        let mut untrained = checkpoint.clone();
        untrained.metadata.training = None;
        let refusals = [
            Fit::resume(other_fit, 4, &mut rule, checkpoint),
            Fit::resume(CONFIG, 5, &mut rule, checkpoint),
            Fit::resume(CONFIG, 4, &mut rule, &other_rule),
            Fit::resume(CONFIG, 4, &mut rule, &untrained),
        ];
        let expected = [
            "the checkpoint's fit is",
            "the checkpoint's seed is 4, this run's is 5",
            "the checkpoint's rule",
            "the checkpoint is of a rule that no training made",
        ];
        for (refused, expected) in refusals.into_iter().zip(expected) {
            let message = refused.unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        assert_eq!(weights(&rule)?, before);
        Ok(())
    }

    #[test]
    fn a_batch_larger_than_the_data_and_data_that_is_not_finite_are_refused() -> Result<()> {
        let large = FitConfig { batch_size: 56, ..CONFIG };
        let refused = Fit::new(large, 0)?.run(&mut rule()?, &inputs()?, &mut []).unwrap_err().to_string();
        assert!(
            refused.contains("batch_size = 56 is not allowed: 1 to the number of examples (55)"),
            "{refused}"
        );
        let infinite = (inputs()?.narrow(0, 0, 1)? + f64::INFINITY)?;
        let infinite = Tensor::cat(&[inputs()?, infinite], 0)?;
        let refused = Fit::new(CONFIG, 0)?.run(&mut rule()?, &infinite, &mut []).unwrap_err().to_string();
        assert!(
            refused.contains("`inputs` holds a value that is not finite, first in example 55"),
            "{refused}"
        );
        Ok(())
    }

    #[test]
    fn inputs_in_order_come_as_they_are_and_others_as_the_seed_shuffles_them() -> Result<()> {
        let shuffled = Batches::shuffled(&mut Generator::new(0, "shuffle"), 55, 55);
        let order = shuffled.indices(&Device::Cpu)?.next().expect("one batch")?;
        for (in_order, shown) in [(true, inputs()?), (false, inputs()?.index_select(&order, 0)?)] {
            let (mut fitted, mut alone) = (rule()?, rule()?);
            let config = FitConfig { epochs: 1, batch_size: 5, in_order, ..CONFIG };
            Fit::new(config, 0)?.run(&mut fitted, &inputs()?, &mut [])?;
            for batch in 0..11 {
                alone.learn(&shown.narrow(0, 5 * batch, 5)?)?;
            }
            assert_eq!(weights(&fitted)?, weights(&alone)?, "in order: {in_order}");
        }
        Ok(())
    }

    #[test]
    fn a_config_of_shuffled_inputs_is_written_as_before_there_was_another() {
        let written = serde_json::json!(CONFIG).to_string();
        assert_eq!(written, r#"{"batch_size":10,"epochs":3,"schedule":"linear"}"#);
        assert_eq!(serde_json::from_str::<FitConfig>(&written).unwrap(), CONFIG);
    }

    #[test]
    fn a_step_that_fails_is_named_by_epoch_and_step() -> Result<()> {
        // Finite, but their products are not.
        let huge = (inputs()? * 1e38)?;
        let refused = Fit::new(CONFIG, 0)?.run(&mut rule()?, &huge, &mut []).unwrap_err().to_string();
        assert!(refused.starts_with("epoch 1, step 1: the update is not finite"), "{refused}");
        Ok(())
    }

    #[test]
    fn observers_see_every_step_and_every_epoch() -> Result<()> {
        let (mut steps, mut wins) = (0, 0);
        let mut count = |event: &Event<'_, KrotovHopfield>| {
            match &event.ended {
                Ended::Step(learned) => {
                    assert_eq!(learned.output.dims(), [10, 8]);
                    steps += 1;
                }
                Ended::Epoch(report) => wins += report.wins.iter().flatten().sum::<u32>(),
            }
            Ok(())
        };
        Fit::new(CONFIG, 0)?.run(&mut rule()?, &inputs()?, &mut [&mut count])?;
        assert_eq!((steps, wins), (15, 150));
        Ok(())
    }
}
