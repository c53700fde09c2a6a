//! The settings.

use hebbian::{FitConfig, FoldiakConfig, Parameters};
use hebbian_experiment::{DataSettings, RunSettings};
use hebbian_training::{Invalid, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Földiák's sparse coding of 1990 against the notebook's one-shot variant
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Images, for patches.
    pub data: DataSettings,
    /// What the patterns are.
    pub input: Input,
    /// How many patterns.
    pub sizes: Sizes,
    /// The network of 1990.
    pub rule: FoldiakConfig,
    /// How both networks learn; the notebook's rates stay constant.
    pub fit: FitConfig,
    /// The notebook's one-shot variant, with as many units.
    pub notebook: FoldiakConfig,
    /// Device and seeds.
    pub run: RunSettings,
}

/// What the patterns are.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Input {
    /// Horizontal and vertical lines on a grid.
    Bars(Lines),
    /// Patches of the dataset's images, in gray.
    Patches(Patches),
}

#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lines {
    /// Pixels per side of the grid.
    #[schemars(range(min = 1, max = 256))]
    pub side: usize,
    /// Probability of each line.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub line_probability: f64,
}

#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Patches {
    /// Pixels per side of a patch.
    #[schemars(range(min = 1))]
    pub patch_size: usize,
    /// Where in an image patches are cut.
    pub cut: Cut,
    /// What is done to patches before they are learned.
    pub whitening: Whitening,
}

/// Where in an image patches are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// Anywhere.
    Random,
    /// In the middle, as the notebook does.
    Center,
}

/// What is done to patches before they are learned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Whitening {
    /// Nothing.
    None,
    /// A pixel becomes 1 where it is at least its patch's mean, else 0.
    Binary,
    /// Zero-phase component analysis, then each patch to length 1.
    Zca {
        /// Share of the largest variance that is added to each.
        #[schemars(extend("exclusiveMinimum" = 0))]
        floor: f64,
    },
    /// Olshausen and Field's filter on the whole image, then each patch to length 1.
    OneOverF,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Patterns to learn from; center patches are one per image.
    #[schemars(range(min = 1))]
    pub patterns: usize,
    /// Patterns held out to measure by; center patches are one per image.
    #[schemars(range(min = 1))]
    pub test_patterns: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: DataSettings::default(),
            input: Input::Bars(Lines { side: 8, line_probability: 0.125 }),
            sizes: Sizes { patterns: 2000, test_patterns: 1000 },
            rule: FoldiakConfig::default(),
            fit: FitConfig { epochs: 1, batch_size: 20, schedule: Schedule::Constant, in_order: false },
            notebook: FoldiakConfig::notebook(),
            run: RunSettings::default(),
        }
    }
}

impl Default for Patches {
    fn default() -> Self {
        Self { patch_size: 10, cut: Cut::Random, whitening: Whitening::Zca { floor: 0.01 } }
    }
}

impl Parameters for Settings {
    fn check_together(&self) -> Result<(), Invalid> {
        self.rule.check_as("rule")?;
        self.notebook.check_as("notebook")?;
        self.fit.check_as("fit")
    }
}
