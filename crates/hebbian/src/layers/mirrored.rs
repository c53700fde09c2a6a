//! The mean of what a rule makes of an image and of its mirror image.
//!
//! ```text
//! y(x) = (f(x) + f(mirror x)) / 2
//! ```
//!
//! What comes out is the same for both: a classifier of it need not learn that a horse that looks to the left is a horse.
//! The rule itself learns from the images as they are.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use candle_nn::Module;
//! use hebbian::{ImageSize, Mirrored, MirroredConfig, Rule, SoftHebb, SoftHebbConfig};
//! use hebbian_training::Generator;
//!
//! let mut draws = Generator::new(0, "doctest");
//! let rule = SoftHebb::new(SoftHebbConfig { units: 5, ..Default::default() }, 3, &mut draws, &Device::Cpu)?;
//! let row = MirroredConfig::new(ImageSize::new(1, 1, 3));
//! let layer = Mirrored::new(Box::new(rule), row)?;
//! let answers = layer.forward(&Tensor::new(&[[1f32, 2.0, 4.0], [4.0, 2.0, 1.0]], &Device::Cpu)?)?.to_vec2::<f32>()?;
//! assert_eq!(answers[0], answers[1]);
//! # Ok::<(), candle_core::Error>(())
//! ```

use candle_core::{Device, Result, Tensor, bail};
use candle_nn::Module;
use hebbian_training::{Generator, State};
use serde::{Deserialize, Serialize};

use super::images::ImageSize;
use super::stack::StackedRule;
use crate::Registry;
use crate::ops::check_batch;
use crate::rule::{Composite, Learned, LearningRule};

/// Which images a [`Mirrored`] takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MirroredConfig {
    /// Their size.
    pub input: ImageSize,
    /// Whether the channels of a pixel lie side by side, as datasets hold color images, and not in planes.
    pub interleaved: bool,
}

impl MirroredConfig {
    /// Images of this size, whole planes one after the other.
    pub fn new(input: ImageSize) -> Self {
        Self { input, interleaved: false }
    }

    /// With the channels of a pixel side by side.
    pub fn interleaved(self) -> Self {
        Self { interleaved: true, ..self }
    }

    /// The mirror images of `inputs (batch, values)`: right is left.
    ///
    /// # Errors
    /// If the inputs are not f32 of this size.
    pub fn mirror(&self, inputs: &Tensor) -> Result<Tensor> {
        let (batch, values) = check_batch(inputs, self.input.values())?;
        let depth = if self.interleaved { self.input.channels } else { 1 };
        let lines = inputs.reshape((batch, values / (self.input.width * depth), self.input.width, depth))?;
        lines.flip(&[2])?.flatten_from(1)
    }

    /// The mean of what `layer` makes of `inputs (batch, values)` and of their mirror images.
    pub fn mean(&self, layer: impl Fn(&Tensor) -> Result<Tensor>, inputs: &Tensor) -> Result<Tensor> {
        (layer(inputs)? + layer(&self.mirror(inputs)?)?)? * 0.5
    }
}

/// All that a [`Mirrored`] is made of, beside its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeConfig {
    /// Which images it takes.
    pub mirrored: MirroredConfig,
    /// The rule that sees them.
    pub rule: StackedRule,
}

/// A rule, or a whole network, that answers to an image as to its mirror image, with the mean of what it makes of the two.
///
/// It takes `(batch, values)` and learns as the rule in it does, from the images as they are. Its state is that of the rule.
pub struct Mirrored {
    config: MirroredConfig,
    rule: Box<dyn LearningRule>,
}

impl Mirrored {
    /// `rule` on the images that `config` says.
    ///
    /// # Errors
    /// If the rule does not take images of that size, or if it takes a batch as a stretch of time.
    pub fn new(rule: Box<dyn LearningRule>, config: MirroredConfig) -> Result<Self> {
        if rule.inputs() != config.input.values() {
            let (takes, name) = (rule.inputs(), rule.name());
            bail!("mirrored: the rule `{name}` takes {takes} inputs, an image has {}", config.input.values());
        }
        if rule.is_sequential() {
            bail!("mirrored: the rule `{}` tells apart what follows what", rule.name());
        }
        Ok(Self { config, rule })
    }

    /// The rule.
    pub fn rule(&self) -> &dyn LearningRule {
        &*self.rule
    }
}

impl std::fmt::Debug for Mirrored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirrored").field("rule", &self.rule.name()).field("config", &self.config).finish()
    }
}

impl Module for Mirrored {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        self.config.mean(|images| self.rule.forward(images), inputs)
    }
}

impl Composite for Mirrored {
    const NAME: &'static str = "mirrored";
    type Config = WholeConfig;

    fn from_config(
        WholeConfig { mirrored, rule }: WholeConfig,
        inputs: usize,
        generator: &mut Generator,
        device: &Device,
        registry: &Registry,
    ) -> Result<Self> {
        Self::new(registry.create(&rule.rule, &rule.config, inputs, generator, device)?, mirrored)
    }

    fn from_state(
        WholeConfig { mirrored, rule }: WholeConfig,
        state: State,
        registry: &Registry,
    ) -> Result<Self> {
        Self::new(registry.load(&rule.rule, &rule.config, state)?, mirrored)
    }
}

impl LearningRule for Mirrored {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!(WholeConfig { mirrored: self.config.clone(), rule: StackedRule::of(&*self.rule) })
    }

    fn inputs(&self) -> usize {
        self.rule.inputs()
    }

    fn units(&self) -> usize {
        self.rule.units()
    }

    fn learning_rate(&self) -> Option<f64> {
        self.rule.learning_rate()
    }

    fn prepare(&mut self, inputs: &Tensor) -> Result<()> {
        self.rule.prepare(inputs)
    }

    fn begin_epoch(&mut self, epoch: usize, inputs: &Tensor) -> Result<()> {
        self.rule.begin_epoch(epoch, inputs)
    }

    fn set_rate_scale(&mut self, scale: f64) {
        self.rule.set_rate_scale(scale);
    }

    /// One step of the rule on the images as they are; what it passes upward is of those alone.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        self.rule.learn(inputs)
    }

    fn weights(&self) -> Result<Tensor> {
        self.rule.weights()
    }

    fn synapses(&self) -> Result<Tensor> {
        self.rule.synapses()
    }

    fn tensors(&self) -> Result<State> {
        self.rule.tensors()
    }

    fn inference_state(&self) -> Result<State> {
        self.rule.inference_state()
    }

    fn can_fail(&self) -> bool {
        self.rule.can_fail()
    }

    fn can_undo(&self) -> bool {
        self.rule.can_undo()
    }

    fn undo(&mut self) -> Result<()> {
        self.rule.undo()
    }

    fn restore(&mut self, state: State) -> Result<()> {
        self.rule.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KrotovHopfield, KrotovHopfieldConfig, Rule};

    const INPUT: ImageSize = ImageSize { channels: 2, height: 3, width: 4 };

    fn images() -> Result<Tensor> {
        Generator::new(0, "images").normal((5, INPUT.values()), 0.0, 1.0, &Device::Cpu)
    }

    fn layer(config: MirroredConfig) -> Result<Mirrored> {
        let rule = KrotovHopfieldConfig { units: 7, k: 2, ..Default::default() };
        let rule = KrotovHopfield::new(rule, INPUT.values(), &mut Generator::new(0, "rule"), &Device::Cpu)?;
        Mirrored::new(Box::new(rule), config)
    }

    #[test]
    fn right_is_left_in_planes_and_in_pixels_with_their_channels_side_by_side() -> Result<()> {
        let planes = images()?.reshape((5, 2, 3, 4))?;
        let pixels = planes.permute((0, 2, 3, 1))?;
        let config = MirroredConfig::new(INPUT);
        let mirrored = config.mirror(&planes.flatten_from(1)?)?.reshape((5, 2, 3, 4))?;
        let columns = |images: &Tensor, column: usize| -> Result<Vec<f32>> {
            images.narrow(3, column, 1)?.flatten_all()?.to_vec1()
        };
        for column in 0..4 {
            assert_eq!(columns(&mirrored, column)?, columns(&planes, 3 - column)?);
        }
        let interleaved = config.interleaved().mirror(&pixels.flatten_from(1)?)?;
        let back = interleaved.reshape((5, 3, 4, 2))?.permute((0, 3, 1, 2))?.flatten_all()?;
        assert_eq!(back.to_vec1::<f32>()?, mirrored.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }

    #[test]
    fn an_image_and_its_mirror_image_get_the_same_answer_and_the_rule_learns_as_it_would_alone() -> Result<()>
    {
        let mut layer = layer(MirroredConfig::new(INPUT))?;
        let mirrored = layer.config.mirror(&images()?)?;
        assert_eq!(layer.forward(&images()?)?.to_vec2::<f32>()?, layer.forward(&mirrored)?.to_vec2::<f32>()?);
        let mut alone = Registry::builtin().load(layer.rule.name(), &layer.rule.config(), layer.state()?)?;
        alone.learn(&images()?)?;
        layer.learn(&images()?)?;
        assert_eq!(layer.weights()?.to_vec2::<f32>()?, alone.weights()?.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn it_is_loaded_by_the_registry_with_the_rule_that_is_in_it() -> Result<()> {
        let layer = layer(MirroredConfig::new(INPUT).interleaved())?;
        let registry = Registry::builtin();
        let loaded = registry.load(Mirrored::NAME, &layer.config(), layer.state()?)?;
        assert_eq!(
            loaded.forward(&images()?)?.to_vec2::<f32>()?,
            layer.forward(&images()?)?.to_vec2::<f32>()?
        );
        let mut draws = Generator::new(0, "rule");
        let fresh =
            registry.create(Mirrored::NAME, &layer.config(), INPUT.values(), &mut draws, &Device::Cpu)?;
        assert_eq!(fresh.weights()?.to_vec2::<f32>()?, layer.weights()?.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_name() -> Result<()> {
        let wide = layer(MirroredConfig::new(ImageSize::new(2, 3, 5))).unwrap_err().to_string();
        assert!(
            wide.starts_with("mirrored: the rule `krotov-hopfield` takes 24 inputs, an image has 30"),
            "{wide}"
        );
        Ok(())
    }
}
