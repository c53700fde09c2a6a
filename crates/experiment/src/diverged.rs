//! Descent that has left the numbers.

use candle_core::Result;
use hebbian_classifier::{DescentConfig, Epoch, Network};
use hebbian_training::all_finite;
use serde_json::json;

/// A network that is no result. Its row says so, and the others are made.
#[derive(Debug, thiserror::Error)]
#[error(
    "diverged in epoch {epoch}: {what} not finite (learning rate {rate:e}, weight decay {decay:e}, loss {loss})"
)]
pub(crate) struct Diverged {
    epoch: usize,
    what: String,
    rate: f64,
    decay: f64,
    loss: String,
}

impl Diverged {
    /// Of what is not finite after an `epoch` of `network`, the first.
    pub(crate) fn of(epoch: &Epoch, network: &dyn Network, config: &DescentConfig) -> Result<Option<Self>> {
        let losses = epoch.evaluations.iter().map(|(set, evaluation)| (*set, evaluation.loss));
        let mut losses = [("train", epoch.loss)].into_iter().chain(losses);
        let what = match losses.find(|(_, loss)| !loss.is_finite()) {
            Some((set, _)) => format!("the {set} loss is"),
            None => {
                let finite: Result<Vec<bool>> =
                    network.variables().iter().map(|variable| all_finite(variable)).collect();
                if finite?.into_iter().all(|finite| finite) {
                    return Ok(None);
                }
                "its weights are".to_owned()
            }
        };
        let DescentConfig { learning_rate: rate, weight_decay: decay, .. } = *config;
        let loss = json!(config.loss).as_str().map(short).unwrap_or_default();
        Ok(Some(Self { epoch: epoch.epoch, what, rate, decay, loss }))
    }

    /// Of a network that no numbers could be learned from.
    pub(crate) fn since_its_inputs_are_not_finite(self) -> Self {
        Self { what: "the features that it learned from are".to_owned(), ..self }
    }
}

/// The numbers between the colons in short.
fn short(loss: &str) -> String {
    let part =
        |part: &str| part.parse::<f64>().map_or_else(|_| part.to_owned(), |number| format!("{number:e}"));
    loss.split(':').map(part).collect::<Vec<_>>().join(":")
}
