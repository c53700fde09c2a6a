//! One layer: normalization, convolution, rectifier and pooling, forward and backward.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use hebbian_training::{Generator, Invalid};

use super::ConvolutionalLayer;
use super::normalization::{Normalization, Normalized};
use super::patches::Patches;
use super::pooling::{Pool, PoolingKind};
use super::size::Size;
use crate::input_layer::sum_rows;

/// `pool(relu(w * normalize(x) + b))`; `*` is the convolution of the image that is mirrored at its edges.
#[derive(Debug)]
pub(super) struct Layer {
    normalization: Normalization,
    patches: Patches,
    pool: Pool,
    /// `(units, kernel · kernel · channels)`.
    weight: Var,
    /// `(units)`.
    bias: Var,
}

/// What the gradient needs of a step of learning.
pub(super) struct Step {
    normalized: Normalized,
    patches: Tensor,
    responses: Responses,
}

/// What a layer makes of its patches.
struct Responses {
    /// What is pooled.
    maps: Tensor,
    pooled: Tensor,
    output: Tensor,
}

/// The sizes of a layer: its patches and its pooling.
pub(super) type Shape = (Patches, Pool);

/// The sizes of a layer above `input`, which errors call `field`.
pub(super) fn shape(
    field: &str,
    input: Size,
    layer: &ConvolutionalLayer,
) -> std::result::Result<Shape, Invalid> {
    Invalid::unless(layer.units > 0, &format!("{field}.units"), layer.units, "at least 1")?;
    let patches = Patches::new(field, input, layer.kernel)?;
    let maps = Size { channels: layer.units, ..patches.output() };
    Ok((patches, Pool::new(&format!("{field}.pooling"), maps, layer.pooling)?))
}

impl Layer {
    pub fn new(
        (patches, pool): Shape,
        channels: usize,
        draws: &mut Generator,
        device: &Device,
    ) -> Result<Self> {
        let (units, values) = (pool.output().channels, patches.values());
        let weight = draws.normal((units, values), 0.0, (2.0 / values as f64).sqrt(), device)?;
        Ok(Self {
            normalization: Normalization::new(channels, device)?,
            patches,
            pool,
            weight: Var::from_tensor(&weight)?,
            bias: Var::zeros(units, DType::F32, device)?,
        })
    }

    /// What is trained.
    pub fn variables(&self) -> [&Var; 2] {
        [&self.weight, &self.bias]
    }

    /// All that is learned, by name.
    pub fn tensors(&self) -> [(&'static str, &Var); 4] {
        let Normalization { mean, variance } = &self.normalization;
        [("weight", &self.weight), ("bias", &self.bias), ("mean", mean), ("variance", variance)]
    }

    /// What the trained layer makes of `images (batch, height, width, channels)`.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        Ok(self.responses(&self.patches.of(&self.normalization.forward(images)?)?)?.output)
    }

    /// What it makes of a batch that it learns from, and what the gradient will need of that.
    pub fn learn(&self, images: &Tensor) -> Result<(Tensor, Step)> {
        let normalized = self.normalization.learn(images)?;
        let patches = self.patches.of(&normalized.values)?;
        let responses = self.responses(&patches)?;
        Ok((responses.output.clone(), Step { normalized, patches, responses }))
    }

    /// A maximum is the same before bias and rectifier, and leaves less for them to do.
    fn responses(&self, patches: &Tensor) -> Result<Responses> {
        let maps = patches.matmul(&self.weight.as_detached_tensor().t()?)?;
        let maps =
            maps.reshape(((), self.patches.output().height, self.patches.output().width, maps.dim(1)?))?;
        let rectified = |maps: &Tensor| maps.broadcast_add(&self.bias.as_detached_tensor())?.relu();
        match self.pool.pooling.kind {
            PoolingKind::Max => {
                let pooled = self.pool.of(&maps)?;
                Ok(Responses { output: rectified(&pooled)?, maps, pooled })
            }
            PoolingKind::Average => {
                let maps = rectified(&maps)?;
                let pooled = self.pool.of(&maps)?;
                Ok(Responses { output: pooled.clone(), maps, pooled })
            }
        }
    }

    /// The gradients of weights and bias into `gradients`, from that of the layer's output.
    ///
    /// The slope of the rectifier is the sign of its output.
    pub fn descend(&self, step: &Step, above: &Tensor, gradients: &mut GradStore) -> Result<Tensor> {
        let Responses { maps, pooled, output } = &step.responses;
        let (of_bias, of_maps) = match self.pool.pooling.kind {
            PoolingKind::Max => {
                let above = (above * output.sign()?)?;
                (above.clone(), self.pool.descend(maps, pooled, &above)?)
            }
            PoolingKind::Average => {
                let below = (self.pool.descend(maps, pooled, above)? * maps.sign()?)?;
                (below.clone(), below)
            }
        };
        let rows = |maps: &Tensor| maps.reshape(((), self.bias.elem_count()));
        let of_maps = rows(&of_maps)?;
        gradients.insert(&self.bias, sum_rows(&rows(&of_bias)?)?);
        gradients.insert(&self.weight, of_maps.t()?.matmul(&step.patches)?);
        Ok(of_maps)
    }

    /// The gradient of the layer's images, from what [`descend`](Self::descend) gave.
    pub fn below(&self, step: &Step, of_maps: &Tensor) -> Result<Tensor> {
        let patches = of_maps.matmul(&self.weight.as_detached_tensor())?;
        step.normalized.descend(&self.patches.descend(&patches)?)
    }
}
