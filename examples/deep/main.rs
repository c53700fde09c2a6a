//! A convolutional network that learns from every image once, without labels and without a gradient, and what each of its
//! depths is worth to a linear classifier, beside the same network under hard competition and with the filters that it began with.

mod settings;

use std::process::ExitCode;

use anyhow::Result;
use candle_core::Tensor;
use candle_nn::Module;
use hebbian::{
    Convolution, ConvolutionConfig, Fit, ImageSize, Interleaved, InterleavedConfig, Learning, LearningRule,
    Pooling, Power, PowerConfig, Registry, Rule, SoftHebb, SoftHebbConfig, Stack, StackConfig, Standardize,
    StandardizeConfig, Triangle, TriangleConfig,
};
use hebbian_classifier::SoftmaxRegression;
use hebbian_experiment::{
    Data, Experiment, Phase, Row, RunKey, RunSettings, Session, Steering, Subject, receptive_fields,
};
use hebbian_plots::{Curves, Picture, ReceptiveFields, Scale, Series};
use hebbian_training::Generator;

use settings::Settings;

const HARD: &str = "hard-wta";
const RANDOM: &str = "random";
const MODELS: [&str; 3] = [SoftHebb::NAME, HARD, RANDOM];
const PICTURES: [&str; 4] = ["weights.png", "accuracy.png", "confusion.png", "film.gif"];

/// Layers of the stack per depth: standardization, convolution, triangle, pooling, power.
const PER_DEPTH: usize = 5;
/// An inverse temperature at which the winner takes all.
const WINNER_TAKES_ALL: f64 = 1e6;
/// Batches after which the running statistics of random filters are those of the data.
const SETTLED: usize = 300;

impl Experiment for Settings {
    const NAME: &'static str = "deep";
    const FIXED: &'static [&'static str] =
        &["rule.units", "rule.learning_rate", "rule.inverse_temperature", "rule.rectified"];

    fn run_settings(&self) -> &RunSettings {
        &self.run
    }

    fn run(self, steering: &Steering) -> Result<()> {
        let mut session = Session::open(&self, steering, SoftHebb::NAME, |device| {
            let data = Data::load(&self, &self.data, steering.quiet, device)?;
            self.network(&data, RunKey { seed: 0, name: RANDOM }, device)?;
            Ok(data)
        })?;
        for seed in self.run.all_seeds() {
            for model in MODELS {
                self.compare_depths(&mut session, RunKey { seed, name: model })?;
            }
        }
        session.draw("accuracy.png", &self.accuracy(&session)?)?;
        session.finish(&self, &PICTURES)
    }
}

/// The features of the lowest layers of a stack, scaled.
struct Depth<'a> {
    stack: &'a Stack,
    layers: usize,
    scale: f64,
}

impl Module for Depth<'_> {
    fn forward(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        self.stack.below(self.layers, inputs)? * self.scale
    }
}

fn row_name(model: &str, depth: usize) -> String {
    format!("{model} {depth}")
}

impl Settings {
    fn depths(&self) -> usize {
        self.layers.units.len()
    }

    /// The network for images of `data` before any learning, with the same filters for all models of a seed.
    fn network(&self, data: &Data, key: RunKey<'_>, device: &candle_core::Device) -> Result<Stack> {
        let mut draws = Generator::new(key.seed, Self::NAME);
        let mut input = ImageSize::new(data.shape.channels, data.shape.height, data.shape.width);
        let mut stack: Vec<Box<dyn LearningRule>> =
            vec![Box::new(Interleaved::of(InterleavedConfig { output: input })?)];
        for layer in 0..self.depths() {
            let config = SoftHebbConfig {
                units: self.layers.units[layer],
                learning_rate: self.layers.learning_rates[layer],
                inverse_temperature: match key.name {
                    HARD => WINNER_TAKES_ALL,
                    _ => self.layers.inverse_temperatures[layer],
                },
                ..self.rule.clone()
            };
            let patches = ConvolutionConfig::new(input, self.layers.kernels[layer]);
            let rule = SoftHebb::new(config, patches.patch_values(), &mut draws, device)?;
            let standardize = StandardizeConfig { input };
            stack.push(Box::new(Standardize::new(standardize, input.values(), &mut draws, device)?));
            let convolution = Convolution::new(Box::new(rule), patches)?;
            let output = convolution.output();
            stack.push(Box::new(convolution));
            // The largest value has the largest power: what is pooled first is a fourth of the work.
            let (pool, power) = (self.layers.pools[layer], self.layers.powers[layer]);
            let before = if pool.is_max() { 1.0 } else { power };
            stack.push(Box::new(Triangle::of(TriangleConfig { input: output, power: before })?));
            let pooling = Pooling::of(pool.of(output))?;
            input = pooling.output();
            stack.push(Box::new(pooling));
            stack.push(Box::new(Power::of(PowerConfig { input, power: power / before })?));
        }
        Ok(Stack::new(stack, Learning::Online)?)
    }

    fn compare_depths(&self, session: &mut Session, key: RunKey<'_>) -> Result<()> {
        let names: Vec<String> = (1..=self.depths()).map(|depth| row_name(key.name, depth)).collect();
        if names.iter().all(|name| session.has(RunKey { name, ..key })) {
            return Ok(());
        }
        let mut stack = self.network(&session.data, key, &session.device)?;
        let mut fit = session.begin(key, &mut stack, &self.fit)?;
        match key.name {
            RANDOM => self.settle(session, &mut stack)?,
            _ => session.learn(key, &mut fit, &mut stack, |_, _| Ok(()))?,
        }
        for (name, depth) in names.iter().zip(1..) {
            let of_depth = RunKey { name, ..key };
            session.row(of_depth, |session| {
                let (row, readout, scale) = self.read_out(session, of_depth, &stack, depth)?;
                if depth == self.depths() && session.is_primary(key) {
                    self.keep(session, key, (&stack, &fit), (&readout, scale))?;
                }
                let learned = key.name != RANDOM;
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

    /// Draws the network and saves it with the readout of its full depth, which sees features times `scale`.
    fn keep(
        &self,
        session: &Session,
        key: RunKey<'_>,
        (stack, fit): (&Stack, &Fit),
        (readout, scale): (&SoftmaxRegression, f64),
    ) -> Result<()> {
        let (weights, image) = receptive_fields(stack, session.data.image())?;
        let fields = ReceptiveFields::overview(&weights, image, "Filters of the first layer");
        session.draw("weights.png", &fields.scale(Scale::PerUnit).draw()?)?;
        let features = Depth { stack, layers: 1 + PER_DEPTH * self.depths(), scale };
        session.draw("confusion.png", &session.confusion(&features, readout, "SoftHebb")?)?;
        let registry = Registry::builtin();
        let config: StackConfig = serde_json::from_value(stack.config())?;
        let model = session.model(Stack::from_state(config, stack.state()?, &registry)?, fit)?;
        // A model's readout sees the features as the stack gives them.
        let mut state = readout.state()?;
        if let Some(weight) = state.get_mut("weight") {
            *weight = (&*weight * scale)?;
        }
        Ok(model.with_readout(&state)?.save(&session.checkpoint_path(key))?)
    }

    /// Lets the running statistics of a network come to those of the images; its filters stay as they are.
    fn settle(&self, session: &Session, stack: &mut Stack) -> Result<()> {
        stack.set_rate_scale(0.0);
        let (inputs, size) = (session.data.train.inputs(), self.fit.batch_size);
        for start in (0..session.data.train.len() + 1 - size).step_by(size).take(SETTLED) {
            stack.learn(&inputs.narrow(0, start, size)?)?;
        }
        Ok(())
    }

    /// A readout on the features of this depth, brought to a root mean square of 1/2, and by what.
    fn read_out(
        &self,
        session: &mut Session,
        key: RunKey<'_>,
        stack: &Stack,
        depth: usize,
    ) -> Result<(Row, SoftmaxRegression, f64)> {
        let layers = 1 + PER_DEPTH * depth;
        let some = session.data.train.inputs().narrow(0, 0, session.data.train.len().min(1000))?;
        let features = stack.below(layers, &some)?;
        let size = f64::from(features.sqr()?.mean_all()?.to_scalar::<f32>()?).sqrt();
        let depth = Depth { stack, layers, scale: 0.5 / size.max(1e-12) };
        let readout = SoftmaxRegression::new(features.dim(1)?, session.data.classes, &session.device)?;
        let row = session.read_out(key, &depth, &readout, &self.readout, false)?;
        Ok((row, readout, depth.scale))
    }

    /// Test accuracy over depth.
    fn accuracy(&self, session: &Session) -> Result<Picture> {
        let rows = session.rows();
        let series = MODELS.into_iter().enumerate().map(|(hue, model)| {
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
