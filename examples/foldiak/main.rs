//! Földiák's network of 1990 beside the one-shot variant of the notebook "Exploring Sparse Coding", on lines whose code is
//! known and on patches of photographs.

mod measures;
mod patterns;
mod pictures;

use std::process::ExitCode;

use anyhow::{Context, Error, Result};
use clap::{Parser, ValueEnum};
use hebbian::{FitConfig, Foldiak, FoldiakConfig, Init, LearningRule, Parameters, Rule, Settling};
use hebbian_experiment::{Common, Experiment, Measure, Phase, Row, RunKey, Session, flagged};
use hebbian_training::{Generator, Invalid, Schedule};
use serde::Serialize;
use serde_json::{Map, Value, json};

use patterns::{Cut, Input, Patterns, Whitening};

/// Földiák's sparse coding of 1990 against the notebook's one-shot variant
#[derive(Parser, Clone, Serialize)]
#[command(version)]
#[command(mut_arg("units", |arg| arg.default_value("16")))]
#[command(mut_arg("epochs", |arg| arg.default_value("1")))]
#[command(mut_arg("batch_size", |arg| arg.default_value("20")))]
struct Arguments {
    #[command(flatten)]
    #[serde(flatten)]
    common: Common,

    /// What the patterns are
    #[arg(long, value_enum, default_value_t = Input::Bars)]
    input: Input,
    /// Patterns to learn from; center patches are one per image
    #[arg(long, value_name = "N", default_value_t = 2000)]
    patterns: usize,
    /// Patterns held out to measure by; center patches are one per image
    #[arg(long, value_name = "N", default_value_t = 1000)]
    test_patterns: usize,
    /// Pixels per side of the grid of lines
    #[arg(long, value_name = "N", default_value_t = 8)]
    side: usize,
    /// Probability of each line
    #[arg(long, default_value_t = 0.125)]
    line_probability: f64,
    /// Pixels per side of a patch
    #[arg(long, value_name = "N", default_value_t = 10)]
    patch_size: usize,
    /// Where in an image patches are cut
    #[arg(long, value_enum, default_value_t = Cut::Random)]
    cut: Cut,
    /// What is done to patches before they are learned
    #[arg(long, value_enum, default_value_t = Whitening::Zca)]
    whitening: Whitening,
    /// Share of the largest variance that ZCA adds to each
    #[arg(long, default_value_t = 0.01)]
    zca_floor: f64,

    /// Share of patterns that each unit is to fire at
    #[arg(long, default_value_t = 0.125)]
    activity: f64,
    /// How fast the lateral weights learn
    #[arg(long, default_value_t = 0.1)]
    inhibition_rate: f64,
    /// How fast the weights from the inputs learn
    #[arg(long, default_value_t = 0.02)]
    learning_rate: f64,
    /// How fast the thresholds learn
    #[arg(long, default_value_t = 0.02)]
    threshold_rate: f64,
    /// How the rates fall: constant, linear, staircase:EVERY:FACTOR
    #[arg(long, default_value_t = Schedule::Constant)]
    schedule: Schedule,
    /// Steepness of the units' response
    #[arg(long, default_value_t = 10.0)]
    slope: f64,
    /// Length of a step of settling
    #[arg(long, default_value_t = 0.1)]
    time_step: f64,
    /// The most steps of settling
    #[arg(long, value_name = "N", default_value_t = 200)]
    iterations: usize,
    /// A pattern has settled when no output changes faster; 0 makes all steps
    #[arg(long, default_value_t = 0.0)]
    tolerance: f64,
    /// Patterns that the thresholds alone adapt to before learning begins
    #[arg(long, value_name = "N", default_value_t = 100)]
    preset_patterns: usize,
    /// How fast they do
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true)]
    preset_rate: f64,

    /// Share of patterns that the notebook's thresholds aim at
    #[arg(long, default_value_t = 0.05)]
    notebook_activity: f64,
    /// How fast the notebook's lateral weights learn
    #[arg(long, default_value_t = 0.001)]
    notebook_inhibition_rate: f64,
    /// How fast the notebook's weights from the inputs learn
    #[arg(long, default_value_t = 0.1)]
    notebook_learning_rate: f64,
    /// How fast the notebook's thresholds learn
    #[arg(long, default_value_t = 0.01)]
    notebook_threshold_rate: f64,
    /// What the notebook's weights begin with
    #[arg(long, value_enum, default_value_t = NotebookInit::Uniform)]
    notebook_init: NotebookInit,
    /// The largest of them
    #[arg(long, default_value_t = 10.0)]
    notebook_init_scale: f64,
    /// The largest lateral weight that the notebook begins with, its sign included
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    notebook_init_lateral: f64,
}

/// What the notebook's weights begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum NotebookInit {
    /// Uniform draws
    Uniform,
    /// Magnitudes of normal draws
    FoldedNormal,
}

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

impl Experiment for Arguments {
    const NAME: &'static str = "foldiak";
    const MEASURES: &'static [Measure] = &[
        Measure { name: "lines_covered", title: "lines", digits: 1 },
        Measure { name: "bit_accuracy", title: "bits", digits: 4 },
        Measure { name: "mean_activity", title: "activity", digits: 4 },
        Measure { name: "mean_abs_correlation", title: "|correlation|", digits: 4 },
        Measure { name: "mean_row_cosine", title: "row cosine", digits: 4 },
        Measure { name: "patterns_per_second", title: "patterns/s", digits: 0 },
    ];

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self) -> Result<()> {
        self.validate()?;
        let mut session = Session::open(&self, PAPER, Patterns::load)?;
        let mut learned = Vec::new();
        for seed in self.common.all_seeds() {
            for model in MODELS {
                let key = RunKey { seed, name: model };
                let rule = self.learn(&mut session, key)?;
                session.row(key, |session| self.row(session, key, &rule))?;
                learned.push(rule);
            }
        }
        pictures::draw(&session, self.common.seed, &learned[0], &learned[1])?;
        session.finish(&self, &PICTURES)
    }
}

impl Arguments {
    fn config(&self, model: &str) -> Result<FoldiakConfig> {
        let units = self.common.units.only()?;
        let Self { slope, time_step, iterations, tolerance, .. } = *self;
        let paper = FoldiakConfig {
            units,
            settling: Settling::Equilibrium { slope, time_step, iterations, tolerance },
            activity: self.activity,
            inhibition_rate: self.inhibition_rate,
            learning_rate: self.learning_rate,
            threshold_rate: self.threshold_rate,
            preset_patterns: self.preset_patterns,
            preset_rate: self.preset_rate,
            ..Default::default()
        };
        let notebook = FoldiakConfig {
            units,
            activity: self.notebook_activity,
            inhibition_rate: self.notebook_inhibition_rate,
            learning_rate: self.notebook_learning_rate,
            threshold_rate: self.notebook_threshold_rate,
            init: match self.notebook_init {
                NotebookInit::Uniform => Init::Uniform,
                NotebookInit::FoldedNormal => Init::FoldedNormal,
            },
            init_scale: self.notebook_init_scale,
            init_lateral: self.notebook_init_lateral,
            ..FoldiakConfig::notebook()
        };
        Ok(if model == PAPER { paper } else { notebook })
    }

    /// The notebook's rates are constant.
    fn fit(&self, model: &str) -> FitConfig {
        let Common { epochs, batch_size, .. } = self.common;
        let schedule = if model == PAPER { self.schedule } else { Schedule::Constant };
        FitConfig { epochs, batch_size, schedule, ..Default::default() }
    }

    fn validate(&self) -> Result<()> {
        flagged("", self.config(PAPER)?.validate())?;
        flagged("notebook-", self.config(NOTEBOOK)?.validate())?;
        for (field, count) in [("patterns", self.patterns), ("test_patterns", self.test_patterns)] {
            flagged("", Invalid::unless(count >= 1, field, count, "at least 1"))?;
        }
        flagged("", self.fit(PAPER).validate())
    }

    /// The layer of one model and seed after learning. The first seed's by the rule of 1990 is looked at about a hundred
    /// times meanwhile.
    fn learn(&self, session: &mut Session<Patterns>, key: RunKey<'_>) -> Result<Foldiak> {
        const LOOKS: usize = 100;
        let (inputs, config) = (session.data.train.clone(), self.fit(key.name));
        let drawn = || {
            let mut draws = Generator::new(key.seed, key.name);
            Foldiak::new(self.config(key.name)?, inputs.dim(1)?, &mut draws, &session.device)
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
            units: Some(self.common.units.only()?),
            measures: measures.chain([speed]).collect(),
            learn_seconds: Some(seconds),
            learn_epochs: Some(config.epochs),
            ..Row::default()
        })
    }
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Arguments>()
}
