//! Földiák's network of 1990 beside the one-shot variant of the notebook "Exploring Sparse Coding", on lines whose code is
//! known and on patches of photographs.

mod measures;
mod patterns;
mod pictures;
mod settings;

use std::process::ExitCode;

use anyhow::{Context, Error, Result};
use candle_core::Device;
use hebbian::{FitConfig, Foldiak, FoldiakConfig, LearningRule, Rule};
use hebbian_datasets::Dataset;
use hebbian_experiment::{Experiment, Measure, Phase, Row, RunKey, RunSettings, Session, Steering, dataset};
use hebbian_training::{Generator, Invalid, Schedule};
use serde_json::{Map, Value, json};

use patterns::Patterns;
use settings::{Input, Patches, Settings};

const PAPER: &str = "foldiak-1990";
const NOTEBOOK: &str = "foldiak-notebook";
const MODELS: [&str; 2] = [PAPER, NOTEBOOK];

const PICTURES: [&str; 7] = [
    "weights.png",
    "notebook_weights.png",
    "lateral.png",
    "histograms.png",
    "thresholds.png",
    "reconstruction.png",
    "film.gif",
];

impl Experiment for Settings {
    const NAME: &'static str = "foldiak";
    const MEASURES: &'static [Measure] = &[
        Measure { name: "lines_covered", title: "lines", digits: 1 },
        Measure { name: "bit_accuracy", title: "bits", digits: 4 },
        Measure { name: "mean_activity", title: "activity", digits: 4 },
        Measure { name: "mean_abs_correlation", title: "|correlation|", digits: 4 },
        Measure { name: "mean_row_cosine", title: "row cosine", digits: 4 },
        Measure { name: "patterns_per_second", title: "patterns/s", digits: 0 },
    ];

    /// Both networks have as many units.
    const FIXED: &'static [&'static str] = &["notebook.units", "notebook.settling"];

    fn run_settings(&self) -> &RunSettings {
        &self.run
    }

    fn run(self, steering: &Steering) -> Result<()> {
        let is_given = |path: &str| steering.given.iter().any(|one| one == path);
        let has_data = steering.given.iter().any(|path| path.starts_with("data."));
        let is_bars = matches!(self.input, Input::Bars(_));
        if is_bars && !has_data {
            return self.run_on(None, steering);
        }
        let is_chosen = is_bars && is_given("input");
        Invalid::unless(!is_chosen, "input", "bars", "patches, where [data] is given")?;
        let (raw, data) = (dataset(&self.data, steering.quiet)?, self.data.clone());
        // Patches are no larger than an image.
        let side = raw.shape.height.min(raw.shape.width);
        let size = Patches::default().patch_size.min(side);
        let more = [("input", json!("patches")), ("input.patch_size", json!(size))];
        steering.fitted(self, (&data, &raw), &[], &more)?.run_on(Some(&raw), steering)
    }
}

impl Settings {
    fn run_on(self, raw: Option<&Dataset>, steering: &Steering) -> Result<()> {
        let first = self.run.seed;
        let load = |device: &Device| Patterns::load(&self, raw, first, device);
        let mut session = Session::open(&self, steering, PAPER, load)?;
        for seed in self.run.all_seeds() {
            if seed != first {
                session.data = Patterns::load(&self, raw, seed, &session.device)?;
            }
            let mut learned = Vec::new();
            for model in MODELS {
                let key = RunKey { seed, name: model };
                let rule = self.learn(&mut session, key)?;
                session.row(key, |session| self.row(session, key, &rule))?;
                learned.push(rule);
            }
            if seed == first && session.is_whole() {
                pictures::draw(&session, first, &learned[0], &learned[1])?;
            }
        }
        session.finish(&self, &PICTURES)
    }

    fn config(&self, model: &str) -> FoldiakConfig {
        match model {
            PAPER => self.rule.clone(),
            _ => FoldiakConfig { units: self.rule.units, ..self.notebook.clone() },
        }
    }

    /// The notebook's rates are constant.
    fn fit(&self, model: &str) -> FitConfig {
        let schedule = if model == PAPER { self.fit.schedule.clone() } else { Schedule::Constant };
        FitConfig { schedule, ..self.fit.clone() }
    }

    /// The layer of one model and seed after learning. The first seed's by the rule of 1990 is looked at about a hundred
    /// times meanwhile.
    fn learn(&self, session: &mut Session<Patterns>, key: RunKey<'_>) -> Result<Foldiak> {
        const LOOKS: usize = 100;
        let (inputs, config) = (session.data.train.clone(), self.fit(key.name));
        let drawn = || {
            let mut draws = Generator::new(key.seed, key.name);
            Foldiak::new(self.config(key.name), inputs.dim(1)?, &mut draws, &session.device)
                .map_err(Error::from)
        };
        let (mut rule, mut first) = (drawn()?, drawn()?);
        let mut fit = session.begin(key, &mut rule, &config)?;
        let lines = session.data.lines.as_ref().map(|(_, single)| single.clone());
        let look = |step: usize, rule: &Foldiak, line: &mut Map<String, Value>| -> Result<()> {
            let looks = line.entry("looks").or_insert_with(|| json!([])).as_array_mut();
            looks.context("looks")?.push(measures::look(step * config.batch_size, rule, lines.as_ref())?);
            Ok(())
        };
        let steps = config.epochs * (inputs.dim(0)? / config.batch_size);
        let every = steps.div_ceil(LOOKS).max(1);
        let (watched, validation) = (session.is_primary(key), session.data.validation.clone());
        session.learn(key, &mut fit, &mut rule, |event, line| {
            let step = event.fit.step();
            if event.epoch_report().is_some() {
                if let Some(patterns) = &validation {
                    line.extend(measures::of_patterns(event.rule, patterns)?);
                }
                return Ok(());
            }
            if watched && step == 1 {
                first.prepare(&inputs)?;
                look(0, &first, line)?;
            }
            if watched && step.is_multiple_of(every) {
                look(step, event.rule, line)?;
            }
            Ok(())
        })?;
        Ok(rule)
    }

    fn row(&self, session: &Session<Patterns>, key: RunKey<'_>, rule: &Foldiak) -> Result<Row> {
        let seconds = session.metrics.seconds(key, Phase::Learn);
        let config = self.fit(key.name);
        let batches = session.data.train.dim(0)? / config.batch_size;
        let patterns = (config.epochs * batches * config.batch_size) as f64;
        let mut measures = measures::of_patterns(rule, &session.data.test)?;
        measures.extend(measures::of_lines(rule, &session.data)?);
        let measures = measures.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?)));
        let speed = ("patterns_per_second".to_owned(), patterns / seconds);
        Ok(Row {
            model: key.name.to_owned(),
            units: Some(self.rule.units),
            measures: measures.chain([speed]).collect(),
            learn_seconds: Some(seconds),
            learn_epochs: Some(config.epochs),
            ..Row::default()
        })
    }
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Settings>()
}
