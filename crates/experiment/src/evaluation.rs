//! What models are worth: readouts and networks trained on labels, and their accuracy on all sets.

use std::time::Instant;

use anyhow::Result;
use candle_nn::Module;
use hebbian_classifier::{
    DescentConfig, Epoch, Labeled, Loss, Network, SoftmaxRegression, confusion_matrix, encode, evaluate,
    train,
};
use hebbian_plots::{ConfusionMatrix, Picture};
use serde_json::{Map, json};

use crate::learning::plain;
use crate::{Data, Metric, Phase, Row, RunKey, Session};

impl<D> Session<D> {
    /// Trains `network` on `examples` and evaluates it on the `sets` after each epoch, all in the metrics.
    pub fn descend(
        &mut self,
        (key, phase): (RunKey<'_>, Phase),
        network: &dyn Network,
        config: &DescentConfig,
        examples: &Labeled,
        sets: &[(&'static str, &Labeled)],
    ) -> Result<()> {
        self.metrics.retain(|metric| !metric.is_of(key, phase))?;
        let what = if phase == Phase::Learn { "learn" } else { "read out" };
        let bar = self.progress.bar(&format!("{}: {what}", key.name), config.epochs, 0);
        let metrics = &mut self.metrics;
        let mut log = |epoch: &Epoch| {
            bar.inc(1);
            let mut values = Map::new();
            values.insert("train_loss".into(), json!(epoch.loss));
            values.insert("train_accuracy".into(), json!(epoch.accuracy));
            for (set, evaluation) in &epoch.evaluations {
                values.insert(format!("{set}_loss"), json!(evaluation.loss));
                values.insert(format!("{set}_accuracy"), json!(evaluation.accuracy));
            }
            metrics.push(Metric::of(key, phase, epoch.epoch, epoch.seconds, values)).map_err(plain)
        };
        train(network, config, key.seed, examples, sets, &mut [&mut log])?;
        bar.finish_and_clear();
        Ok(())
    }
}

impl Session {
    /// Trains `readout` on what `layer` makes of the images, and evaluates it on all three sets. The row's model and
    /// learning fields are left open. With `test_by_epoch` the test images are evaluated after each epoch too, for a
    /// curve; nothing is chosen by it.
    pub fn read_out(
        &mut self,
        key: RunKey<'_>,
        layer: &dyn Module,
        readout: &SoftmaxRegression,
        config: &DescentConfig,
        test_by_epoch: bool,
    ) -> Result<Row> {
        let _span = tracing::info_span!("read out", name = key.name).entered();
        let begin = Instant::now();
        let of = |examples: &Labeled| examples.with_inputs(encode(layer, examples.inputs())?);
        let train = of(&self.data.train)?;
        let features_seconds = begin.elapsed().as_secs_f64();
        let validation = self.data.validation.as_ref().map(of).transpose()?;
        let test = of(&self.data.test)?;
        let sets = sets(validation.as_ref(), test_by_epoch.then_some(&test));
        self.descend((key, Phase::Readout), readout, config, &train, &sets)?;
        let seconds = self.metrics.seconds(key, Phase::Readout);
        let accuracies = accuracies(readout, &config.loss, [Some(&train), validation.as_ref(), Some(&test)])?;
        let units = Some(train.inputs().dim(1)?);
        Ok(Row { units, readout_seconds: Some(features_seconds + seconds), ..accuracies })
    }

    /// Trains `network` on the images themselves and evaluates it on all three sets.
    pub fn learn_supervised(
        &mut self,
        key: RunKey<'_>,
        network: &dyn Network,
        config: &DescentConfig,
        test_by_epoch: bool,
    ) -> Result<Row> {
        let _span = tracing::info_span!("learn supervised", name = key.name).entered();
        let Data { train, validation, test, .. } = &self.data;
        let (train, validation, test) = (train.clone(), validation.clone(), test.clone());
        let sets = sets(validation.as_ref(), test_by_epoch.then_some(&test));
        self.descend((key, Phase::Learn), network, config, &train, &sets)?;
        let seconds = self.metrics.seconds(key, Phase::Learn);
        let accuracies = accuracies(network, &config.loss, [Some(&train), validation.as_ref(), Some(&test)])?;
        Ok(Row { learn_seconds: Some(seconds), learn_epochs: Some(config.epochs), ..accuracies })
    }

    /// Which classes the test images are taken for, by `readout` on what `layer` makes of them.
    pub fn confusion(&self, layer: &dyn Module, readout: &dyn Module, name: &str) -> Result<Picture> {
        let test = &self.data.test;
        let test = test.with_inputs(encode(layer, test.inputs())?)?;
        let predictions = evaluate(readout, &test, &Loss::default())?.predictions;
        let counts = confusion_matrix(test.labels(), &predictions, self.data.classes)?;
        Ok(ConfusionMatrix::new(&counts).title(format!("{name} on the test images")).draw()?)
    }

    /// Evaluates `model`, which gives class scores for images, on all three sets.
    pub fn evaluate(&self, model: &dyn Module) -> Result<Row> {
        let Data { train, validation, test, .. } = &self.data;
        accuracies(model, &Loss::default(), [Some(train), validation.as_ref(), Some(test)])
    }
}

fn sets<'a>(validation: Option<&'a Labeled>, test: Option<&'a Labeled>) -> Vec<(&'static str, &'a Labeled)> {
    let sets = [("validation", validation), ("test", test)];
    sets.into_iter().filter_map(|(name, set)| Some((name, set?))).collect()
}

/// A row of nothing but accuracies, for training, validation and test examples.
fn accuracies<M: Module + ?Sized>(model: &M, loss: &Loss, sets: [Option<&Labeled>; 3]) -> Result<Row> {
    let accuracy =
        |set: Option<&Labeled>| set.map(|set| anyhow::Ok(evaluate(model, set, loss)?.accuracy)).transpose();
    let [train, validation, test] = sets.map(accuracy);
    Ok(Row {
        train_accuracy: train?,
        validation_accuracy: validation?,
        test_accuracy: test?,
        ..Row::default()
    })
}
