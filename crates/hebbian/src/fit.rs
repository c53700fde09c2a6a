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

use std::path::PathBuf;
use std::time::Instant;

use candle_core::{DType, Result, Tensor, bail};
use hebbian_training::{
    Batches, Checkpoint, Generator, Invalid, Metadata, Observer, Parameters, Progress, Schedule, Training,
    all_finite,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Registry;
use crate::rule::{Learned, LearningRule, check_finite};

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

/// The training of one rule: where it stands between two epochs.
#[derive(Clone, Debug)]
pub struct Fit {
    config: FitConfig,
    shuffles: Generator,
    epoch: usize,
    step: usize,
    factor: f64,
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

/// One epoch in numbers.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What its steps measured, by the names of [`Learned::measures`] and in their order.
    pub measures: Vec<(&'static str, Measured)>,
    /// How often each unit won, `(units)`; none for a rule without winners.
    pub wins: Option<Vec<u32>>,
    /// Wall time of the epoch's steps, in seconds, without the time of the observers.
    pub seconds: f64,
}

/// One measure over the steps of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The mean.
    pub mean: f32,
    /// The largest.
    pub largest: f32,
}

impl Report {
    /// What was measured under `name`.
    pub fn measure(&self, name: &str) -> Option<Measured> {
        self.measures.iter().find(|(known, _)| *known == name).map(|(_, measured)| *measured)
    }

    /// How many units did not win once.
    pub fn idle_units(&self) -> Option<usize> {
        Some(self.wins.as_ref()?.iter().filter(|&&wins| wins == 0).count())
    }

    /// The share of the units that won at least once.
    pub fn share_that_won(&self) -> Option<f64> {
        let units = self.wins.as_ref()?.len().max(1);
        Some(1.0 - self.idle_units()? as f64 / units as f64)
    }
}

impl Fit {
    /// A training that has not begun; `seed` seeds the shuffles.
    pub fn new(config: FitConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, shuffles: Generator::new(seed, "shuffle"), epoch: 0, step: 0, factor: 1.0 })
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
        rule.restore(checkpoint.part("rule"))?;
        Ok(fresh.at(training))
    }

    /// The training that `checkpoint` was taken from and its rule, one of the `registry`, with nothing else to be known.
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        registry: &Registry,
    ) -> Result<(Self, Box<dyn LearningRule>)> {
        let training = training_of(checkpoint)?;
        let config = FitConfig::deserialize(&training.fit)
            .map_err(|error| candle_core::Error::msg(format!("the checkpoint's fit: {error}")))?;
        let fit = Self::new(config, training.generator.seed)?.at(training);
        Ok((fit, registry.from_checkpoint(checkpoint)?))
    }

    /// The same training where it stood once.
    fn at(self, training: &Training) -> Self {
        let &Training { generator, epoch, step, .. } = training;
        Self { shuffles: Generator::at(generator), epoch, step, ..self }
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

    /// How long and in what batches.
    pub fn config(&self) -> &FitConfig {
        &self.config
    }

    /// Runs the epochs that are left over `inputs (examples, inputs)` and shows each step and epoch to the observers.
    ///
    /// The inputs are checked once; nothing is read from the device until an epoch ends. Before its very first step the
    /// rule may [`prepare`](LearningRule::prepare).
    pub fn run<R: LearningRule + ?Sized>(
        &mut self,
        rule: &mut R,
        inputs: &Tensor,
        observers: &mut Observers<'_, R>,
    ) -> Result<()> {
        let examples = inputs.dim(0)?;
        check_inputs(inputs)?;
        let size = self.config.batch_size;
        Invalid::unless(
            size <= examples,
            "batch_size",
            size,
            format!("1 to the number of examples ({examples})"),
        )?;
        if self.step == 0 && self.epoch < self.config.epochs {
            rule.prepare(inputs)?;
        }
        while self.epoch < self.config.epochs {
            let report = self.run_epoch(rule, inputs, observers)?;
            self.epoch += 1;
            self.tell(observers, rule, Ended::Epoch(&report))?;
        }
        Ok(())
    }

    fn tell<R: ?Sized>(&self, observers: &mut Observers<'_, R>, rule: &R, ended: Ended<'_>) -> Result<()> {
        let event = Event { fit: self, rule, ended };
        observers.iter_mut().try_for_each(|observer| observer.observe(&event))
    }

    fn run_epoch<R: LearningRule + ?Sized>(
        &mut self,
        rule: &mut R,
        inputs: &Tensor,
        observers: &mut Observers<'_, R>,
    ) -> Result<Report> {
        let _span = tracing::info_span!("epoch", epoch = self.epoch).entered();
        let mut seconds = 0.0;
        rule.begin_epoch(self.epoch, inputs)?;
        let mut tally = Tally::default();
        let (examples, size) = (inputs.dim(0)?, self.config.batch_size);
        let batches = match self.config.in_order {
            true => Batches::in_order(examples, size),
            false => Batches::shuffled(&mut self.shuffles, examples, size),
        };
        for indices in batches.indices(inputs.device())? {
            let progress = Progress { epoch: self.epoch, epochs: self.config.epochs, step: self.step };
            self.factor = self.config.schedule.factor(progress);
            rule.set_rate_scale(self.factor);
            let _span = tracing::debug_span!("step").entered();
            let begin = Instant::now();
            let learned = rule.learn(&inputs.index_select(&indices?, 0)?);
            let learned = learned.map_err(|error| self.place(error))?;
            tally.add(&learned)?;
            self.step += 1;
            seconds += begin.elapsed().as_secs_f64();
            self.tell(observers, &*rule, Ended::Step(&learned))?;
        }
        let begin = Instant::now();
        let mut report = tally.read(batches.len())?;
        if let Some((name, _)) = report.measures.iter().find(|(_, measured)| !measured.mean.is_finite()) {
            bail!(
                "epoch {}: {name} was not finite in a step; the rule has learned nothing since before it",
                self.epoch + 1
            );
        }
        report.seconds = seconds + begin.elapsed().as_secs_f64();
        Ok(report)
    }

    fn place(&self, error: candle_core::Error) -> candle_core::Error {
        candle_core::Error::msg(format!("epoch {}, step {}: {error}", self.epoch + 1, self.step + 1))
    }

    /// Where the training stands: what a checkpoint of its rule must say for the training to go on.
    pub fn training(&self) -> Training {
        Training {
            fit: serde_json::json!(self.config),
            epoch: self.epoch,
            step: self.step,
            generator: self.shuffles.state(),
        }
    }

    /// All that is needed to go on from here, between two epochs.
    pub fn checkpoint<R: LearningRule + ?Sized>(&self, rule: &R) -> Result<Checkpoint> {
        let mut checkpoint = Checkpoint::new(rule.name(), rule.config(), rule.state()?);
        checkpoint.metadata.training = Some(self.training());
        Ok(checkpoint)
    }
}

fn training_of(checkpoint: &Checkpoint) -> Result<&Training> {
    let Some(training) = &checkpoint.metadata.training else {
        bail!("the checkpoint is of a rule that no training made, so there is none to go on with")
    };
    Ok(training)
}

/// Checks that `inputs` are finite f32, or u8, and names the first example that is not.
fn check_inputs(inputs: &Tensor) -> Result<()> {
    if inputs.dtype() == DType::U8 {
        return Ok(());
    }
    let Err(error) = check_finite("inputs", inputs) else { return Ok(()) };
    for example in 0..inputs.dim(0)? {
        if !all_finite(&inputs.narrow(0, example, 1)?)? {
            bail!("`inputs` holds a value that is not finite, first in example {example}");
        }
    }
    Err(error)
}

/// Sums over the steps of an epoch, kept on the device.
#[derive(Default)]
struct Tally {
    measures: Vec<(&'static str, Sum)>,
    wins: Option<Tensor>,
}

/// One measure, the steps so far.
struct Sum {
    total: Tensor,
    largest: Tensor,
}

impl Tally {
    fn add(&mut self, learned: &Learned) -> Result<()> {
        for (name, value) in &learned.measures {
            match self.measures.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => {
                    *sum = Sum { total: (&sum.total + value)?, largest: sum.largest.maximum(value)? };
                }
                None => self.measures.push((*name, Sum { total: value.clone(), largest: value.clone() })),
            }
        }
        let Some(winners) = &learned.winners else { return Ok(()) };
        let winners = winners.flatten_all()?;
        let wins = match self.wins.take() {
            Some(wins) => wins,
            None => Tensor::zeros(learned.output.dim(1)?, DType::U32, winners.device())?,
        };
        self.wins = Some(wins.index_add(&winners, &winners.ones_like()?, 0)?);
        Ok(())
    }

    fn read(&self, steps: usize) -> Result<Report> {
        let measures = self.measures.iter().map(|(name, Sum { total, largest })| {
            let mean = total.to_scalar::<f32>()? / steps as f32;
            Ok((*name, Measured { mean, largest: largest.to_scalar()? }))
        });
        let wins = self.wins.as_ref().map(Tensor::to_vec1).transpose()?;
        Ok(Report { measures: measures.collect::<Result<_>>()?, wins, seconds: 0.0 })
    }
}

/// The observer that keeps a checkpoint on disk up to date.
///
/// Put it last: what the others wrote for an epoch is then never behind the checkpoint.
pub struct SaveCheckpoint {
    /// The file, replaced at the end of each epoch.
    pub path: PathBuf,
}

impl<R: LearningRule + ?Sized> Observer<Event<'_, R>> for SaveCheckpoint {
    fn observe(&mut self, event: &Event<'_, R>) -> Result<()> {
        match event.ended {
            Ended::Epoch(_) => Ok(event.fit.checkpoint(event.rule)?.save(&self.path)?),
            Ended::Step(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KrotovHopfield, KrotovHopfieldConfig, Rule};
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
