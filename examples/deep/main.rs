//! A convolutional network that learns from every image once, without labels and without a gradient, and what each of its
//! depths is worth to a linear classifier, beside the same network under hard competition, with the filters that it began with
//! and trained by backprop.

mod backprop;
mod comparison;
mod excitation;
mod network;
mod receptive_field;
mod robustness;
mod settings;
mod watching;

use std::process::ExitCode;

use anyhow::Result;
use candle_nn::Module;
use hebbian::{Composite, Fit, LearningRule, Mirrored, Registry, Stack, StackConfig};
use hebbian_classifier::SoftmaxRegression;
use hebbian_datasets::Dataset;
use hebbian_experiment::{
    Data, Experiment, Phase, Row, RunKey, RunSettings, Session, Standardized, Steering, Subject, dataset,
    receptive_fields,
};
use hebbian_plots::{ReceptiveFields, Scale};
use serde_json::json;

use network::Features;
use settings::{Model, Settings};
use watching::Watch;

const PICTURES: [&str; 7] =
    ["weights.png", "learning.png", "patches.png", "accuracy.png", "time.png", "confusion.png", "film.gif"];

impl Experiment for Settings {
    const NAME: &'static str = "deep";
    const FIXED: &'static [&'static str] =
        &["rule.units", "rule.learning_rate", "rule.inverse_temperature", "rule.rectified"];

    fn run_settings(&self) -> &RunSettings {
        &self.run
    }

    fn run(self, steering: &Steering) -> Result<()> {
        let (raw, data) = (dataset(&self.data, steering.quiet)?, self.data.clone());
        // The default is a third of MNIST; of less, all.
        let wanted = data.train_size.unwrap_or(0) + data.validation_size.unwrap_or(0);
        let all = ["data.train_size", "data.validation_size"].map(|path| (path, json!("none")));
        let more = if wanted > raw.train.len() { &all[..] } else { &[] };
        steering.fitted(self, (&data, &raw), &[], more)?.run_on(raw, steering)
    }
}

impl Settings {
    fn run_on(self, raw: Dataset, steering: &Steering) -> Result<()> {
        let mut session = Session::open(&self, steering, self.kept(), |device| {
            let data = Data::load(&self, &self.data, &raw, device)?;
            self.network(&data, 0, Model::SoftHebb, device)?;
            Ok(data)
        })?;
        for seed in self.run.all_seeds() {
            for &model in &self.models {
                match model {
                    Model::Backprop => self.backprop(&mut session, seed)?,
                    _ => self.compare_depths(&mut session, seed, model)?,
                }
            }
        }
        if session.is_whole() {
            session.draw("accuracy.png", &self.accuracy(&session)?)?;
            session.draw("time.png", &self.time(&session)?)?;
        }
        let mut pictures = PICTURES.to_vec();
        if let Some(picture) = self.robustness_picture(&session)?.filter(|_| session.is_whole()) {
            session.draw("robustness.png", &picture)?;
            pictures.push("robustness.png");
        }
        session.finish(&self, &pictures)
    }
}

fn row_name(model: &str, depth: usize) -> String {
    format!("{model} {depth}")
}

impl Settings {
    /// The first model that learns: the checkpoint, the film and the pictures are of it.
    fn kept(&self) -> &'static str {
        self.models.iter().find(|model| model.learns()).map_or("", |model| model.name())
    }

    fn compare_depths(&self, session: &mut Session, seed: u64, model: Model) -> Result<()> {
        let key = RunKey { seed, name: model.name() };
        let names: Vec<String> = (1..=self.depths()).map(|depth| row_name(key.name, depth)).collect();
        if names.iter().all(|name| session.has(RunKey { name, ..key })) {
            return Ok(());
        }
        let mut stack = self.network(&session.data, seed, model, &session.device)?;
        let config = self.fit_of(model);
        let mut fit = session.begin(key, &mut stack, &config)?;
        match model {
            Model::Random => self.settle(&session.data, &mut stack)?,
            Model::RandomPatches => self.take_patches(&session.data, seed, &mut stack)?,
            _ => {
                let steps = config.epochs * (session.data.train.len() / config.batch_size);
                match session.is_primary(key) {
                    true => {
                        let watch = Watch::new(&stack, self.depths(), steps)?;
                        session.learn_watched(key, &mut fit, &mut stack, watch)?;
                    }
                    false => session.learn(key, &mut fit, &mut stack, |_, _| Ok(()))?,
                }
            }
        }
        for (name, depth) in names.iter().zip(1..) {
            let of_depth = RunKey { name, ..key };
            session.row(of_depth, |session| {
                let (row, features, readout) = self.read_out(session, of_depth, &stack, depth)?;
                if depth == self.depths() && session.is_primary(key) {
                    self.keep(session, key, (&stack, &fit), (&features, &readout))?;
                }
                let learned = model.learns();
                Ok(Row {
                    model: format!("{}, depth {depth}", key.name),
                    learn_seconds: learned.then(|| session.metrics.seconds(key, Phase::Learn)),
                    learn_epochs: learned.then_some(config.epochs),
                    measures: self
                        .robustness(session, seed, &|images| readout.forward(&features.forward(images)?))?,
                    ..row
                })
            })?;
        }
        Ok(())
    }

    /// Draws the network and saves it with the readout of its full depth.
    fn keep(
        &self,
        session: &Session,
        key: RunKey<'_>,
        (stack, fit): (&Stack, &Fit),
        (features, readout): (&Standardized<Features<'_>>, &SoftmaxRegression),
    ) -> Result<()> {
        let (weights, image) = receptive_fields(stack, session.data.image())?;
        let fields = ReceptiveFields::overview(&weights, image, "Filters of the first layer");
        session.draw("weights.png", &fields.scale(Scale::PerUnit).draw()?)?;
        session.draw("learning.png", &watching::draw(session, key, fit.config().batch_size)?)?;
        session.draw("patches.png", &self.excitation(session, stack)?)?;
        session.draw("confusion.png", &session.confusion(features, readout, key.name)?)?;
        let registry = Registry::builtin();
        let config: StackConfig = serde_json::from_value(stack.config())?;
        let stack = Stack::from_state(config, stack.state()?, &registry)?;
        let model = match self.mirrored(&stack)? {
            Some(mirrored) => session.model(Mirrored::new(Box::new(stack), mirrored)?, fit)?,
            None => session.model(stack, fit)?,
        };
        // A model's readout sees the features as the stack gives them.
        let readout = features.unstandardized(readout.state()?)?;
        Ok(model.with_readout(&readout)?.save(&session.checkpoint_path(key))?)
    }

    /// A readout on the features of this depth.
    fn read_out<'a>(
        &self,
        session: &mut Session,
        key: RunKey<'_>,
        stack: &'a Stack,
        depth: usize,
    ) -> Result<(Row, Standardized<Features<'a>>, SoftmaxRegression)> {
        let features = self.features(stack, depth, session.data.train.inputs())?;
        let readout = SoftmaxRegression::new(features.count(), session.data.classes, &session.device)?;
        let row = session.read_out(key, &features, &readout, &self.readout, false)?;
        Ok((row, features, readout))
    }
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Settings>()
}
