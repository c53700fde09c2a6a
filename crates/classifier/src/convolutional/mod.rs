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
    /// Filters are drawn layer by layer from N(0, 2 / inputs), which keeps the variance through rectifiers (He et al. 2015);
    /// biases are 0, and so is the classifier, as a readout begins: thousands of features that are all positive would make a
    /// drawn one begin with answers that are sure and wrong.
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
        let layers =
            shapes.into_iter().map(|(shape, channels)| Layer::new(shape, channels, generator, device));
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let zeros = |shape: &[usize]| Var::zeros(shape, DType::F32, device);
        let (weight, bias) = (zeros(&[classes, input.values()])?, zeros(&[classes])?);
        Ok(Self { image, layers, weight, bias })
    }

    /// How many features the classifier sees.
    pub fn features(&self) -> usize {
        self.weight.elem_count() / self.bias.elem_count()
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
        let layers =
            self.layers.iter().enumerate().flat_map(|(at, layer)| {
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
    /// From inputs that track a gradient (of a `Var`), the logits have one of the inputs.
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        let images = self.images(inputs)?;
        let count = images.dim(0)?;
        let portions = (0..count).step_by(PORTION).map(|first| {
            let portion = images.narrow(0, first, PORTION.min(count - first))?;
            let features = self.layers.iter().try_fold(portion, |below, layer| layer.forward(&below))?;
            let scores = self.scores(&features.flatten_from(1)?)?;
            Ok(if inputs.track_op() { scores } else { scores.detach() })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DescentConfig, Labeled, Loss, evaluate, train};
    use candle_core::IndexOp;

    const CPU: Device = Device::Cpu;
    const IMAGE: (usize, usize, usize) = (6, 6, 2);

    fn layer(units: usize, kernel: usize, kind: PoolingKind) -> ConvolutionalLayer {
        let pooling = Pooling { kind, kernel: 4, stride: 2, padding: 1 };
        ConvolutionalLayer { units, kernel, pooling }
    }

    fn network(kind: PoolingKind, seed: u64) -> Result<ConvolutionalNet> {
        let layers = [layer(4, 3, kind), layer(6, 3, kind)];
        ConvolutionalNet::new(IMAGE, &layers, 3, &mut Generator::new(seed, "network"), &CPU)
    }

    fn values(tensor: &Tensor) -> Result<Vec<f32>> {
        tensor.flatten_all()?.to_vec1()
    }

    /// Noise in which each class has bright pixels in a line of its own at a place that is drawn: across, down, diagonal.
    fn lines(count: usize, seed: u64) -> Result<Labeled> {
        let mut draws = Generator::new(seed, "lines");
        let mut pixels = values(&draws.normal((count, 72), 0.0, 0.3, &CPU)?)?;
        let places = values(&draws.uniform((count, 2), 0.0, 4.0, &CPU)?)?;
        for (at, (image, place)) in pixels.chunks_mut(72).zip(places.chunks(2)).enumerate() {
            let (row, column) = (place[0] as usize, place[1] as usize);
            for step in 0..3 {
                let (down, across) = [(0, step), (step, 0), (step, step)][at % 3];
                image[2 * (6 * (row + down) + column + across)] += 2.0;
            }
        }
        let labels = Tensor::from_iter((0..count as u32).map(|at| at % 3), &CPU)?;
        Labeled::new(Tensor::from_vec(pixels, (count, 72), &CPU)?, labels)
    }

    fn trained(kind: PoolingKind, seed: u64) -> Result<ConvolutionalNet> {
        let network = network(kind, seed)?;
        let config = DescentConfig { epochs: 6, batch_size: 20, learning_rate: 0.01, ..Default::default() };
        train(&network, &config, seed, &lines(600, 1)?, &[], &mut [])?;
        Ok(network)
    }

    #[test]
    fn it_learns_lines_in_noise() -> Result<()> {
        for kind in [PoolingKind::Max, PoolingKind::Average] {
            let accuracy = evaluate(&trained(kind, 0)?, &lines(300, 2)?, &Loss::default())?.accuracy;
            assert!(accuracy > 0.95, "{kind:?}: {accuracy}");
        }
        Ok(())
    }

    #[test]
    fn a_seed_gives_the_same_network_whatever_the_number_of_threads() -> Result<()> {
        let learned = |seed, threads| -> Result<Vec<Vec<f32>>> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.map_err(candle_core::Error::wrap)?;
            pool.install(|| trained(PoolingKind::Max, seed)?.state()?.values().map(values).collect())
        };
        let one = learned(0, 1)?;
        for threads in [1, 2, 8] {
            assert!(learned(0, threads)? == one, "{threads} threads");
        }
        assert!(learned(1, 1)? != one);
        Ok(())
    }

    /// For each variable of `network` the largest difference between its gradient and a quotient of differences of a loss that
    /// has these `slopes`, and the largest gradient.
    fn errors(network: &ConvolutionalNet, inputs: &Tensor, slopes: &Tensor) -> Result<Vec<(f64, f64)>> {
        let loss = |logits: &Tensor| (logits * slopes)?.sum_all();
        let at = || network.descend(inputs, &loss)?.0.to_scalar::<f32>().map(f64::from);
        let gradients = network.descend(inputs, &loss)?.1;
        let mut errors = Vec::new();
        for variable in network.variables() {
            let Some(gradient) = gradients.get(&variable) else { bail!("a gradient is missing") };
            let begin = values(&variable)?;
            let (mut largest, mut error) = (0f64, 0f64);
            for (place, gradient) in values(gradient)?.into_iter().enumerate() {
                let moved = |step: f64| {
                    let mut values = begin.clone();
                    values[place] += step as f32;
                    variable.set(&Tensor::from_vec(values, variable.shape(), &CPU)?)?;
                    at()
                };
                // What is left of the differences is of the fifth derivative.
                let step = 0.04;
                let near = moved(step)? - moved(-step)?;
                let far = moved(2.0 * step)? - moved(-2.0 * step)?;
                let quotient = (8.0 * near - far) / (12.0 * step);
                error = error.max((quotient - f64::from(gradient)).abs());
                largest = largest.max(quotient.abs());
            }
            variable.set(&Tensor::from_vec(begin, variable.shape(), &CPU)?)?;
            errors.push((error, largest));
        }
        Ok(errors)
    }

    #[test]
    fn gradients_are_those_of_finite_differences() -> Result<()> {
        let network = network(PoolingKind::Average, 0)?;
        // Every unit so far from where its rectifier bends that no difference crosses it, one of each layer below.
        let mut state = network.state()?;
        state.insert("0.bias".into(), Tensor::new(&[12f32, 12.0, 12.0, -12.0], &CPU)?);
        state.insert("1.bias".into(), Tensor::new(&[6f32, 6.0, -6.0, 6.0, 6.0, 6.0], &CPU)?);
        let classifier = Generator::new(0, "classifier").normal((3, network.features()), 0.0, 0.3, &CPU)?;
        state.insert("classifier.weight".into(), classifier);
        network.restore(&state)?;
        let slopes = Generator::new(0, "slopes").normal((6, 3), 0.0, 1.0, &CPU)?;
        // Weights and bias of a layer after another. Most of a lower bias the normalization above it takes away again.
        for layer in errors(&network, lines(6, 3)?.inputs(), &slopes)?.chunks(2) {
            let (error, gradient) = (layer[0].0.max(layer[1].0), layer[0].1.max(layer[1].1));
            assert!(error < 1e-3 * gradient, "{error} of {gradient}");
        }
        Ok(())
    }

    #[test]
    fn an_evaluation_sees_running_statistics_and_moves_nothing() -> Result<()> {
        let network = trained(PoolingKind::Max, 0)?;
        let before = network.state()?;
        let inputs = lines(120, 2)?.inputs().clone();
        let all = network.forward(&inputs)?;
        let alone = network.forward(&inputs.i(100..101)?)?;
        let (all, alone) = (values(&all.i(100..101)?)?, values(&alone)?);
        assert!(all.iter().zip(&alone).all(|(all, alone)| (all - alone).abs() < 1e-4), "{all:?} {alone:?}");
        for (name, tensor) in network.state()? {
            assert_eq!(values(&tensor)?, values(&before[&name])?, "{name}");
        }
        // The pixels of the first channel have lines in them.
        let (mean, variance) = (values(&before["0.mean"])?, values(&before["0.variance"])?);
        assert!((mean[0] - 6.0 / 36.0).abs() < 0.05 && mean[1].abs() < 0.05, "{mean:?}");
        assert!(variance[0] > 0.3 && (variance[1] - 0.09).abs() < 0.02, "{variance:?}");
        Ok(())
    }

    #[test]
    fn a_saved_network_answers_the_same_and_what_is_none_is_refused() -> Result<()> {
        let (network, again) = (trained(PoolingKind::Max, 0)?, network(PoolingKind::Max, 7)?);
        let inputs = lines(10, 2)?.inputs().clone();
        let state = network.state()?;
        again.restore(&state)?;
        assert_eq!(values(&again.forward(&inputs)?)?, values(&network.forward(&inputs)?)?);

        let with = |name: &str, tensor: Option<Tensor>| {
            let mut state = state.clone();
            state.remove(name);
            state.extend(tensor.map(|tensor| (name.to_owned(), tensor)));
            again.restore(&state).unwrap_err().to_string()
        };
        let ones = Tensor::ones(4, DType::F32, &CPU)?;
        assert!(with("0.mean", None).contains("tensor `0.mean` is missing"));
        assert!(with("2.mean", Some(ones.clone())).contains("`2.mean` does not belong to this network"));
        assert!(with("0.mean", Some(ones.clone())).contains("`0.mean` is (F32, [4]), expected (F32, [2])"));
        assert!(with("0.bias", Some((ones / 0.0)?)).contains("`0.bias` holds a value that is not finite"));
        assert_eq!(values(&again.forward(&inputs)?)?, values(&network.forward(&inputs)?)?);
        Ok(())
    }

    #[test]
    fn impossible_sizes_are_refused_by_name() {
        let refused = |layers: &[ConvolutionalLayer]| {
            let draws = &mut Generator::new(0, "network");
            ConvolutionalNet::new(IMAGE, layers, 3, draws, &CPU).unwrap_err().to_string()
        };
        let good = layer(4, 3, PoolingKind::Max);
        assert!(refused(&[]).starts_with("layers = none is not allowed"));
        let units = refused(&[ConvolutionalLayer { units: 0, ..good }]);
        assert!(units.starts_with("layers.0.units = 0 is not allowed: at least 1"), "{units}");
        let kernel = refused(&[good, ConvolutionalLayer { kernel: 7, ..good }]);
        assert!(kernel.starts_with("layers.1.kernel = 7 is not allowed: 1 to 5"), "{kernel}");
        let pooling = Pooling { padding: 4, ..good.pooling };
        let padding = refused(&[ConvolutionalLayer { pooling, ..good }]);
        assert!(padding.starts_with("layers.0.pooling.padding = 4 is not allowed"), "{padding}");
        let third = refused(&[good, good, good]);
        assert!(third.starts_with("layers.2.kernel = 3 is not allowed: 1 to 1"), "{third}");
    }

    #[test]
    fn images_of_another_size_are_refused() -> Result<()> {
        let inputs = Tensor::zeros((2, 71), DType::F32, &CPU)?;
        let refused = network(PoolingKind::Max, 0)?.forward(&inputs).unwrap_err().to_string();
        assert!(refused.contains("[2, 71]") && refused.contains("allowed: F32 (batch, 72)"), "{refused}");
        Ok(())
    }
}
