//! One run of an experiment: its device, its data, and the folder that it fills.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use candle_core::Device;
use hebbian_plots::Picture;
use hebbian_training::settings::Settings;

use crate::config_file::written;
use crate::device::device_name;
use crate::diverged::Diverged;
use crate::say::print;
use crate::stop;
use crate::{Data, Experiment, Metrics, Progress, Results, Row, RunFolder, RunKey, Steering, Subject};

/// What an example works with.
pub struct Session<D = Data> {
    /// Where everything is computed.
    pub device: Device,
    /// What is learned from.
    pub data: D,
    /// What was measured so far.
    pub metrics: Metrics,
    pub(crate) progress: Progress,
    pub(crate) folder: RunFolder,
    pub(crate) checkpoint_every: Duration,
    primary: (u64, String),
    /// The rows to make; all, if none are named.
    wanted: Vec<String>,
}

impl<D: Subject> Session<D> {
    /// Opens the device, `load`s the data and opens the folder, in this order: a run that cannot begin leaves the folder
    /// as it was.
    ///
    /// `primary` is the model whose first seed `checkpoint.safetensors` and the film are of.
    pub fn open<E: Experiment>(
        experiment: &E,
        steering: &Steering,
        primary: &str,
        load: impl FnOnce(&Device) -> Result<D>,
    ) -> Result<Self> {
        let settings = experiment.run_settings();
        let progress = Progress::new(steering.quiet);
        let (device, reason) = settings.device.open_with_reason()?;
        let data = load(&device)?;
        let path = steering.out.clone().unwrap_or_else(|| Path::new("runs").join(E::NAME));
        let config = written(experiment, &Settings::of::<E>(E::FIXED)?)?;
        let folder = RunFolder::open(path, &config, data.dataset(), steering.resume, progress)?;
        let metrics = folder.metrics(steering.tensorboard)?;
        stop::listen()?;
        if let Some(reason) = reason {
            progress.say(format!("device {}: {reason}", device_name(&device)));
        }
        let primary = (settings.seed, primary.to_owned());
        let checkpoint_every = Duration::from_secs(steering.checkpoint_seconds);
        let wanted = steering.rows.clone();
        Ok(Self { device, data, metrics, progress, folder, checkpoint_every, primary, wanted })
    }

    /// Whether this is the model and seed that the folder's checkpoint and pictures are of.
    pub fn is_primary(&self, key: RunKey<'_>) -> bool {
        (key.seed, key.name) == (self.primary.0, self.primary.1.as_str())
    }

    /// The checkpoint of one model and seed.
    pub fn checkpoint_path(&self, key: RunKey<'_>) -> PathBuf {
        match self.is_primary(key) {
            true => self.folder.file("checkpoint.safetensors"),
            false => {
                let name = key.name.replace(' ', "-");
                self.folder.progress_file(&format!("{name}-seed-{}.safetensors", key.seed))
            }
        }
    }

    /// Whether there is nothing left to do for this row: an earlier part of the run has made it, or nobody wants it.
    pub fn has(&self, key: RunKey<'_>) -> bool {
        self.folder.has(key) || !self.is_whole() && !self.wanted.iter().any(|name| name == key.name)
    }

    /// Whether all rows are made. The pictures of a run are of several.
    pub fn is_whole(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Makes a row with `make`, unless an earlier part of the run has it. Of a readout or a network that has diverged the row
    /// says so and holds no numbers, and the run goes on.
    pub fn row(&mut self, key: RunKey<'_>, make: impl FnOnce(&mut Self) -> Result<Row>) -> Result<()> {
        let RunKey { seed, name } = key;
        if self.has(key) {
            return Ok(());
        }
        self.folder.lock().check()?;
        stop::check()?;
        let row = match make(self) {
            Err(error) if error.is::<Diverged>() => {
                self.progress.say(format!("note: {name}, seed {seed}: {error:#}"));
                Row::diverged(key, &error)
            }
            made => made.with_context(|| format!("{name}, seed {seed}"))?.finite(),
        };
        let test = row.test_accuracy.map(|accuracy| format!("test {:.2} % ", 100.0 * accuracy));
        let seconds = row.learn_seconds.unwrap_or(0.0) + row.readout_seconds.unwrap_or(0.0);
        self.progress.say(format!("{name}, seed {seed}: {}after {seconds:.1} s", test.unwrap_or_default()));
        self.folder.finish(key, row)
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
        if results.rows.is_empty() {
            return Err(anyhow!("--rows {}: this experiment has no such row", self.wanted.join(",")));
        }
        if !self.is_whole() {
            let table = results.table();
            return print(format_args!(
                "{table}\n\nnumbers in {folder}: results.json, metrics.jsonl, config.toml"
            ));
        }
        let (drawn, missing): (Vec<&str>, Vec<&str>) =
            pictures.iter().partition(|name| self.folder.file(name).exists());
        if let Some(missing) =
            missing.first().filter(|_| !self.folder.rows().iter().any(|row| row.1.diverged))
        {
            return Err(anyhow!("{folder}: {missing} was not drawn"));
        }
        print(format_args!("{}\n", results.table()))?;
        print(format_args!("pictures in {folder}: {}", drawn.join(", ")))?;
        print(format_args!(
            "numbers in {folder}: results.json, metrics.jsonl, checkpoint.safetensors, config.toml"
        ))
    }
}
