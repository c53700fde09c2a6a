//! CompSpec, plain and charged, beside Krotov-Hopfield, random training images and backprop: sizes and readouts compared
//! in one table, which is what the notebook set out to do.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use candle_core::Tensor;
use candle_nn::Linear;
use clap::Parser;
use hebbian::{
    Charge, CompSpec, CompSpecConfig, FitConfig, KrotovHopfield, KrotovHopfieldConfig, LearningRule,
    Parameters, Rule,
};
use hebbian_classifier::{
    DescentConfig, Features, FeaturesConfig, Mlp, SoftmaxRegression, WinnerTakeAll, random_images,
};
use hebbian_experiment::{Common, Data, Experiment, Measure, Phase, Row, RunKey, Session, flagged};
use hebbian_model::{Encoding, FeatureWeights, Model};
use hebbian_plots::{Curves, Picture, ReceptiveFields, Series};
use hebbian_training::{Generator, Schedule};
use serde::Serialize;

/// CompSpec against Krotov-Hopfield, random training images and backprop
#[derive(Parser, Clone, Serialize)]
#[command(version)]
#[command(mut_arg("units", |arg| arg.default_value("100,400")))]
#[command(mut_arg("epochs", |arg| arg.default_value("1")))]
#[command(mut_arg("readout_epochs", |arg| arg.default_value("30")))]
struct Arguments {
    #[command(flatten)]
    #[serde(flatten)]
    common: Common,

    /// How far a CompSpec unit moves towards the mean of what it won
    #[arg(long, default_value_t = 0.1)]
    learning_rate: f64,
    /// Weight of the newest batch in the specialization average
    #[arg(long, default_value_t = 2.0 / 11.0)]
    specialization_rate: f64,
    /// Strength of the charged rule's repulsion
    #[arg(long, default_value_t = 0.1)]
    delta: f64,
    /// Rank of the repelled unit; the winner has rank 1
    #[arg(long, default_value_t = 3)]
    k: usize,

    /// Epochs of Krotov-Hopfield
    #[arg(long, value_name = "N", default_value_t = 20)]
    kh_epochs: usize,
    /// Lebesgue norm of Krotov-Hopfield
    #[arg(long, default_value_t = 3.0)]
    kh_p: f64,
    /// Rank that Krotov-Hopfield repels
    #[arg(long, default_value_t = 7)]
    kh_k: usize,

    /// Epochs of the two linear readouts
    #[arg(long, value_name = "N", default_value_t = 10)]
    linear_epochs: usize,
    /// Samples per step of the linear readouts
    #[arg(long, value_name = "N", default_value_t = 32)]
    linear_batch_size: usize,
    /// First weight of the linear readout from a unit to the classes that it did not vote for
    #[arg(long, default_value_t = 0.1)]
    linear_elsewhere: f64,
    /// Epochs of backprop
    #[arg(long, value_name = "N", default_value_t = 10)]
    backprop_epochs: usize,
}

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

impl Experiment for Arguments {
    const NAME: &'static str = "comp_spec";
    /// Units that match no training image best.
    const MEASURES: &'static [Measure] = &[Measure { name: "idle_units", title: "idle", digits: 0 }];

    fn common(&self) -> &Common {
        &self.common
    }

    fn batch_sizes(&self) -> Vec<(&'static str, usize)> {
        vec![("batch_size", self.common.batch_size), ("linear_batch_size", self.linear_batch_size)]
    }

    fn run(self) -> Result<()> {
        self.validate()?;
        let mut session =
            Session::open(&self, &layer_name(CompSpec::NAME, self.common.units.all()[0]), Data::load)?;
        let mut drawn = Vec::new();
        for seed in self.common.all_seeds() {
            for &units in self.common.units.all() {
                for model in MODELS {
                    let mut layer = self.layer(&mut session, seed, units, model)?;
                    self.compare_readouts(&mut session, seed, units, model, &mut layer)?;
                    if (seed, model) == (self.common.seed, CompSpec::NAME) {
                        drawn.push(layer);
                    }
                }
                let name = layer_name(BACKPROP, units);
                session.row(RunKey { seed, name: &name }, |session| self.backprop(session, seed, units))?;
            }
        }
        self.draw(&session, &drawn)?;
        session.finish(&self, &PICTURES)
    }
}

fn layer_name(model: &str, units: usize) -> String {
    format!("{model} {units}")
}

fn row_name(model: &str, units: usize, readout: &str) -> String {
    format!("{model} {units} {readout}")
}

impl Arguments {
    fn comp_spec(&self, units: usize, charge: Option<Charge>) -> CompSpecConfig {
        let Self { learning_rate, specialization_rate, .. } = *self;
        CompSpecConfig { units, learning_rate, specialization_rate, charge }
    }

    fn charge(&self) -> Charge {
        Charge { delta: self.delta, k: self.k, ..Charge::default() }
    }

    fn krotov_hopfield(&self, units: usize) -> KrotovHopfieldConfig {
        KrotovHopfieldConfig { units, p: self.kh_p, k: self.kh_k, ..Default::default() }
    }

    fn fit(&self, epochs: usize) -> FitConfig {
        FitConfig { epochs, batch_size: self.common.batch_size, ..Default::default() }
    }

    /// The notebook's: Adam at a constant 0.001.
    fn linear(&self) -> DescentConfig {
        DescentConfig {
            epochs: self.linear_epochs,
            batch_size: self.linear_batch_size,
            schedule: Schedule::Constant,
            ..Default::default()
        }
    }

    fn power(&self) -> DescentConfig {
        let Common { readout_epochs, batch_size, .. } = self.common;
        DescentConfig { epochs: readout_epochs, batch_size, ..Default::default() }
    }

    fn backprop_descent(&self) -> DescentConfig {
        DescentConfig { epochs: self.backprop_epochs, ..self.power() }
    }

    fn validate(&self) -> Result<()> {
        for &units in self.common.units.all() {
            flagged("", self.comp_spec(units, Some(self.charge())).validate())?;
            flagged("kh-", self.krotov_hopfield(units).validate())?;
        }
        flagged("", self.fit(self.common.epochs).validate())?;
        flagged("kh-", self.fit(self.kh_epochs).validate())?;
        flagged("linear-", self.linear().validate())?;
        flagged("readout-", self.power().validate())?;
        flagged("backprop-", self.backprop_descent().validate())
    }

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
                let rule = KrotovHopfield::new(self.krotov_hopfield(units), inputs, &mut draws, &device)?;
                learn(session, key, rule, &self.fit(self.kh_epochs))
            }
            _ => {
                let charge = (model == CHARGED).then(|| self.charge());
                let rule = CompSpec::new(self.comp_spec(units, charge), inputs, &mut draws, &device)?;
                learn(session, key, rule, &self.fit(self.common.epochs))
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
                session.read_out(key, &product, &readout, &self.linear(), true)
            }
            LINEAR_WTA_INIT => {
                let readout = SoftmaxRegression::without_bias(&vote.readout(self.linear_elsewhere)?)?;
                session.read_out(key, &product, &readout, &self.linear(), true)
            }
            WTA_VOTE => session.evaluate(vote),
            _ => {
                let readout = SoftmaxRegression::new(units, classes, &session.device)?;
                let Some((model, path)) = layer.learned.take() else {
                    let (weights, train) = (layer.weights.clone(), session.data.train.inputs());
                    let features = Features::fit(FeaturesConfig::default(), weights, train)?;
                    return session.read_out(key, &features, &readout, &self.power(), true);
                };
                let row = session.read_out(key, model.encoder(), &readout, &self.power(), true)?;
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
        let row = session.learn_supervised(key, &network, &self.backprop_descent(), true)?;
        Ok(Row { model: BACKPROP.to_owned(), units: Some(units), ..row })
    }

    /// `layers` are the first seed's of CompSpec, one per size.
    fn draw(&self, session: &Session, layers: &[Layer]) -> Result<()> {
        let largest = layers.iter().max_by_key(|layer| layer.units()).context("--units")?;
        session.draw("weights.png", &self.weights(session, &layers[0])?)?;
        session.draw("prototypes.png", &self.prototypes(session, largest)?)?;
        session.draw("specialization.png", &self.specialization(layers)?)?;
        session.draw("accuracy_by_units.png", &self.accuracy_by_units(session)?)?;
        session.draw("time_to_accuracy.png", &self.time_to_accuracy(session, largest.units())?)
    }

    /// The first layer's units in their own order: those of the film and the checkpoint.
    fn weights(&self, session: &Session, layer: &Layer) -> Result<Picture> {
        let units = layer.units();
        let shape = session.data.shape;
        let title = format!("CompSpec: {} of {units} units", units.min(100));
        let fields = ReceptiveFields::new(&layer.weights, (shape.height, shape.width), (10, 10));
        Ok(fields.title(title).draw()?)
    }

    /// The largest layer's units from the most to the least specialized, evenly taken where there are too many.
    fn prototypes(&self, session: &Session, layer: &Layer) -> Result<Picture> {
        const SIDE: usize = 20;
        let (units, specialization) = (layer.units(), &layer.specialization);
        let mut order: Vec<u32> = (0..units as u32).collect();
        order.sort_by(|&a, &b| specialization[b as usize].total_cmp(&specialization[a as usize]));
        let side = SIDE.min((units as f64).sqrt().ceil() as usize);
        let shown = units.min(side * side);
        let chosen: Vec<u32> = (0..shown).map(|rank| order[rank * units / shown]).collect();
        let weights = layer.weights.index_select(&Tensor::new(chosen, &session.device)?, 0)?;
        let shape = session.data.shape;
        let title = format!("CompSpec: {shown} of {units} prototypes, the most specialized first");
        Ok(ReceptiveFields::new(&weights, (shape.height, shape.width), (side, side)).title(title).draw()?)
    }

    /// The outline of a histogram for each size.
    fn specialization(&self, layers: &[Layer]) -> Result<Picture> {
        const BINS: usize = 40;
        let outline = |(hue, layer): (usize, &Layer)| {
            let units = layer.units();
            let mut counts = [0usize; BINS];
            for value in &layer.specialization {
                counts[((value.clamp(0.0, 1.0) * BINS as f32) as usize).min(BINS - 1)] += 1;
            }
            let edge = |bin: usize| bin as f64 / BINS as f64;
            let share = |count: usize| count as f64 / units as f64;
            let stairs = counts.into_iter().enumerate();
            let stairs =
                stairs.flat_map(|(bin, count)| [(edge(bin), share(count)), (edge(bin + 1), share(count))]);
            Series::solid(format!("{units} units"), hue, stairs.collect())
        };
        let series = layers.iter().enumerate().map(outline).collect();
        let curves = Curves {
            title: "How specialized the units are".to_owned(),
            x_label: "specialization".to_owned(),
            y_label: "share of the units".to_owned(),
            series,
            y_range: None,
        };
        Ok(curves.draw()?)
    }

    /// Each model's accuracy over the number of units: the trained readouts on the left, the vote's on the right.
    fn accuracy_by_units(&self, session: &Session) -> Result<Picture> {
        let rows = session.rows();
        let points = |model: &str, readout: Option<&str>| -> Vec<(f64, f64)> {
            let at = |units: usize| {
                let of = |row: &&Row| {
                    (row.model.as_str(), row.units, row.readout.as_deref()) == (model, Some(units), readout)
                };
                let test: Vec<f64> =
                    rows.iter().map(|row| &row.1).filter(of).filter_map(|r| r.test_accuracy).collect();
                ((units as f64).log10(), test.iter().sum::<f64>() / test.len() as f64)
            };
            self.common.units.all().iter().map(|&units| at(units)).collect()
        };
        let panel = |title: &str, solid: &str, dashed: &str| {
            let mut series = Vec::new();
            for (hue, model) in MODELS.into_iter().enumerate() {
                series.push(Series::dashed(format!("{model}, {dashed}"), hue, points(model, Some(dashed))));
                series.push(Series::solid(format!("{model}, {solid}"), hue, points(model, Some(solid))));
            }
            series.push(Series::solid(BACKPROP, MODELS.len(), points(BACKPROP, None)));
            let (x_label, y_label) = ("log10 of the number of units".to_owned(), "test accuracy".to_owned());
            Curves { title: title.to_owned(), x_label, y_label, series, y_range: None }.draw()
        };
        let trained = panel("Readouts trained by gradient", POWER, LINEAR)?;
        let voted = panel("Readouts from the vote", WTA_VOTE, LINEAR_WTA_INIT)?;
        Ok(Picture::side_by_side(&[trained, voted])?)
    }

    /// Test accuracy over seconds of training, the hidden layer's included, at the largest size.
    fn time_to_accuracy(&self, session: &Session, units: usize) -> Result<Picture> {
        let rows = session.rows();
        let curve = |name: &str, phase: Phase, hue: usize| {
            let key = RunKey { seed: self.common.seed, name };
            let row = rows.iter().find(|row| row.0 == name).map(|row| &row.1);
            let trained = session.metrics.seconds(key, phase);
            let all =
                row.map_or(0.0, |row| row.learn_seconds.unwrap_or(0.0) + row.readout_seconds.unwrap_or(0.0));
            let mut seconds = all - trained;
            let points = session.metrics.of(key, phase).filter_map(|metric| {
                seconds += metric.seconds;
                Some((seconds, metric.value("test_accuracy")?))
            });
            Series::solid(name, hue, points.collect())
        };
        let of = |model: &str, readout: &str| row_name(model, units, readout);
        let series = vec![
            curve(&of(CompSpec::NAME, POWER), Phase::Readout, 0),
            curve(&of(CompSpec::NAME, LINEAR_WTA_INIT), Phase::Readout, 5),
            curve(&of(KrotovHopfield::NAME, POWER), Phase::Readout, 2),
            curve(&of(RANDOM_IMAGES, POWER), Phase::Readout, 3),
            curve(&layer_name(BACKPROP, units), Phase::Learn, 1),
        ];
        let curves = Curves {
            title: "Test accuracy over seconds of training".to_owned(),
            x_label: "seconds, learning the hidden layer and computing its features included".to_owned(),
            y_label: "test accuracy".to_owned(),
            series,
            y_range: None,
        };
        Ok(curves.draw()?)
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
    hebbian_experiment::main::<Arguments>()
}
