//! What a layer's answer becomes before a readout sees it.

use candle_core::{Result, Tensor};
use hebbian::LearningRule;
use hebbian_classifier::FeaturesConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How inputs become the features of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Encoding {
    /// Features are what the rule's `forward` gives: a spatial pooler's codes, for one.
    #[default]
    Layer,
    /// Features are rectified powers of the weights' product with inputs of unit length, as
    /// [`Features`](hebbian_classifier::Features) computes them.
    Power {
        /// Exponent, mean and scale.
        features: FeaturesConfig,
        /// Which weights the product is with.
        weights: FeatureWeights,
    },
}

/// Which of a rule's weights its features are computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureWeights {
    /// Those that it learns, [`LearningRule::weights`].
    #[default]
    Plain,
    /// Those that its units respond with, [`LearningRule::synapses`].
    Synapses,
}

impl FeatureWeights {
    /// These weights of `rule`, `(units, inputs)`.
    pub(crate) fn of(self, rule: &dyn LearningRule) -> Result<Tensor> {
        match self {
            Self::Plain => rule.weights(),
            Self::Synapses => rule.synapses(),
        }
    }
}
