//! The settings that all experiments share.

use std::path::PathBuf;

use anyhow::Result;
use hebbian_training::{Invalid, Parameters};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DatasetName, DeviceChoice};

/// Where to compute, and with which seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunSettings {
    /// Where to compute.
    pub device: DeviceChoice,
    /// Decides all draws and shuffles.
    #[schemars(range(max = LARGEST_SEED))]
    pub seed: u64,
    /// With how many seeds to repeat all, counting up from the first.
    #[schemars(range(min = 1, max = 1000))]
    pub seeds: u64,
}

/// TOML knows no larger integer; a thousand seeds above it must fit too.
const LARGEST_SEED: u64 = i64::MAX as u64 - 1000;

impl RunSettings {
    /// The seeds to repeat the run with.
    pub fn all_seeds(&self) -> Vec<u64> {
        (self.seed..self.seed + self.seeds).collect()
    }
}

impl Default for RunSettings {
    fn default() -> Self {
        Self { device: DeviceChoice::Auto, seed: 0, seeds: 1 }
    }
}

/// Checks that every `batch_size` in the tables of `settings` is at most `most`, the number of `examples`.
///
/// # Errors
/// Names the first that is not.
pub fn check_batches<P: Parameters>(settings: &P, examples: &str, most: usize) -> Result<()> {
    let settings = serde_json::to_value(settings)?;
    for (table, fields) in settings.as_object().into_iter().flatten() {
        let Some(size) = fields["batch_size"].as_u64() else { continue };
        let (path, allowed) = (format!("{table}.batch_size"), format!("1 to the {examples} ({most})"));
        Invalid::unless(size <= most as u64, &path, size, allowed)?;
    }
    Ok(())
}

/// What images to learn from, and how many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataSettings {
    /// What to learn: mnist is embedded; with the feature hub also fashion-mnist, cifar10 and any OWNER/NAME of the Hugging
    /// Face hub that has images.
    pub dataset: DatasetName,
    /// Folder with one's own dataset, in any form of docs/your_data.md: arrays, tables, IDX, CIFAR, folders of images.
    pub data_dir: Option<PathBuf>,
    /// What that dataset is called; its folder's name if not given.
    pub name: Option<String>,
    /// How the values of an array's image lie, where its shape does not tell: HxW, HxWxC or CxHxW.
    pub image_shape: Option<String>,
    /// Height and width that all image files are brought to: HxW.
    pub image_size: Option<String>,
    /// Training images; all that validation leaves if not given.
    #[schemars(range(min = 1))]
    pub train_size: Option<usize>,
    /// Validation images, the same for every seed; 0 trains on all; a sixth, but at most 10000, if not given.
    pub validation_size: Option<usize>,
    /// Test images; all if not given.
    #[schemars(range(min = 1))]
    pub test_size: Option<usize>,
}

impl Default for DataSettings {
    fn default() -> Self {
        let dataset = DatasetName::Mnist;
        let (train_size, validation_size, test_size) = (None, None, None);
        let (data_dir, name, image_shape, image_size) = (None, None, None, None);
        Self { dataset, data_dir, name, image_shape, image_size, train_size, validation_size, test_size }
    }
}
