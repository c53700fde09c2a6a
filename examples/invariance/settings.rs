//! The settings.

use hebbian::{FitConfig, InvarianceConfig, MultiWinnerConfig, Parameters};
use hebbian_classifier::DescentConfig;
use hebbian_experiment::{DataSettings, RunSettings};
use hebbian_training::{Invalid, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Invariance learned from a window that moves over digits
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The images that a stream is made of.
    pub data: DataSettings,
    /// The frames.
    pub stream: StreamSettings,
    /// The sparse layer.
    pub rule: MultiWinnerConfig,
    /// The invariance layer on top of it.
    pub invariance: InvarianceConfig,
    /// How the two learn; the schedule is the sparse layer's.
    pub fit: FitConfig,
    /// Digits that readouts tell apart by jittered views.
    pub views: ViewSettings,
    /// Those readouts.
    pub readout: DescentConfig,
    /// A second sparse layer, on top of the invariance layer.
    pub sandwich: MultiWinnerConfig,
    /// How that one learns.
    pub sandwich_fit: FitConfig,
    /// Device and seeds.
    pub run: RunSettings,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamSettings {
    /// What passes by.
    pub video: Video,
    /// Frames per epoch.
    #[schemars(range(min = 1))]
    pub train_size: usize,
    /// Frames that choices are made by, from number 10 000 on.
    pub validation_size: usize,
    /// Frames that are reported, from number 20 000 on, and frames of unseen digits.
    #[schemars(range(min = 1))]
    pub test_size: usize,
}

/// What passes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Video {
    /// A square of digits over which a window strolls.
    Tapestry {
        /// Side of the window, in pixels.
        #[schemars(range(min = 1))]
        window: usize,
    },
    /// A row of digits; the window is an image's.
    Ribbon,
    /// Windows at random places of random images, in color where the dataset is.
    Patches {
        /// Side of the window, in pixels.
        #[schemars(range(min = 1))]
        window: usize,
    },
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewSettings {
    /// Digits that the readouts are trained on; 0 trains none.
    pub digits: usize,
    /// Test digits that they are judged by.
    #[schemars(range(min = 1))]
    pub test_digits: usize,
    /// Views of each digit.
    #[schemars(range(min = 1))]
    pub views: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let video = Video::Tapestry { window: 20 };
        let schedule = Schedule::Staircase { every: 1500, factor: 0.1 };
        let fit = FitConfig { schedule, in_order: true, ..Default::default() };
        Self {
            data: DataSettings::default(),
            stream: StreamSettings { video, train_size: 10_000, validation_size: 10_000, test_size: 10_000 },
            rule: MultiWinnerConfig::default(),
            invariance: InvarianceConfig::default(),
            fit: fit.clone(),
            views: ViewSettings { digits: 10_000, test_digits: 10_000, views: 6 },
            readout: DescentConfig::default(),
            sandwich: MultiWinnerConfig { units: 400, ..Default::default() },
            sandwich_fit: FitConfig { epochs: 5, ..fit },
            run: RunSettings::default(),
        }
    }
}

impl Parameters for Settings {
    fn check_together(&self) -> Result<(), Invalid> {
        for (path, units) in [("rule.units", self.rule.units), ("invariance.units", self.invariance.units)] {
            let square = units.isqrt().pow(2) == units;
            Invalid::unless(square, path, units, "a square number, to be drawn as a map")?;
        }
        let (frames, allowed) =
            (self.stream.train_size, format!("1 to the frames of the stream ({})", self.stream.train_size));
        for (path, size) in [
            ("fit.batch_size", self.fit.batch_size),
            ("sandwich_fit.batch_size", self.sandwich_fit.batch_size),
        ] {
            Invalid::unless(size <= frames, path, size, &allowed)?;
        }
        let (digits, least) = (self.views.digits, self.readout.batch_size);
        let allowed = format!("0, or at least a batch of the readout ({least})");
        Invalid::unless(digits == 0 || digits >= least, "views.digits", digits, allowed)?;
        self.rule.check_as("rule")?;
        self.invariance.check_as("invariance")?;
        self.fit.check_as("fit")?;
        self.readout.check_as("readout")?;
        self.sandwich.check_as("sandwich")?;
        self.sandwich_fit.check_as("sandwich_fit")
    }
}
