//! A sparse layer of several winners on a window that moves over digits, an invariance layer on top of it, and what the
//! two are worth to a classifier.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use candle_nn::Module;
use clap::{Parser, ValueEnum};
use hebbian::{
    FitConfig, Invariance, InvarianceConfig, Learning, LearningRule, MultiWinner, MultiWinnerConfig,
    Normalisation, RowSize, Stack, StackConfig,
};
use hebbian_classifier::{
    DescentConfig, Features, FeaturesConfig, Labelled, SoftmaxRegression, evaluate, random_images, respond,
};
use hebbian_datasets::{Examples, Ribbon, Tapestry, Walk, transforms};
use hebbian_experiment::{Common, Experiment, Measure, Phase, Place, Row, Session, Subject, flagged};
use hebbian_plots::{Curves, Film, GreyMap, Picture, ReceptiveFields, Scale, Series, grey_maps};
use hebbian_training::{Checkpoint, Generator, Invalid, Schedule};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Invariance learned from a window that moves over digits
#[derive(Parser, Clone, Serialize)]
#[command(version)]
#[command(mut_arg("units", |arg| arg.default_value("900").help("Units of the sparse layer, a square number")))]
#[command(mut_arg("train_size", |arg| arg.default_value("10000").help("Frames an epoch")))]
#[command(mut_arg("validation_size", |arg| arg.help("Frames of the stream that choices are made by, from 10 000 on")))]
#[command(mut_arg("test_size", |arg| arg.default_value("10000").help("Frames of the stream that are reported, from 20 000 on, and of unseen digits")))]
#[command(mut_arg("batch_size", |arg| arg.help("Frames a call; the layers learn one at a time whatever it is")))]
#[command(mut_arg("readout_epochs", |arg| arg.default_value("20")))]
struct Arguments {
    #[command(flatten)]
    #[serde(flatten)]
    common: Common,

    /// What the stream is made of
    #[arg(long, value_enum, default_value_t = Video::Tapestry)]
    video: Video,
    /// Side of the window over the tapestry, in pixels; over the ribbon it is an image's
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
    #[arg(long, value_enum, default_value_t = Normalise::Sum)]
    invariant_normalise: Normalise,
    /// Frames of an epoch from one normalisation to the next
    #[arg(long, default_value_t = 2000)]
    invariant_every: usize,
    /// The size that rows are kept at
    #[arg(long, default_value_t = 9.0)]
    invariant_size: f64,

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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Normalise {
    /// The sum of a row
    Sum,
    /// The largest weight of a row
    Maximum,
    /// Nothing
    None,
}

/// Where the frames begin by which choices are made, and those that are reported.
const VALIDATION_START: usize = 10_000;
const TEST_START: usize = 20_000;
/// The digits of the notebook's tapestry: 30 x 30 of them, from here on.
const FIRST_DIGIT: usize = 3000;
const DIGITS: usize = 900;

const SANDWICH: &str = "sandwich";
const PIXELS: &str = "pixels";
const RANDOM_IMAGES: &str = "random-images";
const RANDOM_WIRING: &str = "random-wiring";
const BOTH: &str = "both-layers";
const READOUTS: [&str; 7] =
    [PIXELS, RANDOM_IMAGES, MultiWinner::NAME, Invariance::NAME, BOTH, RANDOM_WIRING, SANDWICH];

/// Sequences of views, each pixel of the window an input.
struct Streams {
    /// The frames that are learned from, `(frames, window²)`.
    train: Tensor,
    /// Later ones of the same stream, to choose by.
    validation: Option<Tensor>,
    /// Still later ones, to report.
    held_out: Tensor,
    /// Frames of digits that no tapestry here was made of.
    unseen: Tensor,
    /// Side of the window.
    window: usize,
    /// The name of the dataset.
    name: String,
    /// Its number of classes.
    classes: usize,
    /// Training and test digits for the readouts, if there are any.
    digits: Option<(Digits, Digits)>,
    /// Test digits, each at every shift of up to 2 pixels.
    shifts: Tensor,
}

/// Digits as short sequences of jittered views.
#[derive(Clone)]
struct Digits {
    /// All views, those of one digit together, `(digits · views, window²)`.
    frames: Tensor,
    /// Views of a digit.
    views: usize,
    /// The class of each digit.
    labels: Tensor,
}

impl Subject for Streams {
    fn inputs(&self) -> &Tensor {
        &self.train
    }

    fn image(&self) -> (usize, usize) {
        (self.window, self.window)
    }

    fn summary(&self) -> Value {
        let frames = |stream: &Tensor| stream.dims()[0];
        json!({
            "name": self.name,
            "train": frames(&self.train),
            "validation": self.validation.as_ref().map_or(0, frames),
            "test": frames(&self.held_out),
            "unseen": frames(&self.unseen),
        })
    }
}

impl Digits {
    /// The first `count` digits, each as `views` frames, one behind the other.
    fn of(
        examples: &Examples,
        count: usize,
        views: usize,
        draws: &mut Generator,
        window: usize,
    ) -> Result<Self> {
        let examples = examples.first(count)?;
        let shifts = jitter(count, views, draws)?;
        let frames = shifted(examples.images(), &shifts, window)?;
        Ok(Self { frames, views, labels: examples.labels().clone() })
    }

    /// What is left of a digit's views when only their mean is looked at, `(digits, features)`.
    fn mean(&self, features: &Tensor) -> Result<Tensor> {
        Ok(features.reshape((self.labels.elem_count(), self.views, features.dim(1)?))?.mean(1)?)
    }

    /// What `layer` makes of `code (digits · views, inputs)`, beginning anew with each digit.
    fn averages(&self, layer: &Invariance, code: &Tensor) -> Result<Tensor> {
        let averages = |digit: usize| layer.forward(&code.narrow(0, digit * self.views, self.views)?);
        let all = (0..self.labels.elem_count()).map(averages).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Tensor::cat(&all, 0)?)
    }

    /// What is left of a digit's views when only the last is looked at, `(digits, features)`.
    fn last(&self, features: &Tensor) -> Result<Tensor> {
        let features = features.reshape((self.labels.elem_count(), self.views, features.dim(1)?))?;
        Ok(features.narrow(1, self.views - 1, 1)?.squeeze(1)?.contiguous()?)
    }
}

/// Pixels, from the middle, that a view may be off in either direction.
const JITTER: i64 = 3;

/// A walk of `views` steps for each digit, `(x, y)` from the middle: a pixel at most from one view to the next.
fn jitter(digits: usize, views: usize, draws: &mut Generator) -> Result<Vec<Vec<(i64, i64)>>> {
    let draws = draws.uniform((digits, views, 2), 0.0, 1.0, &Device::Cpu)?.to_vec3::<f32>()?;
    let walk = |draws: Vec<Vec<f32>>| {
        let mut at = [0i64; 2];
        let step = |(view, draw): (usize, Vec<f32>)| {
            for axis in 0..2 {
                let choices = if view == 0 { 2 * JITTER + 1 } else { 3 };
                let choice = (draw[axis] * choices as f32) as i64 - choices / 2;
                at[axis] = (at[axis] + choice).clamp(-JITTER, JITTER);
            }
            (at[0], at[1])
        };
        draws.into_iter().enumerate().map(step).collect()
    };
    Ok(draws.into_iter().map(walk).collect())
}

/// The middle of u8 `images (images, side²)`, `window` pixels wide, moved by each of an image's shifts: f32
/// `(images · shifts, window²)`. Beyond an image there is nothing.
fn shifted(images: &Tensor, shifts: &[Vec<(i64, i64)>], window: usize) -> Result<Tensor> {
    let side = images.dim(1)?.isqrt();
    let pixels = images.flatten_all()?.to_vec1::<u8>()?;
    let middle = (side as i64 - window as i64) / 2;
    let mut frames = Vec::new();
    for (image, shifts) in pixels.chunks_exact(side * side).zip(shifts) {
        for (dx, dy) in shifts {
            for y in 0..window as i64 {
                for x in 0..window as i64 {
                    let (x, y) = (x + middle + dx, y + middle + dy);
                    let inside = (0..side as i64).contains(&x) && (0..side as i64).contains(&y);
                    frames.push(if inside { image[y as usize * side + x as usize] } else { 0 });
                }
            }
        }
    }
    let count = shifts.iter().map(Vec::len).sum::<usize>();
    Ok(transforms::scale(&Tensor::from_vec(frames, (count, window * window), &Device::Cpu)?, &Device::Cpu)?)
}

/// The two layers, taken out of a trained stack.
struct Layers {
    sparse: MultiWinner,
    invariance: Invariance,
}

impl Layers {
    /// What the frames of one stretch of time make of the sparse layer, `(frames, units)`.
    fn code(&self, frames: &Tensor) -> Result<Tensor> {
        Ok(respond(&self.sparse, frames)?)
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
        for seed in self.common.all_seeds() {
            self.compare(&mut session, seed)?;
        }
        self.draw(&session)?;
        session.finish(&self, &PICTURES)
    }
}

const PICTURES: [&str; 12] = [
    "weights.png",
    "invariance_prototypes.png",
    "invariance_prototypes_normalised.png",
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

impl Streams {
    fn load(arguments: &Arguments, device: &Device) -> Result<Self> {
        let common = &arguments.common;
        let dataset = common.open_dataset()?;
        let (train, test) =
            (common.train_size.unwrap_or(VALIDATION_START), common.test_size.unwrap_or(TEST_START));
        let validation_start = train.max(VALIDATION_START);
        let test_start = (validation_start + common.validation_size).max(TEST_START);
        let digits = dataset.train.images();
        let (stream, unseen): (Box<dyn Stream>, Box<dyn Stream>) = match arguments.video {
            Video::Tapestry => {
                let tapestry = |images: &Tensor, first: usize| {
                    let count = DIGITS.min(images.dim(0)?.saturating_sub(first));
                    anyhow::Ok(Box::new(Tapestry::new(&images.narrow(0, first, count)?, arguments.window)?))
                };
                (tapestry(digits, FIRST_DIGIT.min(digits.dim(0)?))?, tapestry(dataset.test.images(), 0)?)
            }
            Video::Ribbon => {
                let ribbon = |images: &Tensor, frames: usize| {
                    let count = (frames / dataset.shape.width + 2).min(images.dim(0)?);
                    anyhow::Ok(Box::new(Ribbon::new(&images.narrow(0, 0, count)?)?))
                };
                (ribbon(digits, test_start + test)?, ribbon(dataset.test.images(), test)?)
            }
        };
        let seed = common.seed;
        let frames = |stream: &dyn Stream, first: usize, count: usize| {
            let frames = stream.frames(seed, first, count)?;
            Ok::<_, anyhow::Error>(transforms::scale(&frames, device)?)
        };
        let window = frames(&*stream, 0, 1)?.dim(1)?.isqrt();
        let views = arguments.views;
        let readout = |examples: &Examples, count: usize, set: &str| {
            Digits::of(examples, count, views, &mut Generator::new(seed, set), window)
        };
        let digits = (arguments.readout_digits > 0).then(|| {
            let train = readout(&dataset.train, arguments.readout_digits, "training jitter")?;
            anyhow::Ok((train, readout(&dataset.test, arguments.readout_test_digits, "test jitter")?))
        });
        let every_shift: Vec<(i64, i64)> = (-2..=2).flat_map(|dy| (-2..=2).map(move |dx| (dx, dy))).collect();
        let shifts = vec![every_shift; SHIFTED_DIGITS.min(dataset.test.len())];
        Ok(Self {
            train: frames(&*stream, 0, train)?,
            validation: match common.validation_size {
                0 => None,
                count => Some(frames(&*stream, validation_start, count)?),
            },
            held_out: frames(&*stream, test_start, test)?,
            unseen: frames(&*unseen, 0, test)?,
            window,
            name: dataset.name.clone(),
            classes: dataset.classes,
            digits: digits.transpose()?,
            shifts: shifted(dataset.test.images(), &shifts, window)?,
        })
    }
}

/// Test digits by which invariance to shifts is measured.
const SHIFTED_DIGITS: usize = 300;
const SHIFTS: usize = 25;

/// Anything that frames can be asked of by their numbers.
trait Stream {
    fn frames(&self, seed: u64, first: usize, count: usize) -> Result<Tensor>;
}

impl Stream for Tapestry {
    fn frames(&self, seed: u64, first: usize, count: usize) -> Result<Tensor> {
        Ok(self.frames(Walk::seeded(seed, self.torus()).skip(first).take(count))?)
    }
}

impl Stream for Ribbon {
    fn frames(&self, _seed: u64, first: usize, count: usize) -> Result<Tensor> {
        Ok(self.frames(first..first + count)?)
    }
}

impl Arguments {
    fn sparse(&self) -> Result<MultiWinnerConfig> {
        let Self { winners, learning_rate, init_max, .. } = *self;
        let units = self.common.units.only()?;
        Ok(MultiWinnerConfig { units, winners, learning_rate, init_max, ..Default::default() })
    }

    fn invariance(&self) -> InvarianceConfig {
        let of = match self.invariant_normalise {
            Normalise::Sum => Some(RowSize::Sum),
            Normalise::Maximum => Some(RowSize::Maximum),
            Normalise::None => None,
        };
        InvarianceConfig {
            units: self.invariant_units,
            average_rate: self.invariant_average_rate,
            on_rate: self.invariant_on_rate,
            off_rate: self.invariant_off_rate,
            init_max: self.invariant_init_max,
            normalisation: of.map(|of| Normalisation {
                every: self.invariant_every,
                size: self.invariant_size,
                of,
            }),
            ..Default::default()
        }
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
        let frames = self.common.train_size.unwrap_or(VALIDATION_START);
        let size = self.common.batch_size;
        flagged("", Invalid::unless(frames >= 1, "train_size", frames, "at least 1 frame"))?;
        let allowed = format!("1 to the frames of the stream ({frames})");
        flagged("", Invalid::unless((1..=frames).contains(&size), "batch_size", size, allowed))?;
        let test = self.common.test_size.unwrap_or(TEST_START);
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
        let sandwich = MultiWinnerConfig { units: self.sandwich_units, ..self.sparse()? };
        flagged("sandwich-", sandwich.validate())?;
        flagged("sandwich-", self.fit(self.sandwich_epochs).validate())?;
        flagged("readout-", self.readout().validate())
    }

    fn compare(&self, session: &mut Session<Streams>, seed: u64) -> Result<()> {
        let (stack, layers) = self.learn(session, seed)?;
        let seconds = session.metrics.seconds(Place { seed, name: Stack::NAME }, Phase::Learn);
        session.row(Place { seed, name: MultiWinner::NAME }, |session| {
            let measures = sparse_measures(&layers, &session.data)?;
            Ok(self.row(MultiWinner::NAME, layers.sparse.weights()?.dim(0)?, seconds, session, measures))
        })?;
        session.row(Place { seed, name: Invariance::NAME }, |session| {
            let measures = invariance_measures(&layers, &session.data)?;
            Ok(self.row(Invariance::NAME, self.invariant_units, seconds, session, measures))
        })?;
        self.read_out(session, seed, &stack, &layers)
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
        let measure = |stack: &Stack| {
            let sparse = self.layers(stack)?.sparse;
            let mut values = Map::new();
            values.insert("relative_mse".to_owned(), json!(sparse.relative_error(&train)?));
            if let Some(validation) = &validation {
                values
                    .insert("validation_relative_mse".to_owned(), json!(sparse.relative_error(validation)?));
            }
            let dead = idle(&wins(&sparse.winners(&train)?, sparse.weights()?.dim(0)?)?);
            values.insert("dead_units".to_owned(), json!(dead));
            Ok(values)
        };
        session.learn(
            Place { seed, name: Stack::NAME },
            &mut stack,
            &self.fit(self.common.epochs),
            measure,
        )?;
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
    let first = wins(&hebbian::ops::top_k(&averages, 1)?, averages.dim(1)?)?;
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

/// Digits, and what the two layers make of their views.
struct Seen {
    digits: Digits,
    /// Of the sparse layer, `(digits · views, units)`.
    code: Tensor,
    /// Of the invariance layer, which begins anew with each digit, `(digits · views, units)`.
    averages: Tensor,
}

impl Seen {
    fn new(digits: &Digits, layers: &Layers) -> Result<Self> {
        let code = layers.code(&digits.frames)?;
        Ok(Self { averages: digits.averages(&layers.invariance, &code)?, digits: digits.clone(), code })
    }
}

impl Arguments {
    /// Trains a readout on what each layer says about digits that are shown as short sequences of views.
    fn read_out(
        &self,
        session: &mut Session<Streams>,
        seed: u64,
        stack: &Stack,
        layers: &Layers,
    ) -> Result<()> {
        let missing = |model: &&str| !session.has(Place { seed, name: &readout_name(model) });
        let Some((train, test)) = &session.data.digits else { return Ok(()) };
        if !READOUTS.iter().any(|model| missing(&model)) {
            return Ok(());
        }
        let sets = [Seen::new(train, layers)?, Seen::new(test, layers)?];
        let third = self.sandwich(session, seed, stack)?;
        let untrained = Generator::new(seed, RANDOM_WIRING);
        let wiring = Invariance::new(
            self.invariance(),
            layers.code(&session.data.shifts)?.dim(1)?,
            &mut { untrained },
            &session.device,
        )?;
        let images = random_images(
            &sets[0].digits.frames,
            self.common.units.only()?,
            &mut Generator::new(seed, RANDOM_IMAGES),
        )?;
        let images = Features::fit(FeaturesConfig::default(), images, &sets[0].digits.frames)?;
        for model in READOUTS {
            let name = readout_name(model);
            let place = Place { seed, name: &name };
            session.row(place, |session| {
                let features = |seen: &Seen| {
                    let digits = &seen.digits;
                    match model {
                        PIXELS => digits.mean(&digits.frames),
                        RANDOM_IMAGES => digits.mean(&respond(&images, &digits.frames)?),
                        MultiWinner::NAME => digits.mean(&seen.code),
                        Invariance::NAME => digits.last(&seen.averages),
                        RANDOM_WIRING => digits.last(&digits.averages(&wiring, &seen.code)?),
                        SANDWICH => digits.mean(&respond(&third, &seen.averages)?),
                        _ => Ok(Tensor::cat(
                            &[
                                digits.mean(&seen.code)?,
                                scaled_to(&digits.last(&seen.averages)?, &digits.mean(&seen.code)?)?,
                            ],
                            1,
                        )?),
                    }
                };
                let row = self.judge(session, place, [features(&sets[0])?, features(&sets[1])?], &sets)?;
                let measures = match model {
                    PIXELS => Some(shift_variance(&session.data.shifts)?),
                    RANDOM_WIRING => {
                        Some(shift_variance(&wiring.drive(&layers.code(&session.data.shifts)?)?)?)
                    }
                    _ => None,
                };
                let measures =
                    measures.map(|share| ("shift_variance".to_owned(), share)).into_iter().collect();
                Ok(Row { model: model.to_owned(), readout: Some("views".to_owned()), measures, ..row })
            })?;
        }
        Ok(())
    }

    /// A second sparse layer on top of the two, which learns from what they say once they have learned.
    fn sandwich(&self, session: &mut Session<Streams>, seed: u64, stack: &Stack) -> Result<MultiWinner> {
        let config = MultiWinnerConfig { units: self.sandwich_units, ..self.sparse()? };
        let mut draws = Generator::new(seed, SANDWICH);
        let third = MultiWinner::new(config.clone(), self.invariant_units, &mut draws, &session.device)?;
        let below = [&stack.rules()[0], &stack.rules()[1]];
        let below = below.map(|rule| hebbian::rule::from_state(rule.name(), &rule.config(), rule.state()?));
        let mut rules = below.into_iter().collect::<candle_core::Result<Vec<_>>>()?;
        rules.push(Box::new(third));
        let mut stack = Stack::new(rules, Learning::Greedy(vec![0, 0, self.sandwich_epochs]))?;
        let fit = self.fit(self.sandwich_epochs);
        session.learn(Place { seed, name: SANDWICH }, &mut stack, &fit, |_| Ok(Map::new()))?;
        Ok(MultiWinner::from_state(config, stack.rules()[2].state()?)?)
    }

    /// Trains a readout on `features` of the training and judges it on those of the test digits.
    fn judge(
        &self,
        session: &mut Session<Streams>,
        place: Place<'_>,
        [train, test]: [Tensor; 2],
        sets: &[Seen; 2],
    ) -> Result<Row> {
        let scale = f64::from(train.sqr()?.mean_all()?.to_scalar::<f32>()?).sqrt().max(1e-12);
        let labelled = |features: Tensor, seen: &Seen| {
            Ok::<_, candle_core::Error>(Labelled::new((features / scale)?, seen.digits.labels.clone())?)
        };
        let (train, test) = (labelled(train, &sets[0])?, labelled(test, &sets[1])?);
        let units = train.inputs().dim(1)?;
        let readout = SoftmaxRegression::new(units, session.data.classes, &session.device)?;
        let config = self.readout();
        session.descend((place, Phase::Readout), &readout, &config, &train, &[])?;
        let accuracy =
            |set: &Labelled| evaluate(&readout, set, &config.loss).map(|judged| Some(judged.accuracy));
        Ok(Row {
            units: Some(units),
            train_accuracy: accuracy(&train)?,
            test_accuracy: accuracy(&test)?,
            readout_seconds: Some(session.metrics.seconds(place, Phase::Readout)),
            ..Row::default()
        })
    }

    fn draw(&self, session: &Session<Streams>) -> Result<()> {
        let path = session.checkpoint_path(Place { seed: self.common.seed, name: Stack::NAME });
        let checkpoint = Checkpoint::load(&path, &session.device)?;
        let config: StackConfig = serde_json::from_value(checkpoint.metadata.config.clone())?;
        let layers = self.layers(&Stack::from_state(config, checkpoint.part("rule"))?)?;
        let drawing = Drawing {
            image: session.data.image(),
            sparse: layers.sparse.weights()?,
            invariant: layers.invariance.weights()?,
        };
        session.draw("weights.png", &drawing.sparse_prototypes()?)?;
        session.draw("invariance_prototypes.png", &drawing.invariance_prototypes(Scale::Global)?)?;
        session
            .draw("invariance_prototypes_normalised.png", &drawing.invariance_prototypes(Scale::PerUnit)?)?;
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
        let place = Place { seed: self.common.seed, name: Stack::NAME };
        let curve = |name: &str| session.metrics.curve(place, Phase::Learn, name);
        let curves = Curves {
            title: "How much of a frame the sparse layer misses".to_owned(),
            x_label: "epoch".to_owned(),
            y_label: "relative squared error".to_owned(),
            series: vec![
                Series::dashed("frames learned from", 0, curve("relative_mse")),
                Series::solid("later frames", 0, curve("validation_relative_mse")),
            ],
            y_range: Some((0.2, 0.8)),
        };
        Ok(curves.draw()?)
    }
}

fn readout_name(model: &str) -> String {
    format!("{model} views")
}

/// `features` with the root mean square of `others`.
fn scaled_to(features: &Tensor, others: &Tensor) -> Result<Tensor> {
    let size = |tensor: &Tensor| anyhow::Ok(f64::from(tensor.sqr()?.mean_all()?.to_scalar::<f32>()?).sqrt());
    Ok((features * (size(others)? / size(features)?.max(1e-12)))?)
}

const FILM_FRAMES: usize = 300;
const FILM_FRAME_TIME: Duration = Duration::from_millis(100);

/// The rows of each tensor as maps of its shape, side by side; black is a tensor's largest value.
fn film(shown: &[(&Tensor, (usize, usize))]) -> Result<Vec<u8>> {
    let mut film = Film::new(FILM_FRAME_TIME);
    let values = shown.iter().map(|(tensor, _)| tensor.to_vec2::<f32>());
    let values = values.collect::<candle_core::Result<Vec<_>>>()?;
    let limit = |frames: &Vec<Vec<f32>>| frames.iter().flatten().fold(0f32, |most, &value| most.max(value));
    let limits: Vec<f32> = values.iter().map(limit).collect();
    for frame in 0..values[0].len() {
        let map = |(place, (_, shape)): (usize, &(&Tensor, (usize, usize)))| GreyMap {
            values: &values[place][frame],
            shape: *shape,
            limit: limits[place],
        };
        film.push(&grey_maps(&shown.iter().enumerate().map(map).collect::<Vec<_>>())?)?;
    }
    Ok(film.gif()?)
}

/// What is drawn of two trained layers.
struct Drawing {
    image: (usize, usize),
    /// `(units, pixels)`.
    sparse: Tensor,
    /// `(invariant units, units)`.
    invariant: Tensor,
}

impl Drawing {
    fn fields(&self, units: &Tensor, grid: (usize, usize), title: impl Into<String>) -> ReceptiveFields {
        ReceptiveFields::new(units, self.image, grid).title(title)
    }

    fn sparse_prototypes(&self) -> Result<Picture> {
        let side = self.sparse.dim(0)?.isqrt();
        Ok(self
            .fields(&self.sparse, (side, side), "Sparse layer: all prototypes")
            .scale(Scale::PerUnit)
            .draw()?)
    }

    /// What each invariance unit is made of, in pixels.
    fn invariance_prototypes(&self, scale: Scale) -> Result<Picture> {
        let side = self.invariant.dim(0)?.isqrt();
        let prototypes = self.invariant.matmul(&self.sparse)?;
        let title = "Invariance layer: prototypes in pixels";
        Ok(self.fields(&prototypes, (side, side), title).scale(scale).draw()?)
    }

    /// For each invariance unit, a strip of the sparse prototypes that feed it most, the strongest first.
    fn affinity_groups(&self) -> Result<Picture> {
        const COLUMNS: usize = 50;
        let (units, below) = self.invariant.dims2()?;
        let members = (below / units).clamp(1, COLUMNS - 1);
        let strips = (COLUMNS / (members + 1)).clamp(1, units);
        let gap = Tensor::zeros((1, self.sparse.dim(1)?), self.sparse.dtype(), self.sparse.device())?;
        let strongest = hebbian::ops::top_k(&self.invariant, members)?;
        let mut cells = Vec::new();
        for unit in 0..units {
            cells.push(self.sparse.index_select(&strongest.get(unit)?, 0)?);
            cells.push(gap.clone());
        }
        let title =
            format!("The {members} sparse prototypes that feed each of {units} invariance units most");
        let grid = (units.div_ceil(strips), strips * (members + 1));
        let fields = self.fields(&Tensor::cat(&cells, 0)?, grid, title).scale(Scale::PerUnit);
        Ok(fields.width(2000).draw()?)
    }

    fn invariance_maps(&self) -> Result<Picture> {
        let (units, below) = self.invariant.dims2()?;
        let (side, map) = (units.isqrt(), below.isqrt());
        let fields = ReceptiveFields::new(&self.invariant, (map, map), (side, side)).scale(Scale::PerUnit);
        Ok(fields.title("Invariance layer: weights to the map of sparse units").draw()?)
    }

    /// The sparse prototypes as strong as one invariance unit, the one with the largest weight, is fed by them.
    fn unit_map(&self) -> Result<Picture> {
        let largest = self.invariant.max(1)?.argmax(0)?.to_scalar::<u32>()? as usize;
        let weights = self.invariant.get(largest)?.unsqueeze(1)?;
        let side = self.sparse.dim(0)?.isqrt();
        let title = format!("What feeds invariance unit {largest}: each sparse prototype times its weight");
        Ok(self.fields(&self.sparse.broadcast_mul(&weights)?, (side, side), title).draw()?)
    }

    fn usage(&self, usage: &[f32]) -> Result<Picture> {
        let by_usage = |a: &usize, b: &usize| usage[*a].total_cmp(&usage[*b]);
        let least = (0..usage.len()).min_by(by_usage).context("a sparse unit")?;
        let most = (0..usage.len()).max_by(by_usage).context("a sparse unit")?;
        let side = usage.len().isqrt();
        let map = Tensor::from_slice(usage, (1, usage.len()), self.sparse.device())?;
        let map = ReceptiveFields::new(&map, (side, side), (1, 1))
            .width(400)
            .title("How much each sparse unit feeds");
        let prototype = |unit: usize, which: &str| {
            let title = format!("{which}: unit {unit}, {:.3}", usage[unit]);
            self.fields(&self.sparse.narrow(0, unit, 1)?, (1, 1), title)
                .width(400)
                .draw()
                .map_err(anyhow::Error::from)
        };
        let pictures = [map.draw()?, prototype(least, "Least")?, prototype(most, "Most")?];
        Ok(Picture::side_by_side(&pictures)?)
    }
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Arguments>()
}
