//! CompSpec, plain and charged, beside Krotov-Hopfield, random training images and backprop: sizes and readouts compared
//! in one table, which is what the notebook set out to do.

mod pictures;
mod settings;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use candle_core::Tensor;
use candle_nn::Linear;
use hebbian::{
    CompSpec, CompSpecConfig, FitConfig, KrotovHopfield, KrotovHopfieldConfig, LearningRule, Rule,
};
use hebbian_classifier::{Features, FeaturesConfig, Mlp, SoftmaxRegression, WinnerTakeAll, random_images};
use hebbian_datasets::Dataset;
use hebbian_experiment::{
    Data, Experiment, Measure, Phase, Rate, Row, RunKey, RunSettings, Session, Steering, comp_spec_rate,
    dataset, from_0_to_1, inputs,
};
use hebbian_model::{Encoding, FeatureWeights, Model};
use hebbian_training::Generator;

use settings::Settings;

const CHARGED: &str = "charged-comp-spec";
const RANDOM_IMAGES: &str = "random-images";
const BACKPROP: &str = "backprop";
const MODELS: [&str; 4] = [CompSpec::NAME, CHARGED, KrotovHopfield::NAME, RANDOM_IMAGES];

const LINEAR: &str = "linear";
const LINEAR_WTA_INIT: &str = "linear-wta-init";
const WTA_VOTE: &str = "wta-vote";
const POWER: &str = "power";
const READOUTS: [&str; 4] = [LINEAR, LINEAR_WTA_INIT, WTA_VOTE, POWER];

const PICTURES: [&str; 6] = [
    "weights.png",
    "prototypes.png",
    "specialization.png",
    "accuracy_by_units.png",
    "time_to_accuracy.png",
    "film.gif",
];

/// A hidden layer, learned or not.
struct Layer {
    weights: Tensor,
    /// Of its units, if it is CompSpec's.
    specialization: Vec<f32>,
    /// What it learned, ready for a readout on powers, and where it is saved.
    learned: Option<(Model, PathBuf)>,
    learn_seconds: Option<f64>,
    learn_epochs: Option<usize>,
}

impl Layer {
    fn units(&self) -> usize {
        self.weights.dims()[0]
    }
}

impl Experiment for Settings {
    const NAME: &'static str = "comp_spec";
    /// Units that match no training image best.
    const MEASURES: &'static [Measure] = &[Measure { name: "idle_units", title: "idle", digits: 0 }];

    /// Every size is tried, and both rules are.
    const FIXED: &'static [&'static str] = &["rule.units", "rule.charge", "kh.units"];

    fn run_settings(&self) -> &RunSettings {
        &self.run
    }

    fn run(self, steering: &Steering) -> Result<()> {
        let (raw, data) = (dataset(&self.data, steering.quiet)?, self.data.clone());
        let rate = Rate { rate: "kh.learning_rate", fit: "kh_fit" };
        let more = comp_spec_rate(&raw, "rule.learning_rate", self.rule.learning_rate)?;
        steering.fitted(self, (&data, &raw), &[rate], &more)?.run_on(raw, steering)
    }
}

impl Settings {
    fn run_on(self, raw: Dataset, steering: &Steering) -> Result<()> {
        let primary = layer_name(CompSpec::NAME, self.sizes.units[0]);
        let preprocess = from_0_to_1(&raw, "CompSpec", steering.quiet)?;
        let mut session = Session::open(&self, steering, &primary, |device| {
            let data =
                Data::prepare(&self, &self.data, &raw, |images, _| inputs(images, preprocess, device))?;
            Ok(Data { preprocess, ..data })
        })?;
        drop(raw);
        let mut drawn = Vec::new();
        for seed in self.run.all_seeds() {
            for &units in &self.sizes.units {
                for model in MODELS {
                    let names = READOUTS.map(|readout| row_name(model, units, readout));
                    if !session.is_whole() && names.iter().all(|name| session.has(RunKey { seed, name })) {
                        continue;
                    }
                    let mut layer = self.layer(&mut session, seed, units, model)?;
                    self.compare_readouts(&mut session, seed, units, model, &mut layer)?;
                    if (seed, model) == (self.run.seed, CompSpec::NAME) {
                        drawn.push(layer);
                    }
                }
                let name = layer_name(BACKPROP, units);
                session.row(RunKey { seed, name: &name }, |session| self.backprop(session, seed, units))?;
            }
        }
        if session.is_whole() {
            pictures::draw(&session, self.run.seed, &drawn)?;
        }
        session.finish(&self, &PICTURES)
    }
}

fn layer_name(model: &str, units: usize) -> String {
    format!("{model} {units}")
}

fn row_name(model: &str, units: usize, readout: &str) -> String {
    format!("{model} {units} {readout}")
}

impl Settings {
    fn compare_readouts(
        &self,
        session: &mut Session,
        seed: u64,
        units: usize,
        model: &str,
        layer: &mut Layer,
    ) -> Result<()> {
        let names = READOUTS.map(|readout| row_name(model, units, readout));
        if names.iter().all(|name| session.has(RunKey { seed, name })) {
            return Ok(());
        }
        let vote = WinnerTakeAll::fit(&layer.weights, &session.data.train, session.data.classes)?;
        for (name, readout) in names.iter().zip(READOUTS) {
            let key = RunKey { seed, name };
            session.row(key, |session| {
                let row = self.read_out(session, key, readout, layer, &vote)?;
                Ok(Row {
                    model: model.to_owned(),
                    units: Some(units),
                    readout: Some(readout.to_owned()),
                    measures: [("idle_units".to_owned(), vote.idle_units() as f64)].into(),
                    learn_seconds: layer.learn_seconds,
                    learn_epochs: layer.learn_epochs,
                    ..row
                })
            })?;
        }
        Ok(())
    }

    fn layer(&self, session: &mut Session, seed: u64, units: usize, model: &str) -> Result<Layer> {
        let name = layer_name(model, units);
        let mut draws = Generator::new(seed, &name);
        let (inputs, device) = (session.data.shape.inputs(), session.device.clone());
        let key = RunKey { seed, name: &name };
        match model {
            RANDOM_IMAGES => {
                let weights = random_images(session.data.train.inputs(), units, &mut draws)?;
                Ok(Layer {
                    weights,
                    specialization: Vec::new(),
                    learned: None,
                    learn_seconds: None,
                    learn_epochs: None,
                })
            }
            KrotovHopfield::NAME => {
                let config = KrotovHopfieldConfig { units, ..self.kh.clone() };
                let rule = KrotovHopfield::new(config, inputs, &mut draws, &device)?;
                learn(session, key, rule, &self.kh_fit)
            }
            _ => {
                let charge = (model == CHARGED).then_some(self.charge);
                let config = CompSpecConfig { units, charge, ..self.rule.clone() };
                let rule = CompSpec::new(config, inputs, &mut draws, &device)?;
                learn(session, key, rule, &self.fit)
            }
        }
    }

    fn read_out(
        &self,
        session: &mut Session,
        key: RunKey<'_>,
        readout: &str,
        layer: &mut Layer,
        vote: &WinnerTakeAll,
    ) -> Result<Row> {
        let (units, classes) = (layer.weights.dim(0)?, session.data.classes);
        let product = Linear::new(layer.weights.clone(), None);
        let mut draws = Generator::new(key.seed, key.name);
        match readout {
            LINEAR => {
                let readout = SoftmaxRegression::drawn(units, classes, &mut draws, &session.device)?;
                session.read_out(key, &product, &readout, &self.linear, true)
            }
            LINEAR_WTA_INIT => {
                let readout = SoftmaxRegression::without_bias(&vote.readout(self.vote.elsewhere)?)?;
                session.read_out(key, &product, &readout, &self.linear, true)
            }
            WTA_VOTE => session.evaluate(vote),
            _ => {
                let readout = SoftmaxRegression::new(units, classes, &session.device)?;
                let Some((model, path)) = layer.learned.take() else {
                    let (weights, train) = (layer.weights.clone(), session.data.train.inputs());
                    let features = Features::fit(FeaturesConfig::default(), weights, train)?;
                    return session.read_out(key, &features, &readout, &self.readout, true);
                };
                let row = session.read_out(key, model.encoder(), &readout, &self.readout, true)?;
                model.with_readout(&readout.state()?)?.save(&path)?;
                Ok(row)
            }
        }
    }

    fn backprop(&self, session: &mut Session, seed: u64, units: usize) -> Result<Row> {
        let name = layer_name(BACKPROP, units);
        let (inputs, classes) = (session.data.shape.inputs(), session.data.classes);
        let network = Mlp::new(inputs, units, classes, &mut Generator::new(seed, &name), &session.device)?;
        let key = RunKey { seed, name: &name };
        let row = session.learn_supervised(key, &network, &self.backprop, true)?;
        Ok(Row { model: BACKPROP.to_owned(), units: Some(units), ..row })
    }
}

fn learn<R: LearningRule + 'static>(
    session: &mut Session,
    key: RunKey<'_>,
    mut rule: R,
    fit: &FitConfig,
) -> Result<Layer> {
    let mut training = session.begin(key, &mut rule, fit)?;
    session.learn(key, &mut training, &mut rule, |_, _| Ok(()))?;
    let learn_seconds = Some(session.metrics.seconds(key, Phase::Learn));
    let specialization = rule.state()?.get("specialization").map(Tensor::to_vec1).transpose()?;
    let weights = rule.weights()?;
    let encoding = Encoding::Power { features: FeaturesConfig::default(), weights: FeatureWeights::Plain };
    let model = session.model(rule, &training)?.with_encoding(encoding, session.data.train.inputs())?;
    Ok(Layer {
        weights,
        specialization: specialization.unwrap_or_default(),
        learned: Some((model, session.checkpoint_path(key))),
        learn_seconds,
        learn_epochs: Some(fit.epochs),
    })
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Settings>()
}
