//! Each channel brought to mean 0 and variance 1: by its batch while the network learns, by running means after.
//!
//! ```text
//! z = (x - m_c) / √(v_c + 1e-5)         m_c, v_c over the batch and all places; v_c with n below
//! mean_c ← 0.9 mean_c + 0.1 m_c          var_c ← 0.9 var_c + 0.1 v_c n / (n - 1)
//! ```
//!
//! Source: S. Ioffe, C. Szegedy, "Batch normalization" (2015), without scale and shift.

mod cpu;

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::Module;
use hebbian_training::{Generator, Parameters, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::images::ImageSize;
use crate::ops::{has_kernel, no_update, size_or_fault, unless_fault, zero_if_finite};
use crate::rule::{Learned, LearningRule, Rule, check_finite, check_state};
use cpu::{Moments, Scaled};

/// The parameters of [`Standardize`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StandardizeConfig {
    /// The images that it takes.
    pub input: ImageSize,
}

impl Parameters for StandardizeConfig {}

/// A layer that brings each channel to mean 0 and variance 1.
///
/// Its state is `mean (channels)` and `variance (channels)`; [`Module::forward`] uses them and changes nothing.
#[derive(Debug)]
pub struct Standardize {
    config: StandardizeConfig,
    mean: Tensor,
    variance: Tensor,
    /// 0, or away from the CPU not a number once a batch was not finite.
    fault: Tensor,
}

/// Weight of the newest batch in the running means.
const MOMENTUM: f64 = 0.1;
/// Added to a variance before its root divides.
const FLOOR: f64 = 1e-5;

impl Standardize {
    /// The layer with the mean and the biased variance of each channel of `images (batch, values)`.
    ///
    /// # Errors
    /// If the images are not of the config's size, or hold what is not finite.
    pub fn fit(config: StandardizeConfig, images: &Tensor) -> Result<Self> {
        config.validate()?;
        let (mean, variance) = moments(&config.input.images(images)?)?;
        check_finite("mean", &mean)?;
        check_finite("variance", &variance)?;
        Ok(Self { config, fault: no_update(mean.device())?, mean, variance })
    }

    fn per_channel(&self, values: &Tensor) -> Result<Tensor> {
        values.reshape((1, self.config.input.channels, 1, 1))
    }

    fn standardized(&self, images: &Tensor, mean: &Tensor, variance: &Tensor) -> Result<Tensor> {
        let scale = (variance + FLOOR)?.sqrt()?.recip()?;
        if has_kernel(images) {
            let (mean, scale) = (mean.to_vec1()?, scale.to_vec1()?);
            return images.contiguous()?.apply_op1_no_bwd(&Scaled { mean, scale })?.flatten_from(1);
        }
        let centered = images.broadcast_sub(&self.per_channel(mean)?)?;
        centered.broadcast_mul(&self.per_channel(&scale)?)?.flatten_from(1)
    }
}

/// Mean and biased variance of each channel of `images (batch, channels, height, width)`.
fn moments(images: &Tensor) -> Result<(Tensor, Tensor)> {
    if images.device().is_cpu() {
        let moments = images.contiguous()?.apply_op1_no_bwd(&Moments)?;
        return Ok((moments.get(0)?, moments.get(1)?));
    }
    graph(images)
}

fn graph(images: &Tensor) -> Result<(Tensor, Tensor)> {
    let planes = images.transpose(0, 1)?.contiguous()?.flatten_from(1)?;
    let mean = planes.mean(1)?;
    let variance = planes.broadcast_sub(&mean.unsqueeze(1)?)?.sqr()?.mean(1)?;
    Ok((mean, variance))
}

impl Module for Standardize {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        self.standardized(&self.config.input.images(inputs)?, &self.mean, &self.variance)
    }
}

impl Rule for Standardize {
    const NAME: &'static str = "standardize";
    type Config = StandardizeConfig;

    /// Begins with mean 0 and variance 1.
    fn new(config: StandardizeConfig, inputs: usize, _: &mut Generator, device: &Device) -> Result<Self> {
        config.validate()?;
        if inputs != config.input.values() {
            bail!("{}: images of {:?} have not {inputs} values", Self::NAME, config.input);
        }
        let channels = config.input.channels;
        let (mean, variance) =
            (Tensor::zeros(channels, DType::F32, device)?, Tensor::ones(channels, DType::F32, device)?);
        Ok(Self { config, mean, variance, fault: no_update(device)? })
    }

    fn from_state(config: StandardizeConfig, state: State) -> Result<Self> {
        config.validate()?;
        let channels = config.input.channels;
        check_state(&state, &[("mean", channels.into()), ("variance", channels.into())])?;
        let (mean, variance) = (state["mean"].copy()?, state["variance"].copy()?);
        Ok(Self { config, fault: no_update(mean.device())?, mean, variance })
    }
}

impl LearningRule for Standardize {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!(self.config)
    }

    fn inputs(&self) -> usize {
        self.config.input.values()
    }

    fn units(&self) -> usize {
        self.config.input.values()
    }

    fn set_rate_scale(&mut self, _: f64) {}

    /// Passes upward what the statistics of this batch make of it, and moves the running ones.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        let images = self.config.input.images(inputs)?;
        let values = images.dim(0)? * self.config.input.positions();
        if values < 2 {
            bail!("inputs: one value per channel has no variance; allowed: at least two in a batch");
        }
        let (mean, variance) = moments(&images)?;
        if images.device().is_cpu() {
            check_finite("mean", &mean)?;
            check_finite("variance", &variance)?;
        }
        let output = self.standardized(&images, &mean, &variance)?;
        self.fault = size_or_fault(&(zero_if_finite(&mean)? + zero_if_finite(&variance)?)?, &self.fault)?;
        let unbiased = values as f64 / (values - 1) as f64;
        let moved = |running: &Tensor, new: Tensor, share: f64| {
            unless_fault(&self.fault, &((running * (1.0 - MOMENTUM))? + (new * share)?)?, running)
        };
        (self.mean, self.variance) =
            (moved(&self.mean, mean, MOMENTUM)?, moved(&self.variance, variance, MOMENTUM * unbiased)?);
        Ok(Learned::new(output))
    }

    fn weights(&self) -> Result<Tensor> {
        bail!("the layer `{}` has no weights", Self::NAME)
    }

    fn tensors(&self) -> Result<State> {
        let state = [("mean", &self.mean), ("variance", &self.variance)];
        Ok(state.map(|(name, tensor)| (name.to_owned(), tensor.clone())).into())
    }

    fn restore(&mut self, state: State) -> Result<()> {
        let channels = self.config.input.channels;
        check_state(&state, &[("mean", channels.into()), ("variance", channels.into())])?;
        let take = |name: &str| state[name].to_device(self.mean.device())?.copy();
        (self.mean, self.variance) = (take("mean")?, take("variance")?);
        self.fault = no_update(self.mean.device())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Result<Standardize> {
        let input = ImageSize::new(2, 3, 3);
        Standardize::new(StandardizeConfig { input }, 18, &mut Generator::new(0, ""), &Device::Cpu)
    }

    fn images(seed: u64) -> Result<Tensor> {
        Generator::new(seed, "images").normal((10, 18), 3.0, 2.0, &Device::Cpu)
    }

    #[test]
    fn a_batch_comes_out_with_mean_zero_and_variance_one_and_a_constant_channel_as_zero() -> Result<()> {
        let output = layer()?.learn(&images(0)?)?.output.reshape((10, 2, 9))?;
        for channel in 0..2 {
            let values = output.narrow(1, channel, 1)?.flatten_all()?;
            let (mean, variance) = (values.mean_all()?.to_scalar::<f32>()?, values.sqr()?.mean_all()?);
            assert!(mean.abs() < 1e-5 && (variance.to_scalar::<f32>()? - 1.0).abs() < 1e-4);
        }
        let constant = Tensor::full(7f32, (4, 18), &Device::Cpu)?;
        assert_eq!(layer()?.learn(&constant)?.output.abs()?.max_all()?.to_scalar::<f32>()?, 0.0);
        Ok(())
    }

    #[test]
    fn fitted_to_images_it_brings_them_to_mean_zero_and_variance_one() -> Result<()> {
        let (input, images) = (ImageSize::new(2, 3, 3), images(0)?);
        let fitted = Standardize::fit(StandardizeConfig { input }, &images)?;
        let learned = layer()?.learn(&images)?.output;
        assert_eq!(fitted.forward(&images)?.to_vec2::<f32>()?, learned.to_vec2::<f32>()?);
        assert!(Standardize::fit(StandardizeConfig { input }, &(images * f64::NAN)?).is_err());
        Ok(())
    }

    #[test]
    fn kernel_and_graph_agree() -> Result<()> {
        let images = images(3)?.reshape((10, 2, 3, 3))?;
        let (ours, theirs) = (moments(&images)?, graph(&images)?);
        for off in [(ours.0 - theirs.0)?, (ours.1 - theirs.1)?] {
            assert!(off.abs()?.max_all()?.to_scalar::<f32>()? < 1e-5, "{off}");
        }
        Ok(())
    }

    #[test]
    fn running_statistics_come_to_those_of_the_data_and_forward_does_not_move_them() -> Result<()> {
        let mut layer = layer()?;
        for step in 0..200 {
            layer.learn(&images(step)?)?;
        }
        let mean = layer.mean.to_vec1::<f32>()?;
        assert!(mean.iter().all(|mean| (mean - 3.0).abs() < 0.3), "{mean:?}");
        layer.forward(&images(999)?)?;
        assert_eq!(layer.mean.to_vec1::<f32>()?, mean);
        Ok(())
    }

    #[test]
    fn a_batch_that_is_not_finite_or_has_no_variance_is_refused_and_moves_nothing() -> Result<()> {
        let mut layer = layer()?;
        let bad = (images(0)? * f64::INFINITY)?;
        assert!(layer.learn(&bad).is_err());
        assert_eq!(layer.mean.to_vec1::<f32>()?, [0.0, 0.0]);
        let input = ImageSize::new(2, 1, 1);
        let mut one =
            Standardize::new(StandardizeConfig { input }, 2, &mut Generator::new(0, ""), &Device::Cpu)?;
        assert!(one.learn(&Tensor::zeros((1, 2), DType::F32, &Device::Cpu)?).is_err());
        Ok(())
    }
}
