//! What is trained beside the rule, where it is asked for.

use anyhow::Result;
use hebbian::LearningRule;
use hebbian_classifier::Mlp;
use hebbian_model::Model;
use hebbian_training::Generator;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Learner, Train};
use crate::{LINEAR_CONTROL, Row, RunKey, Session, Subject};

/// What a learned layer is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// The rule before it has learned anything, read out alike.
    Untrained,
    /// Softmax regression on the examples themselves.
    Linear,
    /// A network of as many hidden units that labels teach.
    Backprop,
}

impl Control {
    /// The name of its row.
    pub fn name(self) -> &'static str {
        match self {
            Self::Untrained => "untrained",
            Self::Linear => LINEAR_CONTROL,
            Self::Backprop => "backprop",
        }
    }
}

impl<R: Learner> Train<R> {
    pub(super) fn control(&self, session: &mut Session, key: RunKey<'_>, control: Control) -> Result<Row> {
        let (inputs, classes) = (session.data.inputs().dim(1)?, session.data.classes);
        let layer = self.create(session.data.inputs(), key.seed, &session.device)?;
        let row = match control {
            Control::Untrained => {
                let model = Model::new(Box::new(layer))?;
                let model = model.with_encoding(self.encoding(), session.data.inputs())?;
                self.read_out_of(session, key, &model)?.0
            }
            Control::Linear => session.linear_control(key, &self.linear, &self.supervised)?,
            Control::Backprop => {
                let mut draws = Generator::new(key.seed, key.name);
                let network = Mlp::new(inputs, layer.units(), classes, &mut draws, &session.device)?;
                let row = session.learn_supervised(key, &network, &self.supervised, false)?;
                Row { units: Some(layer.units()), ..row }
            }
        };
        Ok(Row { model: key.name.to_owned(), ..row })
    }
}
