//! What the readout is trained to make small.

use std::fmt;
use std::str::FromStr;

use candle_core::{Result, Tensor};
use candle_nn::ops::log_softmax;
use hebbian_training::Invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A loss on logits `(batch, classes)` and labels `(batch)`, the mean over the batch.
///
/// Written in configs and on command lines as `cross-entropy`, `cross-entropy:SMOOTHING` or `tanh:BETA:M`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(!try_from, !into, with = "String", inline, extend("x-allowed" = FORMS))]
pub enum Loss {
    /// `-Σ_c t_c log softmax(z)_c`, where the target t is `1 - smoothing` on the label plus `smoothing / classes`
    /// everywhere (Szegedy et al. 2016); 0 is the plain cross-entropy.
    CrossEntropy {
        /// The share of the target that is spread over all classes, in [0, 1).
        smoothing: f64,
    },
    /// `Σ_c |tanh(beta z_c) - t_c|^m` with t = 1 for the label and -1 elsewhere: the loss of Krotov and Hopfield 2019.
    Tanh {
        /// Slope at the origin.
        beta: f64,
        /// Exponent, at least 1.
        m: f64,
    },
}

impl Default for Loss {
    fn default() -> Self {
        Loss::CrossEntropy { smoothing: 0.0 }
    }
}

const FORMS: &str = "cross-entropy, cross-entropy:SMOOTHING with 0 <= SMOOTHING < 1, \
                     tanh:BETA:M with BETA > 0 and M >= 1";

impl Loss {
    /// Checks that the parameters are finite and in their ranges; the error calls the loss `field`.
    pub fn validate(&self, field: &str) -> std::result::Result<(), Invalid> {
        let meaningful = match *self {
            Loss::CrossEntropy { smoothing } => (0.0..1.0).contains(&smoothing),
            Loss::Tanh { beta, m } => beta.is_finite() && beta > 0.0 && m.is_finite() && m >= 1.0,
        };
        Invalid::unless(meaningful, field, self, FORMS)
    }

    /// The loss, a scalar.
    pub fn of(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let (batch, classes) = logits.dims2()?;
        let column = labels.unsqueeze(1)?.contiguous()?;
        let sum = match *self {
            Loss::CrossEntropy { smoothing } => {
                let log = log_softmax(logits, 1)?;
                let of_label = log.gather(&column, 1)?.sum_all()?;
                if smoothing == 0.0 {
                    of_label.neg()?
                } else {
                    let of_all = (log.sum_all()? * (smoothing / classes as f64))?;
                    (of_label * (1.0 - smoothing))?.add(&of_all)?.neg()?
                }
            }
            Loss::Tanh { beta, m } => {
                let twos = (column.ones_like()?.to_dtype(logits.dtype())? * 2.0)?;
                let target = (logits.zeros_like()? - 1.0)?.scatter_add(&column, &twos, 1)?;
                let distance = ((logits * beta)?.tanh()? - target.detach())?.abs()?;
                distance.powf(m)?.sum_all()?
            }
        };
        sum / batch as f64
    }
}

impl FromStr for Loss {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = |text: &str| text.parse::<f64>().ok();
        let loss = match text.split(':').collect::<Vec<_>>()[..] {
            ["cross-entropy"] => Some(Loss::default()),
            ["cross-entropy", smoothing] => {
                number(smoothing).map(|smoothing| Loss::CrossEntropy { smoothing })
            }
            ["tanh", beta, m] => number(beta).zip(number(m)).map(|(beta, m)| Loss::Tanh { beta, m }),
            _ => None,
        };
        let loss = loss.filter(|loss| loss.validate("loss").is_ok());
        loss.ok_or_else(|| format!("loss `{text}` is not one of {FORMS}"))
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::CrossEntropy { smoothing: 0.0 } => write!(formatter, "cross-entropy"),
            Loss::CrossEntropy { smoothing } => write!(formatter, "cross-entropy:{smoothing}"),
            Loss::Tanh { beta, m } => write!(formatter, "tanh:{beta}:{m}"),
        }
    }
}

impl TryFrom<String> for Loss {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Loss> for String {
    fn from(loss: Loss) -> Self {
        loss.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn loss(loss: Loss) -> f32 {
        let logits = Tensor::new(&[[1f32, 0.0, -1.0], [0.5, 2.0, 0.0]], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[0u32, 2], &Device::Cpu).unwrap();
        loss.of(&logits, &labels).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn cross_entropy_is_the_mean_negative_log_probability() {
        let log_sum = |z: [f32; 3]| z.iter().map(|z| z.exp()).sum::<f32>().ln();
        let expected = (log_sum([1.0, 0.0, -1.0]) - 1.0 + log_sum([0.5, 2.0, 0.0])) / 2.0;
        assert!((loss(Loss::default()) - expected).abs() < 1e-6);
    }

    #[test]
    fn smoothing_spreads_its_share_over_all_classes() {
        let log_sum = |z: [f32; 3]| z.iter().map(|z| z.exp()).sum::<f32>().ln();
        let first = log_sum([1.0, 0.0, -1.0]) - (0.9 + 0.1 * 0.0);
        let second = log_sum([0.5, 2.0, 0.0]) - 0.1 * 2.5 / 3.0;
        let smoothed = loss(Loss::CrossEntropy { smoothing: 0.1 });
        assert!((smoothed - (first + second) / 2.0).abs() < 1e-6, "{smoothed}");
    }

    #[test]
    fn the_tanh_loss_is_the_papers() {
        let term = |z: f32, t: f32| ((0.5 * z).tanh() - t).abs().powi(6);
        let first = term(1.0, 1.0) + term(0.0, -1.0) + term(-1.0, -1.0);
        let second = term(0.5, -1.0) + term(2.0, -1.0) + term(0.0, 1.0);
        let ours = loss(Loss::Tanh { beta: 0.5, m: 6.0 });
        assert!((ours - (first + second) / 2.0).abs() < 1e-4 * ours, "{ours}");
    }

    #[test]
    fn what_is_written_is_read_back_and_nonsense_is_refused() {
        for text in ["cross-entropy", "cross-entropy:0.1", "tanh:0.1:6"] {
            assert_eq!(text.parse::<Loss>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "hinge",
            "cross-entropy:1",
            "cross-entropy:x",
            "tanh",
            "tanh:0:6",
            "tanh:1:0.5",
            "tanh:1:2:3",
        ] {
            assert!(text.parse::<Loss>().unwrap_err().contains("is not one of"), "{text}");
        }
    }
}
