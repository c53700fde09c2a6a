//! The largest or the mean response of a neighborhood.

mod cpu;

use candle_core::{Result, Tensor};
use hebbian_training::{Invalid, Parameters};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fixed::{Fixed, FixedLayer};
use super::images::ImageSize;
use crate::ops::has_kernel;
use cpu::Pooled;

/// The parameters of a [`Pooling`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolingConfig {
    /// The images that it takes.
    pub input: ImageSize,
    /// What of a neighborhood is kept.
    pub kind: Pool,
    /// Side of a neighborhood.
    #[schemars(range(min = 1))]
    pub kernel: usize,
    /// From one neighborhood to the next.
    #[schemars(range(min = 1))]
    pub stride: usize,
    /// Pixels beyond each edge, less than a neighborhood.
    pub padding: usize,
}

/// What of a neighborhood is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// The largest value; what lies beyond the edge never is.
    Max,
    /// The mean; what lies beyond the edge counts as 0.
    Average,
}

/// The largest or the mean response of each neighborhood.
pub type Pooling = Fixed<PoolingConfig>;

impl Parameters for PoolingConfig {
    fn check_together(&self) -> std::result::Result<(), Invalid> {
        let allowed = format!("0 to {}, less than a neighborhood", self.kernel - 1);
        Invalid::unless(self.padding < self.kernel, "padding", self.padding, allowed)?;
        self.input.windows(self.kernel, self.stride, self.padding).map(drop)
    }
}

impl FixedLayer for PoolingConfig {
    const NAME: &'static str = "pooling";

    fn input(&self) -> ImageSize {
        self.input
    }

    fn output(&self) -> ImageSize {
        self.input.windows(self.kernel, self.stride, self.padding).unwrap_or(self.input)
    }

    fn apply(&self, images: &Tensor) -> Result<Tensor> {
        match has_kernel(images) {
            true => images.apply_op1_no_bwd(&Pooled { config: self, output: self.output() }),
            false => self.graph(images),
        }
    }
}

impl PoolingConfig {
    /// Folds the rows of each neighborhood, then its columns. Of a maximum the outermost row, repeated, is as good as what
    /// lies beyond it, since a neighborhood is wider than its padding.
    fn graph(&self, images: &Tensor) -> Result<Tensor> {
        let share = 1.0 / (self.kernel * self.kernel) as f64;
        match self.kind {
            Pool::Max => self.folded(&self.folded(images, 2, |a, b| a.maximum(b))?, 3, |a, b| a.maximum(b)),
            Pool::Average => {
                let padding = self.padding;
                let padded =
                    images.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)?;
                let add = |sum: &Tensor, other: &Tensor| sum + other;
                self.folded(&self.folded(&padded, 2, add)?, 3, add)? * share
            }
        }
    }

    fn folded(
        &self,
        images: &Tensor,
        dim: usize,
        fold: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (side, output) = (images.dim(dim)?, self.output());
        let count = if dim == 2 { output.height } else { output.width };
        let padding = if self.kind == Pool::Max { self.padding } else { 0 };
        let line = |from: usize| {
            let at = (0..count)
                .map(|place| (place * self.stride + from).saturating_sub(padding).min(side - 1) as u32);
            images.index_select(&Tensor::new(at.collect::<Vec<_>>(), images.device())?, dim)
        };
        (1..self.kernel).try_fold(line(0)?, |folded, from| fold(&folded, &line(from)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use candle_nn::Module;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    fn pooled(kind: Pool, kernel: usize, padding: usize) -> Result<Vec<f32>> {
        let input = ImageSize::new(1, 4, 4);
        let pooling = Pooling::of(PoolingConfig { input, kind, kernel, stride: 2, padding })?;
        let images = (Tensor::arange(0f32, 16.0, &Device::Cpu)? - 20.0)?.reshape((1, 1, 4, 4))?;
        pooling.forward(&images)?.flatten_all()?.to_vec1()
    }

    #[test]
    fn padding_never_wins_and_counts_as_zero() -> Result<()> {
        assert_eq!(pooled(Pool::Max, 2, 0)?, [-15.0, -13.0, -7.0, -5.0]);
        assert_eq!(pooled(Pool::Max, 4, 1)?, [-10.0, -9.0, -6.0, -5.0]);
        assert_eq!(pooled(Pool::Average, 2, 0)?, [-17.5, -15.5, -9.5, -7.5]);
        // Nine of the sixteen places of each neighborhood are in the image.
        assert_eq!(pooled(Pool::Average, 4, 1)?, [-15.0, -14.0, -11.0, -10.0].map(|mean| mean * 9.0 / 16.0));
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn kernel_and_graph_agree(
            height in 3usize..9, width in 3usize..9, kernel in 1usize..4, stride in 1usize..4, padding in 0usize..4,
            kind in prop::sample::select(vec![Pool::Max, Pool::Average]),
        ) {
            let padding = padding.min(kernel - 1);
            let config = PoolingConfig { input: ImageSize::new(3, height, width), kind, kernel, stride, padding };
            let draws = &mut Generator::new(0, "images");
            let images = draws.normal((6, height * width), 0.0, 1.0, &Device::Cpu).unwrap();
            let images = images.reshape((2, 3, height, width)).unwrap();
            let (kernel, graph) = (config.apply(&images).unwrap(), config.graph(&images).unwrap());
            prop_assert_eq!(kernel.dims(), graph.dims());
            let off = (kernel - graph).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            prop_assert!(off < 1e-6, "{}", off);
        }
    }

    #[test]
    fn padding_as_wide_as_a_neighborhood_and_a_neighborhood_wider_than_the_image_are_refused() {
        assert!(pooled(Pool::Max, 2, 2).is_err());
        assert!(pooled(Pool::Max, 7, 1).is_err());
    }
}
