//! What a rule sees of the examples.

use hebbian_datasets::DatasetSummary;
use hebbian_datasets::transforms::Threshold;
use hebbian_model::Preprocess;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the rule sees of the examples.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InputSettings {
    /// What becomes of each value; unit for rules that need numbers from 0 to 1, binarize for the spatial pooler.
    pub prepare: Prepare,
}

/// What becomes of each value before the rule sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Prepare {
    /// Bytes become 0 to 1, other numbers stay as they are.
    #[default]
    Scale,
    /// Bytes become 0 to 1, and so do other numbers, from the least to the largest of the dataset.
    Unit,
    /// It becomes 0 or 1.
    Binarize {
        /// Which values become 1: those above the mean of their own example, or above a value.
        #[schemars(default = "own_mean")]
        threshold: Threshold,
    },
}

fn own_mean() -> Threshold {
    Threshold::Mean
}

impl Prepare {
    /// How the model prepares examples of `dataset`.
    pub(super) fn preprocess(self, dataset: &DatasetSummary) -> Preprocess {
        let [least, most] = dataset.range;
        match self {
            Self::Binarize { threshold } => Preprocess::Binarize(threshold),
            _ if dataset.dtype == "u8" => Preprocess::Scale,
            Self::Unit => Preprocess::Between { least, most },
            Self::Scale => Preprocess::None,
        }
    }
}
