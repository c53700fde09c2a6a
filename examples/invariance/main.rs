//! A sparse layer of several winners on a window that moves over digits, an invariance layer on top of it, and what the
//! two are worth to a classifier.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use candle_nn::Module;
use clap::{Parser, ValueEnum};
use hebbian::ops::top_k;
use hebbian::{
    FitConfig, Invariance, InvarianceConfig, Learning, LearningRule, MultiWinner, MultiWinnerConfig,
    Normalization, Parameters, RowSize, Rule, Stack,
};
use hebbian_classifier::{DescentConfig, encode};
use hebbian_experiment::{Common, Experiment, Measure, Phase, Row, RunKey, Session, Subject, flagged};
use hebbian_plots::{Curves, Picture, Scale, Series};
use hebbian_training::{Generator, Invalid, Schedule};
use serde::Serialize;
use serde_json::json;

use drawing::{Drawing, film};
use streams::{SHIFTS, Streams, VALIDATION_START};

mod drawing;
mod readouts;
mod streams;

/// Invariance learned from a window that moves over digits
#[derive(Parser, Clone, Serialize)]
#[command(version)]
#[command(mut_arg("units", |arg| arg.default_value("900").help("Units of the sparse layer, a square number")))]
#[command(mut_arg("train_size", |arg| arg.default_value("10000").help("Frames an epoch")))]
#[command(mut_arg("validation_size", |arg| arg.help("Frames of the stream that choices are made by, from 10 000 on")))]
#[command(mut_arg("test_size", |arg| arg.default_value("10000").help("Frames of the stream that are reported, from 20 000 on, and of unseen digits")))]
#[command(mut_arg("batch_size", |arg| arg.help("Frames per call; the layers learn one at a time, or --minibatch of them, whatever it is")))]
#[command(mut_arg("readout_epochs", |arg| arg.default_value("50")))]
struct Arguments {
    #[command(flatten)]
    #[serde(flatten)]
    common: Common,

    /// What the stream is made of
    #[arg(long, value_enum, default_value_t = Video::Tapestry)]
    video: Video,
    /// Side of the window over the tapestry and of a patch, in pixels; over the ribbon it is an image's
    #[arg(long, default_value_t = 20)]
    window: usize,

    /// Sparse units that win a frame
    #[arg(long, default_value_t = 4)]
    winners: usize,
    /// How strongly a miss changes the sparse winners
    #[arg(long, default_value_t = 0.008)]
    learning_rate: f64,
    /// How the sparse layer's rate falls: constant, linear or staircase:EVERY:FACTOR
    #[arg(long, default_value_t = Schedule::Staircase { every: 1500, factor: 0.1 })]
    schedule: Schedule,
    /// The sparse weights begin uniform in 0 to this
    #[arg(long, default_value_t = 0.2)]
    init_max: f64,

    /// Units of the invariance layer, a square number
    #[arg(long, default_value_t = 100)]
    invariant_units: usize,
    /// Weight of the newest frame in the invariance layer's average
    #[arg(long, default_value_t = 1.0 / 3.0)]
    invariant_average_rate: f64,
    /// Rate of the invariance layer's synapses whose input is on
    #[arg(long, default_value_t = 0.05)]
    invariant_on_rate: f64,
    /// Rate of the invariance layer's synapses whose input is off
    #[arg(long, default_value_t = 0.0005)]
    invariant_off_rate: f64,
    /// The invariance layer's weights begin uniform in 0 to this
    #[arg(long, default_value_t = 0.1)]
    invariant_init_max: f64,
    /// What is kept at one size in the rows of the invariance layer's weights
    #[arg(long, value_enum, default_value_t = Normalize::Sum)]
    invariant_normalize: Normalize,
    /// Frames of an epoch from one normalization to the next
    #[arg(long, default_value_t = 2000)]
    invariant_every: usize,
    /// The size that rows are kept at
    #[arg(long, default_value_t = 9.0)]
    invariant_size: f64,

    /// Frames per step: more than 1 learn faster on a GPU, and not quite the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[serde(skip_serializing_if = "is_one")]
    minibatch: usize,

    /// Digits whose jittered views the readouts are trained on; 0 trains none
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    readout_digits: usize,
    /// Views of each digit
    #[arg(long, value_name = "N", default_value_t = 6)]
    views: usize,
    /// Test digits that the readouts are judged by
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    readout_test_digits: usize,
    /// Epochs of the second sparse layer, on top of the invariance layer
    #[arg(long, value_name = "N", default_value_t = 5)]
    sandwich_epochs: usize,
    /// Units of that layer
    #[arg(long, value_name = "N", default_value_t = 400)]
    sandwich_units: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Video {
    /// A square of digits over which the window strolls
    Tapestry,
    /// A row of digits that passes by
    Ribbon,
    /// Windows at random places of random images, in color where the dataset is
    Patches,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Normalize {
    /// The sum of a row
    Sum,
    /// The largest weight of a row
    Maximum,
    /// Nothing
    None,
}

/// Left out of a run's config: those from before there were minibatches can be resumed.
fn is_one(minibatch: &usize) -> bool {
    *minibatch == 1
}

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
    fn usage(&self) -> Result<Vec<f32>> {
        Ok(self.invariance.weights()?.sum(0)?.to_vec1()?)
    }
}

impl Experiment for Arguments {
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

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self) -> Result<()> {
        self.validate()?;
        let mut session = Session::open(&self, Stack::NAME, Streams::load)?;
        let mut learned = Vec::new();
        for seed in self.common.all_seeds() {
            learned.push(self.compare(&mut session, seed)?);
        }
        self.draw(&session, &learned[0])?;
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

impl Arguments {
    fn sparse(&self) -> Result<MultiWinnerConfig> {
        let Self { winners, learning_rate, init_max, .. } = *self;
        let units = self.common.units.only()?;
        let minibatch = self.minibatch;
        Ok(MultiWinnerConfig { units, winners, learning_rate, init_max, minibatch, ..Default::default() })
    }

    fn invariance(&self) -> InvarianceConfig {
        let of = match self.invariant_normalize {
            Normalize::Sum => Some(RowSize::Sum),
            Normalize::Maximum => Some(RowSize::Maximum),
            Normalize::None => None,
        };
        InvarianceConfig {
            units: self.invariant_units,
            average_rate: self.invariant_average_rate,
            on_rate: self.invariant_on_rate,
            off_rate: self.invariant_off_rate,
            init_max: self.invariant_init_max,
            normalization: of.map(|of| Normalization {
                every: self.invariant_every,
                size: self.invariant_size,
                of,
            }),
            minibatch: self.minibatch,
            ..Default::default()
        }
    }

    /// Frames an epoch.
    fn frames(&self) -> usize {
        self.common.train_size.unwrap_or(VALIDATION_START)
    }

    /// Frames that are reported.
    fn test_frames(&self) -> usize {
        self.common.test_size.unwrap_or(VALIDATION_START)
    }

    fn fit(&self, epochs: usize) -> FitConfig {
        FitConfig { epochs, batch_size: self.common.batch_size, schedule: self.schedule, in_order: true }
    }

    fn readout(&self) -> DescentConfig {
        DescentConfig { epochs: self.common.readout_epochs, batch_size: READOUT_BATCH, ..Default::default() }
    }

    fn validate(&self) -> Result<()> {
        let units = self.common.units.only()?;
        flagged("", self.sparse()?.validate())?;
        flagged("invariant-", self.invariance().validate())?;
        for (field, units) in [("units", units), ("invariant_units", self.invariant_units)] {
            let square = units.isqrt().pow(2) == units;
            flagged("", Invalid::unless(square, field, units, "a square number, to be drawn as a map"))?;
        }
        let (frames, test) = (self.frames(), self.test_frames());
        let size = self.common.batch_size;
        flagged("", Invalid::unless(frames >= 1, "train_size", frames, "at least 1 frame"))?;
        let allowed = format!("1 to the frames of the stream ({frames})");
        flagged("", Invalid::unless((1..=frames).contains(&size), "batch_size", size, allowed))?;
        flagged("", Invalid::unless(test >= 1, "test_size", test, "at least 1 frame"))?;
        flagged(
            "",
            Invalid::unless(
                (1..=28).contains(&self.window),
                "window",
                self.window,
                "1 to 28, an image's side",
            ),
        )?;
        flagged("", Invalid::unless(self.views >= 1, "views", self.views, "at least 1"))?;
        let (digits, test) = (self.readout_digits, self.readout_test_digits);
        let most = format!("0, or {READOUT_BATCH} to 60000");
        let allowed = digits == 0 || (READOUT_BATCH..=60_000).contains(&digits);
        flagged("", Invalid::unless(allowed, "readout_digits", digits, most))?;
        flagged(
            "",
            Invalid::unless((1..=10_000).contains(&test), "readout_test_digits", test, "1 to 10000"),
        )?;
        flagged("", self.fit(self.common.epochs).validate())?;
        flagged("sandwich-", self.third()?.validate())?;
        flagged("sandwich-", self.fit(self.sandwich_epochs).validate())?;
        flagged("readout-", self.readout().validate())
    }

    fn compare(&self, session: &mut Session<Streams>, seed: u64) -> Result<Layers> {
        let (stack, layers) = self.learn(session, seed)?;
        let seconds = session.metrics.seconds(RunKey { seed, name: Stack::NAME }, Phase::Learn);
        session.row(RunKey { seed, name: MultiWinner::NAME }, |session| {
            let measures = sparse_measures(&layers, &session.data)?;
            Ok(self.row(MultiWinner::NAME, layers.sparse.weights()?.dim(0)?, seconds, session, measures))
        })?;
        session.row(RunKey { seed, name: Invariance::NAME }, |session| {
            let measures = invariance_measures(&layers, &session.data)?;
            Ok(self.row(Invariance::NAME, self.invariant_units, seconds, session, measures))
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
        let steps = session.data.train.dims()[0] / self.common.batch_size * self.common.batch_size;
        let rate = (steps * self.common.epochs) as f64 / seconds;
        let measures = measures.into_iter().chain([("frames_per_second", rate)]);
        Row {
            model: model.to_owned(),
            units: Some(units),
            learn_seconds: Some(seconds),
            learn_epochs: Some(self.common.epochs),
            measures: measures.map(|(name, value)| (name.to_owned(), value)).collect(),
            ..Row::default()
        }
    }

    /// Both layers learn from each frame.
    fn learn(&self, session: &mut Session<Streams>, seed: u64) -> Result<(Stack, Layers)> {
        let (device, inputs) = (session.device.clone(), session.data.train.dim(1)?);
        let mut draws = Generator::new(seed, MultiWinner::NAME);
        let sparse = MultiWinner::new(self.sparse()?, inputs, &mut draws, &device)?;
        let mut draws = Generator::new(seed, Invariance::NAME);
        let invariance = Invariance::new(self.invariance(), self.sparse()?.units, &mut draws, &device)?;
        let mut stack = Stack::new(vec![Box::new(sparse), Box::new(invariance)], Learning::Online)?;
        let (train, validation) = (session.data.train.clone(), session.data.validation.clone());
        let key = RunKey { seed, name: Stack::NAME };
        let mut fit = session.begin(key, &mut stack, &self.fit(self.common.epochs))?;
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
            sparse: MultiWinner::from_state(self.sparse()?, sparse.state()?)?,
            invariance: Invariance::from_state(self.invariance(), invariance.state()?)?,
        })
    }
}

const READOUT_BATCH: usize = 100;
const FILM_FRAMES: usize = 300;

/// How often each of `units` is in `winners`.
fn wins(winners: &Tensor, units: usize) -> Result<Vec<usize>> {
    let mut wins = vec![0; units];
    winners.flatten_all()?.to_vec1::<u32>()?.into_iter().for_each(|unit| wins[unit as usize] += 1);
    Ok(wins)
}

fn idle(wins: &[usize]) -> usize {
    wins.iter().filter(|&&wins| wins == 0).count()
}

/// The number of units that would share the wins equally with the same entropy.
fn effective(wins: &[usize]) -> f64 {
    let all = wins.iter().sum::<usize>().max(1) as f64;
    let shares = wins.iter().filter(|&&wins| wins > 0).map(|&wins| wins as f64 / all);
    (-shares.map(|share| share * share.ln()).sum::<f64>()).exp()
}

/// Of the variance of the responses `(digits · shifts, features)`, the share within the shifts of one digit: 0 where a
/// response tells digits and no shifts.
fn shift_variance(responses: &Tensor) -> Result<f64> {
    let (rows, features) = responses.dims2()?;
    let responses = responses.reshape((rows / SHIFTS, SHIFTS, features))?;
    let means = responses.mean_keepdim(1)?;
    let sum = |tensor: Tensor| anyhow::Ok(f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?));
    let within = sum(responses.broadcast_sub(&means)?)?;
    let between = SHIFTS as f64 * sum(means.broadcast_sub(&means.mean_keepdim(0)?)?)?;
    Ok(within / (within + between))
}

fn sparse_measures(layers: &Layers, data: &Streams) -> Result<Vec<(&'static str, f64)>> {
    let winners = layers.sparse.winners(&data.train)?;
    let units = layers.sparse.weights()?.dim(0)?;
    let mut measures = errors(data, |frames| Ok(layers.sparse.relative_error(frames)?))?;
    measures.push(("dead_units", idle(&wins(&winners, units)?) as f64));
    measures.push(("effective_units", effective(&wins(&winners.narrow(1, 0, 1)?, units)?)));
    measures.push(("shift_variance", shift_variance(&layers.code(&data.shifts)?)?));
    Ok(measures)
}

fn invariance_measures(layers: &Layers, data: &Streams) -> Result<Vec<(&'static str, f64)>> {
    let averages = layers.invariance.forward(&layers.code(&data.train)?)?;
    let first = wins(&top_k(&averages, 1)?, averages.dim(1)?)?;
    let mut usage = layers.usage()?;
    usage.sort_by(f32::total_cmp);
    let mut measures = errors(data, |frames| Ok(layers.invariance.relative_error(&layers.code(frames)?)?))?;
    measures.push(("dead_units", idle(&first) as f64));
    measures.push(("effective_units", effective(&first)));
    measures.push(("usage_min", f64::from(usage[0])));
    measures.push(("usage_median", f64::from(usage[usage.len() / 2])));
    measures.push(("usage_max", f64::from(usage[usage.len() - 1])));
    let response = layers.invariance.drive(&layers.code(&data.shifts)?)?;
    measures.push(("shift_variance", shift_variance(&response)?));
    Ok(measures)
}

/// A layer's relative error on each stream.
fn errors(data: &Streams, error: impl Fn(&Tensor) -> Result<f64>) -> Result<Vec<(&'static str, f64)>> {
    let streams = [
        ("relative_mse", Some(&data.train)),
        ("validation_relative_mse", data.validation.as_ref()),
        ("held_out_relative_mse", Some(&data.held_out)),
        ("unseen_relative_mse", Some(&data.unseen)),
    ];
    let streams = streams.into_iter().filter_map(|(name, stream)| Some((name, stream?)));
    streams.map(|(name, stream)| Ok((name, error(stream)?))).collect()
}

impl Arguments {
    fn draw(&self, session: &Session<Streams>, layers: &Layers) -> Result<()> {
        let drawing = Drawing {
            image: session.data.image(),
            sparse: layers.sparse.weights()?,
            invariant: layers.invariance.weights()?,
        };
        session.draw("weights.png", &drawing.sparse_prototypes()?)?;
        session.draw("invariance_prototypes.png", &drawing.invariance_prototypes(Scale::Global)?)?;
        session
            .draw("invariance_prototypes_normalized.png", &drawing.invariance_prototypes(Scale::PerUnit)?)?;
        session.draw("affinity_groups.png", &drawing.affinity_groups()?)?;
        session.draw("invariance_maps.png", &drawing.invariance_maps()?)?;
        session.draw("unit_map.png", &drawing.unit_map()?)?;
        session.draw("usage.png", &drawing.usage(&layers.usage()?)?)?;
        session.draw("error.png", &self.error(session)?)?;

        let frames = session.data.train.narrow(0, 0, FILM_FRAMES.min(session.data.train.dim(0)?))?;
        let reconstruction = layers.sparse.reconstruct(&frames)?;
        let code = layers.code(&frames)?;
        let window = session.data.image();
        let side = self.invariant_units.isqrt();
        let film = |states: Option<&Tensor>| {
            let mut shown = vec![(&frames, window)];
            if let Some(states) = states {
                shown.extend([(states, (side, side)), (&reconstruction, window)]);
            }
            film(&shown)
        };
        session.write("stream.gif", film(None)?)?;
        session.write("averages.gif", film(Some(&layers.invariance.forward(&code)?))?)?;
        session.write("drive.gif", film(Some(&layers.invariance.drive(&code)?))?)
    }

    /// Relative error of the sparse layer over the epochs.
    fn error(&self, session: &Session<Streams>) -> Result<Picture> {
        let key = RunKey { seed: self.common.seed, name: Stack::NAME };
        let curve = |name: &str| session.metrics.curve(key, Phase::Learn, name);
        let curves = Curves {
            title: "How much of a frame the sparse layer misses".to_owned(),
            x_label: "epoch".to_owned(),
            y_label: "relative squared error".to_owned(),
            series: vec![
                Series::dashed("frames learned from", 0, curve("relative_mse")),
                Series::solid("later frames", 0, curve("validation_relative_mse")),
            ],
            // Patches of photographs are easier than digits.
            y_range: (self.video != Video::Patches).then_some((0.2, 0.8)),
        };
        Ok(curves.draw()?)
    }
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Arguments>()
}
