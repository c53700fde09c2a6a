//! A convolutional network that learns from every image once, without labels and without a gradient, and what each of its
//! depths is worth to a linear classifier, beside the same network under hard competition and with the filters that it began with.

mod excitation;
mod network;
mod receptive_field;
mod settings;
mod watching;

use std::process::ExitCode;

use anyhow::Result;
use hebbian::{Fit, LearningRule, Registry, Stack, StackConfig};
use hebbian_classifier::SoftmaxRegression;
use hebbian_experiment::{
    Data, Experiment, Phase, Row, RunKey, RunSettings, Session, Steering, Subject, receptive_fields,
};
use hebbian_plots::{Curves, Picture, ReceptiveFields, Scale, Series};

use network::Features;
use settings::{Model, Settings};
use watching::Watch;

const PICTURES: [&str; 6] =
    ["weights.png", "learning.png", "patches.png", "accuracy.png", "confusion.png", "film.gif"];

/// Images by which features are standardized.
const MEASURED: usize = 1000;
/// An inverse temperature at which the winner takes all.
const WINNER_TAKES_ALL: f64 = 1e6;

impl Experiment for Settings {
    const NAME: &'static str = "deep";
    const FIXED: &'static [&'static str] =
        &["rule.units", "rule.learning_rate", "rule.inverse_temperature", "rule.rectified"];

    fn run_settings(&self) -> &RunSettings {
        &self.run
    }

    fn run(self, steering: &Steering) -> Result<()> {
        let mut session = Session::open(&self, steering, self.kept(), |device| {
            let data = Data::load(&self, &self.data, steering.quiet, device)?;
            self.network(&data, 0, None, device)?;
            Ok(data)
        })?;
        for seed in self.run.all_seeds() {
            for &model in &self.models {
                self.compare_depths(&mut session, seed, model)?;
            }
        }
        session.draw("accuracy.png", &self.accuracy(&session)?)?;
        session.finish(&self, &PICTURES)
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
        let hard = (model == Model::HardWta).then_some(WINNER_TAKES_ALL);
        let mut stack = self.network(&session.data, seed, hard, &session.device)?;
        let mut fit = session.begin(key, &mut stack, &self.fit)?;
        match model {
            Model::Random => self.settle(&session.data, &mut stack)?,
            Model::RandomPatches => self.take_patches(&session.data, seed, &mut stack)?,
            Model::SoftHebb | Model::HardWta => {
                let steps = self.fit.epochs * (session.data.train.len() / self.fit.batch_size);
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
                    learn_epochs: learned.then_some(self.fit.epochs),
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
        (features, readout): (&Features<'_>, &SoftmaxRegression),
    ) -> Result<()> {
        let (weights, image) = receptive_fields(stack, session.data.image())?;
        let fields = ReceptiveFields::overview(&weights, image, "Filters of the first layer");
        session.draw("weights.png", &fields.scale(Scale::PerUnit).draw()?)?;
        session.draw("learning.png", &watching::draw(session, key, self.fit.batch_size)?)?;
        session.draw("patches.png", &self.excitation(session, stack)?)?;
        session.draw("confusion.png", &session.confusion(features, readout, key.name)?)?;
        let registry = Registry::builtin();
        let config: StackConfig = serde_json::from_value(stack.config())?;
        let model = session.model(Stack::from_state(config, stack.state()?, &registry)?, fit)?;
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
    ) -> Result<(Row, Features<'a>, SoftmaxRegression)> {
        let train = session.data.train.inputs();
        let measured = train.narrow(0, 0, train.dim(0)?.min(MEASURED))?;
        let features = self.features(stack, depth, &measured)?;
        let readout = SoftmaxRegression::new(features.count(), session.data.classes, &session.device)?;
        let row = session.read_out(key, &features, &readout, &self.readout, false)?;
        Ok((row, features, readout))
    }

    /// Test accuracy over depth.
    fn accuracy(&self, session: &Session) -> Result<Picture> {
        let rows = session.rows();
        let series = self.models.iter().map(|model| model.name()).enumerate().map(|(hue, model)| {
            let at = |depth: usize| {
                let name = row_name(model, depth);
                let test = rows.iter().filter(|row| row.0 == name).filter_map(|row| row.1.test_accuracy);
                let test: Vec<f64> = test.collect();
                (depth as f64, test.iter().sum::<f64>() / test.len() as f64)
            };
            Series::solid(model, hue, (1..=self.depths()).map(at).collect())
        });
        Ok(Curves::new("What each depth is worth", ("layers", "test accuracy"), series).draw()?)
    }
}

fn main() -> ExitCode {
    hebbian_experiment::main::<Settings>()
}
