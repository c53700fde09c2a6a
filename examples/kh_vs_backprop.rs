//! Krotov-Hopfield against backprop: hidden units learned without labels, a softmax readout on them, and beside them
//! backprop at equal width and the controls that any learned layer must beat.

use std::process::ExitCode;

use anyhow::Result;
use candle_core::Tensor;
use candle_nn::Module;
use hebbian::{Event, FitConfig, KrotovHopfield, KrotovHopfieldConfig, Parameters, Rule};
use hebbian_classifier::{
    DescentConfig, Features, FeaturesConfig, Loss, Mlp, SoftmaxRegression, random_images, random_projection,
};
use hebbian_datasets::Dataset;
use hebbian_experiment::codes::quantiles;
use hebbian_experiment::{
    Data, DataSettings, Experiment, LINEAR_CONTROL, LinearSettings, Measure, Phase, Rate, Row, RunKey,
    RunSettings, Session, Steering, Subject, dataset,
};
use hebbian_model::{Encoding, FeatureWeights};
use hebbian_plots::{Picture, ReceptiveFields, Scale};
use hebbian_training::{Generator, Invalid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Krotov-Hopfield hidden units against backprop, with controls
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Images.
    data: DataSettings,
    /// Krotov-Hopfield hidden units.
    rule: KrotovHopfieldConfig,
    /// How they learn.
    fit: FitConfig,
    /// What becomes of their responses.
    features: FeaturesConfig,
    /// Which weights the features see.
    encoding: EncodingSettings,
    /// The readout of the features, learned and random.
    readout: DescentConfig,
    /// What is another for features of random weights: each control can have what suits it.
    random_projection: UnlearnedSettings,
    /// What is another for features of random images.
    random_images: UnlearnedSettings,
    /// Backprop with as many hidden units; where the readout's loss differs, a second network is trained with that.
    backprop: DescentConfig,
    /// Softmax regression on pixels.
    linear: LinearSettings,
    /// How it learns by descent.
    control: DescentConfig,
    /// Device and seeds.
    run: RunSettings,
}

#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct EncodingSettings {
    /// The weights that learn or, with a p other than 2, the synapses that the units respond with.
    feature_weights: FeatureWeights,
}

/// What features of unlearned weights do not share with the learned ones.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct UnlearnedSettings {
    /// Exponent of their rectified responses; features.power if not given.
    #[schemars(extend("exclusiveMinimum" = 0))]
    exponent: Option<f64>,
    /// Adam's step size of their readout; readout.learning_rate if not given.
    #[schemars(extend("exclusiveMinimum" = 0))]
    learning_rate: Option<f64>,
    /// The loss of their readout; readout.loss if not given.
    loss: Option<Loss>,
}

impl UnlearnedSettings {
    fn features(&self, learned: &FeaturesConfig) -> FeaturesConfig {
        FeaturesConfig { power: self.exponent.unwrap_or(learned.power), ..learned.clone() }
    }

    fn readout(&self, learned: &DescentConfig) -> DescentConfig {
        DescentConfig {
            learning_rate: self.learning_rate.unwrap_or(learned.learning_rate),
            loss: self.loss.unwrap_or(learned.loss),
            ..learned.clone()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let epochs = |epochs| DescentConfig { epochs, ..Default::default() };
        Self {
            data: DataSettings::default(),
            rule: KrotovHopfieldConfig::default(),
            fit: FitConfig::default(),
            features: FeaturesConfig::default(),
            encoding: EncodingSettings::default(),
            readout: epochs(50),
            random_projection: UnlearnedSettings::default(),
            random_images: UnlearnedSettings::default(),
            backprop: epochs(10),
            linear: LinearSettings::default(),
            control: epochs(20),
            run: RunSettings::default(),
        }
    }
}

impl Parameters for Settings {
    fn check_together(&self) -> Result<(), Invalid> {
        self.rule.check_as("rule")?;
        self.fit.check_as("fit")?;
        self.readout.check_as("readout")?;
        for (table, unlearned) in
            [("random_projection", &self.random_projection), ("random_images", &self.random_images)]
        {
            unlearned.features(&self.features).check_as(table)?;
            unlearned.readout(&self.readout).check_as(table)?;
        }
        self.backprop.check_as("backprop")?;
        self.control.check_as("control")
    }
}

/// How far from 1 the p-norm of a unit may be that has converged.
const CONVERGED: f32 = 0.05;

const BACKPROP: &str = "backprop";
const BACKPROP_WITH_THE_READOUTS_LOSS: &str = "backprop-readout-loss";
const RANDOM_PROJECTION: &str = "random-projection";
const RANDOM_IMAGES: &str = "random-images";
const PICTURES: [&str; 5] =
    ["weights.png", "backprop_weights.png", "curves.png", "confusion.png", "film.gif"];

impl Experiment for Settings {
    const NAME: &'static str = "kh_vs_backprop";
    /// Units that won nothing in the last epoch, and units whose weights have come to the length 1.
    const MEASURES: &'static [Measure] = &[
        Measure { name: "idle_units", title: "idle", digits: 0 },
        Measure { name: "converged_units", title: "converged", digits: 0 },
    ];

    fn run_settings(&self) -> &RunSettings {
        &self.run
    }

    fn run(self, steering: &Steering) -> Result<()> {
        let (raw, data) = (dataset(&self.data, steering.quiet)?, self.data.clone());
        let rate = Rate { rate: "rule.learning_rate", fit: "fit" };
        let more = steering.linear_control(&raw, "control");
        steering.fitted(self, (&data, &raw), &[rate], &more)?.run_on(raw, steering)
    }
}

impl Settings {
    fn run_on(self, raw: Dataset, steering: &Steering) -> Result<()> {
        let mut session = Session::open(&self, steering, KrotovHopfield::NAME, |device| {
            Data::load(&self, &self.data, &raw, device)
        })?;
        drop(raw);
        for seed in self.run.all_seeds() {
            let at = |name: &'static str| RunKey { seed, name };
            session.row(at(KrotovHopfield::NAME), |session| self.krotov_hopfield(session, seed))?;
            session.row(at(BACKPROP), |session| self.backprop(session, at(BACKPROP), self.backprop.loss))?;
            if self.backprop.loss != self.readout.loss {
                let key = at(BACKPROP_WITH_THE_READOUTS_LOSS);
                session.row(key, |session| self.backprop(session, key, self.readout.loss))?;
            }
            let key = at(LINEAR_CONTROL);
            session.row(key, |session| session.linear_control(key, &self.linear, &self.control))?;
            session.row(at(RANDOM_PROJECTION), |session| self.random_projection(session, seed))?;
            session.row(at(RANDOM_IMAGES), |session| self.random_images(session, seed))?;
        }
        let first = |name: &'static str| RunKey { seed: self.run.seed, name };
        let of = [
            ("Krotov-Hopfield", first(KrotovHopfield::NAME), Phase::Readout),
            ("backprop", first(BACKPROP), Phase::Learn),
        ];
        if session.is_whole() {
            session.draw("curves.png", &session.accuracy_and_loss(&of)?)?;
        }
        session.finish(&self, &PICTURES)
    }

    fn krotov_hopfield(&self, session: &mut Session, seed: u64) -> Result<Row> {
        let key = RunKey { seed, name: KrotovHopfield::NAME };
        let mut draws = Generator::new(seed, key.name);
        let mut rule =
            KrotovHopfield::new(self.rule.clone(), session.data.shape.inputs(), &mut draws, &session.device)?;
        let mut fit = session.begin(key, &mut rule, &self.fit)?;
        session.learn(key, &mut fit, &mut rule, norms)?;
        let norms = rule.norms()?.to_vec1::<f32>()?;
        let converged = Some(norms.iter().filter(|norm| (*norm - 1.0).abs() < CONVERGED).count() as f64);
        let weights = self.encoding.feature_weights;
        let encoding = Encoding::Power { features: self.features.clone(), weights };
        let model = session.model(rule, &fit)?.with_encoding(encoding, session.data.train.inputs())?;
        let (row, readout) = self.read_out(session, key, model.encoder(), &self.readout)?;
        let model = model.with_readout(&readout.state()?)?;
        model.save(&session.checkpoint_path(key))?;
        if session.is_primary(key) {
            let weights = model.rule().weights()?;
            session.draw("weights.png", &units(session, &weights, "Krotov-Hopfield")?)?;
            session
                .draw("confusion.png", &session.confusion(model.encoder(), &readout, "Krotov-Hopfield")?)?;
        }
        let learn_seconds = Some(session.metrics.seconds(key, Phase::Learn));
        let idle = session.metrics.last(key, Phase::Learn, "idle_units");
        let measures = [("idle_units", idle), ("converged_units", converged)];
        let measures = measures.into_iter().filter_map(|(name, count)| Some((name.to_owned(), count?)));
        Ok(Row { learn_seconds, learn_epochs: Some(self.fit.epochs), measures: measures.collect(), ..row })
    }

    fn read_out(
        &self,
        session: &mut Session,
        key: RunKey<'_>,
        features: &dyn Module,
        config: &DescentConfig,
    ) -> Result<(Row, SoftmaxRegression)> {
        let readout = SoftmaxRegression::new(self.rule.units, session.data.classes, &session.device)?;
        let row = session.read_out(key, features, &readout, config, false)?;
        Ok((Row { model: key.name.to_owned(), ..row }, readout))
    }

    /// The same first weights and batches, whatever the loss.
    fn backprop(&self, session: &mut Session, key: RunKey<'_>, loss: Loss) -> Result<Row> {
        let (inputs, classes) = (session.data.shape.inputs(), session.data.classes);
        let mut draws = Generator::new(key.seed, BACKPROP);
        let network = Mlp::new(inputs, self.rule.units, classes, &mut draws, &session.device)?;
        let config = DescentConfig { loss, ..self.backprop.clone() };
        let row = session.learn_supervised(key, &network, &config, false)?;
        if key == (RunKey { seed: self.run.seed, name: BACKPROP }) {
            session.draw("backprop_weights.png", &units(session, &network.hidden_weights()?, "backprop")?)?;
        }
        Ok(Row { model: key.name.to_owned(), units: Some(self.rule.units), ..row })
    }

    fn random_projection(&self, session: &mut Session, seed: u64) -> Result<Row> {
        let mut draws = Generator::new(seed, RANDOM_PROJECTION);
        let weights =
            random_projection(self.rule.units, session.data.shape.inputs(), &mut draws, &session.device)?;
        let key = RunKey { seed, name: RANDOM_PROJECTION };
        self.unlearned(session, key, &self.random_projection, weights)
    }

    fn random_images(&self, session: &mut Session, seed: u64) -> Result<Row> {
        let mut draws = Generator::new(seed, RANDOM_IMAGES);
        let weights = random_images(session.data.train.inputs(), self.rule.units, &mut draws)?;
        self.unlearned(session, RunKey { seed, name: RANDOM_IMAGES }, &self.random_images, weights)
    }

    fn unlearned(
        &self,
        session: &mut Session,
        key: RunKey<'_>,
        settings: &UnlearnedSettings,
        weights: Tensor,
    ) -> Result<Row> {
        let features =
            Features::fit(settings.features(&self.features), weights, session.data.train.inputs())?;
        Ok(self.read_out(session, key, &features, &settings.readout(&self.readout))?.0)
    }
}

/// Quantiles of the units' p-norms: 1 says that a unit has converged.
fn norms(event: &Event<'_, KrotovHopfield>, line: &mut Map<String, Value>) -> Result<()> {
    if event.epoch_report().is_none() {
        return Ok(());
    }
    let quantiles = quantiles(&event.rule.norms()?, &[0.0, 0.1, 0.5, 0.9, 1.0])?;
    line.insert("norm_quantiles_0_10_50_90_100".to_owned(), json!(quantiles));
    Ok(())
}

/// Each unit on its own scale: a few that never converge would otherwise set the scale for all.
fn units(session: &Session, weights: &Tensor, name: &str) -> Result<Picture> {
    Ok(ReceptiveFields::overview(weights, session.data.image(), name).scale(Scale::PerUnit).draw()?)
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Settings>()
}
