//! The spatial pooler of HTM: codes of binarized images, read out by logistic regression, beside the raw pixels, columns
//! that never learned, and columns that learned without boosting.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use candle_nn::Module;
use clap::{Parser, ValueEnum};
use hebbian::{
    BoostToward, FitConfig, LearningRule, PotentialPool, Rule, SpatialPooler, SpatialPoolerConfig, Starved,
};
use hebbian_classifier::{Labeled, LogisticRegression, LogisticRegressionConfig, SparseBinary};
use hebbian_datasets::transforms::{Threshold, binarize};
use hebbian_datasets::{ImageShape, gray};
use hebbian_experiment::{Common, Data, Experiment, Measure, Phase, Place, Row, Session, Subject, flagged};
use hebbian_model::Preprocess;
use hebbian_plots::{Curves, Picture, ReceptiveFields, Series};
use hebbian_training::{Checkpoint, Generator, Schedule};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

/// The spatial pooler beside raw pixels, untrained columns and columns without boosting
#[derive(Parser, Clone, Serialize)]
#[command(version)]
#[command(mut_arg("units", |arg| arg.default_value("6272").help("Columns")))]
#[command(mut_arg("epochs", |arg| arg.default_value("3")))]
#[command(mut_arg("readout_epochs", |arg| arg.hide(true)))]
struct Arguments {
    #[command(flatten)]
    #[serde(flatten)]
    common: Common,

    /// Which pixels are on: mean (of their own image) or above:N
    #[arg(long, default_value_t = Threshold::Above(30))]
    #[serde(serialize_with = "as_text")]
    binarize: Threshold,
    /// Share of the columns that win
    #[arg(long, default_value_t = 0.05)]
    sparsity: f64,
    /// Where the inputs of a column may lie
    #[arg(long, value_enum, default_value_t = Pool::Square)]
    pool: Pool,
    /// Share of those inputs that a column could connect to
    #[arg(long, default_value_t = 0.15)]
    pool_fraction: f64,
    /// How far a square reaches from its center
    #[arg(long, default_value_t = 6)]
    pool_radius: usize,
    /// Whether a square goes on at the opposite edge
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pool_wrap: bool,
    /// Permanence from which a synapse is connected
    #[arg(long, default_value_t = 0.5)]
    connected: f64,
    /// What a winner's permanence gains where the input is on
    #[arg(long, default_value_t = 0.1)]
    increment: f64,
    /// What it loses where the input is off
    #[arg(long, default_value_t = 0.03)]
    decrement: f64,
    /// Overlap below which a column does not compete
    #[arg(long, default_value_t = 5)]
    stimulus_threshold: u32,
    /// Boosted overlap below which a winner is dropped
    #[arg(long, default_value_t = 0.0)]
    min_activation: f64,
    /// What a column's activity is held against
    #[arg(long, value_enum, default_value_t = Toward::Target)]
    boost_toward: Toward,
    /// How strongly seldom active columns are favored
    #[arg(long, default_value_t = 15.0)]
    boost_strength: f64,
    /// Period of the activity duty cycle, in images
    #[arg(long, default_value_t = 1400.0)]
    activity_period: f64,
    /// Which columns are helped to synapses: none, those of the lowest overlap, or those far below the best
    #[arg(long, value_enum, default_value_t = Raised::None)]
    raised: Raised,
    /// The share of the columns, or of the best column's overlap duty cycle
    #[arg(long, default_value_t = 0.05)]
    raised_share: f64,
    /// Period of the overlap duty cycle, in images
    #[arg(long, default_value_t = 1000.0)]
    overlap_period: f64,
    /// Inputs a step: more than 1 learn faster on a GPU, and not quite the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[serde(skip_serializing_if = "is_one")]
    minibatch: usize,
    /// Take the training codes from one more pass that goes on learning, as the notebook does
    #[arg(long, value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set)]
    record_while_learning: bool,

    /// Penalty of the logistic regression on its squared weights; 1 / C
    #[arg(long, default_value_t = 3.0)]
    penalty: f64,
    /// Length of the gradient at which it is done
    #[arg(long, default_value_t = 0.001)]
    tolerance: f64,
    /// Steps that it may take
    #[arg(long, default_value_t = 100)]
    max_iterations: u64,
}

/// Where potential synapses lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Pool {
    /// Anywhere in the image
    Anywhere,
    /// In a square around the column's place over the image
    Square,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Toward {
    /// The mean activity
    Mean,
    /// The sparsity
    Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Raised {
    None,
    Lowest,
    BelowBest,
}

fn as_text<S: Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

const RAW_PIXELS: &str = "raw-pixels";
const UNTRAINED: &str = "untrained-pooler";
const UNBOOSTED: &str = "unboosted-pooler";
const PICTURES: [&str; 5] = ["weights.png", "overlaps.png", "duty_cycles.png", "stability.png", "film.gif"];

/// Images whose codes are compared between epochs.
const PROBES: usize = 1000;
/// Images encoded at once.
const PORTION: usize = 1000;
const QUANTILES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

impl Experiment for Arguments {
    const NAME: &'static str = "spatial_pooler";
    const MEASURES: &'static [Measure] = &[
        Measure { name: "columns", title: "", digits: 0 },
        Measure { name: "active_columns", title: "active", digits: 1 },
        Measure { name: "never_active", title: "never active", digits: 0 },
        Measure { name: "entropy_bits", title: "entropy, bits", digits: 2 },
        Measure { name: "learn_samples_per_second", title: "learn/s", digits: 0 },
        Measure { name: "encode_samples_per_second", title: "encode/s", digits: 0 },
    ];

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self) -> Result<()> {
        self.common.units.only()?;
        flagged("", self.fit().validate())?;
        flagged("", self.readout().validate())?;
        let mut session = Session::open(&self, SpatialPooler::NAME, |arguments, device| {
            let data = Data::prepare(arguments, |pixels, shape| {
                Ok(binarize(&brightness(pixels, shape)?, arguments.binarize, device)?)
            })?;
            validated(&arguments.pooler(&data))?;
            Ok(data)
        })?;
        for seed in self.common.all_seeds() {
            let at = |name: &'static str| Place { seed, name };
            session.row(at(RAW_PIXELS), |session| self.raw_pixels(session))?;
            session.row(at(UNTRAINED), |session| self.untrained(session, at(UNTRAINED)))?;
            session.row(at(UNBOOSTED), |session| {
                let config = SpatialPoolerConfig { boost_strength: 0.0, ..self.pooler(&session.data) };
                self.learned(session, at(UNBOOSTED), config)
            })?;
            session.row(at(SpatialPooler::NAME), |session| {
                let config = self.pooler(&session.data);
                self.learned(session, at(SpatialPooler::NAME), config)
            })?;
        }
        self.draw(&session)?;
        session.finish(&self, &PICTURES)
    }
}

/// Left out of a run's config: those from before there were minibatches can be resumed.
fn is_one(minibatch: &usize) -> bool {
    *minibatch == 1
}

/// Pixels of one value each, u8: those of color images become gray.
fn brightness(pixels: &Tensor, shape: ImageShape) -> Result<Tensor> {
    match shape.channels {
        1 => Ok(pixels.clone()),
        _ => Ok((gray(pixels, shape)? * 255.0)?.round()?.to_dtype(DType::U8)?),
    }
}

/// The refusal of a setting, by the flag that it came from.
fn validated(config: &SpatialPoolerConfig) -> Result<()> {
    flagged(
        "",
        config.validate().map_err(|mut invalid| {
            invalid.field = match invalid.field {
                "starved_share" | "starved_fraction" => "raised_share",
                "grid" => "units",
                field => field,
            };
            invalid
        }),
    )
}

impl Arguments {
    fn pooler(&self, data: &Data) -> SpatialPoolerConfig {
        let image = [data.shape.height, data.shape.width];
        let (radius, wrap, fraction) = (self.pool_radius, self.pool_wrap, self.pool_fraction);
        SpatialPoolerConfig {
            units: self.common.units.all()[0],
            sparsity: self.sparsity,
            pool: match self.pool {
                Pool::Anywhere => PotentialPool::Anywhere { fraction },
                Pool::Square => PotentialPool::Neighborhood { image, grid: image, radius, wrap, fraction },
            },
            connected: self.connected,
            increment: self.increment,
            decrement: self.decrement,
            stimulus_threshold: self.stimulus_threshold,
            min_activation: self.min_activation,
            boost_toward: match self.boost_toward {
                Toward::Mean => BoostToward::Mean,
                Toward::Target => BoostToward::Target,
            },
            boost_strength: self.boost_strength,
            activity_period: self.activity_period,
            starved: match self.raised {
                Raised::None => Starved::Left,
                Raised::Lowest => Starved::Lowest { share: self.raised_share },
                Raised::BelowBest => Starved::BelowBest { fraction: self.raised_share },
            },
            overlap_period: self.overlap_period,
            minibatch: self.minibatch,
        }
    }

    fn fit(&self) -> FitConfig {
        let Common { epochs, batch_size, .. } = self.common;
        FitConfig { epochs, batch_size, schedule: Schedule::Constant, ..Default::default() }
    }

    fn readout(&self) -> LogisticRegressionConfig {
        let Self { penalty, tolerance, max_iterations, .. } = *self;
        LogisticRegressionConfig { penalty, tolerance, max_iterations }
    }

    fn raw_pixels(&self, session: &Session) -> Result<Row> {
        let codes = Codes::of(&session.data, |examples| {
            let mut pixels = SparseBinary::new(session.data.shape.inputs());
            pixels.push_dense(examples.inputs())?;
            Ok(pixels)
        })?;
        let (row, _) = self.read_out(&session.data, &codes)?;
        Ok(Row { model: RAW_PIXELS.to_owned(), ..row })
    }

    fn untrained(&self, session: &Session, place: Place<'_>) -> Result<Row> {
        let pooler = self.drawn(session, place.seed, self.pooler(&session.data))?;
        let codes = Codes::of(&session.data, |examples| encode(&pooler, examples.inputs()))?;
        let (row, _) = self.read_out(&session.data, &codes)?;
        Ok(codes.measure(Row { model: place.name.to_owned(), ..row }))
    }

    /// Columns before any learning: the same for every model of a seed.
    fn drawn(&self, session: &Session, seed: u64, config: SpatialPoolerConfig) -> Result<SpatialPooler> {
        let mut draws = Generator::new(seed, SpatialPooler::NAME);
        Ok(SpatialPooler::new(config, session.data.shape.inputs(), &mut draws, &session.device)?)
    }

    fn learned(&self, session: &mut Session, place: Place<'_>, config: SpatialPoolerConfig) -> Result<Row> {
        let mut pooler = self.drawn(session, place.seed, config.clone())?;
        let untrained = self.drawn(session, place.seed, config)?;
        let probes = session.data.inputs().narrow(0, 0, PROBES.min(session.data.train.len()))?;
        let path = session.checkpoint_path(place);
        let device = session.device.clone();
        let measure = |pooler: &SpatialPooler| {
            let before = match path.exists() {
                true => {
                    let checkpoint = Checkpoint::load(&path, &device)?;
                    &SpatialPooler::from_state(
                        serde_json::from_value(checkpoint.metadata.config.clone())?,
                        checkpoint.part("rule"),
                    )?
                }
                false => &untrained,
            };
            duty_cycles(pooler, stability(before, pooler, &probes)?)
        };
        let fit = session.learn(place, &mut pooler, &self.fit(), measure)?;
        let recorded =
            self.record_while_learning.then(|| record(&mut pooler, session.data.inputs())).transpose()?;
        let mut codes = Codes::of(&session.data, |examples| encode(&pooler, examples.inputs()))?;
        codes.train = recorded.unwrap_or(codes.train);
        let (row, readout) = self.read_out(&session.data, &codes)?;

        if session.is_primary(place) {
            session.draw("weights.png", &self.permanences(session, &pooler)?)?;
            session.draw("overlaps.png", &overlaps(session, &pooler, &self.pooler(&session.data).pool)?)?;
        }
        let model = session.model(pooler, &fit)?.with_preprocess(Preprocess::Binarize(self.binarize));
        model.with_readout(&readout.state()?)?.save(&session.checkpoint_path(place))?;
        let seconds = session.metrics.seconds(place, Phase::Learn);
        let mut row = codes.measure(Row { model: place.name.to_owned(), ..row });
        let samples =
            self.common.epochs * (session.data.train.len() / self.common.batch_size) * self.common.batch_size;
        row.measures.insert("learn_samples_per_second".to_owned(), samples as f64 / seconds);
        Ok(Row { learn_seconds: Some(seconds), learn_epochs: Some(self.common.epochs), ..row })
    }

    /// Fits the logistic regression to the training codes and judges it on all three sets.
    fn read_out(&self, data: &Data, codes: &Codes) -> Result<(Row, LogisticRegression)> {
        let begin = Instant::now();
        let labels = data.train.labels();
        let model = LogisticRegression::fit(&codes.train, labels, data.classes, self.readout())?;
        let readout_seconds = Some(begin.elapsed().as_secs_f64());
        let validation = data.validation.as_ref().zip(codes.validation.as_ref());
        let row = Row {
            train_accuracy: Some(model.accuracy(&codes.train, labels)?),
            validation_accuracy: validation
                .map(|(set, codes)| model.accuracy(codes, set.labels()))
                .transpose()?,
            test_accuracy: Some(model.accuracy(&codes.test, data.test.labels())?),
            readout_seconds,
            ..Row::default()
        };
        Ok((row, model))
    }

    fn permanences(&self, session: &Session, pooler: &SpatialPooler) -> Result<Picture> {
        let weights = pooler.weights()?;
        // Columns lie place by place over the image: evenly taken, the pictures show all parts of it.
        let units = weights.dim(0)?;
        let shown = units.min(100);
        let chosen: Vec<u32> = (0..shown).map(|place| (place * units / shown) as u32).collect();
        let weights = weights.index_select(&Tensor::new(chosen, weights.device())?, 0)?;
        let title = format!("Permanences of {shown} of {units} columns");
        Ok(ReceptiveFields::new(&weights, session.data.image(), (10, 10)).title(title).draw()?)
    }

    fn draw(&self, session: &Session) -> Result<()> {
        let place = |name| Place { seed: self.common.seed, name };
        let models = [SpatialPooler::NAME, UNBOOSTED];
        let curves = |title: &str, y_label: &str, series: Vec<Series>| Curves {
            title: title.to_owned(),
            x_label: "epoch".to_owned(),
            y_label: y_label.to_owned(),
            series,
            y_range: None,
        };
        let quantiles = |what: &str, start: f64| {
            let labels = ["least", "lower quarter", "median", "upper quarter", "most"];
            let series = labels.into_iter().enumerate().map(|(at, label)| {
                let metrics = session.metrics.of(place(SpatialPooler::NAME), Phase::Learn);
                let points = metrics.filter_map(|metric| {
                    Some((metric.epoch as f64, metric.values.get(what)?.get(at)?.as_f64()?))
                });
                Series::solid(label, at, std::iter::once((0.0, start)).chain(points).collect())
            });
            series.collect()
        };
        let activity =
            curves("Activity of the columns", "duty cycle", quantiles("activity_quantiles", self.sparsity));
        let boosts = curves("Boosts of the columns", "boost", quantiles("boost_quantiles", 1.0));
        session.draw("duty_cycles.png", &Picture::side_by_side(&[activity.draw()?, boosts.draw()?])?)?;
        let stability = models.into_iter().enumerate().map(|(hue, model)| {
            Series::solid(model, hue, session.metrics.curve(place(model), Phase::Learn, "stability"))
        });
        let stability = curves(
            "How much of each code stays from epoch to epoch",
            "share of the active columns",
            stability.collect(),
        );
        session.draw("stability.png", &stability.draw()?)
    }
}

/// The codes of all three sets.
struct Codes {
    train: SparseBinary,
    validation: Option<SparseBinary>,
    test: SparseBinary,
    seconds: f64,
}

impl Codes {
    fn of(data: &Data, encode: impl Fn(&Labeled) -> Result<SparseBinary>) -> Result<Self> {
        let begin = Instant::now();
        let (train, test) = (encode(&data.train)?, encode(&data.test)?);
        let validation = data.validation.as_ref().map(&encode).transpose()?;
        Ok(Self { train, validation, test, seconds: begin.elapsed().as_secs_f64() })
    }

    /// Adds what the codes of the test images are like.
    fn measure(&self, row: Row) -> Row {
        let counts = self.test.counts();
        let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
        let share = counts.iter().filter(|&&count| count > 0).map(|&count| f64::from(count) / total);
        let encoded =
            self.train.len() + self.test.len() + self.validation.as_ref().map_or(0, SparseBinary::len);
        let measures = [
            ("columns", self.test.features() as f64),
            ("active_columns", total / self.test.len() as f64),
            ("never_active", counts.iter().filter(|&&count| count == 0).count() as f64),
            ("entropy_bits", share.map(|share| -share * share.log2()).sum()),
            ("encode_samples_per_second", encoded as f64 / self.seconds),
        ];
        let measures = measures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Row { units: Some(self.test.features()), measures, ..row }
    }
}

fn encode(pooler: &SpatialPooler, inputs: &Tensor) -> Result<SparseBinary> {
    let mut codes = SparseBinary::new(pooler.units());
    for start in (0..inputs.dim(0)?).step_by(PORTION) {
        let portion = inputs.narrow(0, start, PORTION.min(inputs.dim(0)? - start))?;
        codes.push_indices(&pooler.encode_indices(&portion)?)?;
    }
    Ok(codes)
}

/// The codes of one more pass, in order, each taken while the pooler learns from it.
fn record(pooler: &mut SpatialPooler, inputs: &Tensor) -> Result<SparseBinary> {
    let mut codes = SparseBinary::new(pooler.units());
    for start in (0..inputs.dim(0)?).step_by(PORTION) {
        let portion = inputs.narrow(0, start, PORTION.min(inputs.dim(0)? - start))?;
        codes.push_indices(&pooler.learn(&portion)?.winners()?.clone())?;
    }
    Ok(codes)
}

/// Mean share of an input's active columns that were active before too.
fn stability(before: &SpatialPooler, now: &SpatialPooler, probes: &Tensor) -> Result<f64> {
    let (before, now) = (encode(before, probes)?, encode(now, probes)?);
    let share = |(before, now): (&[u32], &[u32])| {
        let kept = now.iter().filter(|column| before.binary_search(column).is_ok()).count();
        kept as f64 / now.len().max(1) as f64
    };
    Ok(before.rows().zip(now.rows()).map(share).sum::<f64>() / now.len() as f64)
}

fn duty_cycles(pooler: &SpatialPooler, stability: f64) -> Result<Map<String, Value>> {
    let quantiles = |values: Tensor| -> Result<Value> {
        let mut values = values.to_vec1::<f32>()?;
        values.sort_by(f32::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        Ok(json!(QUANTILES.map(at)))
    };
    Ok(Map::from_iter([
        ("stability".to_owned(), json!(stability)),
        ("activity_quantiles".to_owned(), quantiles(pooler.activity()?)?),
        ("boost_quantiles".to_owned(), quantiles(pooler.boosts()?)?),
    ]))
}

/// One image as the pooler sees it, how much of it reaches each column, and the columns that win.
fn overlaps(session: &Session, pooler: &SpatialPooler, pool: &PotentialPool) -> Result<Picture> {
    const WIDTH: usize = 500;
    let image = session.data.test.inputs().narrow(0, 0, 1)?;
    let places = match pool {
        PotentialPool::Neighborhood { grid, .. } => *grid,
        PotentialPool::Anywhere { .. } => [1, 1],
    };
    let map = |values: Tensor, title: &str| -> Result<Picture> {
        let (values, size) = laid_out(&values, places)?;
        Ok(ReceptiveFields::new(&values, size, (1, 1)).title(title).width(WIDTH).draw()?)
    };
    let input = ReceptiveFields::new(&image.to_dtype(DType::F32)?, session.data.image(), (1, 1));
    let input = input.title("The input").width(WIDTH).draw()?;
    let overlaps = map(pooler.overlaps(&image)?, "Boosted overlap of each column")?;
    let active = map(pooler.forward(&image)?, "The columns that win")?;
    Ok(Picture::side_by_side(&[input, overlaps, active])?)
}

/// A value of each column as an image: the columns of a place in a square, the squares as the places lie.
fn laid_out(values: &Tensor, [rows, columns]: [usize; 2]) -> Result<(Tensor, (usize, usize))> {
    let values = values.flatten_all()?.to_device(&Device::Cpu)?;
    let depth = values.dim(0)? / (rows * columns);
    let side = (depth as f64).sqrt().ceil() as usize;
    let values = values.reshape((rows * columns, depth))?.pad_with_zeros(1, 0, side * side - depth)?;
    let squares = values.reshape((rows, columns, side, side))?.transpose(1, 2)?.contiguous()?;
    let size = (rows * side, columns * side);
    Ok((squares.reshape((1, size.0 * size.1))?, size))
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Arguments>()
}
