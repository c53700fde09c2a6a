//! What a run keeps of a rule that learns: metrics, the progress bar, the film and the checkpoint.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use candle_core::Error;
use hebbian::{Ended, Event, Fit, FitConfig, LearningRule, Measured, Report};
use hebbian_datasets::ImageShape;
use hebbian_model::{Description, Model};
use hebbian_training::{Checkpoint, Observer};
use serde_json::{Map, Value, json};

use crate::film::FilmRecorder;
use crate::run_lock::RunLock;
use crate::stop;
use crate::watcher::{Forgetful, Watcher};
use crate::{LearningBar, Metric, Metrics, Phase, RunKey, Session, Subject};

/// Under which a checkpoint holds the tensors of a watcher.
const NOTES: &str = "notes";

impl<D: Subject> Session<D> {
    /// The training of `rule`, from its checkpoint if there is one: `rule` then takes over the checkpoint's state.
    pub fn begin<R: LearningRule>(&self, key: RunKey<'_>, rule: &mut R, config: &FitConfig) -> Result<Fit> {
        let path = self.checkpoint_path(key);
        let run = self.folder.identity();
        if !path.exists() {
            return Ok(Fit::new(config.clone(), key.seed)?.of_run(run));
        }
        let checkpoint = Checkpoint::load(&path, &self.device)?;
        let theirs = checkpoint.metadata.training.as_ref().and_then(|training| training.run.as_deref());
        ensure!(
            theirs == Some(run),
            "--resume: {} is of another run: other settings, data or version made it",
            path.display()
        );
        Fit::resume(config.clone(), key.seed, rule, &checkpoint)
            .with_context(|| format!("--resume: {}", path.display()))
    }

    /// Goes on with `fit` to its end, on the session's inputs.
    ///
    /// `watch` sees `rule` after each step and each epoch. It may add to the epoch's line of the metrics, which goes to
    /// disk with the epoch: what a picture needs of the epochs before a kill belongs there. What must remember more than the
    /// line from step to step is a [`Watcher`], see [`learn_watched`](Self::learn_watched).
    pub fn learn<R: LearningRule>(
        &mut self,
        key: RunKey<'_>,
        fit: &mut Fit,
        rule: &mut R,
        watch: impl FnMut(&Event<'_, R>, &mut Map<String, Value>) -> Result<()>,
    ) -> Result<()> {
        self.learn_watched(key, fit, rule, Forgetful(watch))
    }

    /// As [`learn`](Self::learn), seen by a `watcher` that remembers something from step to step.
    pub fn learn_watched<R: LearningRule>(
        &mut self,
        key: RunKey<'_>,
        fit: &mut Fit,
        rule: &mut R,
        mut watcher: impl Watcher<R>,
    ) -> Result<()> {
        let (done, config) = (fit.epoch(), fit.config().clone());
        self.metrics.retain(|metric| !metric.is_of(key, Phase::Learn) || metric.epoch <= done)?;
        let kept = self.metrics.of(key, Phase::Learn).count();
        let path = self.folder.file("metrics.jsonl");
        ensure!(kept == done, "--resume: {} has {kept} of {done} epochs of {}", path.display(), key.name);
        if done == config.epochs {
            return Ok(());
        }
        let line = self.take_up(key, fit, &mut watcher)?;
        let steps = config.epochs * (self.data.inputs().dim(0)? / config.batch_size);
        let film = self.is_primary(key).then(|| {
            let path = self.folder.file("film.gif");
            FilmRecorder::begin((path, self.folder.identity()), self.data.image(), rule, (fit.step(), steps))
        });
        let name = format!("{}: learn", key.name);
        let mut recorder = Recorder {
            key,
            watcher,
            line,
            bar: self.progress.learning(&name, (steps, config.epochs), fit.step()),
            film: film.transpose()?,
            checkpoint: self.checkpoint_path(key),
            every: self.checkpoint_every,
            saved: Instant::now(),
            image: self.image()?,
            metrics: &mut self.metrics,
            lock: self.folder.lock(),
        };
        fit.run(rule, self.data.inputs(), &mut [&mut recorder])?;
        recorder.bar.finish();
        Ok(())
    }

    /// Gives `watcher` back what it knew of the epoch under way in `fit`, and returns what it had added to the epoch's line.
    fn take_up<R>(
        &self,
        key: RunKey<'_>,
        fit: &Fit,
        watcher: &mut impl Watcher<R>,
    ) -> Result<Map<String, Value>> {
        if fit.epoch_step() == 0 {
            return Ok(Map::new());
        }
        let path = self.checkpoint_path(key);
        let checkpoint = Checkpoint::load(&path, &self.device)?;
        let place = || path.display().to_string();
        let step = checkpoint.metadata.training.as_ref().map(|training| training.step);
        ensure!(
            step == Some(fit.step()),
            "{} is not of step {}, where the training stands",
            place(),
            fit.step()
        );
        watcher.restore(checkpoint.part(NOTES)).with_context(place)?;
        match checkpoint.metadata.notes {
            None => Ok(Map::new()),
            Some(Value::Object(line)) => Ok(line),
            Some(_) => bail!("{}: its notes are no line of metrics", place()),
        }
    }

    /// What `rule` has learned in `fit` as a model of the session's images, to be completed and saved.
    pub fn model(&self, rule: impl LearningRule, fit: &Fit) -> Result<Model> {
        let mut model = Model::new(Box::new(rule))?.with_image(self.image()?)?.with_training(fit.training()?);
        if let Some(dataset) = self.data.dataset() {
            model = model.with_dataset(dataset.clone());
        }
        if let Some(preprocess) = self.data.preprocess() {
            model = model.with_preprocess(preprocess);
        }
        match self.data.class_names() {
            Some(names) => Ok(model.with_class_names(names)?),
            None => Ok(model),
        }
    }

    /// The shape of what is learned from.
    fn image(&self) -> Result<ImageShape> {
        let (height, width) = self.data.image();
        let channels = self.data.inputs().dim(1)? / (height * width).max(1);
        Ok(ImageShape { height, width, channels })
    }
}

/// Watches a rule learn. The checkpoint is written last: what else was written is never behind it.
struct Recorder<'a, W> {
    key: RunKey<'a>,
    watcher: W,
    /// What the metrics will say of the epoch that runs.
    line: Map<String, Value>,
    bar: LearningBar,
    film: Option<FilmRecorder>,
    checkpoint: PathBuf,
    /// How old the checkpoint becomes within an epoch.
    every: Duration,
    /// When it was written.
    saved: Instant,
    image: ImageShape,
    metrics: &'a mut Metrics,
    lock: &'a RunLock,
}

impl<W> Recorder<'_, W> {
    fn finish_epoch(&mut self, fit: &Fit, learning_rate: Option<f64>, report: &Report) -> Result<()> {
        let epoch = fit.epoch();
        self.bar.epoch(epoch, learning_rate, report);
        let mut line = std::mem::take(&mut self.line);
        line.insert("learning_rate_factor".into(), json!(fit.factor()));
        for (name, Measured { mean, largest }) in &report.measures {
            line.insert(name.clone(), json!(mean));
            line.insert(format!("{name}_max"), json!(largest));
        }
        if let Some(idle) = report.idle_units() {
            line.insert("idle_units".into(), json!(idle));
        }
        self.metrics.push(Metric::of(self.key, Phase::Learn, epoch, report.seconds, line))?;
        self.metrics.sync()
    }

    /// Writes the film, and then the checkpoint with all else that is known of the epoch under way.
    fn save<R: LearningRule>(&mut self, fit: &Fit, rule: &R) -> Result<()>
    where
        W: Watcher<R>,
    {
        self.lock.check()?;
        if let Some(film) = &mut self.film {
            film.write()?;
        }
        let mut checkpoint = fit.checkpoint(rule)?;
        Description::of_images(self.image).write(&mut checkpoint);
        if fit.epoch_step() > 0 {
            checkpoint.add(NOTES, self.watcher.state()?);
            checkpoint.metadata.notes = (!self.line.is_empty()).then(|| Value::Object(self.line.clone()));
        }
        checkpoint.save(&self.checkpoint)?;
        self.saved = Instant::now();
        Ok(())
    }

    fn see<R: LearningRule>(&mut self, event: &Event<'_, R>) -> Result<()>
    where
        W: Watcher<R>,
    {
        self.watcher.observe(event, &mut self.line)?;
        match event.ended {
            Ended::Step(_) => {
                self.bar.step();
                if let Some(film) = &mut self.film {
                    film.step(event.rule, event.fit.step())?;
                }
            }
            Ended::Epoch(report) => self.finish_epoch(event.fit, event.rule.learning_rate(), report)?,
        }
        let stopped = stop::check();
        if event.epoch_report().is_some() || self.saved.elapsed() >= self.every || stopped.is_err() {
            self.save(event.fit, event.rule)?;
        }
        stopped
    }
}

impl<R: LearningRule, W: Watcher<R>> Observer<Event<'_, R>> for Recorder<'_, W> {
    fn observe(&mut self, event: &Event<'_, R>) -> candle_core::Result<()> {
        self.see(event).map_err(plain)
    }
}

/// Observers speak candle's errors; the chain becomes one message.
pub(crate) fn plain(error: anyhow::Error) -> Error {
    Error::msg(format!("{error:#}"))
}
