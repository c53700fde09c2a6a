//! Krotov-Hopfield against backprop: hidden units learned without labels, a softmax readout on them, and beside them
//! backprop at equal width and the controls that any learned layer must beat.

use std::process::ExitCode;

use anyhow::Result;
use candle_core::Tensor;
use candle_nn::Module;
use clap::{Parser, ValueEnum};
use hebbian::{Event, FitConfig, KrotovHopfield, KrotovHopfieldConfig, Parameters, Rule};
use hebbian_classifier::{
    DescentConfig, FeatureScale, Features, FeaturesConfig, Loss, Mlp, NormalizedRegression,
    SoftmaxRegression, confusion_matrix, encode, evaluate, random_images, random_projection,
};
use hebbian_experiment::{Common, Data, Experiment, Phase, Row, RunKey, Session, flagged};
use hebbian_model::Encoding;
use hebbian_plots::{ConfusionMatrix, Curves, Picture, ReceptiveFields, Scale, Series};
use hebbian_training::{Generator, Schedule};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Krotov-Hopfield hidden units against backprop, with controls
#[derive(Parser, Clone, Serialize)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    #[serde(flatten)]
    common: Common,

    /// Lebesgue norm of the weights
    #[arg(long, default_value_t = 3.0)]
    p: f64,
    /// Rank of the repelled unit; the winner has rank 1
    #[arg(long, default_value_t = 7)]
    k: usize,
    /// Anti-Hebbian strength
    #[arg(long, default_value_t = 0.4)]
    delta: f64,
    /// Largest change of a weight in one step
    #[arg(long, default_value_t = 0.04)]
    learning_rate: f64,
    /// How it falls: constant, linear (by the epoch) or staircase:EVERY:FACTOR
    #[arg(long, default_value_t = Schedule::Linear)]
    schedule: Schedule,
    /// Mean of the first weights
    #[arg(long, default_value_t = 0.0)]
    init_mean: f64,
    /// Standard deviation of the first weights
    #[arg(long, default_value_t = 1.0)]
    init_std: f64,

    /// Which weights the features see: plain w, or the synapses sign(w)|w|^(p-1) that learn
    #[arg(long, value_enum, default_value_t = FeatureWeights::Plain)]
    feature_weights: FeatureWeights,
    /// Exponent n of the features relu(w.x)^n
    #[arg(long, default_value_t = 4.5)]
    feature_power: f64,
    /// Divide all features by their root mean square
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    feature_scale: bool,
    /// Subtract each image's mean before it is brought to unit length
    #[arg(long, default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    subtract_mean: bool,

    /// Adam's step size for the readouts and the linear control
    #[arg(long, default_value_t = 0.001)]
    readout_learning_rate: f64,
    /// How it falls
    #[arg(long, default_value_t = Schedule::Linear)]
    readout_schedule: Schedule,
    /// cross-entropy, cross-entropy:SMOOTHING or tanh:BETA:M
    #[arg(long, default_value_t = Loss::default())]
    readout_loss: Loss,
    /// Decoupled weight decay
    #[arg(long, default_value_t = 0.0)]
    readout_weight_decay: f64,

    /// Epochs of backprop
    #[arg(long, value_name = "N", default_value_t = 10)]
    backprop_epochs: usize,
    /// Adam's step size for backprop
    #[arg(long, default_value_t = 0.001)]
    backprop_learning_rate: f64,
    /// How it falls
    #[arg(long, default_value_t = Schedule::Linear)]
    backprop_schedule: Schedule,
    /// cross-entropy, cross-entropy:SMOOTHING or tanh:BETA:M; where the readout's differs, a second network is trained with that
    #[arg(long, default_value_t = Loss::default())]
    backprop_loss: Loss,
    /// Epochs of the linear control
    #[arg(long, value_name = "N", default_value_t = 20)]
    control_epochs: usize,
}

#[derive(Clone, Copy, PartialEq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum FeatureWeights {
    Plain,
    Synapses,
}

const BACKPROP: &str = "backprop";
const BACKPROP_WITH_THE_READOUTS_LOSS: &str = "backprop-readout-loss";
const LINEAR_CONTROL: &str = "linear-control";
const RANDOM_PROJECTION: &str = "random-projection";
const RANDOM_IMAGES: &str = "random-images";
const PICTURES: [&str; 5] =
    ["weights.png", "backprop_weights.png", "curves.png", "confusion.png", "film.gif"];

impl Experiment for Arguments {
    const NAME: &'static str = "kh_vs_backprop";

    fn common(&self) -> &Common {
        &self.common
    }

    fn run(self) -> Result<()> {
        self.validate()?;
        let mut session = Session::open(&self, KrotovHopfield::NAME, Data::load)?;
        for seed in self.common.all_seeds() {
            let at = |name: &'static str| RunKey { seed, name };
            session.row(at(KrotovHopfield::NAME), |session| self.krotov_hopfield(session, seed))?;
            session.row(at(BACKPROP), |session| self.backprop(session, at(BACKPROP), self.backprop_loss))?;
            if self.backprop_loss != self.readout_loss {
                let key = at(BACKPROP_WITH_THE_READOUTS_LOSS);
                session.row(key, |session| self.backprop(session, key, self.readout_loss))?;
            }
            session.row(at(LINEAR_CONTROL), |session| self.linear_control(session, seed))?;
            session.row(at(RANDOM_PROJECTION), |session| self.random_projection(session, seed))?;
            session.row(at(RANDOM_IMAGES), |session| self.random_images(session, seed))?;
        }
        let curves = self.curves(&session)?;
        session.draw("curves.png", &curves)?;
        session.finish(&self, &PICTURES)
    }
}

impl Arguments {
    fn rule(&self) -> KrotovHopfieldConfig {
        let Self { p, k, delta, learning_rate, init_mean, init_std, .. } = *self;
        KrotovHopfieldConfig { units: self.units(), p, k, delta, learning_rate, init_mean, init_std }
    }

    fn fit(&self) -> FitConfig {
        let Common { epochs, batch_size, .. } = self.common;
        FitConfig { epochs, batch_size, schedule: self.schedule, ..Default::default() }
    }

    fn features(&self) -> FeaturesConfig {
        let scale = if self.feature_scale { FeatureScale::Rms } else { FeatureScale::None };
        FeaturesConfig { power: self.feature_power, subtract_mean: self.subtract_mean, scale }
    }

    fn encoding(&self) -> Encoding {
        let weights = match self.feature_weights {
            FeatureWeights::Plain => hebbian_model::FeatureWeights::Plain,
            FeatureWeights::Synapses => hebbian_model::FeatureWeights::Synapses,
        };
        Encoding::Power { features: self.features(), weights }
    }

    fn readout(&self) -> DescentConfig {
        DescentConfig {
            epochs: self.common.readout_epochs,
            batch_size: self.common.batch_size,
            learning_rate: self.readout_learning_rate,
            schedule: self.readout_schedule,
            weight_decay: self.readout_weight_decay,
            loss: self.readout_loss,
        }
    }

    fn control(&self) -> DescentConfig {
        DescentConfig { epochs: self.control_epochs, loss: Loss::default(), ..self.readout() }
    }

    fn backprop_descent(&self, loss: Loss) -> DescentConfig {
        DescentConfig {
            epochs: self.backprop_epochs,
            batch_size: self.common.batch_size,
            learning_rate: self.backprop_learning_rate,
            schedule: self.backprop_schedule,
            loss,
            ..Default::default()
        }
    }

    fn units(&self) -> usize {
        self.common.units.all()[0]
    }

    fn validate(&self) -> Result<()> {
        self.common.units.only()?;
        flagged("", self.rule().validate())?;
        flagged("", self.fit().validate())?;
        flagged("feature-", self.features().validate())?;
        flagged("readout-", self.readout().validate())?;
        flagged("control-", self.control().validate())?;
        flagged("backprop-", self.backprop_descent(self.backprop_loss).validate())
    }

    fn krotov_hopfield(&self, session: &mut Session, seed: u64) -> Result<Row> {
        let key = RunKey { seed, name: KrotovHopfield::NAME };
        let mut draws = Generator::new(seed, key.name);
        let mut rule =
            KrotovHopfield::new(self.rule(), session.data.shape.inputs(), &mut draws, &session.device)?;
        let mut fit = session.begin(key, &mut rule, &self.fit())?;
        session.learn(key, &mut fit, &mut rule, norms)?;
        let model = session.model(rule, &fit)?.with_encoding(self.encoding(), session.data.train.inputs())?;
        let (row, readout) = self.read_out(session, key, model.encoder())?;
        let model = model.with_readout(&readout.state()?)?;
        model.save(&session.checkpoint_path(key))?;
        if session.is_primary(key) {
            let weights = model.rule().weights()?;
            let picture = self.receptive_fields(session, &weights, "Krotov-Hopfield", self.common.epochs)?;
            session.draw("weights.png", &picture)?;
            session.draw("confusion.png", &confusion(session, model.encoder(), &readout)?)?;
        }
        let learn_seconds = Some(session.metrics.seconds(key, Phase::Learn));
        Ok(Row { learn_seconds, learn_epochs: Some(self.common.epochs), ..row })
    }

    fn read_out(
        &self,
        session: &mut Session,
        key: RunKey<'_>,
        features: &dyn Module,
    ) -> Result<(Row, SoftmaxRegression)> {
        let readout = SoftmaxRegression::new(self.units(), session.data.classes, &session.device)?;
        let row = session.read_out(key, features, &readout, &self.readout(), false)?;
        Ok((Row { model: key.name.to_owned(), ..row }, readout))
    }

    /// The same first weights and batches, whatever the loss.
    fn backprop(&self, session: &mut Session, key: RunKey<'_>, loss: Loss) -> Result<Row> {
        let (inputs, units, classes) = (session.data.shape.inputs(), self.units(), session.data.classes);
        let mut draws = Generator::new(key.seed, BACKPROP);
        let network = Mlp::new(inputs, units, classes, &mut draws, &session.device)?;
        let row = session.learn_supervised(key, &network, &self.backprop_descent(loss), false)?;
        if key == (RunKey { seed: self.common.seed, name: BACKPROP }) {
            let picture =
                self.receptive_fields(session, &network.hidden_weights()?, "backprop", self.backprop_epochs)?;
            session.draw("backprop_weights.png", &picture)?;
        }
        Ok(Row { model: key.name.to_owned(), units: Some(units), ..row })
    }

    fn linear_control(&self, session: &mut Session, seed: u64) -> Result<Row> {
        let key = RunKey { seed, name: LINEAR_CONTROL };
        let (inputs, classes) = (session.data.shape.inputs(), session.data.classes);
        let network = NormalizedRegression::new(inputs, classes, &session.device)?;
        let row = session.learn_supervised(key, &network, &self.control(), false)?;
        Ok(Row { model: LINEAR_CONTROL.to_owned(), ..row })
    }

    fn random_projection(&self, session: &mut Session, seed: u64) -> Result<Row> {
        let mut draws = Generator::new(seed, RANDOM_PROJECTION);
        let weights =
            random_projection(self.units(), session.data.shape.inputs(), &mut draws, &session.device)?;
        self.unlearned(session, RunKey { seed, name: RANDOM_PROJECTION }, weights)
    }

    fn random_images(&self, session: &mut Session, seed: u64) -> Result<Row> {
        let mut draws = Generator::new(seed, RANDOM_IMAGES);
        let weights = random_images(session.data.train.inputs(), self.units(), &mut draws)?;
        self.unlearned(session, RunKey { seed, name: RANDOM_IMAGES }, weights)
    }

    fn unlearned(&self, session: &mut Session, key: RunKey<'_>, weights: Tensor) -> Result<Row> {
        let features = Features::fit(self.features(), weights, session.data.train.inputs())?;
        Ok(self.read_out(session, key, &features)?.0)
    }

    fn receptive_fields(
        &self,
        session: &Session,
        weights: &Tensor,
        name: &str,
        epochs: usize,
    ) -> Result<Picture> {
        let (shape, units) = (session.data.shape, self.units());
        let title = format!("{name}: {} of {units} units after {epochs} epochs", units.min(100));
        let fields = ReceptiveFields::new(weights, (shape.height, shape.width), (10, 10));
        // A few units that never converge would otherwise set the scale for all.
        Ok(fields.scale(Scale::PerUnit).title(title).draw()?)
    }

    /// Accuracy and loss of the readout and of backprop, training and validation, as the notebook draws them.
    fn curves(&self, session: &Session) -> Result<Picture> {
        let seed = self.common.seed;
        let pair = |what: &str, name: &str, hue: usize, model: &str, phase: Phase| {
            let curve = |set: &str| {
                session.metrics.curve(RunKey { seed, name: model }, phase, &format!("{set}_{what}"))
            };
            Series::train_and_validation(name, hue, curve("train"), curve("validation"))
        };
        let both = |what: &str| -> Vec<Series> {
            let readout = pair(what, "Krotov-Hopfield", 0, KrotovHopfield::NAME, Phase::Readout);
            let backprop = pair(what, "backprop", 1, BACKPROP, Phase::Learn);
            readout.into_iter().chain(backprop).filter(|series| !series.points.is_empty()).collect()
        };
        let panel = |title: &str, y_label: &str, what: &str| Curves {
            title: title.to_owned(),
            x_label: "epoch".to_owned(),
            y_label: y_label.to_owned(),
            series: both(what),
            y_range: None,
        };
        let accuracy = panel("Accuracy", "share classified right", "accuracy").draw()?;
        let loss = panel("Loss", "mean loss", "loss").draw()?;
        Ok(Picture::side_by_side(&[accuracy, loss])?)
    }
}

/// Quantiles of the units' p-norms: 1 says that a unit has converged.
fn norms(event: &Event<'_, KrotovHopfield>, line: &mut Map<String, Value>) -> Result<()> {
    if event.epoch_report().is_none() {
        return Ok(());
    }
    let mut norms = event.rule.norms()?.to_vec1::<f32>()?;
    norms.sort_by(f32::total_cmp);
    let at = |share: f64| norms[((norms.len() - 1) as f64 * share).round() as usize];
    let quantiles: Vec<f32> = [0.0, 0.1, 0.5, 0.9, 1.0].into_iter().map(at).collect();
    line.insert("norm_quantiles_0_10_50_90_100".to_owned(), json!(quantiles));
    Ok(())
}

fn confusion(session: &Session, features: &dyn Module, readout: &SoftmaxRegression) -> Result<Picture> {
    let test = &session.data.test;
    let test = test.with_inputs(encode(features, test.inputs())?)?;
    let predictions = evaluate(readout, &test, &Loss::default())?.predictions;
    let counts = confusion_matrix(test.labels(), &predictions, session.data.classes)?;
    Ok(ConfusionMatrix::new(&counts).title("Krotov-Hopfield on the test images").draw()?)
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Arguments>()
}
