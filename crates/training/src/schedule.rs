//! How a rate falls while training goes on.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Invalid;

/// A factor on a learning rate, 1 at the start of training.
///
/// Written in configs and on command lines as `constant`, `linear`, `staircase:EVERY:FACTOR` or
/// `halving:SHARE:SHARE:...`:
///
/// ```
/// use hebbian_training::{Progress, Schedule};
///
/// let notebook: Schedule = "staircase:20000:0.7".parse()?;
/// assert_eq!(notebook.factor(Progress { epoch: 80, epochs: 300, step: 40_500 }), 0.7 * 0.7);
/// assert_eq!(Schedule::Linear.factor(Progress { epoch: 15, epochs: 20, step: 9_000 }), 0.25);
/// let thrice: Schedule = "halving:0.2:0.35:0.5".parse()?;
/// assert_eq!(thrice.factor(Progress { epoch: 17, epochs: 50, step: 13_000 }), 0.25);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// One half to the power of the number of halvings so far. Each halving is at the start of the epoch
    /// `floor(share * epochs)`, counted from 0: for 50 epochs the share 0.35 is the start of epoch 17.
    Halving {
        /// The shares of all epochs after which the rate is halved, above 0 and below 1, each above the one before it.
        shares: Vec<f64>,
    },
}

const FORMS: &str = "constant, linear, staircase:EVERY:FACTOR with both above 0, \
                     halving:SHARE:SHARE:... with 0 < SHARE < 1 and each above the one before it";

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
    /// Checks a staircase's steps and factor, which are above 0, and the shares of halvings, which rise between 0 and 1;
    /// the error calls the schedule `field`.
    pub fn validate(&self, field: &str) -> Result<(), Invalid> {
        let meaningful = match self {
            Schedule::Constant | Schedule::Linear => true,
            Schedule::Staircase { every, factor } => *every > 0 && factor.is_finite() && *factor > 0.0,
            Schedule::Halving { shares } => {
                let between = |share: &f64| *share > 0.0 && *share < 1.0;
                !shares.is_empty() && shares.iter().all(between) && shares.is_sorted_by(|a, b| a < b)
            }
        };
        Invalid::unless(meaningful, field, self, FORMS)
    }

    /// What to multiply the rate by.
    pub fn factor(&self, progress: Progress) -> f64 {
        match self {
            Schedule::Constant => 1.0,
            Schedule::Linear => 1.0 - progress.epoch as f64 / progress.epochs as f64,
            Schedule::Staircase { every, factor } => factor.powf((progress.step / every) as f64),
            Schedule::Halving { shares } => {
                let over = |share: &&f64| first_epoch_after(**share, progress.epochs) <= progress.epoch;
                0.5f64.powi(shares.iter().filter(over).count() as i32)
            }
        }
    }
}

/// `floor(share * epochs)`. A product that rounding leaves just below a whole number is that number: 0.29 of 100 epochs
/// are 29 and not 28.
fn first_epoch_after(share: f64, epochs: usize) -> usize {
    (share * epochs as f64 * (1.0 + 4.0 * f64::EPSILON)) as usize
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse::<f64>().ok();
        let schedule = match text.split(':').collect::<Vec<_>>()[..] {
            ["constant"] => Some(Schedule::Constant),
            ["linear"] => Some(Schedule::Linear),
            ["staircase", every, factor] => {
                let parameters = every.parse().ok().zip(number(factor));
                parameters.map(|(every, factor)| Schedule::Staircase { every, factor })
            }
            ["halving", ref shares @ ..] => {
                let shares = shares.iter().map(|share| number(share)).collect::<Option<_>>();
                shares.map(|shares| Schedule::Halving { shares })
            }
            _ => None,
        };
        let schedule = schedule.filter(|schedule| schedule.validate("schedule").is_ok());
        schedule.ok_or_else(|| format!("schedule `{text}` is not one of {FORMS}"))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Constant => write!(formatter, "constant"),
            Schedule::Linear => write!(formatter, "linear"),
            Schedule::Staircase { every, factor } => write!(formatter, "staircase:{every}:{factor}"),
            Schedule::Halving { shares } => {
                write!(formatter, "halving")?;
                shares.iter().try_for_each(|share| write!(formatter, ":{share}"))
            }
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

    const PUBLISHED: &str = "halving:0.2:0.35:0.5:0.6:0.7:0.8:0.9";

    /// The epochs at whose start the rate is halved, and how often.
    fn halvings(schedule: &str, epochs: usize) -> Vec<(usize, i32)> {
        let schedule: Schedule = schedule.parse().unwrap();
        let factor = |epoch| schedule.factor(Progress { epoch, epochs, step: 0 });
        let before = |epoch| if epoch == 0 { 1.0 } else { factor(epoch - 1) };
        let times = |epoch| (before(epoch) / factor(epoch)).log2() as i32;
        (0..epochs).map(|epoch| (epoch, times(epoch))).filter(|&(_, times)| times > 0).collect()
    }

    #[test]
    fn rates_are_halved_at_the_start_of_the_epochs_that_were_published() {
        let epochs = [10, 17, 25, 30, 35, 40, 45].map(|epoch| (epoch, 1));
        assert_eq!(halvings(PUBLISHED, 50), epochs);
    }

    #[test]
    fn shares_that_end_in_the_same_epoch_halve_it_once_each() {
        assert_eq!(halvings(PUBLISHED, 4), [(0, 1), (1, 1), (2, 3), (3, 2)]);
    }

    #[test]
    fn every_hundredth_of_a_hundred_epochs_is_the_epoch_that_it_names() {
        for epoch in 1..100 {
            assert_eq!(halvings(&format!("halving:{}", epoch as f64 / 100.0), 100), [(epoch, 1)]);
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["constant", "linear", "staircase:20000:0.7", "halving:0.5", PUBLISHED] {
            let schedule: Schedule = text.parse().unwrap();
            assert_eq!(schedule.to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_is_allowed() {
        let staircases = ["staircase", "staircase:0:0.5", "staircase:10:x", "staircase:10:-1"];
        let halvings = ["halving", "halving:", "halving:0", "halving:1", "halving:NaN", "halving:0.5:"];
        let falling = ["halving:0.5:0.5", "halving:0.5:0.4", "staircase:10:0.5:2"];
        for text in ["", "cosine", "linear:2"].into_iter().chain(staircases).chain(halvings).chain(falling) {
            let refused = text.parse::<Schedule>().unwrap_err();
            assert!(refused.contains("constant, linear, staircase:EVERY:FACTOR"), "{refused}");
            assert!(refused.contains("halving:SHARE:SHARE:..."), "{refused}");
        }
    }
}
