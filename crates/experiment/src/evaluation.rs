//! What models are worth: readouts and networks trained on labels, and their accuracy on all sets.

use std::time::Instant;

use anyhow::Result;
use candle_core::{DType, Tensor};
use candle_nn::Module;
use hebbian_classifier::{
    DescentConfig, Epoch, Labeled, Loss, Network, SoftmaxRegression, confusion_matrix, encode, encode_half,
    evaluate, train,
};
use hebbian_plots::{ConfusionMatrix, Curves, Picture, Series};
use hebbian_training::all_finite;
use serde_json::{Map, json};

use crate::diverged::Diverged;
use crate::learning::plain;
use crate::stop::Stoppable;
use crate::{Data, Metric, Phase, Row, RunKey, Session};

/// Bytes that the features of all sets may have together as f32. What would be more is held as f16.
///
/// A readout holds the features of all images while it learns: beside a batch and a portion nothing else grows with them.
/// The most that a process holds is then its images, the features and what the layer needs for a portion. For CIFAR-10
/// under a network with 24 576 features these are 60 000 x 3072 x 4 bytes = 0.7 GB, 60 000 x 24 576 x 2 bytes = 2.9 GB
/// (as f32 5.9 GB) and some 0.3 GB: 4 GB.
const F32_FEATURES: usize = 1 << 30;
/// Of how many examples the features are looked at when their readout has diverged.
const MEASURED: usize = 1000;

impl<D> Session<D> {
    /// Trains `network` on `examples` and evaluates it on the `sets` after each epoch, all in the metrics.
    ///
    /// # Errors
    /// If a loss or a weight is not finite after an epoch; [`row`](Self::row) makes that a row without numbers.
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
        let mut diverged = None;
        let mut log = |epoch: &Epoch| {
            bar.inc(1);
            diverged = Diverged::of(epoch, network, config)?;
            if let Some(diverged) = &diverged {
                return Err(candle_core::Error::msg(diverged));
            }
            let mut values = Map::new();
            values.insert("train_loss".into(), json!(epoch.loss));
            values.insert("train_accuracy".into(), json!(epoch.accuracy));
            for (set, evaluation) in &epoch.evaluations {
                values.insert(format!("{set}_loss"), json!(evaluation.loss));
                values.insert(format!("{set}_accuracy"), json!(evaluation.accuracy));
            }
            metrics.push(Metric::of(key, phase, epoch.epoch, epoch.seconds, values)).map_err(plain)
        };
        let trained = train(&Stoppable(network), config, key.seed, examples, sets, &mut [&mut log]);
        bar.finish_and_clear();
        match diverged {
            Some(diverged) => Err(diverged.into()),
            None => Ok(trained?),
        }
    }
}

impl Session {
    /// Trains `readout` on what `layer` makes of the images, and evaluates it on all three sets. The row's model and
    /// learning fields are left open. With `test_by_epoch` the test images are evaluated after each epoch too, for a
    /// curve; nothing is chosen by it. Features that would take more than 1 GiB are held as f16.
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
        let encode = self.encoding(layer)?;
        let layer = &Stoppable(layer);
        let of = |examples: &Labeled| examples.with_inputs(encode(layer, examples.inputs())?);
        let train = of(&self.data.train)?;
        let features_seconds = begin.elapsed().as_secs_f64();
        let validation = self.data.validation.as_ref().map(of).transpose()?;
        let test = of(&self.data.test)?;
        let sets = sets(validation.as_ref(), test_by_epoch.then_some(&test));
        let read_out = self.descend((key, Phase::Readout), readout, config, &train, &sets);
        read_out.map_err(|error| named_by_inputs(error, train.inputs()))?;
        let seconds = self.metrics.seconds(key, Phase::Readout);
        let accuracies = accuracies(readout, &config.loss, [Some(&train), validation.as_ref(), Some(&test)])?;
        let units = Some(train.inputs().dim(1)?);
        Ok(Row { units, readout_seconds: Some(features_seconds + seconds), ..accuracies })
    }

    /// How the features of all sets are held: as f32, or as f16 where they are large.
    fn encoding(&self, layer: &dyn Module) -> Result<Encode> {
        let Data { train, validation, test, .. } = &self.data;
        let features = layer.forward(&train.inputs().narrow(0, 0, 1)?)?.elem_count();
        let images = train.len() + validation.as_ref().map_or(0, Labeled::len) + test.len();
        Ok(if held_as_half(images, features) { encode_half } else { encode })
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
        let (train, test) = (as_numbers(train)?, as_numbers(test)?);
        let validation = validation.as_ref().map(as_numbers).transpose()?;
        let sets = sets(validation.as_ref(), test_by_epoch.then_some(&test));
        self.descend((key, Phase::Learn), network, config, &train, &sets)?;
        let seconds = self.metrics.seconds(key, Phase::Learn);
        let accuracies = accuracies(network, &config.loss, [Some(&train), validation.as_ref(), Some(&test)])?;
        Ok(Row { learn_seconds: Some(seconds), learn_epochs: Some(config.epochs), ..accuracies })
    }

    /// Which classes the test images are taken for, by `readout` on what `layer` makes of them.
    pub fn confusion(&self, layer: &dyn Module, readout: &dyn Module, name: &str) -> Result<Picture> {
        let test = &self.data.test;
        let test = test.with_inputs(self.encoding(layer)?(layer, test.inputs())?)?;
        let predictions = evaluate(readout, &test, &Loss::default())?.predictions;
        let counts = confusion_matrix(test.labels(), &predictions, self.data.classes)?;
        let matrix = ConfusionMatrix::new(&counts).class_names(&self.data.class_names);
        Ok(matrix.title(format!("{name} on the test images")).draw()?)
    }

    /// Accuracy and loss by epoch, training and validation, of what is `(called, of this model and seed, in this phase)`.
    pub fn accuracy_and_loss(&self, of: &[(&str, RunKey<'_>, Phase)]) -> Result<Picture> {
        let series = |what: &str| -> Vec<Series> {
            let pairs = of.iter().enumerate().flat_map(|(hue, &(name, key, phase))| {
                let curve = |set: &str| self.metrics.curve(key, phase, &format!("{set}_{what}"));
                Series::train_and_validation(name, hue, curve("train"), curve("validation"))
            });
            pairs.filter(|series| !series.points.is_empty()).collect()
        };
        let panel = |title, y_label, what| Curves::new(title, ("epoch", y_label), series(what)).draw();
        let accuracy = panel("Accuracy", "share classified right", "accuracy")?;
        Ok(Picture::side_by_side(&[accuracy, panel("Loss", "mean loss", "loss")?])?)
    }

    /// Evaluates `model`, which gives class scores for images, on all three sets.
    pub fn evaluate(&self, model: &dyn Module) -> Result<Row> {
        let Data { train, validation, test, .. } = &self.data;
        accuracies(model, &Loss::default(), [Some(train), validation.as_ref(), Some(test)])
    }
}

/// Where features are not finite, no readout can be to blame.
fn named_by_inputs(error: anyhow::Error, inputs: &Tensor) -> anyhow::Error {
    let finite = inputs.dim(0).and_then(|all| all_finite(&inputs.narrow(0, 0, all.min(MEASURED))?));
    match error.downcast::<Diverged>() {
        Ok(diverged) if matches!(finite, Ok(false)) => diverged.since_its_inputs_are_not_finite().into(),
        Ok(diverged) => diverged.into(),
        Err(other) => other,
    }
}

fn held_as_half(images: usize, features: usize) -> bool {
    images.saturating_mul(features).saturating_mul(size_of::<f32>()) > F32_FEATURES
}

/// What a layer makes of many inputs.
type Encode = fn(&dyn Module, &Tensor) -> candle_core::Result<Tensor>;

fn sets<'a>(validation: Option<&'a Labeled>, test: Option<&'a Labeled>) -> Vec<(&'static str, &'a Labeled)> {
    let sets = [("validation", validation), ("test", test)];
    sets.into_iter().filter_map(|(name, set)| Some((name, set?))).collect()
}

/// The same examples with zeros and ones, where they are u8, as f32.
fn as_numbers(set: &Labeled) -> candle_core::Result<Labeled> {
    set.with_inputs(set.inputs().to_dtype(DType::F32)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_held_as_halves_only_where_they_are_large() {
        for (images, features, half) in [(70_000, 2000, false), (40_000, 6272, false), (60_000, 24_576, true)]
        {
            assert_eq!(held_as_half(images, features), half, "{features} features of {images} images");
        }
    }
}
