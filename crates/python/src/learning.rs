//! How a rule learns from the rows of an array: for epochs, or one step.

use anyhow::Result;
use candle_core::Tensor;
use hebbian::{Event, Fit, LearningRule};
use hebbian_experiment::{LearningBar, Progress};
use hebbian_training::Observer;

use crate::rows::Rows;
use crate::work::Stop;

/// What comes before the next step.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// All that comes before the very first.
    First,
    /// What a rule sets up anew and does not save.
    Again,
    /// Nothing.
    Done,
}

/// Runs the epochs of `fit`.
pub fn learn(
    fit: &mut Fit,
    rule: &mut dyn LearningRule,
    rows: &Rows<'_>,
    verbose: bool,
    stop: &Stop,
) -> Result<()> {
    let (epochs, steps) = (fit.config().epochs, rows.samples() / fit.config().batch_size.max(1));
    let bar = verbose.then(|| Progress::new(false).learning(rule.name(), (steps * epochs, epochs), 0));
    let mut watch = Watch { bar, stop };
    let learned = fit.run(rule, rows, &mut [&mut watch]);
    if let Some(bar) = &watch.bar {
        bar.finish();
    }
    Ok(learned?)
}

/// Shows how far a training has come, and ends it when it is to end.
struct Watch<'w> {
    bar: Option<LearningBar>,
    stop: &'w Stop,
}

impl<'e> Observer<Event<'e, dyn LearningRule>> for Watch<'_> {
    fn observe(&mut self, event: &Event<'e, dyn LearningRule>) -> candle_core::Result<()> {
        if let Some(bar) = &mut self.bar {
            match event.epoch_report() {
                Some(report) => bar.epoch(event.fit.epoch(), event.rule.learning_rate(), report),
                None => bar.step(),
            }
        }
        self.stop.check()
    }
}

/// One step, and what was seen in it.
pub fn step(rule: &mut dyn LearningRule, rows: &Rows<'_>, begin: Begin) -> Result<Tensor> {
    let batch = rows.range(0, rows.samples())?;
    if let Begin::Done = begin {
        rule.learn(&batch)?;
        return Ok(batch);
    }
    let before = rule.state()?;
    let begun = match begin {
        Begin::First => rule.prepare(&batch).and_then(|()| rule.begin_epoch(0, &batch)),
        _ => rule.begin_epoch(0, &batch).and_then(|()| rule.restore(before.clone())),
    };
    rule.set_rate_scale(1.0);
    if let Err(error) = begun.and_then(|()| rule.learn(&batch)) {
        rule.restore(before)?;
        return Err(error.into());
    }
    Ok(batch)
}
