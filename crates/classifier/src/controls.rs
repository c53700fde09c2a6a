//! Hidden layers that learned nothing. What a learned layer scores beyond these is what learning is worth.

use candle_core::{Device, Result, Tensor};
use hebbian_training::Generator;

/// Weights `(units, inputs)` drawn from N(0, 1).
pub fn random_projection(
    units: usize,
    inputs: usize,
    generator: &mut Generator,
    device: &Device,
) -> Result<Tensor> {
    generator.normal((units, inputs), 0.0, 1.0, device)
}

/// Training images, chosen at random, as weights `(units, inputs)`: each at most once more often than any other.
pub fn random_images(images: &Tensor, units: usize, generator: &mut Generator) -> Result<Tensor> {
    let order = generator.permutation(images.dim(0)?);
    let chosen: Vec<u32> = order.into_iter().cycle().take(units).collect();
    images.index_select(&Tensor::new(chosen, images.device())?, 0)
}
