//! A sparse layer of several winners on a window that moves over digits, an invariance layer on top of it, and what the
//! two are worth to a classifier.

mod drawing;
mod measures;
mod pictures;
mod readouts;
mod settings;
mod streams;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use hebbian::{Composite, Invariance, Learning, LearningRule, MultiWinner, Rule, Stack};
use hebbian_classifier::encode;
use hebbian_datasets::Dataset;
use hebbian_experiment::codes::{idle, wins};
use hebbian_experiment::{
    Experiment, Measure, Phase, Row, RunKey, RunSettings, Session, Steering, dataset, from_0_to_1,
};
use hebbian_training::Generator;
use serde_json::json;

use settings::{Settings, Video, ViewSettings};
use streams::Streams;

/// The two layers, taken out of a trained stack.
struct Layers {
    sparse: MultiWinner,
    invariance: Invariance,
}

impl Layers {
    /// What the frames of one stretch of time make of the sparse layer, `(frames, units)`.
    fn code(&self, frames: &Tensor) -> Result<Tensor> {
        Ok(encode(&self.sparse, frames)?)
    }

    /// How strongly each sparse unit feeds the invariance layer, `Σ_j w_ji`, `(units)`.
    fn usage(&self) -> Result<Tensor> {
        Ok(self.invariance.weights()?.sum(0)?)
    }
}

impl Experiment for Settings {
    const NAME: &'static str = "invariance";
    const MEASURES: &'static [Measure] = &[
        Measure { name: "relative_mse", title: "mse", digits: 3 },
        Measure { name: "validation_relative_mse", title: "validation", digits: 3 },
        Measure { name: "held_out_relative_mse", title: "held out", digits: 3 },
        Measure { name: "unseen_relative_mse", title: "unseen", digits: 3 },
        Measure { name: "dead_units", title: "dead", digits: 0 },
        Measure { name: "effective_units", title: "effective", digits: 1 },
        Measure { name: "usage_min", title: "usage min", digits: 3 },
        Measure { name: "usage_median", title: "median", digits: 3 },
        Measure { name: "usage_max", title: "max", digits: 3 },
        Measure { name: "shift_variance", title: "shift var.", digits: 3 },
        Measure { name: "frames_per_second", title: "frames/s", digits: 0 },
    ];

    /// The stream has sizes of its own, and its order.
    const FIXED: &'static [&'static str] = &[
        "data.train_size",
        "data.validation_size",
        "data.test_size",
        "fit.in_order",
        "sandwich_fit.in_order",
    ];

    fn run_settings(&self) -> &RunSettings {
        &self.run
    }

    fn run(self, steering: &Steering) -> Result<()> {
        let (raw, data) = (dataset(&self.data, steering.quiet)?, self.data.clone());
        // A window is at most an image, and digits at most those that there are.
        let side = raw.shape.height.min(raw.shape.width);
        let window = match self.stream.video {
            Video::Tapestry { window } | Video::Patches { window } if window > side => vec![WINDOW],
            _ => vec![],
        };
        let ViewSettings { digits, test_digits, .. } = self.views;
        let mut more: Vec<_> = window.into_iter().map(|path| (path, json!(side))).collect();
        more.push(("views.digits", json!(digits.min(raw.train.len()))));
        more.push(("views.test_digits", json!(test_digits.min(raw.test.len()))));
        steering.fitted(self, (&data, &raw), &[], &more)?.run_on(raw, steering)
    }
}

/// The path of the window's side.
const WINDOW: &str = "stream.video.window";

impl Settings {
    fn run_on(self, raw: Dataset, steering: &Steering) -> Result<()> {
        let (first, preprocess) =
            (self.run.seed, from_0_to_1(&raw, "the multi-winner rule", steering.quiet)?);
        let load = |device: &Device| Streams::load(&self, (&raw, preprocess), first, device);
        let mut session = Session::open(&self, steering, Stack::NAME, load)?;
        for seed in self.run.all_seeds() {
            if seed != first {
                session.data = Streams::load(&self, (&raw, preprocess), seed, &session.device)?;
            }
            let layers = self.compare(&mut session, seed)?;
            if seed == first && session.is_whole() {
                pictures::draw(&session, &self, &layers)?;
            }
        }
        session.finish(&self, &PICTURES)
    }
}

const PICTURES: [&str; 12] = [
    "weights.png",
    "invariance_prototypes.png",
    "invariance_prototypes_normalized.png",
    "affinity_groups.png",
    "invariance_maps.png",
    "unit_map.png",
    "usage.png",
    "error.png",
    "film.gif",
    "stream.gif",
    "averages.gif",
    "drive.gif",
];

impl Settings {
    fn compare(&self, session: &mut Session<Streams>, seed: u64) -> Result<Layers> {
        let (stack, layers) = self.learn(session, seed)?;
        let seconds = session.metrics.seconds(RunKey { seed, name: Stack::NAME }, Phase::Learn);
        session.row(RunKey { seed, name: MultiWinner::NAME }, |session| {
            let measures = measures::of_sparse(&layers, &session.data)?;
            Ok(self.row(MultiWinner::NAME, layers.sparse.weights()?.dim(0)?, seconds, session, measures))
        })?;
        session.row(RunKey { seed, name: Invariance::NAME }, |session| {
            let measures = measures::of_invariance(&layers, &session.data)?;
            Ok(self.row(Invariance::NAME, self.invariance.units, seconds, session, measures))
        })?;
        self.read_out(session, seed, &stack, &layers)?;
        Ok(layers)
    }

    fn row(
        &self,
        model: &str,
        units: usize,
        seconds: f64,
        session: &Session<Streams>,
        measures: Vec<(&str, f64)>,
    ) -> Row {
        let steps = session.data.train.dims()[0] / self.fit.batch_size * self.fit.batch_size;
        let rate = (steps * self.fit.epochs) as f64 / seconds;
        let measures = measures.into_iter().chain([("frames_per_second", rate)]);
        Row {
            model: model.to_owned(),
            units: Some(units),
            learn_seconds: Some(seconds),
            learn_epochs: Some(self.fit.epochs),
            measures: measures.map(|(name, value)| (name.to_owned(), value)).collect(),
            ..Row::default()
        }
    }

    /// Both layers learn from each frame.
    fn learn(&self, session: &mut Session<Streams>, seed: u64) -> Result<(Stack, Layers)> {
        let (device, inputs) = (session.device.clone(), session.data.train.dim(1)?);
        let mut draws = Generator::new(seed, MultiWinner::NAME);
        let sparse = MultiWinner::new(self.rule.clone(), inputs, &mut draws, &device)?;
        let mut draws = Generator::new(seed, Invariance::NAME);
        let invariance = Invariance::new(self.invariance.clone(), self.rule.units, &mut draws, &device)?;
        let mut stack = Stack::new(vec![Box::new(sparse), Box::new(invariance)], Learning::Online)?;
        let (train, validation) = (session.data.train.clone(), session.data.validation.clone());
        let key = RunKey { seed, name: Stack::NAME };
        let mut fit = session.begin(key, &mut stack, &self.fit)?;
        session.learn(key, &mut fit, &mut stack, |event, line| {
            if event.epoch_report().is_none() {
                return Ok(());
            }
            let sparse = event.rule.rules()[0].downcast_ref::<MultiWinner>().context("a sparse layer")?;
            line.insert("relative_mse".to_owned(), json!(sparse.relative_error(&train)?));
            if let Some(validation) = &validation {
                line.insert("validation_relative_mse".to_owned(), json!(sparse.relative_error(validation)?));
            }
            let dead = idle(&wins(&sparse.winners(&train)?, sparse.units())?);
            line.insert("dead_units".to_owned(), json!(dead));
            Ok(())
        })?;
        let layers = self.layers(&stack)?;
        Ok((stack, layers))
    }

    fn layers(&self, stack: &Stack) -> Result<Layers> {
        let [sparse, invariance, ..] = stack.rules() else { bail!("a stack of two rules was trained") };
        Ok(Layers {
            sparse: MultiWinner::from_state(self.rule.clone(), sparse.state()?)?,
            invariance: Invariance::from_state(self.invariance.clone(), invariance.state()?)?,
        })
    }
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Settings>()
}
