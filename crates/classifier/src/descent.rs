//! Supervised training: minibatches, Adam, a schedule, and a report an epoch.

use std::cell::RefCell;
use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Result, Tensor, Var};
use candle_nn::{Module, Optimizer, ParamsAdamW};
use hebbian_training::{Batches, Generator, Invalid, Observer, Parameters, Progress, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dropout::Dropout;
use crate::flush::without_tiny_gradients;
use crate::minibatches::Minibatches;
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
    /// Share of the inputs that each training step leaves out, drawn anew for every example; the others are multiplied by
    /// `1 / (1 - dropout)`. Whatever the network, it is these inputs that are left out, of a readout the features. An
    /// evaluation leaves out nothing. The share is taken to the nearest 65 536th.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1, "default" = 0.0))]
    pub dropout: f64,
}

/// Left out of a saved config: configs from before there was dropout stay the same bytes.
fn is_zero(value: &f64) -> bool {
    *value == 0.0
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
            dropout: 0.0,
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

/// Terms of a product that are not shared between threads. Of 100 x 2000 x 10, two million, two threads took 220 to 260 µs and
/// one 102 to 125 µs (AMD EPYC, two idle cores); from 16 million on they took the same.
const LARGEST_ON_ONE_THREAD: usize = 1 << 22;

/// Trains `network` on `examples` and evaluates it on the `sets` after each epoch; `seed` decides the shuffles and, in a
/// stream of its own, what dropout leaves out. Nothing is read from the device until an epoch ends.
///
/// From then on, all products of this process with fewer than four million terms run on one thread: the batches of a readout
/// are so small that threads wait longer for one another than they save.
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
    gemm::set_threading_threshold(LARGEST_ON_ONE_THREAD);
    let mut adam = Adam::new(network.variables(), config.adam())?;
    let mut shuffles = Generator::new(seed, "descent shuffle");
    let mut minibatches = Minibatches::new(examples, Dropout::of(config.dropout, seed));
    let plain = config.dropout == 0.0 && examples.inputs().dtype() == DType::F32;
    let mut step = 0;
    for epoch in 0..config.epochs {
        let _span = tracing::info_span!("epoch", epoch).entered();
        let begin = Instant::now();
        let batches = Batches::shuffled(&mut shuffles, examples.len(), config.batch_size);
        let mut tally = Tally::default();
        for indices in batches.indices(examples.inputs().device())? {
            let progress = Progress { epoch, epochs: config.epochs, step };
            adam.set_learning_rate(config.learning_rate * config.schedule.factor(progress));
            let batch = minibatches.take(&indices?, step)?;
            let loss = |logits: &Tensor| match plain {
                true => config.loss.of(logits, batch.labels()),
                false => config.loss.of(&without_tiny_gradients(logits)?, batch.labels()),
            };
            adam.step(&tally.descend(network, &loss, &batch)?)?;
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
    fn descend(
        &mut self,
        network: &dyn Network,
        loss: &dyn Fn(&Tensor) -> Result<Tensor>,
        batch: &Labeled,
    ) -> Result<GradStore> {
        let right = RefCell::new(None);
        let (value, gradients) = network.descend(batch.inputs(), &|logits| {
            let answers = logits.detach().argmax(D::Minus1)?;
            right.replace(Some(answers.eq(batch.labels())?.to_dtype(DType::F32)?.sum_all()?));
            loss(logits)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SoftmaxRegression, encode, encode_half};
    use candle_core::Device;

    /// Rectified random responses to three classes of points, and their labels.
    fn examples(seed: u64, half: bool) -> Result<Labeled> {
        let mut draws = Generator::new(seed, "descent test");
        let centers = Generator::new(0, "centers").normal((3, 8), 0.0, 0.5, &Device::Cpu)?;
        let labels = Tensor::from_iter((0..600u32).map(|example| example % 3), &Device::Cpu)?;
        let points = (centers.index_select(&labels, 0)? + draws.normal((600, 8), 0.0, 1.0, &Device::Cpu)?)?;
        let weights = Generator::new(0, "weights").normal((8, 300), 0.0, 0.3, &Device::Cpu)?;
        let layer = candle_nn::func(move |points: &Tensor| points.matmul(&weights)?.relu());
        let features = if half { encode_half(&layer, &points)? } else { encode(&layer, &points)? };
        Labeled::new(features, labels)
    }

    fn trained(config: &DescentConfig, seed: u64, half: bool) -> Result<(Vec<Epoch>, SoftmaxRegression)> {
        let readout = SoftmaxRegression::new(300, 3, &Device::Cpu)?;
        let mut epochs = Vec::new();
        let mut observer = |epoch: &Epoch| {
            epochs.push(epoch.clone());
            Ok(())
        };
        let test = examples(2, half)?;
        train(&readout, config, seed, &examples(1, half)?, &[("test", &test)], &mut [&mut observer])?;
        Ok((epochs, readout))
    }

    fn weights(readout: &SoftmaxRegression) -> Result<Vec<f32>> {
        readout.state()?["weight"].flatten_all()?.to_vec1()
    }

    const CONFIG: DescentConfig = DescentConfig {
        epochs: 10,
        batch_size: 20,
        learning_rate: 1e-3,
        schedule: Schedule::Linear,
        weight_decay: 0.0,
        loss: Loss::CrossEntropy { smoothing: 0.0 },
        dropout: 0.0,
    };

    #[test]
    fn features_in_half_the_room_train_to_the_same_accuracy_within_a_hundredth() -> Result<()> {
        for dropout in [0.0, 0.5] {
            let config = DescentConfig { dropout, ..CONFIG };
            let [full, half] = [false, true].map(|half| trained(&config, 0, half));
            let (full, half) = (&full?.0[9], &half?.0[9]);
            let accuracy = |epoch: &Epoch| epoch.evaluations[0].1.accuracy;
            assert!(accuracy(full) > 0.6, "{full:?}");
            assert!((accuracy(full) - accuracy(half)).abs() < 0.01, "{full:?} {half:?}");
            assert!((full.loss - half.loss).abs() < 1e-3, "{full:?} {half:?}");
        }
        Ok(())
    }

    #[test]
    fn dropout_follows_the_seed() -> Result<()> {
        let config = DescentConfig { epochs: 1, batch_size: 600, dropout: 0.5, ..CONFIG };
        let weights = |seed| weights(&trained(&config, seed, true)?.1);
        assert_eq!(weights(0)?, weights(0)?);
        // One step on all examples: nothing but the masks differs.
        assert_ne!(weights(0)?, weights(1)?);
        Ok(())
    }

    #[test]
    fn an_evaluation_leaves_out_nothing() -> Result<()> {
        for half in [false, true] {
            let (epochs, readout) = trained(&DescentConfig { dropout: 0.5, ..CONFIG }, 0, half)?;
            let test = examples(2, half)?;
            let logits = readout.forward(&test.inputs().to_dtype(DType::F32)?)?;
            let loss = CONFIG.loss.of(&logits, test.labels())?.to_scalar::<f32>()?;
            assert!((epochs[9].evaluations[0].1.loss - loss).abs() < 1e-6, "{epochs:?}");
        }
        Ok(())
    }

    #[test]
    fn a_config_without_dropout_is_written_as_before_there_was_one() {
        let written = serde_json::json!(CONFIG).to_string();
        let before =
            r#"{"batch_size":20,"epochs":10,"learning_rate":0.001,"loss":"cross-entropy","#.to_owned();
        assert_eq!(written, before + r#""schedule":"linear","weight_decay":0.0}"#);
        assert_eq!(serde_json::from_str::<DescentConfig>(&written).unwrap(), CONFIG);
    }
}
