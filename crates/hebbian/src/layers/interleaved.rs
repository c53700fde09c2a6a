//! Images whose colors lie side by side, pixel by pixel, as images with a plane per color.

use candle_core::{Result, Tensor};
use hebbian_training::Parameters;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fixed::{Fixed, FixedLayer};
use super::images::ImageSize;

/// The parameters of an [`Interleaved`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InterleavedConfig {
    /// The images that it gives.
    pub output: ImageSize,
}

/// Takes `(batch, height · width · channels)`, the channels of a pixel side by side, as datasets hold color images, and gives
/// whole planes: the lowest layer of a convolutional network on color images.
pub type Interleaved = Fixed<InterleavedConfig>;

impl Parameters for InterleavedConfig {}

impl FixedLayer for InterleavedConfig {
    const NAME: &'static str = "interleaved";

    /// In number of values.
    fn input(&self) -> ImageSize {
        self.output
    }

    fn output(&self) -> ImageSize {
        self.output
    }

    fn apply(&self, images: &Tensor) -> Result<Tensor> {
        let ImageSize { channels, height, width } = self.output;
        images.reshape((images.dim(0)?, height, width, channels))?.permute((0, 3, 1, 2))
    }
}
