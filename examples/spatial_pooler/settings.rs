//! The settings.

use hebbian::{BoostToward, FitConfig, Parameters, PotentialPool, SpatialPoolerConfig};
use hebbian_classifier::LogisticRegressionConfig;
use hebbian_datasets::ImageShape;
use hebbian_datasets::transforms::Threshold;
use hebbian_experiment::{Data, DataSettings, RunSettings};
use hebbian_training::{Invalid, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The spatial pooler beside raw pixels, untrained columns and columns without boosting
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Images.
    pub data: DataSettings,
    /// What the columns see of them, and what is read out.
    pub codes: CodeSettings,
    /// The spatial pooler.
    pub rule: SpatialPoolerConfig,
    /// How it learns.
    pub fit: FitConfig,
    /// Logistic regression on the active columns.
    pub readout: LogisticRegressionConfig,
    /// Device and seeds.
    pub run: RunSettings,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeSettings {
    /// Which pixels are on: those above the mean of their own image, or above a value.
    pub binarize: Threshold,
    /// Whether the training codes are of one more pass that goes on learning, as in the notebook.
    pub record_while_learning: bool,
}

/// Height and width of MNIST's images; those of the data take their place.
const IMAGE: [usize; 2] = [28, 28];

impl Default for Settings {
    fn default() -> Self {
        let pool =
            PotentialPool::Neighborhood { image: IMAGE, grid: IMAGE, radius: 6, wrap: true, fraction: 0.15 };
        let rule = SpatialPoolerConfig {
            units: 6272,
            sparsity: 0.05,
            pool,
            stimulus_threshold: 5,
            min_activation: 0.0,
            boost_toward: BoostToward::Target,
            boost_strength: 15.0,
            activity_period: 1400.0,
            ..Default::default()
        };
        Self {
            data: DataSettings::default(),
            codes: CodeSettings { binarize: Threshold::Above(30), record_while_learning: false },
            rule,
            fit: FitConfig { epochs: 3, schedule: Schedule::Constant, ..Default::default() },
            readout: LogisticRegressionConfig { penalty: 3.0, ..Default::default() },
            run: RunSettings::default(),
        }
    }
}

impl Parameters for Settings {
    fn check_together(&self) -> Result<(), Invalid> {
        self.readout.check_as("readout")
    }
}

impl Settings {
    /// The pooler with a place for its columns over each pixel of the images of `data`, or over each so many.
    pub fn pooler(&self, data: &Data) -> SpatialPoolerConfig {
        let mut config = self.rule.clone();
        if let PotentialPool::Neighborhood { image, grid, .. } = &mut config.pool {
            *image = [data.shape.height, data.shape.width];
            *grid = self.grid(data.shape);
        }
        config
    }

    /// Places for the columns over images of this shape: one over each pixel or, where there are more pixels than columns,
    /// over each two by two of them, and so on.
    fn grid(&self, shape: ImageShape) -> [usize; 2] {
        let mut grid = [shape.height, shape.width];
        while grid[0] * grid[1] > self.rule.units.max(1) {
            grid = grid.map(|side| side.div_ceil(2));
        }
        grid
    }

    /// About as many columns as there are, as many of them at each place over images of this shape.
    pub fn columns(&self, shape: ImageShape) -> usize {
        let places: usize = self.grid(shape).iter().product();
        self.rule.units / places.max(1) * places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_lie_over_images_of_any_size() {
        let of = |height, width| {
            let shape = ImageShape { height, width, channels: 1 };
            (Settings::default().grid(shape), Settings::default().columns(shape))
        };
        assert_eq!(of(28, 28), ([28, 28], 6272));
        assert_eq!(of(8, 8), ([8, 8], 6272));
        assert_eq!(of(32, 32), ([32, 32], 6144));
        assert_eq!(of(64, 48), ([64, 48], 6144));
        assert_eq!(of(200, 150), ([100, 75].map(|side: usize| side.div_ceil(2)), 5700));
        assert_eq!(of(1, 64), ([1, 64], 6272));
    }
}
