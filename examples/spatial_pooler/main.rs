//! The spatial pooler of HTM: codes of binarized images, read out by logistic regression, beside the raw pixels, columns
//! that never learned, and columns that learned without boosting.

mod codes;
mod pictures;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use candle_core::{DType, Tensor};
use clap::{Parser, ValueEnum};
use hebbian::{BoostToward, FitConfig, PotentialPool, Rule, SpatialPooler, SpatialPoolerConfig, Starved};
use hebbian_classifier::{LogisticRegression, LogisticRegressionConfig, SparseBinary};
use hebbian_datasets::transforms::{Threshold, binarize};
use hebbian_datasets::{ImageShape, gray};
use hebbian_experiment::{Common, Data, Experiment, Measure, Phase, Row, RunKey, Session, Subject, flagged};
use hebbian_model::Preprocess;
use hebbian_training::{Generator, Schedule};
use serde::{Serialize, Serializer};
use serde_json::json;

use codes::{Codes, duty_cycles, encode, record, stability};
use pictures::{overlaps, permanences};

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
            let at = |name: &'static str| RunKey { seed, name };
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
        pictures::draw(&session, self.common.seed, self.sparsity)?;
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

    fn untrained(&self, session: &Session, key: RunKey<'_>) -> Result<Row> {
        let pooler = self.drawn(session, key.seed, self.pooler(&session.data))?;
        let codes = Codes::of(&session.data, |examples| encode(&pooler, examples.inputs()))?;
        let (row, _) = self.read_out(&session.data, &codes)?;
        Ok(codes.measure(Row { model: key.name.to_owned(), ..row }))
    }

    /// Columns before any learning: the same for every model of a seed.
    fn drawn(&self, session: &Session, seed: u64, config: SpatialPoolerConfig) -> Result<SpatialPooler> {
        let mut draws = Generator::new(seed, SpatialPooler::NAME);
        Ok(SpatialPooler::new(config, session.data.shape.inputs(), &mut draws, &session.device)?)
    }

    fn learned(&self, session: &mut Session, key: RunKey<'_>, config: SpatialPoolerConfig) -> Result<Row> {
        let mut pooler = self.drawn(session, key.seed, config)?;
        let probes = session.data.inputs().narrow(0, 0, PROBES.min(session.data.train.len()))?;
        let mut fit = session.begin(key, &mut pooler, &self.fit())?;
        let mut before = encode(&pooler, &probes)?;
        session.learn(key, &mut fit, &mut pooler, |event, line| {
            if event.epoch_report().is_some() {
                let now = encode(event.rule, &probes)?;
                line.insert("stability".to_owned(), json!(stability(&before, &now)));
                duty_cycles(event.rule, line)?;
                before = now;
            }
            Ok(())
        })?;
        let recorded =
            self.record_while_learning.then(|| record(&mut pooler, session.data.inputs())).transpose()?;
        let mut codes = Codes::of(&session.data, |examples| encode(&pooler, examples.inputs()))?;
        codes.train = recorded.unwrap_or(codes.train);
        let (row, readout) = self.read_out(&session.data, &codes)?;

        if session.is_primary(key) {
            session.draw("weights.png", &permanences(session, &pooler)?)?;
            session.draw("overlaps.png", &overlaps(session, &pooler, &self.pooler(&session.data).pool)?)?;
        }
        let model = session.model(pooler, &fit)?.with_preprocess(Preprocess::Binarize(self.binarize));
        model.with_readout(&readout.state()?)?.save(&session.checkpoint_path(key))?;
        let seconds = session.metrics.seconds(key, Phase::Learn);
        let mut row = codes.measure(Row { model: key.name.to_owned(), ..row });
        let samples =
            self.common.epochs * (session.data.train.len() / self.common.batch_size) * self.common.batch_size;
        row.measures.insert("learn_samples_per_second".to_owned(), samples as f64 / seconds);
        Ok(Row { learn_seconds: Some(seconds), learn_epochs: Some(self.common.epochs), ..row })
    }

    /// Fits the logistic regression to the training codes and evaluates it on all three sets.
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
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Arguments>()
}
