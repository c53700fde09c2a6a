//! Backprop through convolutions: what a network of the same architecture as a deep local one learns from labels.

mod layer;
mod normalization;
mod patches;
mod pooling;
mod size;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use candle_nn::Module;
use hebbian_training::{Generator, Invalid, State, all_finite};

use crate::Network;
use crate::flush::without_tiny_gradients;
use layer::{Layer, shape};
pub use pooling::{Pooling, PoolingKind};
use size::Size;

/// One layer of a [`ConvolutionalNet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionalLayer {
    /// Filters.
    pub units: usize,
    /// Side of a filter. The image is mirrored at its outermost pixels, by half a filter on all sides.
    pub kernel: usize,
    /// How the responses are pooled.
    pub pooling: Pooling,
}

/// Convolutional layers and a linear classifier with a bias, every weight trained on the labels. Each layer is
/// `pool(relu(w * z + b))`, z being what is below it at mean 0 and variance 1 in each channel: of the batch while the
/// network learns, and by running means of these after, which are saved with it.
///
/// It takes `(batch, height · width · channels)`, the channels of a pixel side by side, as datasets hold images.
#[derive(Debug)]
pub struct ConvolutionalNet {
    image: Size,
    layers: Vec<Layer>,
    weight: Var,
    bias: Var,
}

/// Images whose patches are held at once where nothing is learned from them.
const PORTION: usize = 50;

impl ConvolutionalNet {
    /// A network of `layers`, the lowest first, for images of `(height, width, channels)`.
    ///
    /// Filters are drawn from N(0, 2 / inputs), which keeps the variance through rectifiers (He et al. 2015), layer by layer,
    /// and then the classifier's weights from the uniform distribution of Glorot and Bengio 2010; biases are 0.
    ///
    /// # Errors
    /// If there is no layer, or a size is not allowed, which is named: `layers.1.kernel` of the second layer.
    pub fn new(
        image: (usize, usize, usize),
        layers: &[ConvolutionalLayer],
        classes: usize,
        generator: &mut Generator,
        device: &Device,
    ) -> Result<Self> {
        let (height, width, channels) = image;
        let image = Size { height, width, channels };
        Invalid::unless(image.values() > 0, "image", format!("{image:?}"), "at least one value")?;
        Invalid::unless(!layers.is_empty(), "layers", "none", "at least one")?;
        Invalid::unless(classes > 0, "classes", classes, "at least 1")?;
        let mut input = image;
        let mut shapes = Vec::with_capacity(layers.len());
        for (at, layer) in layers.iter().enumerate() {
            let shape = shape(&format!("layers.{at}"), input, layer)?;
            shapes.push((shape, input.channels));
            input = shape.1.output();
        }
        let layers = shapes.into_iter().map(|(shape, channels)| Layer::new(shape, channels, generator, device));
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let limit = (6.0 / (input.values() + classes) as f64).sqrt();
        let weight = generator.uniform((classes, input.values()), -limit, limit, device)?;
        let bias = Var::zeros(classes, DType::F32, device)?;
        Ok(Self { image, layers, weight: Var::from_tensor(&weight)?, bias })
    }

    /// Copies of all that the network has learned: of each layer, which counts from 0, `0.weight (units, kernel² · channels)`,
    /// whose rows are the filters' pixels row by row with the channels of each side by side, `0.bias (units)`, and the running
    /// `0.mean (channels)` and `0.variance (channels)` of what is below it; of the classifier `classifier.weight (classes,
    /// features)` and `classifier.bias (classes)`.
    pub fn state(&self) -> Result<State> {
        self.tensors().into_iter().map(|(name, tensor)| Ok((name, tensor.copy()?))).collect()
    }

    /// Goes on from a [`state`](Self::state) of a network of the same sizes.
    ///
    /// # Errors
    /// If a tensor is missing, is of another shape or type, or holds what is not finite; nothing is changed then.
    pub fn restore(&self, state: &State) -> Result<()> {
        let tensors = self.tensors();
        if let Some(name) = state.keys().find(|&name| tensors.iter().all(|(known, _)| known != name)) {
            bail!("state: tensor `{name}` does not belong to this network");
        }
        for (name, own) in &tensors {
            let Some(saved) = state.get(name) else { bail!("state: tensor `{name}` is missing") };
            if (saved.dims(), saved.dtype()) != (own.dims(), own.dtype()) {
                let (own, saved) = ((own.dtype(), own.dims()), (saved.dtype(), saved.dims()));
                bail!("state: tensor `{name}` is {saved:?}, expected {own:?}");
            }
            if !all_finite(saved)? {
                bail!("state: tensor `{name}` holds a value that is not finite");
            }
        }
        tensors.iter().try_for_each(|(name, own)| own.set(&state[name].to_device(own.device())?))
    }

    fn tensors(&self) -> Vec<(String, &Var)> {
        let layers = self.layers.iter().enumerate().flat_map(|(at, layer)| {
            layer.tensors().map(|(name, tensor)| (format!("{at}.{name}"), tensor))
        });
        let classifier = [("classifier.weight", &self.weight), ("classifier.bias", &self.bias)];
        layers.chain(classifier.map(|(name, tensor)| (name.to_owned(), tensor))).collect()
    }

    fn images(&self, inputs: &Tensor) -> Result<Tensor> {
        let (batch, values) = inputs.dims2()?;
        if values != self.image.values() || inputs.dtype() != DType::F32 {
            let found = (inputs.dtype(), inputs.dims());
            bail!("inputs: {found:?}; allowed: F32 (batch, {})", self.image.values());
        }
        inputs.contiguous()?.reshape(self.image.batch(batch))
    }

    fn scores(&self, features: &Tensor) -> Result<Tensor> {
        features.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }
}

impl Module for ConvolutionalNet {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        let images = self.images(inputs)?;
        let count = images.dim(0)?;
        let portions = (0..count).step_by(PORTION).map(|first| {
            let portion = images.narrow(0, first, PORTION.min(count - first))?;
            let features = self.layers.iter().try_fold(portion, |below, layer| layer.forward(&below))?;
            Ok(self.scores(&features.flatten_from(1)?)?.detach())
        });
        Tensor::cat(&portions.collect::<Result<Vec<_>>>()?, 0)
    }
}

impl Network for ConvolutionalNet {
    /// candle's graph begins above the layers: their gradients are added by hand, and none is computed of the images.
    fn descend(
        &self,
        inputs: &Tensor,
        loss: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, GradStore)> {
        let mut below = self.images(inputs)?;
        let mut steps = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let (output, step) = layer.learn(&below)?;
            below = output;
            steps.push(step);
        }
        let features = Var::from_tensor(&below.flatten_from(1)?)?;
        let loss = loss(&without_tiny_gradients(&self.scores(&features)?)?)?;
        let mut gradients = loss.backward()?;
        let Some(above) = gradients.remove(&features) else { return Ok((loss.detach(), gradients)) };
        let mut above = above.reshape(below.shape())?;
        for (at, (layer, step)) in self.layers.iter().zip(&steps).enumerate().rev() {
            let of_maps = layer.descend(step, &above, &mut gradients)?;
            if at > 0 {
                above = layer.below(step, &of_maps)?;
            }
        }
        Ok((loss.detach(), gradients))
    }

    fn variables(&self) -> Vec<Var> {
        let layers = self.layers.iter().flat_map(Layer::variables);
        layers.chain([&self.weight, &self.bias]).cloned().collect()
    }
}
