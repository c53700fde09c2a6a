//! Supervised training: minibatches, Adam, a schedule, and a report an epoch.

use std::cell::RefCell;
use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Result, Tensor, Var};
use candle_nn::{Module, Optimizer, ParamsAdamW};
use hebbian_training::{Batches, Generator, Invalid, Observer, Parameters, Progress, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Adam, Evaluation, Labeled, Loss, evaluate};

/// A model that is trained on labels. [`Module::forward`] gives its logits `(batch, classes)`, without a gradient.
pub trait Network: Module {
    /// The loss of the logits of one batch and the gradients of all [`variables`](Self::variables).
    fn descend(
        &self,
        inputs: &Tensor,
        loss: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, GradStore)>;

    /// What is trained.
    fn variables(&self) -> Vec<Var>;
}

/// How a [`Network`] is trained: Adam (Kingma and Ba 2015) with the parameters that Keras uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DescentConfig {
    /// Passes over the examples.
    #[schemars(range(min = 1))]
    pub epochs: usize,
    /// Examples per step.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// Adam's step size.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// How the step size falls.
    pub schedule: Schedule,
    /// Decoupled weight decay; 0 is plain Adam.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// The loss that falls.
    pub loss: Loss,
}

impl Default for DescentConfig {
    fn default() -> Self {
        Self {
            epochs: 50,
            batch_size: 100,
            learning_rate: 1e-3,
            schedule: Schedule::Linear,
            weight_decay: 0.0,
            loss: Loss::default(),
        }
    }
}

impl Parameters for DescentConfig {
    fn check_together(&self) -> std::result::Result<(), Invalid> {
        self.schedule.validate("schedule")?;
        self.loss.validate("loss")
    }
}

impl DescentConfig {
    fn adam(&self) -> ParamsAdamW {
        let eps = 1e-7;
        ParamsAdamW { lr: self.learning_rate, weight_decay: self.weight_decay, eps, ..Default::default() }
    }
}

/// One epoch has ended.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// Epochs finished.
    pub epoch: usize,
    /// Mean loss over the epoch's batches, each taken before its step.
    pub loss: f32,
    /// Share of the epoch's examples that were classified right, each before its step.
    pub accuracy: f64,
    /// The sets that were asked for, by name, evaluated after the epoch.
    pub evaluations: Vec<(&'static str, Evaluation)>,
    /// Wall time of the epoch's steps, in seconds.
    pub seconds: f64,
}

/// Trains `network` on `examples` and evaluates it on the `sets` after each epoch; `seed` decides the shuffles.
/// Nothing is read from the device until an epoch ends.
pub fn train(
    network: &dyn Network,
    config: &DescentConfig,
    seed: u64,
    examples: &Labeled,
    sets: &[(&'static str, &Labeled)],
    observers: &mut [&mut dyn Observer<Epoch>],
) -> Result<()> {
    config.validate()?;
    let (size, most) = (config.batch_size, examples.len());
    Invalid::unless(size <= most, "batch_size", size, format!("1 to the number of examples ({most})"))?;
    let mut adam = Adam::new(network.variables(), config.adam())?;
    let mut shuffles = Generator::new(seed, "descent shuffle");
    let mut step = 0;
    for epoch in 0..config.epochs {
        let _span = tracing::info_span!("epoch", epoch).entered();
        let begin = Instant::now();
        let batches = Batches::shuffled(&mut shuffles, examples.len(), config.batch_size);
        let mut tally = Tally::default();
        for indices in batches.indices(examples.inputs().device())? {
            let progress = Progress { epoch, epochs: config.epochs, step };
            adam.set_learning_rate(config.learning_rate * config.schedule.factor(progress));
            let batch = examples.select(&indices?)?;
            adam.step(&tally.descend(network, &config.loss, &batch)?)?;
            step += 1;
        }
        let (loss, accuracy) = tally.read(batches.len() * config.batch_size, batches.len())?;
        let seconds = begin.elapsed().as_secs_f64();
        let evaluated = |&(name, examples): &(_, &_)| Ok((name, evaluate(network, examples, &config.loss)?));
        let evaluations = sets.iter().map(evaluated).collect::<Result<_>>()?;
        let event = Epoch { epoch: epoch + 1, loss, accuracy, evaluations, seconds };
        observers.iter_mut().try_for_each(|observer| observer.observe(&event))?;
    }
    Ok(())
}

/// Sums over the steps of an epoch, kept on the device.
#[derive(Default)]
struct Tally {
    loss: Option<Tensor>,
    right: Option<Tensor>,
}

impl Tally {
    /// The gradients of one batch; its loss and its right answers are added to the sums.
    fn descend(&mut self, network: &dyn Network, loss: &Loss, batch: &Labeled) -> Result<GradStore> {
        let right = RefCell::new(None);
        let (value, gradients) = network.descend(batch.inputs(), &|logits| {
            let answers = logits.detach().argmax(D::Minus1)?;
            right.replace(Some(answers.eq(batch.labels())?.to_dtype(DType::F32)?.sum_all()?));
            loss.of(logits, batch.labels())
        })?;
        add(&mut self.loss, Some(value))?;
        add(&mut self.right, right.into_inner())?;
        Ok(gradients)
    }

    fn read(&self, examples: usize, steps: usize) -> Result<(f32, f64)> {
        let scalar = |sum: &Option<Tensor>| sum.as_ref().map_or(Ok(0.0), |sum| sum.to_scalar::<f32>());
        Ok((scalar(&self.loss)? / steps as f32, f64::from(scalar(&self.right)?) / examples as f64))
    }
}

fn add(sum: &mut Option<Tensor>, term: Option<Tensor>) -> Result<()> {
    *sum = match (sum.take(), term) {
        (Some(sum), Some(term)) => Some((sum + term)?),
        (sum, term) => sum.or(term),
    };
    Ok(())
}
