//! What `--dataset` was given.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A dataset by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(!try_from, !into, with = "String", inline, extend("x-allowed" = ALLOWED))]
pub enum DatasetName {
    /// Handwritten digits, embedded.
    Mnist,
    /// Any other: its short name or its `OWNER/NAME` at the hub.
    Hub(String),
}

const SHORT: [&str; 2] = ["fashion-mnist", "cifar10"];
const ALLOWED: &str = "mnist, fashion-mnist, cifar10, or OWNER/NAME of the Hugging Face hub";

impl FromStr for DatasetName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let has_owner =
            text.split_once('/').is_some_and(|(owner, name)| !owner.is_empty() && !name.is_empty());
        match text {
            "mnist" => Ok(Self::Mnist),
            _ if SHORT.contains(&text) || has_owner => Ok(Self::Hub(text.to_owned())),
            _ => Err(format!("allowed: {ALLOWED}")),
        }
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mnist => formatter.write_str("mnist"),
            Self::Hub(id) => formatter.write_str(id),
        }
    }
}

impl TryFrom<String> for DatasetName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DatasetName> for String {
    fn from(name: DatasetName) -> Self {
        name.to_string()
    }
}
