//! How a rate falls while training goes on.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Invalid;

/// A factor on a learning rate, 1 at the start of training.
///
/// Written in configs and on command lines as `constant`, `linear` or `staircase:EVERY:FACTOR`:
///
/// ```
/// use hebbian_training::{Progress, Schedule};
///
/// let notebook: Schedule = "staircase:20000:0.7".parse()?;
/// assert_eq!(notebook.factor(Progress { epoch: 80, epochs: 300, step: 40_500 }), 0.7 * 0.7);
/// assert_eq!(Schedule::Linear.factor(Progress { epoch: 15, epochs: 20, step: 9_000 }), 0.25);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(!try_from, !into, with = "String", inline, extend("x-allowed" = FORMS))]
pub enum Schedule {
    /// Always 1.
    Constant,
    /// `1 - epoch / epochs`, constant within an epoch: the last epoch still learns, at `1 / epochs`.
    #[default]
    Linear,
    /// `factor` to the power of the whole number of times that `every` steps have gone by.
    Staircase {
        /// Steps between two falls.
        every: usize,
        /// What the rate is multiplied by at each fall.
        factor: f64,
    },
}

const FORMS: &str = "constant, linear or staircase:EVERY:FACTOR, both above 0";

/// How far training has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The epoch under way, from 0.
    pub epoch: usize,
    /// How many epochs there will be.
    pub epochs: usize,
    /// Steps taken since the first epoch began.
    pub step: usize,
}

impl Schedule {
    /// Checks a staircase's steps and factor, which are above 0; the error calls the schedule `field`.
    pub fn validate(&self, field: &str) -> Result<(), Invalid> {
        let meaningful = match *self {
            Schedule::Constant | Schedule::Linear => true,
            Schedule::Staircase { every, factor } => every > 0 && factor.is_finite() && factor > 0.0,
        };
        Invalid::unless(meaningful, field, self, FORMS)
    }

    /// What to multiply the rate by.
    pub fn factor(&self, progress: Progress) -> f64 {
        match *self {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 - progress.epoch as f64 / progress.epochs as f64,
            Schedule::Staircase { every, factor } => factor.powf((progress.step / every) as f64),
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || format!("schedule `{text}` is not one of constant, linear, staircase:EVERY:FACTOR");
        let staircase = |parameters: &str| {
            let (every, factor) = parameters.split_once(':')?;
            let (every, factor) = (every.parse().ok()?, factor.parse().ok()?);
            let schedule = Schedule::Staircase { every, factor };
            schedule.validate("schedule").ok().map(|()| schedule)
        };
        match text.split_once(':') {
            None if text == "constant" => Ok(Schedule::Constant),
            None if text == "linear" => Ok(Schedule::Linear),
            Some(("staircase", parameters)) => staircase(parameters).ok_or_else(refused),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Constant => write!(formatter, "constant"),
            Schedule::Linear => write!(formatter, "linear"),
            Schedule::Staircase { every, factor } => write!(formatter, "staircase:{every}:{factor}"),
        }
    }
}

impl TryFrom<String> for Schedule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: usize) -> Progress {
        Progress { epoch, epochs: 4, step: epoch * 100 }
    }

    #[test]
    fn linear_falls_by_the_epoch_and_never_reaches_zero() {
        let factors: Vec<f64> = (0..4).map(|epoch| Schedule::Linear.factor(at(epoch))).collect();
        assert_eq!(factors, [1.0, 0.75, 0.5, 0.25]);
    }

    #[test]
    fn a_staircase_falls_by_the_step() {
        let schedule = Schedule::Staircase { every: 200, factor: 0.5 };
        let factors: Vec<f64> = (0..4).map(|epoch| schedule.factor(at(epoch))).collect();
        assert_eq!(factors, [1.0, 1.0, 0.5, 0.5]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["constant", "linear", "staircase:20000:0.7"] {
            let schedule: Schedule = text.parse().unwrap();
            assert_eq!(schedule.to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_is_allowed() {
        for text in
            ["", "cosine", "linear:2", "staircase", "staircase:0:0.5", "staircase:10:x", "staircase:10:-1"]
        {
            let refused = text.parse::<Schedule>().unwrap_err();
            assert!(refused.contains("constant, linear, staircase:EVERY:FACTOR"), "{refused}");
        }
    }
}
