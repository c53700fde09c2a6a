//! What of each unit's response is above the mean of all units at the same place.
//!
//! ```text
//! a_c = max(u_c - mean_c u, 0)^power
//! ```
//!
//! Source: A. Coates, H. Lee, A. Y. Ng, "An analysis of single-layer networks in unsupervised feature learning" (2011), whose
//! k-means triangle it generalizes; A. Journé et al. (2023).

mod cpu;

use candle_core::{Result, Tensor};
use hebbian_training::Parameters;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fixed::{Fixed, FixedLayer};
use super::images::ImageSize;
use crate::ops::{has_kernel, power_of_planes};
use cpu::Raised;

/// The parameters of a [`Triangle`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TriangleConfig {
    /// The images that it takes.
    pub input: ImageSize,
    /// Exponent of what is above the mean.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub power: f64,
}

/// What of each response is above the mean over the channels at the same place, raised to a power.
pub type Triangle = Fixed<TriangleConfig>;

impl Parameters for TriangleConfig {}

impl FixedLayer for TriangleConfig {
    const NAME: &'static str = "triangle";

    fn input(&self) -> ImageSize {
        self.input
    }

    fn output(&self) -> ImageSize {
        self.input
    }

    fn apply(&self, images: &Tensor) -> Result<Tensor> {
        match has_kernel(images) {
            true => images.apply_op1_no_bwd(&Raised { power: self.power }),
            false => self.graph(images),
        }
    }
}

impl TriangleConfig {
    fn graph(&self, images: &Tensor) -> Result<Tensor> {
        let above = images.broadcast_sub(&images.mean_keepdim(1)?)?.relu()?;
        if self.power == 1.0 {
            return Ok(above);
        }
        power_of_planes(&above, self.power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use candle_nn::Module;
    use hebbian_training::Generator;

    #[test]
    fn kernel_and_graph_agree() -> Result<()> {
        let images = Generator::new(0, "images").normal((3, 5 * 4 * 6), 0.0, 5.0, &Device::Cpu)?;
        let images = images.reshape((3, 5, 4, 6))?;
        for power in [0.7, 1.0, 1.4, 2.0] {
            let config = TriangleConfig { input: ImageSize::new(5, 4, 6), power };
            let (kernel, graph) = (config.apply(&images)?, config.graph(&images)?);
            let off = (kernel - graph)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(off < 1e-4, "{power}: {off}");
        }
        Ok(())
    }

    #[test]
    fn what_is_above_the_mean_of_the_channels_is_raised() -> Result<()> {
        let triangle = Triangle::of(TriangleConfig { input: ImageSize::new(2, 1, 2), power: 2.0 })?;
        let images = Tensor::new(&[[[[1f32, 4.0]], [[5.0, 4.0]]]], &Device::Cpu)?;
        assert_eq!(triangle.forward(&images)?.to_vec2::<f32>()?, [[0.0, 0.0, 4.0, 0.0]]);
        Ok(())
    }
}
