//! One run of an experiment: its device, data and folder, and the two ways to train in front of everyone who watches.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use candle_core::{Device, Error};
use candle_nn::Module;
use hebbian::{Ended, Event, Fit, FitConfig, LearningRule, Measured};
use hebbian_classifier::{
    DescentConfig, Epoch, Labeled, Loss, Network, SoftmaxRegression, evaluate, respond, train,
};
use hebbian_datasets::ImageShape;
use hebbian_model::{Description, Model};
use hebbian_plots::Picture;
use hebbian_training::Checkpoint;
use serde_json::{Map, Value, json};

use crate::device::device_name;
use crate::film::Shooting;
use crate::{Data, Experiment, Metric, Metrics, Phase, Progress, Results, Row, RunFolder, Subject};

/// What an example works with.
pub struct Session<D = Data> {
    /// Where everything is computed.
    pub device: Device,
    /// What is learned from.
    pub data: D,
    /// What was measured so far.
    pub metrics: Metrics,
    progress: Progress,
    folder: RunFolder,
    primary: (u64, String),
}

/// Which model of which seed: where its metrics, its checkpoint and its row belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The seed.
    pub seed: u64,
    /// The model, or a name that tells a row from all others of its seed.
    pub name: &'a str,
}

impl<D: Subject> Session<D> {
    /// Opens the device, `load`s the data and opens the folder, in this order: a run that cannot begin leaves the folder
    /// as it was.
    ///
    /// `primary` is the model whose first seed `checkpoint.safetensors` and the film are of.
    pub fn open<E: Experiment>(
        experiment: &E,
        primary: &str,
        load: impl FnOnce(&E, &Device) -> Result<D>,
    ) -> Result<Self> {
        let common = experiment.common();
        let progress = Progress::new(common.quiet);
        let (device, reason) = common.device.open_with_reason()?;
        let data = load(experiment, &device)?;
        let folder = RunFolder::open(experiment, progress)?;
        let metrics = folder.metrics(common.tensorboard)?;
        if let Some(reason) = reason {
            progress.say(format!("device {}: {reason}", device_name(&device)));
        }
        let primary = (common.seed, primary.to_owned());
        Ok(Self { device, data, metrics, progress, folder, primary })
    }

    /// Whether this is the model and seed that the folder's checkpoint and pictures are of.
    pub fn is_primary(&self, place: Place<'_>) -> bool {
        (place.seed, place.name) == (self.primary.0, self.primary.1.as_str())
    }

    /// The checkpoint of one model and seed.
    pub fn checkpoint_path(&self, place: Place<'_>) -> PathBuf {
        match self.is_primary(place) {
            true => self.folder.file("checkpoint.safetensors"),
            false => {
                let name = place.name.replace(' ', "-");
                self.folder.progress_file(&format!("{name}-seed-{}.safetensors", place.seed))
            }
        }
    }

    /// Trains `rule` on the session's inputs, from its checkpoint if there is one. `measure` adds to each epoch's line
    /// of the metrics what only the rule knows.
    pub fn learn<R: LearningRule>(
        &mut self,
        place: Place<'_>,
        rule: &mut R,
        config: &FitConfig,
        measure: impl Fn(&R) -> Result<Map<String, Value>>,
    ) -> Result<Fit> {
        let path = self.checkpoint_path(place);
        let mut fit = match path.exists() {
            true => {
                let checkpoint = Checkpoint::load(&path, &self.device)?;
                Fit::resume(config.clone(), place.seed, rule, &checkpoint)
                    .with_context(|| format!("--resume: {}", path.display()))?
            }
            false => Fit::new(config.clone(), place.seed)?,
        };
        let done = fit.epoch();
        self.metrics.retain(|m| !m.is_of(place, Phase::Learn) || m.epoch <= done)?;

        let steps = config.epochs * (self.data.inputs().dim(0)? / config.batch_size);
        let mut film = self.shooting(place, rule, (fit.step(), steps))?;
        let image = self.image()?;
        let name = format!("{}: learn", place.name);
        let mut bar = self.progress.learning(&name, (steps, config.epochs), fit.step());
        let metrics = &mut self.metrics;
        let mut log = |event: &Event<'_, R>| {
            let Some(report) = event.epoch_report() else {
                bar.step();
                return Ok(());
            };
            let (epoch, seconds, factor) = (event.fit.epoch(), report.seconds, event.fit.factor());
            bar.epoch(epoch, event.rule.learning_rate(), report);
            let mut values = measure(event.rule).map_err(plain)?;
            values.insert("learning_rate_factor".into(), json!(factor));
            for (name, Measured { mean, largest }) in &report.measures {
                values.insert((*name).into(), json!(mean));
                values.insert(format!("{name}_max"), json!(largest));
            }
            if let Some(idle) = report.idle_units() {
                values.insert("idle_units".into(), json!(idle));
            }
            metrics.push(Metric::of(place, Phase::Learn, epoch, seconds, values)).map_err(plain)
        };
        let mut save = |event: &Event<'_, R>| -> candle_core::Result<()> {
            match event.ended {
                Ended::Epoch(_) => Ok(checkpoint(event.fit, event.rule, image)?.save(&path)?),
                Ended::Step(_) => Ok(()),
            }
        };
        let inputs = self.data.inputs();
        match &mut film {
            Some(film) => fit.run(rule, inputs, &mut [&mut log, film, &mut save])?,
            None => fit.run(rule, inputs, &mut [&mut log, &mut save])?,
        }
        bar.finish();
        Ok(fit)
    }

    /// What `rule` has learned in `fit` as a model of the session's images, to be completed and saved.
    pub fn model(&self, rule: impl LearningRule + 'static, fit: &Fit) -> Result<Model> {
        Ok(Model::new(Box::new(rule))?.with_image(self.image()?)?.with_training(fit.training()))
    }

    /// The shape of what is learned from.
    fn image(&self) -> Result<ImageShape> {
        let (height, width) = self.data.image();
        let channels = self.data.inputs().dim(1)? / (height * width).max(1);
        Ok(ImageShape { height, width, channels })
    }

    /// The film of the primary model.
    fn shooting<R: LearningRule>(
        &self,
        place: Place<'_>,
        rule: &R,
        steps: (usize, usize),
    ) -> Result<Option<Shooting>> {
        if !self.is_primary(place) {
            return Ok(None);
        }
        Shooting::begin(self.folder.file("film.gif"), self.data.image(), rule, steps).map(Some)
    }

    /// Trains `network` on `examples` and judges it on the sets `judged` after each epoch, all in the metrics.
    pub fn descend(
        &mut self,
        (place, phase): (Place<'_>, Phase),
        network: &dyn Network,
        config: &DescentConfig,
        examples: &Labeled,
        judged: &[(&'static str, &Labeled)],
    ) -> Result<()> {
        self.metrics.retain(|metric| !metric.is_of(place, phase))?;
        let what = if phase == Phase::Learn { "learn" } else { "read out" };
        let bar = self.progress.bar(&format!("{}: {what}", place.name), config.epochs, 0);
        let metrics = &mut self.metrics;
        let mut log = |epoch: &Epoch| {
            bar.inc(1);
            let mut values = Map::new();
            values.insert("train_loss".into(), json!(epoch.loss));
            values.insert("train_accuracy".into(), json!(epoch.accuracy));
            for (set, evaluation) in &epoch.judged {
                values.insert(format!("{set}_loss"), json!(evaluation.loss));
                values.insert(format!("{set}_accuracy"), json!(evaluation.accuracy));
            }
            metrics.push(Metric::of(place, phase, epoch.epoch, epoch.seconds, values)).map_err(plain)
        };
        train(network, config, place.seed, examples, judged, &mut [&mut log])?;
        bar.finish_and_clear();
        Ok(())
    }

    /// Whether an earlier part of the run has made this row.
    pub fn has(&self, place: Place<'_>) -> bool {
        self.folder.has(place.seed, place.name)
    }

    /// Makes a row with `make`, unless an earlier part of the run has it.
    pub fn row(&mut self, place: Place<'_>, make: impl FnOnce(&mut Self) -> Result<Row>) -> Result<()> {
        let Place { seed, name } = place;
        if self.has(place) {
            return Ok(());
        }
        let row = make(self).with_context(|| format!("{name}, seed {seed}"))?;
        let test = row.test_accuracy.map(|accuracy| format!("test {:.2} % ", 100.0 * accuracy));
        let seconds = row.learn_seconds.unwrap_or(0.0) + row.readout_seconds.unwrap_or(0.0);
        self.progress.say(format!("{name}, seed {seed}: {}after {seconds:.1} s", test.unwrap_or_default()));
        self.folder.finish(seed, name, row)
    }

    /// Writes a picture into the folder.
    pub fn draw(&self, name: &str, picture: &Picture) -> Result<()> {
        self.folder.write(name, picture.png()?)
    }

    /// Writes a film or any other file into the folder.
    pub fn write(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.folder.write(name, bytes)
    }

    /// All rows so far, with their names.
    pub fn rows(&self) -> Vec<(String, Row)> {
        self.folder.rows()
    }

    /// Writes `results.json`, prints the table, and says where the `pictures` are.
    pub fn finish<E: Experiment>(self, experiment: &E, pictures: &[&str]) -> Result<()> {
        let seconds = self.metrics.all_seconds();
        let results =
            Results::new(experiment, &self.device, self.data.summary(), seconds, &self.folder.rows());
        self.folder.write("results.json", results.json()?)?;
        let folder = self.folder.path().display();
        if let Some(missing) = pictures.iter().find(|name| !self.folder.file(name).exists()) {
            return Err(anyhow!("{folder}: {missing} was not drawn"));
        }
        println!("{}\n", results.table());
        println!("pictures in {folder}: {}", pictures.join(", "));
        println!("numbers in {folder}: results.json, metrics.jsonl, checkpoint.safetensors, config.toml");
        Ok(())
    }
}

impl Session {
    /// Trains `readout` on what `layer` makes of the images, and judges it on all three sets. The row's model and
    /// learning fields are left open. With `test_by_epoch` the test images are judged after each epoch too, for a curve;
    /// nothing is chosen by it.
    pub fn read_out(
        &mut self,
        place: Place<'_>,
        layer: &dyn Module,
        readout: &SoftmaxRegression,
        config: &DescentConfig,
        test_by_epoch: bool,
    ) -> Result<Row> {
        let _span = tracing::info_span!("read out", name = place.name).entered();
        let begin = Instant::now();
        let of = |examples: &Labeled| examples.with_inputs(respond(layer, examples.inputs())?);
        let train = of(&self.data.train)?;
        let features_seconds = begin.elapsed().as_secs_f64();
        let validation = self.data.validation.as_ref().map(of).transpose()?;
        let test = of(&self.data.test)?;
        let judged = judged(validation.as_ref(), test_by_epoch.then_some(&test));
        self.descend((place, Phase::Readout), readout, config, &train, &judged)?;
        let seconds = self.metrics.seconds(place, Phase::Readout);
        let accuracies = judge(readout, &config.loss, [Some(&train), validation.as_ref(), Some(&test)])?;
        let units = Some(train.inputs().dim(1)?);
        Ok(Row { units, readout_seconds: Some(features_seconds + seconds), ..accuracies })
    }

    /// Trains `network` on the images themselves and judges it on all three sets.
    pub fn learn_supervised(
        &mut self,
        place: Place<'_>,
        network: &dyn Network,
        config: &DescentConfig,
        test_by_epoch: bool,
    ) -> Result<Row> {
        let _span = tracing::info_span!("learn supervised", name = place.name).entered();
        let Data { train, validation, test, .. } = &self.data;
        let (train, validation, test) = (train.clone(), validation.clone(), test.clone());
        let judged = judged(validation.as_ref(), test_by_epoch.then_some(&test));
        self.descend((place, Phase::Learn), network, config, &train, &judged)?;
        let seconds = self.metrics.seconds(place, Phase::Learn);
        let accuracies = judge(network, &config.loss, [Some(&train), validation.as_ref(), Some(&test)])?;
        Ok(Row { learn_seconds: Some(seconds), learn_epochs: Some(config.epochs), ..accuracies })
    }

    /// Judges `model`, which gives class scores for images, on all three sets.
    pub fn judge(&self, model: &dyn Module) -> Result<Row> {
        let Data { train, validation, test, .. } = &self.data;
        judge(model, &Loss::default(), [Some(train), validation.as_ref(), Some(test)])
    }
}

fn judged<'a>(
    validation: Option<&'a Labeled>,
    test: Option<&'a Labeled>,
) -> Vec<(&'static str, &'a Labeled)> {
    let sets = [("validation", validation), ("test", test)];
    sets.into_iter().filter_map(|(name, set)| Some((name, set?))).collect()
}

/// A row of nothing but accuracies, for training, validation and test examples.
fn judge<M: Module + ?Sized>(model: &M, loss: &Loss, sets: [Option<&Labeled>; 3]) -> Result<Row> {
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

/// What `rule` has learned in `fit`, and what images it takes.
fn checkpoint<R: LearningRule>(fit: &Fit, rule: &R, image: ImageShape) -> candle_core::Result<Checkpoint> {
    let mut checkpoint = fit.checkpoint(rule)?;
    Description::of_images(image).write(&mut checkpoint);
    Ok(checkpoint)
}

/// Observers speak candle's errors; the chain becomes one message.
fn plain(error: anyhow::Error) -> Error {
    Error::msg(format!("{error:#}"))
}
