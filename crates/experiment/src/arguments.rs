//! The arguments that all examples share.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum, value_parser};
use hebbian_training::Invalid;
use serde::{Serialize, Serializer};

use crate::DeviceChoice;

/// Shared arguments. Those that serde skips steer a run; all others are settings that its results depend on.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Common {
    /// TOML file with settings, one `flag_name = value` a line; flags on the command line win
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,

    /// What to learn; mnist is embedded, all else comes from --data-dir or, with the feature hub, from the Hugging Face hub
    #[arg(long, value_enum, default_value_t = DatasetName::Mnist)]
    pub dataset: DatasetName,

    /// Folder with the dataset: IDX files, CIFAR-10's binary files, PNG files by class, npy or safetensors arrays
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,

    /// Training images; all that validation leaves if not given
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_size: Option<usize>,

    /// Validation images, the same for every seed; 0 trains on all
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub validation_size: usize,

    /// Test images; all if not given
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_size: Option<usize>,

    /// Hidden units; several numbers with commas where an example compares sizes
    #[arg(long, value_name = "N", default_value = "2000")]
    pub units: Units,

    /// Epochs of unsupervised learning
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub epochs: usize,

    /// Samples per step, of every model
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub batch_size: usize,

    /// Epochs of supervised readout training
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub readout_epochs: usize,

    /// Decides all draws and shuffles
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u64).range(..=LARGEST_SEED))]
    pub seed: u64,

    /// Repeat with this many seeds, counting up from --seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..=1000))]
    pub seeds: u64,

    /// Run folder [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub out: Option<PathBuf>,

    /// Go on with the run in the folder, exactly as if it had not stopped
    #[arg(long)]
    #[serde(skip)]
    pub resume: bool,

    /// Print the table only
    #[arg(long)]
    #[serde(skip)]
    pub quiet: bool,

    /// Write event files for TensorBoard into the run folder
    #[arg(long)]
    #[serde(skip)]
    pub tensorboard: bool,

    /// Write a timeline for chrome://tracing or Perfetto
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub trace: Option<PathBuf>,
}

/// TOML knows no larger integer; a thousand seeds above it must fit too.
const LARGEST_SEED: u64 = i64::MAX as u64 - 1000;

/// The datasets that an experiment can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetName {
    /// Handwritten digits, embedded
    Mnist,
    /// Articles of clothing
    FashionMnist,
    /// Small color photographs of ten classes
    #[value(name = "cifar10")]
    #[serde(rename = "cifar10")]
    Cifar10,
}

/// One number of hidden units, or several to compare: `2000`, `100,400,2000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Units(Vec<usize>);

impl Units {
    /// All sizes, in the order in which they were given; at least one.
    pub fn all(&self) -> &[usize] {
        &self.0
    }

    /// The only size, for an example that compares none.
    pub fn only(&self) -> Result<usize> {
        match self.0[..] {
            [units] => Ok(units),
            _ => Err(anyhow!("--units is {self}; allowed: one number, since this example compares no sizes")),
        }
    }
}

impl FromStr for Units {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let sizes = text.split(',').map(|size| size.trim().parse().ok());
        let sizes: Option<Vec<usize>> = sizes.collect();
        sizes.map(Self).ok_or_else(|| "expected a whole number, or several with commas".to_owned())
    }
}

impl fmt::Display for Units {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.0.iter().map(usize::to_string).collect();
        formatter.write_str(&sizes.join(","))
    }
}

impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0[..] {
            [units] => serializer.serialize_u64(units as u64),
            _ => serializer.collect_str(self),
        }
    }
}

impl Common {
    /// The seeds to repeat the run with.
    pub fn all_seeds(&self) -> Vec<u64> {
        (self.seed..self.seed + self.seeds).collect()
    }
}

/// Turns the refusal of a config's field into one of the flag that set it: `prefix` is what the flag has before the
/// field's name.
pub fn flagged(prefix: &str, validated: Result<(), Invalid>) -> Result<()> {
    validated.map_err(|Invalid { field, value, allowed }| {
        let name = field.rsplit('.').next().unwrap_or(&field).replace('_', "-");
        anyhow!("--{prefix}{name} is {value}; allowed: {allowed}")
    })
}
