//! The settings.

use hebbian::{Charge, CompSpecConfig, FitConfig, KrotovHopfieldConfig, Parameters};
use hebbian_classifier::DescentConfig;
use hebbian_experiment::{DataSettings, RunSettings};
use hebbian_training::{Invalid, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// CompSpec against Krotov-Hopfield, random training images and backprop
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Images.
    pub data: DataSettings,
    /// What is compared.
    pub sizes: Sizes,
    /// CompSpec.
    pub rule: CompSpecConfig,
    /// The repulsion of the charged rule.
    pub charge: Charge,
    /// How CompSpec learns, plain and charged.
    pub fit: FitConfig,
    /// Krotov-Hopfield.
    pub kh: KrotovHopfieldConfig,
    /// How Krotov-Hopfield learns.
    pub kh_fit: FitConfig,
    /// The two linear readouts.
    pub linear: DescentConfig,
    /// What the linear readout that begins from the vote begins with.
    pub vote: VoteSettings,
    /// The readout on powers.
    pub readout: DescentConfig,
    /// Backprop.
    pub backprop: DescentConfig,
    /// Device and seeds.
    pub run: RunSettings,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// Numbers of hidden units.
    #[schemars(length(min = 1), inner(range(min = 1)))]
    pub units: Vec<usize>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VoteSettings {
    /// First weight from a unit to the classes that it did not vote for.
    pub elsewhere: f64,
}

impl Default for Settings {
    fn default() -> Self {
        let epochs = |epochs| DescentConfig { epochs, ..Default::default() };
        Self {
            data: DataSettings::default(),
            sizes: Sizes { units: vec![100, 400] },
            rule: CompSpecConfig::default(),
            charge: Charge { delta: 0.1, ..Default::default() },
            fit: FitConfig { epochs: 1, ..Default::default() },
            kh: KrotovHopfieldConfig::default(),
            kh_fit: FitConfig::default(),
            // The notebook's: Adam at a constant 0.001.
            linear: DescentConfig { batch_size: 32, schedule: Schedule::Constant, ..epochs(10) },
            vote: VoteSettings { elsewhere: 0.1 },
            readout: epochs(30),
            backprop: epochs(10),
            run: RunSettings::default(),
        }
    }
}

impl Parameters for Settings {
    fn check_together(&self) -> Result<(), Invalid> {
        let fewest = self.sizes.units.iter().min().copied().unwrap_or_default();
        for (path, k) in [("charge.k", self.charge.k), ("kh.k", self.kh.k)] {
            Invalid::unless(k <= fewest, path, k, format!("2 to units ({fewest})"))?;
        }
        self.fit.check_as("fit")?;
        self.kh_fit.check_as("kh_fit")?;
        self.linear.check_as("linear")?;
        self.readout.check_as("readout")?;
        self.backprop.check_as("backprop")
    }
}
