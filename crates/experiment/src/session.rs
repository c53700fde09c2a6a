//! One run of an experiment: its device, data and folder, and the two ways to train in front of everyone who watches.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use candle_core::{Device, Error};
use hebbian::{Epoch, Fit, FitConfig, LearningRule, SaveCheckpoint};
use hebbian_classifier::{
    DescentConfig, Epoch as DescentEpoch, Evaluation, Features, Labelled, Network, SoftmaxRegression,
    evaluate, respond, train,
};
use hebbian_plots::Picture;
use hebbian_training::{Checkpoint, Invalid};
use serde_json::{Map, Value, json};

use crate::film::Shooting;
use crate::{Data, Experiment, Metric, Metrics, Phase, Progress, Results, Row, RunFolder, flagged};

/// What an example works with.
pub struct Session {
    /// Where everything is computed.
    pub device: Device,
    /// The images.
    pub data: Data,
    /// What was measured so far.
    pub metrics: Metrics,
    progress: Progress,
    folder: RunFolder,
    primary: (&'static str, u64),
}

/// A readout that was trained on features, and how it did.
pub struct ReadOut {
    /// The trained readout.
    pub readout: SoftmaxRegression,
    /// The row, its learning fields still open.
    pub row: Row,
    /// What the readout made of the test images.
    pub test: Evaluation,
}

impl Session {
    /// Opens device, data and folder, in this order: a run that cannot begin leaves the folder as it was.
    ///
    /// `primary` is the model whose first seed `checkpoint.safetensors` and the film are of.
    pub fn open<E: Experiment>(experiment: &E, primary: &'static str) -> Result<Self> {
        let common = experiment.common();
        let progress = Progress::new(common.quiet);
        let device = common.device.open()?;
        let data = Data::load(common, &device)?;
        let (size, most) = (common.batch_size, data.train.len());
        let batch_size =
            Invalid::unless(size <= most, "batch_size", size, format!("1 to the training images ({most})"));
        flagged("", batch_size)?;
        let folder = RunFolder::open(experiment, progress)?;
        let metrics = folder.metrics()?;
        Ok(Self { device, data, metrics, progress, folder, primary: (primary, common.seed) })
    }

    /// Whether this is the model and seed that the folder's checkpoint and pictures are of.
    pub fn is_primary(&self, model: &str, seed: u64) -> bool {
        (model, seed) == self.primary
    }

    /// The checkpoint of one model and seed.
    pub fn checkpoint_path(&self, model: &str, seed: u64) -> PathBuf {
        match self.is_primary(model, seed) {
            true => self.folder.file("checkpoint.safetensors"),
            false => self.folder.progress_file(&format!("{model}-seed-{seed}.safetensors")),
        }
    }

    /// Trains `rule` on the training images, from its checkpoint if there is one. `measure` adds to each epoch's line
    /// of the metrics what only the rule knows.
    pub fn learn<R: LearningRule>(
        &mut self,
        seed: u64,
        rule: &mut R,
        config: &FitConfig,
        measure: impl Fn(&R) -> Result<Map<String, Value>>,
    ) -> Result<Fit> {
        let model = rule.name();
        let path = self.checkpoint_path(model, seed);
        let mut fit = match path.exists() {
            true => {
                let checkpoint = Checkpoint::load(&path, &self.device)?;
                Fit::resume(config.clone(), seed, rule, &checkpoint)
                    .with_context(|| format!("--resume: {}", path.display()))?
            }
            false => Fit::new(config.clone(), seed)?,
        };
        let done = fit.epoch();
        self.metrics.retain(|m| {
            (m.seed, m.model.as_str(), m.phase) != (seed, model, Phase::Learn) || m.epoch <= done
        })?;

        let bar = self.progress.bar(&format!("{model}: learn"), config.epochs, done);
        let metrics = &mut self.metrics;
        let mut log = |epoch: &Epoch<'_, R>| {
            bar.inc(1);
            let report = &epoch.report;
            let mut values = measure(epoch.rule).map_err(|error| Error::msg(format!("{error:#}")))?;
            values.insert("update_size".into(), json!(report.update_size));
            values.insert("idle_units".into(), json!(report.idle_units()));
            let (epoch, seconds) = (epoch.fit.epoch(), report.seconds);
            let metric =
                Metric { seed, model: model.to_owned(), phase: Phase::Learn, epoch, seconds, values };
            metrics.push(metric).map_err(|error| Error::msg(format!("{error:#}")))
        };
        let mut save = SaveCheckpoint { path };
        let shape = self.data.shape;
        if (model, seed) == self.primary {
            let film = self.folder.file("film.gif");
            let epochs = (done, config.epochs);
            let mut film = Shooting::begin(film, (shape.height, shape.width), rule, epochs)?;
            fit.run(rule, self.data.train.inputs(), &mut [&mut log, &mut film, &mut save])?;
        } else {
            fit.run(rule, self.data.train.inputs(), &mut [&mut log, &mut save])?;
        }
        bar.finish_and_clear();
        Ok(fit)
    }

    /// Trains `network` on `examples`, its epochs in the metrics. Gives the wall time of the training steps.
    #[allow(clippy::too_many_arguments)]
    pub fn descend(
        &mut self,
        seed: u64,
        model: &str,
        phase: Phase,
        network: &dyn Network,
        config: &DescentConfig,
        examples: &Labelled,
        validation: Option<&Labelled>,
    ) -> Result<f64> {
        self.metrics.retain(|m| (m.seed, m.model.as_str(), m.phase) != (seed, model, phase))?;
        let what = if phase == Phase::Learn { "learn" } else { "read out" };
        let bar = self.progress.bar(&format!("{model}: {what}"), config.epochs, 0);
        let metrics = &mut self.metrics;
        let mut log = |epoch: &DescentEpoch| {
            bar.inc(1);
            let mut values = Map::new();
            values.insert("train_loss".into(), json!(epoch.loss));
            values.insert("train_accuracy".into(), json!(epoch.accuracy));
            if let Some(validation) = &epoch.validation {
                bar.set_message(format!("validation {:.2} %", 100.0 * validation.accuracy));
                values.insert("validation_loss".into(), json!(validation.loss));
                values.insert("validation_accuracy".into(), json!(validation.accuracy));
            }
            let (epoch, seconds) = (epoch.epoch, epoch.seconds);
            let metric = Metric { seed, model: model.to_owned(), phase, epoch, seconds, values };
            metrics.push(metric).map_err(|error| Error::msg(format!("{error:#}")))
        };
        train(network, config, seed, examples, validation, &mut [&mut log])?;
        bar.finish_and_clear();
        Ok(self.metrics.seconds(seed, model, phase))
    }

    /// Trains a softmax readout on `features` and judges it on all three sets.
    pub fn read_out(
        &mut self,
        seed: u64,
        model: &str,
        features: &Features,
        config: &DescentConfig,
    ) -> Result<ReadOut> {
        let _span = tracing::info_span!("read out", model).entered();
        let begin = Instant::now();
        let of = |examples: &Labelled| examples.with_inputs(respond(features, examples.inputs())?);
        let train = of(&self.data.train)?;
        let validation = self.data.validation.as_ref().map(of).transpose()?;
        let features_seconds = begin.elapsed().as_secs_f64();
        let units = train.inputs().dim(1)?;
        let readout = SoftmaxRegression::new(units, self.data.classes, &self.device)?;
        let seconds =
            self.descend(seed, model, Phase::Readout, &readout, config, &train, validation.as_ref())?;
        let accuracy = |examples: &Labelled| anyhow::Ok(evaluate(&readout, examples, &config.loss)?.accuracy);
        let test = evaluate(&readout, &of(&self.data.test)?, &config.loss)?;
        let row = Row {
            model: model.to_owned(),
            units: Some(units),
            train_accuracy: Some(accuracy(&train)?),
            validation_accuracy: validation.as_ref().map(accuracy).transpose()?,
            test_accuracy: Some(test.accuracy),
            readout_seconds: Some(features_seconds + seconds),
            ..Row::default()
        };
        Ok(ReadOut { readout, row, test })
    }

    /// Trains `network` on the images themselves and judges it on all three sets.
    pub fn learn_supervised(
        &mut self,
        seed: u64,
        model: &str,
        units: Option<usize>,
        network: &dyn Network,
        config: &DescentConfig,
    ) -> Result<Row> {
        let _span = tracing::info_span!("learn supervised", model).entered();
        let (train, validation) = (self.data.train.clone(), self.data.validation.clone());
        let seconds =
            self.descend(seed, model, Phase::Learn, network, config, &train, validation.as_ref())?;
        let accuracy = |examples: &Labelled| anyhow::Ok(evaluate(network, examples, &config.loss)?.accuracy);
        Ok(Row {
            model: model.to_owned(),
            units,
            train_accuracy: Some(accuracy(&train)?),
            validation_accuracy: validation.as_ref().map(accuracy).transpose()?,
            test_accuracy: Some(accuracy(&self.data.test)?),
            learn_seconds: Some(seconds),
            learn_epochs: Some(config.epochs),
            ..Row::default()
        })
    }

    /// Makes the row of a model and seed with `make`, unless an earlier part of the run has it.
    pub fn row(&mut self, seed: u64, model: &str, make: impl FnOnce(&mut Self) -> Result<Row>) -> Result<()> {
        if self.folder.row(seed, model).is_some() {
            return Ok(());
        }
        let row = make(self).with_context(|| format!("{model}, seed {seed}"))?;
        let test = row.test_accuracy.map(|accuracy| format!("test {:.2} %", 100.0 * accuracy));
        let seconds = row.learn_seconds.unwrap_or(0.0) + row.readout_seconds.unwrap_or(0.0);
        self.progress.say(format!("{model}, seed {seed}: {} after {seconds:.1} s", test.unwrap_or_default()));
        self.folder.finish(seed, row)
    }

    /// Writes a picture into the folder.
    pub fn draw(&mut self, name: &str, picture: &Picture) -> Result<()> {
        self.folder.write(name, picture.png()?)
    }

    /// Writes `results.json`, prints the table, and says where the `pictures` are.
    pub fn finish<E: Experiment>(self, experiment: &E, pictures: &[&str]) -> Result<()> {
        let results = Results::new(experiment, &self.device, &self.data, &self.folder.rows());
        self.folder.write("results.json", results.json()?)?;
        println!("{}", results.table());
        let folder = self.folder.path().display();
        let missing = pictures.iter().find(|name| !self.folder.file(name).exists());
        match missing {
            Some(name) => Err(anyhow!("{folder}: {name} was not drawn")),
            None => {
                println!("\npictures in {folder}: {}", pictures.join(", "));
                println!(
                    "numbers in {folder}: results.json, metrics.jsonl, checkpoint.safetensors, config.toml"
                );
                Ok(())
            }
        }
    }
}
