//! Layers that learn nothing, as rules: so that a stack holds them like any other.

use candle_core::{Device, Result, Tensor, bail};
use candle_nn::Module;
use hebbian_training::{Generator, Parameters, State};

use super::images::ImageSize;
use crate::rule::{Learned, LearningRule, Rule, check_state};

/// What a layer without anything to learn is: its parameters, and a function of images.
pub trait FixedLayer: Parameters + Clone + Send + Sync + 'static {
    /// The name in checkpoints.
    const NAME: &'static str;

    /// The images that it takes.
    fn input(&self) -> ImageSize;

    /// The images that it gives.
    fn output(&self) -> ImageSize;

    /// What it makes of `images (batch, channels, height, width)`, of its output's size in all.
    fn apply(&self, images: &Tensor) -> Result<Tensor>;
}

/// A layer that learns nothing. It takes `(batch, values)` or `(batch, channels, height, width)` and gives `(batch, values)`.
#[derive(Clone, Debug)]
pub struct Fixed<L> {
    layer: L,
}

impl<L: FixedLayer> Fixed<L> {
    /// The layer with these parameters.
    ///
    /// # Errors
    /// If a parameter is not allowed.
    pub fn of(layer: L) -> Result<Self> {
        layer.validate()?;
        Ok(Self { layer })
    }

    /// The size of the images that it gives.
    pub fn output(&self) -> ImageSize {
        self.layer.output()
    }
}

impl<L: FixedLayer> Module for Fixed<L> {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        let images = self.layer.input().images(inputs)?;
        self.layer.apply(&images)?.contiguous()?.reshape((images.dim(0)?, self.layer.output().values()))
    }
}

impl<L: FixedLayer> Rule for Fixed<L> {
    const NAME: &'static str = L::NAME;
    type Config = L;

    fn new(config: L, inputs: usize, _: &mut Generator, _: &Device) -> Result<Self> {
        if inputs != config.input().values() {
            bail!("{}: images of {:?} have not {inputs} values", L::NAME, config.input());
        }
        Self::of(config)
    }

    fn from_state(config: L, state: State) -> Result<Self> {
        check_state(&state, &[])?;
        Self::of(config)
    }
}

impl<L: FixedLayer> LearningRule for Fixed<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!(self.layer)
    }

    fn inputs(&self) -> usize {
        self.layer.input().values()
    }

    fn units(&self) -> usize {
        self.layer.output().values()
    }

    fn set_rate_scale(&mut self, _: f64) {}

    /// Learns nothing, and passes upward what it always gives.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        Ok(Learned::new(self.forward(inputs)?))
    }

    fn weights(&self) -> Result<Tensor> {
        bail!("the layer `{}` has no weights", L::NAME)
    }

    fn tensors(&self) -> Result<State> {
        Ok(State::new())
    }

    fn can_fail(&self) -> bool {
        false
    }

    fn can_undo(&self) -> bool {
        true
    }

    fn undo(&mut self) -> Result<()> {
        Ok(())
    }

    fn restore(&mut self, state: State) -> Result<()> {
        check_state(&state, &[])
    }
}
