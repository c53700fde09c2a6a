//! One rule on one's own data: learn, read out, evaluate, save a model. The example `train` does it with the rules of
//! hebbian; a program with a rule of its own does it in one line:
//!
//! ```no_run
//! # type MyRule = hebbian::KrotovHopfield;
//! fn main() -> std::process::ExitCode {
//!     hebbian_experiment::main::<hebbian_experiment::Train<MyRule>>()
//! }
//! ```

mod asked;
mod chosen;
mod controls;
mod inputs;
mod learner;
mod unlabeled;
mod usual;

use anyhow::Result;
use candle_core::{Device, Tensor};
use candle_nn::Module;
use hebbian::{Fit, FitConfig, ImageSize, LearningRule, Parameters};
use hebbian_classifier::{DescentConfig, FeaturesConfig, SoftmaxRegression};
use hebbian_datasets::Dataset;
use hebbian_model::{Encoding, FeatureWeights, Model};
use hebbian_plots::{ReceptiveFields, Scale};
use hebbian_training::{Generator, Invalid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Data, DataSettings, Experiment, LinearSettings, Phase, Row, RunKey, RunSettings, Session, Standardized,
    Steering, Subject, dataset, receptive_fields,
};
pub use asked::asked_for;
pub use chosen::Chosen;
pub use controls::Control;
pub use inputs::InputSettings;
pub use learner::{Learner, StackOfRules};
use unlabeled::Unlabeled;
use usual::{Usual, is_read_out_by_powers, usual};

/// Train one rule on a dataset, read it out, and save the model; --rule NAME --help lists the settings of that rule
///
/// Without labels the rule learns and is saved without a readout.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, bound = "R: Learner")]
#[schemars(bound = "R: Learner", rename = "Train")]
pub struct Train<R: Learner> {
    /// Images, or any other examples.
    pub data: DataSettings,
    /// The rule that learns.
    pub rule: Chosen<R>,
    /// How it learns.
    pub fit: FitConfig,
    /// What the rule sees of the examples.
    pub inputs: InputSettings,
    /// What the readout sees of the rule.
    pub encoding: EncodingSettings,
    /// Powers of the units' responses, for the encoding power.
    pub features: FeaturesConfig,
    /// Softmax regression on the features.
    pub readout: DescentConfig,
    /// What is trained beside the rule, to be compared.
    pub controls: Vec<Control>,
    /// The control linear.
    pub linear: LinearSettings,
    /// How the controls backprop and, by descent, linear learn.
    pub supervised: DescentConfig,
    /// Device and seeds.
    pub run: RunSettings,
}

/// What the readout sees of the rule.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EncodingSettings {
    /// How the rule's answer becomes features.
    pub encoding: Choice,
}

/// How the rule's answer becomes features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Power for krotov-hopfield and comp-spec, layer for all others.
    #[default]
    Auto,
    /// What the rule's forward gives, each feature at mean 0 and variance 1.
    Layer,
    /// Rectified powers of the weights' product with the inputs.
    Power,
}

impl<R: Learner> Default for Train<R> {
    fn default() -> Self {
        Self {
            data: DataSettings::default(),
            rule: Chosen::default(),
            fit: FitConfig::default(),
            inputs: InputSettings::default(),
            encoding: EncodingSettings::default(),
            features: FeaturesConfig::default(),
            readout: DescentConfig { epochs: 50, ..Default::default() },
            controls: Vec::new(),
            linear: LinearSettings::default(),
            supervised: DescentConfig { epochs: 20, ..Default::default() },
            run: RunSettings::default(),
        }
    }
}

impl<R: Learner> Parameters for Train<R> {
    fn check_together(&self) -> Result<(), Invalid> {
        self.rule.0.check_as("rule")?;
        self.fit.check_as("fit")?;
        self.readout.check_as("readout")?;
        self.supervised.check_as("supervised")
    }
}

impl<R: Learner> Experiment for Train<R> {
    const NAME: &'static str = "train";

    fn run_settings(&self) -> &RunSettings {
        &self.run
    }

    fn run(self, steering: &Steering) -> Result<()> {
        let (raw, data) = (dataset(&self.data, steering.quiet)?, self.data.clone());
        let Usual { rates, settings } = usual(R::NAME, &raw)?;
        let more = [settings, steering.linear_control(&raw, "supervised")].concat();
        let fitted = steering.fitted(self, (&data, &raw), rates, &more)?;
        match raw.train.labels() {
            Some(_) => fitted.learn_and_read_out(&raw, steering),
            None => fitted.learn_alone(&raw, steering),
        }
    }
}

const PICTURES: [&str; 2] = ["weights.png", "film.gif"];

impl<R: Learner> Train<R> {
    fn learn_and_read_out(self, raw: &Dataset, steering: &Steering) -> Result<()> {
        let mut session = Session::open(&self, steering, R::NAME, |device| {
            let preprocess = self.inputs.prepare.preprocess(raw)?;
            let prepare = |images: &Tensor, _| Ok(preprocess.apply(images, device)?);
            let data = Data::prepare(&self, &self.data, raw, prepare)?;
            self.create(data.inputs(), 0, device)?;
            Ok(Data { preprocess: Some(preprocess), ..data })
        })?;
        for seed in self.run.all_seeds() {
            let key = RunKey { seed, name: R::NAME };
            session.row(key, |session| {
                let (layer, fit) = self.learn(session, key)?;
                let model = self.model(session, layer, &fit)?;
                let row = self.read_out(session, key, model)?;
                let learn_seconds = Some(session.metrics.seconds(key, Phase::Learn));
                let (model, learn_epochs) = (R::NAME.to_owned(), Some(self.fit.epochs));
                Ok(Row { model, learn_seconds, learn_epochs, ..row })
            })?;
            for &control in &self.controls {
                let key = RunKey { seed, name: control.name() };
                session.row(key, |session| self.control(session, key, control))?;
            }
        }
        let key = RunKey { seed: self.run.seed, name: R::NAME };
        if session.is_whole() {
            session.draw("curves.png", &session.accuracy_and_loss(&[("readout", key, Phase::Readout)])?)?;
        }
        session.finish(&self, &[&PICTURES[..], &["curves.png", "confusion.png"]].concat())
    }

    fn learn_alone(self, raw: &Dataset, steering: &Steering) -> Result<()> {
        let mut session = Session::open(&self, steering, R::NAME, |device| {
            let preprocess = self.inputs.prepare.preprocess(raw)?;
            let data = Unlabeled::load(&self, &self.data, raw, preprocess, device)?;
            self.create(data.inputs(), 0, device)?;
            Ok(data)
        })?;
        for seed in self.run.all_seeds() {
            let key = RunKey { seed, name: R::NAME };
            session.row(key, |session| {
                let (layer, fit) = self.learn(session, key)?;
                let units = Some(layer.units());
                self.model(session, layer, &fit)?.save(&session.checkpoint_path(key))?;
                let learn_seconds = Some(session.metrics.seconds(key, Phase::Learn));
                let (model, learn_epochs) = (R::NAME.to_owned(), Some(self.fit.epochs));
                Ok(Row { model, units, learn_seconds, learn_epochs, ..Row::default() })
            })?;
        }
        session.finish(&self, &PICTURES)
    }

    /// The rule before it has learned anything.
    fn create(&self, inputs: &Tensor, seed: u64, device: &Device) -> Result<R::Layer> {
        R::create(&self.rule.0, inputs.dim(1)?, &mut Generator::new(seed, R::NAME), device)
    }

    fn learn<D: Subject>(&self, session: &mut Session<D>, key: RunKey<'_>) -> Result<(R::Layer, Fit)> {
        let mut layer = self.create(session.data.inputs(), key.seed, &session.device)?;
        let mut fit = session.begin(key, &mut layer, &self.fit)?;
        session.learn(key, &mut fit, &mut layer, |_, _| Ok(()))?;
        if session.is_primary(key) {
            let (weights, image) = receptive_fields(&layer, session.data.image())?;
            let fields = ReceptiveFields::overview(&weights, image, R::NAME).scale(Scale::PerUnit);
            session.draw("weights.png", &fields.draw()?)?;
        }
        Ok((layer, fit))
    }

    /// What was learned, with all that is before and behind it but the readout.
    fn model<D: Subject>(&self, session: &Session<D>, layer: impl LearningRule, fit: &Fit) -> Result<Model> {
        Ok(session.model(layer, fit)?.with_encoding(self.encoding(), session.data.inputs())?)
    }

    fn encoding(&self) -> Encoding {
        match self.encoding.encoding {
            Choice::Power => self.powers(),
            Choice::Auto if is_read_out_by_powers(R::NAME) => self.powers(),
            Choice::Auto | Choice::Layer => Encoding::Layer,
        }
    }

    fn powers(&self) -> Encoding {
        Encoding::Power { features: self.features.clone(), weights: FeatureWeights::Plain }
    }

    /// Trains a readout of the `model` and saves both.
    fn read_out(&self, session: &mut Session, key: RunKey<'_>, model: Model) -> Result<Row> {
        let (row, readout) = self.read_out_of(session, key, &model)?;
        if session.is_primary(key) {
            session.draw("confusion.png", &session.confusion(model.encoder(), &readout, R::NAME)?)?;
        }
        model.with_readout(&readout.state()?)?.save(&session.checkpoint_path(key))?;
        Ok(row)
    }

    /// A readout of the features of `model`, and what it is worth.
    fn read_out_of(
        &self,
        session: &mut Session,
        key: RunKey<'_>,
        model: &Model,
    ) -> Result<(Row, SoftmaxRegression)> {
        if *model.encoding() == Encoding::Layer {
            return self.read_out_standardized(session, key, model.encoder());
        }
        let readout = SoftmaxRegression::new(model.rule().units(), session.data.classes, &session.device)?;
        Ok((session.read_out(key, model.encoder(), &readout, &self.readout, false)?, readout))
    }

    /// A readout of what `layer` gives, trained on standardized features.
    fn read_out_standardized(
        &self,
        session: &mut Session,
        key: RunKey<'_>,
        layer: &dyn Module,
    ) -> Result<(Row, SoftmaxRegression)> {
        let train = session.data.train.inputs().clone();
        let units = layer.forward(&train.narrow(0, 0, 1)?)?.dim(1)?;
        let features = |inputs: &Tensor| layer.forward(inputs);
        let features = Standardized::fit(features, ImageSize::new(units, 1, 1), &train)?;
        let readout = SoftmaxRegression::new(units, session.data.classes, &session.device)?;
        let row = session.read_out(key, &features, &readout, &self.readout, false)?;
        Ok((row, SoftmaxRegression::from_state(&features.unstandardized(readout.state()?)?)?))
    }
}
