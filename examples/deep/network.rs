//! The networks: convolutions with what stands before and behind them, and where their filters come from.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::Module;
use hebbian::{
    Convolution, ConvolutionConfig, ImageSize, Interleaved, InterleavedConfig, Learning, LearningRule,
    MirroredConfig, Pooling, Power, PowerConfig, Rule, SoftHebb, SoftHebbConfig, Stack, Standardize,
    StandardizeConfig, Triangle, TriangleConfig,
};
use hebbian_classifier::encode;
use hebbian_experiment::Data;
use hebbian_training::{Generator, State};

use crate::settings::{PoolShape, Settings};

/// Layers of the stack per depth: standardization, convolution, triangle, pooling, power.
const PER_DEPTH: usize = 5;
/// Batches after which running statistics are those of the data.
const SETTLED: usize = 300;

impl Settings {
    /// How many layers of filters there are.
    pub fn depths(&self) -> usize {
        self.layers.units.len()
    }

    /// The network for images of `data` before any learning, whose filters are the same for all models of a `seed`. At an
    /// `inverse_temperature` the winner takes all.
    pub fn network(
        &self,
        data: &Data,
        seed: u64,
        inverse_temperature: Option<f64>,
        device: &Device,
    ) -> Result<Stack> {
        let mut draws = Generator::new(seed, "deep");
        let mut input = ImageSize::new(data.shape.channels, data.shape.height, data.shape.width);
        let mut stack: Vec<Box<dyn LearningRule>> =
            vec![Box::new(Interleaved::of(InterleavedConfig { output: input })?)];
        for layer in 0..self.depths() {
            let config = SoftHebbConfig {
                units: self.layers.units[layer],
                learning_rate: self.layers.learning_rates[layer],
                inverse_temperature: inverse_temperature.unwrap_or(self.layers.inverse_temperatures[layer]),
                ..self.rule.clone()
            };
            let patches = ConvolutionConfig::new(input, self.layers.kernels[layer]);
            let rule = SoftHebb::new(config, patches.patch_values(), &mut draws, device)?;
            let standardize = StandardizeConfig { input };
            stack.push(Box::new(Standardize::new(standardize, input.values(), &mut draws, device)?));
            let convolution = Convolution::new(Box::new(rule), patches)?;
            let filters = convolution.output();
            stack.push(Box::new(convolution));
            let (response, output) = response(filters, self.layers.powers[layer], self.layers.pools[layer])?;
            stack.extend(response);
            input = output;
        }
        Ok(Stack::new(stack, Learning::Online)?)
    }

    /// Lets the running statistics of a network come to those of the images; its filters stay as they are.
    pub fn settle(&self, data: &Data, stack: &mut Stack) -> Result<()> {
        stack.set_rate_scale(0.0);
        let (inputs, size) = (data.train.inputs(), self.fit.batch_size);
        for start in (0..data.train.len() + 1 - size).step_by(size).take(SETTLED) {
            stack.learn(&inputs.narrow(0, start, size)?)?;
        }
        Ok(())
    }

    /// Replaces all filters, the lowest first, by patches of what the network below makes of some training images, each less
    /// its mean and brought to length 1.
    pub fn take_patches(&self, data: &Data, seed: u64, stack: &mut Stack) -> Result<()> {
        let mut draws = Generator::new(seed, "random patches");
        for (layer, &units) in self.layers.units.iter().enumerate() {
            self.settle(data, stack)?;
            let (convolution, place) = filters(stack, layer + 1)?;
            let images = draws.permutation(data.train.len());
            let mut filters = Vec::with_capacity(units);
            for image in images.into_iter().cycle().take(units) {
                let seen = stack.below(place, &data.train.inputs().narrow(0, image as usize, 1)?)?;
                let patches = convolution.patches(&seen)?;
                let patch = draws.permutation(patches.dim(0)?)[0];
                filters.push(patches.narrow(0, patch as usize, 1)?);
            }
            let filters = Tensor::cat(&filters, 0)?;
            let filters = filters.broadcast_sub(&filters.mean_keepdim(1)?)?;
            let lengths = filters.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(1e-12)?;
            let mut state = stack.state()?;
            state.insert(format!("{place}.weights"), filters.broadcast_div(&lengths)?);
            stack.restore(state)?;
        }
        Ok(())
    }

    /// The pooling of what is read out of a layer, which counts from 0.
    pub fn readout_pool(&self, layer: usize) -> PoolShape {
        *self.layers.readout_pools.get(layer).unwrap_or(&self.layers.pools[layer])
    }

    /// What a readout of this depth, which counts from 1, sees of a network: each channel at mean 0 and variance 1 over
    /// `images`.
    pub fn features<'a>(&self, stack: &'a Stack, depth: usize, images: &Tensor) -> Result<Features<'a>> {
        let (convolution, place) = filters(stack, depth)?;
        let layer = depth - 1;
        let (response, input) =
            response(convolution.output(), self.layers.powers[layer], self.readout_pool(layer))?;
        let mirrored = self.mirrored(stack)?;
        let features = Features { stack, layers: place + 1, response, mirrored, standardize: None };
        let standardize = Standardize::fit(StandardizeConfig { input }, &encode(&features, images)?)?;
        Ok(Features { standardize: Some(standardize), ..features })
    }

    /// Which images a network takes, where what it makes of them is to be the same for their mirror images.
    pub fn mirrored(&self, stack: &Stack) -> Result<Option<MirroredConfig>> {
        let lowest: &Interleaved = stack.rules()[0].downcast_ref().context("the network takes no images")?;
        Ok(self.layers.mirrored.then(|| MirroredConfig::new(lowest.output()).interleaved()))
    }
}

/// The filters of this depth, which counts from 1, and their place in the stack.
pub fn filters(stack: &Stack, depth: usize) -> Result<(&Convolution, usize)> {
    // The lowest layer brings the channels of a pixel apart.
    let place = 1 + PER_DEPTH * (depth - 1) + 1;
    let convolution = stack.rules()[place].downcast_ref().context("the network has no convolution there")?;
    Ok((convolution, place))
}

/// What stands behind the `filters` of a layer, and the size of what it gives.
fn response(
    filters: ImageSize,
    power: f64,
    pool: PoolShape,
) -> Result<(Vec<Box<dyn LearningRule>>, ImageSize)> {
    // The largest value has the largest power: what is pooled first is a fourth of the work.
    let before = if pool.is_max() { 1.0 } else { power };
    let pooling = Pooling::of(pool.of(filters))?;
    let output = pooling.output();
    let layers: [Box<dyn LearningRule>; 3] = [
        Box::new(Triangle::of(TriangleConfig { input: filters, power: before })?),
        Box::new(pooling),
        Box::new(Power::of(PowerConfig::new(output, power / before))?),
    ];
    Ok((layers.into(), output))
}

/// What a readout sees of a network: the lowest layers of a stack and what follows them.
pub struct Features<'a> {
    stack: &'a Stack,
    layers: usize,
    response: Vec<Box<dyn LearningRule>>,
    mirrored: Option<MirroredConfig>,
    standardize: Option<Standardize>,
}

impl Module for Features<'_> {
    fn forward(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        let features = match &self.mirrored {
            Some(mirrored) => mirrored.mean(|images| self.of_images(images), inputs)?,
            None => self.of_images(inputs)?,
        };
        self.standardize.iter().try_fold(features, |features, layer| layer.forward(&features))
    }
}

impl Features<'_> {
    fn of_images(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        let below = self.stack.below(self.layers, inputs)?;
        self.response.iter().try_fold(below, |features, layer| layer.forward(&features))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.response.last().map_or(0, |layer| layer.units())
    }

    /// The state of a readout of these features as that of one which sees them before they are standardized.
    pub fn unstandardized(&self, mut readout: State) -> Result<State> {
        let standardize = self.standardize.as_ref().context("the features are not standardized")?;
        let (weight, bias) = (readout["weight"].clone(), readout["bias"].clone());
        // An affine map is what it makes of zeros and ones.
        let zeros = Tensor::zeros((1, standardize.inputs()), DType::F32, weight.device())?;
        let offset = standardize.forward(&zeros)?;
        let scale = (standardize.forward(&zeros.ones_like()?)? - &offset)?;
        readout.insert("bias".into(), (bias + weight.matmul(&offset.t()?)?.flatten_all()?)?);
        readout.insert("weight".into(), weight.broadcast_mul(&scale)?);
        Ok(readout)
    }
}
