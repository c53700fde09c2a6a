//! A power of each value: behind a max pooling, where a fourth of the values is left of those before it.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use hebbian_training::Parameters;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fixed::{Fixed, FixedLayer};
use super::images::ImageSize;
use super::raise::raise;
use crate::ops::cpu::values;
use crate::ops::{has_kernel, power_of_planes};

/// The parameters of a [`Power`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PowerConfig {
    /// The images that it takes.
    pub input: ImageSize,
    /// The exponent.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub power: f64,
    /// Whether what is negative counts as 0 (the rectified power unit of D. Krotov, J. Hopfield 2019).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub rectified: bool,
}

impl PowerConfig {
    /// Each value of images of this size to the `power`, with its sign.
    pub fn new(input: ImageSize, power: f64) -> Self {
        Self { input, power, rectified: false }
    }

    /// With 0 for what is negative.
    pub fn rectified(self) -> Self {
        Self { rectified: true, ..self }
    }
}

/// `sign(x) |x|^power` of each value. It commutes with max pooling where no value is negative, to the bit.
pub type Power = Fixed<PowerConfig>;

impl Parameters for PowerConfig {}

impl FixedLayer for PowerConfig {
    const NAME: &'static str = "power";

    fn input(&self) -> ImageSize {
        self.input
    }

    fn output(&self) -> ImageSize {
        self.input
    }

    fn apply(&self, images: &Tensor) -> Result<Tensor> {
        let rectified = self.rectified.then(|| images.relu()).transpose()?;
        let images = rectified.as_ref().unwrap_or(images);
        match has_kernel(images) {
            true => images.apply_op1_no_bwd(&Raised(self.power)),
            false => power_of_planes(images, self.power),
        }
    }
}

/// Values that are handed to another thread at once.
const VALUES_PER_TASK: usize = 1 << 14;

struct Raised(f64);

impl CustomOp1 for Raised {
    fn name(&self) -> &'static str {
        "power"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut raised = values(storage, layout)?.to_vec();
        raised.par_chunks_mut(VALUES_PER_TASK).for_each(|values| raise(values, self.0));
        Ok((CpuStorage::F32(raised), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Pool, Pooling, PoolingConfig, Triangle, TriangleConfig};
    use candle_core::Device;
    use candle_nn::Module;
    use hebbian_training::Generator;

    #[test]
    fn behind_a_max_pooling_it_gives_the_bits_that_it_gives_before() -> Result<()> {
        let input = ImageSize::new(5, 6, 8);
        let images = Generator::new(0, "images").normal((3, input.values()), 0.0, 5.0, &Device::Cpu)?;
        let pooling =
            Pooling::of(PoolingConfig { input, kind: Pool::Max, kernel: 4, stride: 2, padding: 1 })?;
        for power in [0.7, 1.4, 2.0] {
            let before = Triangle::of(TriangleConfig { input, power })?;
            let (triangle, after) = (
                Triangle::of(TriangleConfig { input, power: 1.0 })?,
                Power::of(PowerConfig::new(pooling.output(), power))?,
            );
            let first = pooling.forward(&before.forward(&images)?)?;
            let last = after.forward(&pooling.forward(&triangle.forward(&images)?)?)?;
            assert_eq!(first.to_vec2::<f32>()?, last.to_vec2::<f32>()?, "{power}");
        }
        Ok(())
    }

    #[test]
    fn rectified_it_makes_nothing_of_what_is_negative() -> Result<()> {
        let power = Power::of(PowerConfig::new(ImageSize::new(1, 1, 3), 2.0).rectified())?;
        let values = Tensor::new(&[[-3f32, 0.0, 3.0]], &Device::Cpu)?;
        assert_eq!(power.forward(&values)?.to_vec2::<f32>()?, [[0.0, 0.0, 9.0]]);
        Ok(())
    }
}
