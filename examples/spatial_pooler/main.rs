//! The spatial pooler of HTM: codes of binarized images, read out by logistic regression, beside the raw pixels, columns
//! that never learned, and columns that learned without boosting.

mod codes;
mod pictures;
mod settings;
mod stability;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use candle_core::{DType, Tensor};
use hebbian::{Parameters, Rule, SpatialPooler, SpatialPoolerConfig};
use hebbian_classifier::{LogisticRegression, SparseBinary};
use hebbian_datasets::transforms::binarize;
use hebbian_datasets::{Dataset, ImageShape, gray};
use hebbian_experiment::{
    Data, Experiment, Measure, Phase, Row, RunKey, RunSettings, Session, Steering, Subject, dataset,
    unconverged,
};
use hebbian_model::Preprocess;
use hebbian_training::Generator;
use serde_json::json;

use codes::{Codes, encode, record};
use pictures::{overlaps, permanences};
use settings::Settings;
use stability::Stability;

const RAW_PIXELS: &str = "raw-pixels";
const UNTRAINED: &str = "untrained-pooler";
const UNBOOSTED: &str = "unboosted-pooler";
const PICTURES: [&str; 5] = ["weights.png", "overlaps.png", "duty_cycles.png", "stability.png", "film.gif"];

/// Images whose codes are compared between epochs, at most.
const PROBES: usize = 1000;

impl Experiment for Settings {
    const NAME: &'static str = "spatial_pooler";
    const MEASURES: &'static [Measure] = &[
        Measure { name: "columns", title: "", digits: 0 },
        Measure { name: "active_columns", title: "active", digits: 1 },
        Measure { name: "never_active", title: "never active", digits: 0 },
        Measure { name: "entropy_bits", title: "entropy, bits", digits: 2 },
        Measure { name: "learn_samples_per_second", title: "learn/s", digits: 0 },
        Measure { name: "encode_samples_per_second", title: "encode/s", digits: 0 },
    ];

    /// The grid lies over the images, and no rate falls.
    const FIXED: &'static [&'static str] = &["rule.pool.image", "rule.pool.grid", "fit.schedule"];

    fn run_settings(&self) -> &RunSettings {
        &self.run
    }

    fn run(self, steering: &Steering) -> Result<()> {
        let (raw, data) = (dataset(&self.data, steering.quiet)?, self.data.clone());
        // A threshold of bytes says nothing of other numbers.
        let own_mean = (!raw.is_bytes()).then(|| ("codes.binarize", json!("mean")));
        let columns = ("rule.units", json!(self.columns(raw.shape)));
        let more: Vec<_> = own_mean.into_iter().chain([columns]).collect();
        steering.fitted(self, (&data, &raw), &[], &more)?.run_on(raw, steering)
    }
}

impl Settings {
    fn run_on(self, raw: Dataset, steering: &Steering) -> Result<()> {
        let mut session = Session::open(&self, steering, SpatialPooler::NAME, |device| {
            let data = Data::prepare(&self, &self.data, &raw, |pixels, shape| {
                Ok(binarize(&brightness(pixels, shape)?, self.codes.binarize, device)?)
            })?;
            self.pooler(&data).check_as("rule")?;
            Ok(data)
        })?;
        for seed in self.run.all_seeds() {
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
        if session.is_whole() {
            pictures::draw(&session, self.run.seed, self.rule.sparsity)?;
        }
        session.finish(&self, &PICTURES)
    }
}

/// Pixels of one value each, u8: those of color images become gray.
fn brightness(pixels: &Tensor, shape: ImageShape) -> Result<Tensor> {
    match shape.channels {
        1 => Ok(pixels.clone()),
        _ => Ok((gray(pixels, shape)? * 255.0)?.round()?.to_dtype(DType::U8)?),
    }
}

impl Settings {
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
        let mut fit = session.begin(key, &mut pooler, &self.fit)?;
        let watch = Stability::new(&pooler, probes)?;
        session.learn_watched(key, &mut fit, &mut pooler, watch)?;
        let recorded = self
            .codes
            .record_while_learning
            .then(|| record(&mut pooler, session.data.inputs()))
            .transpose()?;
        let mut codes = Codes::of(&session.data, |examples| encode(&pooler, examples.inputs()))?;
        codes.train = recorded.unwrap_or(codes.train);
        let (row, readout) = self.read_out(&session.data, &codes)?;

        if session.is_primary(key) {
            session.draw("weights.png", &permanences(session, &pooler)?)?;
            session.draw("overlaps.png", &overlaps(session, &pooler, &self.pooler(&session.data).pool)?)?;
        }
        let model = session.model(pooler, &fit)?.with_preprocess(Preprocess::Binarize(self.codes.binarize));
        model.with_readout(&readout.state()?)?.save(&session.checkpoint_path(key))?;
        let seconds = session.metrics.seconds(key, Phase::Learn);
        let mut row = codes.measure(Row { model: key.name.to_owned(), ..row });
        let samples =
            self.fit.epochs * (session.data.train.len() / self.fit.batch_size) * self.fit.batch_size;
        row.measures.insert("learn_samples_per_second".to_owned(), samples as f64 / seconds);
        Ok(Row { learn_seconds: Some(seconds), learn_epochs: Some(self.fit.epochs), ..row })
    }

    /// Fits the logistic regression to the training codes and evaluates it on all three sets.
    fn read_out(&self, data: &Data, codes: &Codes) -> Result<(Row, LogisticRegression)> {
        let begin = Instant::now();
        let labels = data.train.labels();
        let model = LogisticRegression::fit(&codes.train, labels, data.classes, self.readout.clone())?;
        let readout_seconds = Some(begin.elapsed().as_secs_f64());
        let validation = data.validation.as_ref().zip(codes.validation.as_ref());
        let row = Row {
            train_accuracy: Some(model.accuracy(&codes.train, labels)?),
            validation_accuracy: validation
                .map(|(set, codes)| model.accuracy(codes, set.labels()))
                .transpose()?,
            test_accuracy: Some(model.accuracy(&codes.test, data.test.labels())?),
            readout_seconds,
            notes: unconverged(&model).into_iter().collect(),
            ..Row::default()
        };
        Ok((row, model))
    }
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Settings>()
}
