//! The networks: convolutions with what stands before and behind them, and where their filters come from.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use candle_nn::Module;
use hebbian::{
    Convolution, ConvolutionConfig, FitConfig, ImageSize, Interleaved, InterleavedConfig, KrotovHopfield,
    KrotovHopfieldConfig, Learning, LearningRule, MirroredConfig, PatchNorm, Pooling, Power, PowerConfig,
    Rule, SoftHebb, SoftHebbConfig, Stack, Standardize, StandardizeConfig, Triangle, TriangleConfig,
};
use hebbian_experiment::{Data, Standardized};
use hebbian_training::{Generator, Schedule};

use crate::settings::{KrotovHopfieldSettings, Model, PoolShape, Settings};

/// An inverse temperature at which the winner takes all.
const WINNER_TAKES_ALL: f64 = 1e6;
/// Batches after which running statistics are those of the data.
const SETTLED: usize = 300;

impl Settings {
    /// How many layers of filters there are.
    pub fn depths(&self) -> usize {
        self.layers.units.len()
    }

    /// The network for images of `data` before any learning. All models of a `seed` begin with the same filters, but for those
    /// of Krotov and Hopfield, which are of another length.
    pub fn network(&self, data: &Data, seed: u64, model: Model, device: &Device) -> Result<Stack> {
        let mut draws = Generator::new(seed, "deep");
        let mut input = ImageSize::new(data.shape.channels, data.shape.height, data.shape.width);
        let mut stack: Vec<Box<dyn LearningRule>> =
            vec![Box::new(Interleaved::of(InterleavedConfig { output: input })?)];
        for layer in 0..self.depths() {
            if model != Model::KrotovHopfield {
                let config = StandardizeConfig { input };
                stack.push(Box::new(Standardize::new(config, input.values(), &mut draws, device)?));
            }
            let convolution = self.convolution(model, (layer, input), &mut draws, device)?;
            let (response, output) = self.response(&convolution, layer, self.layers.pools[layer])?;
            stack.push(Box::new(convolution));
            stack.extend(response);
            input = output;
        }
        Ok(Stack::new(stack, Learning::Online)?)
    }

    /// The filters of a layer for images of the size `input`.
    fn convolution(
        &self,
        model: Model,
        (layer, input): (usize, ImageSize),
        draws: &mut Generator,
        device: &Device,
    ) -> Result<Convolution> {
        let patches = ConvolutionConfig::new(input, self.layers.kernels[layer]);
        let (values, units) = (patches.patch_values(), self.layers.units[layer]);
        if model == Model::KrotovHopfield {
            let KrotovHopfieldSettings { p, k, delta, learning_rate, .. } = self.krotov_hopfield;
            let config =
                KrotovHopfieldConfig { units, p, k, delta, learning_rate, ..KrotovHopfieldConfig::default() };
            let rule = KrotovHopfield::new(config, values, draws, device)?;
            return Ok(Convolution::new(Box::new(rule), patches.with_patches(PatchNorm::UnitLength))?);
        }
        let hard = model == Model::HardWta;
        let config = SoftHebbConfig {
            units,
            learning_rate: self.layers.learning_rates[layer],
            inverse_temperature: if hard {
                WINNER_TAKES_ALL
            } else {
                self.layers.inverse_temperatures[layer]
            },
            ..self.rule.clone()
        };
        Ok(Convolution::new(Box::new(SoftHebb::new(config, values, draws, device)?), patches)?)
    }

    /// How the filters of a model learn.
    pub fn fit_of(&self, model: Model) -> FitConfig {
        let KrotovHopfieldSettings { epochs, batch_size, .. } = self.krotov_hopfield;
        match model {
            Model::KrotovHopfield => {
                FitConfig { epochs, batch_size, schedule: Schedule::Linear, in_order: false }
            }
            _ => self.fit.clone(),
        }
    }

    /// What stands behind the filters of a layer, and the size of what it gives.
    fn response(
        &self,
        filters: &Convolution,
        layer: usize,
        pool: PoolShape,
    ) -> Result<(Vec<Box<dyn LearningRule>>, ImageSize)> {
        let rectified = filters.rule().downcast_ref::<KrotovHopfield>().is_some();
        let power = if rectified { self.krotov_hopfield.power } else { self.layers.powers[layer] };
        // The largest value has the largest power: what is pooled first is a fourth of the work.
        let before = if pool.is_max() { 1.0 } else { power };
        let input = filters.output();
        let pooling = Pooling::of(pool.of(input))?;
        let output = pooling.output();
        let positive: Box<dyn LearningRule> = match rectified {
            true => Box::new(Power::of(PowerConfig::new(input, before).rectified())?),
            false => Box::new(Triangle::of(TriangleConfig { input, power: before })?),
        };
        let raised = Power::of(PowerConfig::new(output, power / before))?;
        Ok((vec![positive, Box::new(pooling), Box::new(raised)], output))
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

    /// What a readout of this depth, which counts from 1, sees of a network: each channel at mean 0 and variance 1 over some
    /// of the `images`.
    pub fn features<'a>(
        &self,
        stack: &'a Stack,
        depth: usize,
        images: &Tensor,
    ) -> Result<Standardized<Features<'a>>> {
        let (convolution, place) = filters(stack, depth)?;
        let layer = depth - 1;
        let (response, output) = self.response(convolution, layer, self.readout_pool(layer))?;
        let mirrored = self.mirrored(stack)?;
        Standardized::fit(Features { stack, layers: place + 1, response, mirrored }, output, images)
    }

    /// Which images a network takes, where what it makes of them is to be the same for their mirror images.
    pub fn mirrored(&self, stack: &Stack) -> Result<Option<MirroredConfig>> {
        let lowest: &Interleaved = stack.rules()[0].downcast_ref().context("the network takes no images")?;
        Ok(self.layers.mirrored.then(|| MirroredConfig::new(lowest.output()).interleaved()))
    }
}

/// The filters of this depth, which counts from 1, and their place in the stack.
pub fn filters(stack: &Stack, depth: usize) -> Result<(&Convolution, usize)> {
    let layers = stack.rules().iter().enumerate();
    let mut convolutions = layers.filter_map(|(place, layer)| Some((layer.downcast_ref()?, place)));
    convolutions.nth(depth - 1).context("the network has no filters there")
}

/// What a network gives at a depth: the lowest layers of a stack and what follows them.
pub struct Features<'a> {
    stack: &'a Stack,
    layers: usize,
    response: Vec<Box<dyn LearningRule>>,
    mirrored: Option<MirroredConfig>,
}

impl Module for Features<'_> {
    fn forward(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        match &self.mirrored {
            Some(mirrored) => mirrored.mean(|images| self.of_images(images), inputs),
            None => self.of_images(inputs),
        }
    }
}

impl Features<'_> {
    fn of_images(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        let below = self.stack.below(self.layers, inputs)?;
        self.response.iter().try_fold(below, |features, layer| layer.forward(&features))
    }
}
