//! What the layers are worth to a classifier: readouts on digits that are shown as short sequences of views.

use anyhow::Result;
use candle_core::Tensor;
use hebbian::{Invariance, Learning, LearningRule, MultiWinner, Registry, Rule, Stack};
use hebbian_classifier::{
    Features, FeaturesConfig, Labeled, SoftmaxRegression, encode, evaluate, random_images,
};
use hebbian_experiment::codes::shift_variance;
use hebbian_experiment::{Phase, Row, RunKey, Session};
use hebbian_training::Generator;

use crate::Layers;
use crate::settings::Settings;
use crate::streams::{Digits, SHIFTS, Streams};

const PIXELS: &str = "pixels";
const RANDOM_IMAGES: &str = "random-images";
const RANDOM_WIRING: &str = "random-wiring";
const BOTH: &str = "both-layers";
const SANDWICH: &str = "sandwich";
const READOUTS: [&str; 7] =
    [PIXELS, RANDOM_IMAGES, MultiWinner::NAME, Invariance::NAME, BOTH, RANDOM_WIRING, SANDWICH];

/// Digits, and what the two layers make of their views.
struct Seen {
    digits: Digits,
    /// Of the sparse layer, `(digits · views, units)`.
    code: Tensor,
    /// Of the invariance layer, which begins anew with each digit, `(digits · views, units)`.
    averages: Tensor,
}

impl Seen {
    fn new(digits: &Digits, layers: &Layers) -> Result<Self> {
        let code = layers.code(&digits.frames)?;
        Ok(Self { averages: digits.averages(&layers.invariance, &code)?, digits: digits.clone(), code })
    }
}

/// The layers that are compared beside the two trained ones.
struct Others {
    /// Training views as weights.
    images: Features,
    /// An invariance layer that learned nothing, on the trained sparse layer.
    wiring: Invariance,
    /// A second sparse layer, on the trained invariance layer.
    third: MultiWinner,
}

impl Others {
    /// What `model` says about each digit, `(digits, features)`.
    fn features(&self, model: &str, seen: &Seen) -> Result<Tensor> {
        let digits = &seen.digits;
        match model {
            PIXELS => digits.mean(&digits.frames),
            RANDOM_IMAGES => digits.mean(&encode(&self.images, &digits.frames)?),
            MultiWinner::NAME => digits.mean(&seen.code),
            Invariance::NAME => digits.last(&seen.averages),
            RANDOM_WIRING => digits.last(&digits.averages(&self.wiring, &seen.code)?),
            SANDWICH => digits.mean(&encode(&self.third, &seen.averages)?),
            _ => {
                let (sparse, invariant) = (digits.mean(&seen.code)?, digits.last(&seen.averages)?);
                let invariant = (&invariant * (size(&sparse)? / size(&invariant)?))?;
                Ok(Tensor::cat(&[sparse, invariant], 1)?)
            }
        }
    }
}

/// The root mean square.
fn size(features: &Tensor) -> Result<f64> {
    Ok(f64::from(features.sqr()?.mean_all()?.to_scalar::<f32>()?).sqrt().max(1e-12))
}

fn row_name(model: &str) -> String {
    format!("{model} views")
}

impl Settings {
    /// Trains a readout on what each layer says about the session's digits.
    pub(crate) fn read_out(
        &self,
        session: &mut Session<Streams>,
        seed: u64,
        stack: &Stack,
        layers: &Layers,
    ) -> Result<()> {
        let done = READOUTS.iter().all(|model| session.has(RunKey { seed, name: &row_name(model) }));
        let Some((train, test)) = session.data.digits.clone().filter(|_| !done) else { return Ok(()) };
        let sets = [Seen::new(&train, layers)?, Seen::new(&test, layers)?];
        let others = self.others(session, seed, stack, &train)?;
        for model in READOUTS {
            let name = row_name(model);
            let key = RunKey { seed, name: &name };
            session.row(key, |session| {
                let features = [others.features(model, &sets[0])?, others.features(model, &sets[1])?];
                let row = self.evaluate(session, key, features, &sets)?;
                let shifts = &session.data.shifts;
                let response = match model {
                    PIXELS => Some(shifts.clone()),
                    RANDOM_WIRING => Some(others.wiring.drive(&layers.code(shifts)?)?),
                    _ => None,
                };
                let share = response.map(|response| shift_variance(&response, SHIFTS)).transpose()?;
                let measures = share.map(|share| ("shift_variance".to_owned(), share)).into_iter().collect();
                Ok(Row { model: model.to_owned(), readout: Some("views".to_owned()), measures, ..row })
            })?;
        }
        Ok(())
    }

    fn others(
        &self,
        session: &mut Session<Streams>,
        seed: u64,
        stack: &Stack,
        train: &Digits,
    ) -> Result<Others> {
        let (units, device) = (self.rule.units, session.device.clone());
        let mut draws = Generator::new(seed, RANDOM_IMAGES);
        let images = random_images(&train.frames, units, &mut draws)?;
        let mut draws = Generator::new(seed, RANDOM_WIRING);
        Ok(Others {
            images: Features::fit(FeaturesConfig::default(), images, &train.frames)?,
            wiring: Invariance::new(self.invariance.clone(), units, &mut draws, &device)?,
            third: self.third(session, seed, stack)?,
        })
    }

    /// A second sparse layer on top of the two, which learns from what they say once they have learned.
    fn third(&self, session: &mut Session<Streams>, seed: u64, stack: &Stack) -> Result<MultiWinner> {
        let config = self.sandwich.clone();
        let mut draws = Generator::new(seed, SANDWICH);
        let third = MultiWinner::new(config.clone(), self.invariance.units, &mut draws, &session.device)?;
        let copy =
            |rule: &dyn LearningRule| Registry::builtin().load(rule.name(), &rule.config(), rule.state()?);
        let mut rules = Vec::new();
        for below in stack.rules() {
            rules.push(copy(&**below)?);
        }
        rules.push(Box::new(third));
        let mut stack = Stack::new(rules, Learning::Greedy(vec![0, 0, self.sandwich_fit.epochs]))?;
        let key = RunKey { seed, name: SANDWICH };
        let mut fit = session.begin(key, &mut stack, &self.sandwich_fit)?;
        session.learn(key, &mut fit, &mut stack, |_, _| Ok(()))?;
        Ok(MultiWinner::from_state(config, stack.rules()[2].state()?)?)
    }

    /// Trains a readout on `features` of the training digits and evaluates it on those of the test digits.
    fn evaluate(
        &self,
        session: &mut Session<Streams>,
        key: RunKey<'_>,
        [train, test]: [Tensor; 2],
        sets: &[Seen; 2],
    ) -> Result<Row> {
        let scale = size(&train)?;
        let labeled =
            |features: Tensor, seen: &Seen| Labeled::new((features / scale)?, seen.digits.labels.clone());
        let (train, test) = (labeled(train, &sets[0])?, labeled(test, &sets[1])?);
        let units = train.inputs().dim(1)?;
        let readout = SoftmaxRegression::new(units, session.data.classes, &session.device)?;
        let config = &self.readout;
        session.descend((key, Phase::Readout), &readout, config, &train, &[])?;
        let accuracy =
            |set: &Labeled| evaluate(&readout, set, &config.loss).map(|evaluation| Some(evaluation.accuracy));
        Ok(Row {
            units: Some(units),
            train_accuracy: accuracy(&train)?,
            test_accuracy: accuracy(&test)?,
            readout_seconds: Some(session.metrics.seconds(key, Phase::Readout)),
            ..Row::default()
        })
    }
}
