//! What a rule sees of the examples.

use anyhow::Result;
use hebbian_datasets::Dataset;
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
    /// How a model prepares examples of the dataset `raw`.
    ///
    /// # Errors
    /// If the range of its numbers cannot be told.
    pub(super) fn preprocess(self, raw: &Dataset) -> Result<Preprocess> {
        Ok(match self {
            Self::Binarize { threshold } => Preprocess::Binarize(threshold),
            _ if raw.is_bytes() => Preprocess::Scale,
            Self::Unit => {
                let [least, most] = raw.range()?;
                Preprocess::Between { least, most }
            }
            Self::Scale => Preprocess::None,
        })
    }
}
