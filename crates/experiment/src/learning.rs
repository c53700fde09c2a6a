//! What a run keeps of a rule that learns: metrics, the progress bar, the film and the checkpoint.

use std::path::PathBuf;

use anyhow::{Context, Result};
use candle_core::Error;
use hebbian::{Event, Fit, FitConfig, LearningRule, Measured, Report};
use hebbian_datasets::ImageShape;
use hebbian_model::{Description, Model};
use hebbian_training::{Checkpoint, Observer};
use serde_json::{Map, Value, json};

use crate::film::FilmRecorder;
use crate::{LearningBar, Metric, Metrics, Phase, RunKey, Session, Subject};

impl<D: Subject> Session<D> {
    /// The training of `rule`, from its checkpoint if there is one: `rule` then takes over the checkpoint's state.
    pub fn begin<R: LearningRule>(&self, key: RunKey<'_>, rule: &mut R, config: &FitConfig) -> Result<Fit> {
        let path = self.checkpoint_path(key);
        if !path.exists() {
            return Ok(Fit::new(config.clone(), key.seed)?);
        }
        let checkpoint = Checkpoint::load(&path, &self.device)?;
        Fit::resume(config.clone(), key.seed, rule, &checkpoint)
            .with_context(|| format!("--resume: {}", path.display()))
    }

    /// Goes on with `fit` to its end, on the session's inputs.
    ///
    /// `watch` sees `rule` after each step and each epoch. It may add to the epoch's line of the metrics, which goes to
    /// disk with the epoch: what a picture needs of the epochs before a kill belongs there.
    pub fn learn<R: LearningRule>(
        &mut self,
        key: RunKey<'_>,
        fit: &mut Fit,
        rule: &mut R,
        watch: impl FnMut(&Event<'_, R>, &mut Map<String, Value>) -> Result<()>,
    ) -> Result<()> {
        let (done, config) = (fit.epoch(), fit.config().clone());
        if done == config.epochs {
            return Ok(());
        }
        self.metrics.retain(|metric| !metric.is_of(key, Phase::Learn) || metric.epoch <= done)?;
        let steps = config.epochs * (self.data.inputs().dim(0)? / config.batch_size);
        let film = self.is_primary(key).then(|| {
            let path = self.folder.file("film.gif");
            FilmRecorder::begin(path, self.data.image(), rule, (fit.step(), steps))
        });
        let name = format!("{}: learn", key.name);
        let mut recorder = Recorder {
            key,
            watch,
            line: Map::new(),
            bar: self.progress.learning(&name, (steps, config.epochs), fit.step()),
            film: film.transpose()?,
            checkpoint: self.checkpoint_path(key),
            image: self.image()?,
            metrics: &mut self.metrics,
        };
        fit.run(rule, self.data.inputs(), &mut [&mut recorder])?;
        recorder.bar.finish();
        Ok(())
    }

    /// What `rule` has learned in `fit` as a model of the session's images, to be completed and saved.
    pub fn model(&self, rule: impl LearningRule, fit: &Fit) -> Result<Model> {
        Ok(Model::new(Box::new(rule))?.with_image(self.image()?)?.with_training(fit.training()))
    }

    /// The shape of what is learned from.
    fn image(&self) -> Result<ImageShape> {
        let (height, width) = self.data.image();
        let channels = self.data.inputs().dim(1)? / (height * width).max(1);
        Ok(ImageShape { height, width, channels })
    }
}

/// Watches a rule learn. The checkpoint is written last: what else was written for an epoch is never behind it.
struct Recorder<'a, W> {
    key: RunKey<'a>,
    watch: W,
    /// What the metrics will say of the epoch that runs.
    line: Map<String, Value>,
    bar: LearningBar,
    film: Option<FilmRecorder>,
    checkpoint: PathBuf,
    image: ImageShape,
    metrics: &'a mut Metrics,
}

impl<W> Recorder<'_, W> {
    fn finish_epoch(&mut self, fit: &Fit, learning_rate: Option<f64>, report: &Report) -> Result<()> {
        let epoch = fit.epoch();
        self.bar.epoch(epoch, learning_rate, report);
        let mut line = std::mem::take(&mut self.line);
        line.insert("learning_rate_factor".into(), json!(fit.factor()));
        for (name, Measured { mean, largest }) in &report.measures {
            line.insert((*name).into(), json!(mean));
            line.insert(format!("{name}_max"), json!(largest));
        }
        if let Some(idle) = report.idle_units() {
            line.insert("idle_units".into(), json!(idle));
        }
        self.metrics.push(Metric::of(self.key, Phase::Learn, epoch, report.seconds, line))
    }
}

impl<R, W> Observer<Event<'_, R>> for Recorder<'_, W>
where
    R: LearningRule,
    W: FnMut(&Event<'_, R>, &mut Map<String, Value>) -> Result<()>,
{
    fn observe(&mut self, event: &Event<'_, R>) -> candle_core::Result<()> {
        (self.watch)(event, &mut self.line).map_err(plain)?;
        match event.epoch_report() {
            Some(report) => {
                self.finish_epoch(event.fit, event.rule.learning_rate(), report).map_err(plain)?
            }
            None => self.bar.step(),
        }
        if let Some(film) = &mut self.film {
            film.observe(event)?;
        }
        match event.epoch_report() {
            Some(_) => Ok(checkpoint(event.fit, event.rule, self.image)?.save(&self.checkpoint)?),
            None => Ok(()),
        }
    }
}

/// What `rule` has learned in `fit`, and what images it takes.
fn checkpoint<R: LearningRule>(fit: &Fit, rule: &R, image: ImageShape) -> candle_core::Result<Checkpoint> {
    let mut checkpoint = fit.checkpoint(rule)?;
    Description::of_images(image).write(&mut checkpoint);
    Ok(checkpoint)
}

/// Observers speak candle's errors; the chain becomes one message.
pub(crate) fn plain(error: anyhow::Error) -> Error {
    Error::msg(format!("{error:#}"))
}
