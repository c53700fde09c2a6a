//! Any rule on patches of images: a convolutional layer is its rule on the matrix of all patches of a batch.
//!
//! ```text
//! P   = all patches of the batch, (batch · rows · columns, channels · kernel²)
//! out = the rule on P, (batch, units · rows · columns)
//! ```
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use candle_nn::Module;
//! use hebbian::{
//!     Convolution, ConvolutionConfig, ImageSize, LearningRule, Padding, PatchNorm, Rule, SoftHebb, SoftHebbConfig,
//! };
//! use hebbian_training::Generator;
//!
//! let mut draws = Generator::new(0, "doctest");
//! let config = SoftHebbConfig { units: 8, ..Default::default() };
//! let filters = SoftHebb::new(config, 3 * 5 * 5, &mut draws, &Device::Cpu)?;
//! let mut layer = Convolution::new(Box::new(filters), ConvolutionConfig::new(ImageSize::new(3, 16, 16), 5))?;
//!
//! let images = draws.normal((4, 3 * 16 * 16), 0.0, 1.0, &Device::Cpu)?.reshape((4, 3, 16, 16))?;
//! layer.learn(&images)?;
//! assert_eq!(layer.forward(&images)?.dims(), [4, 8 * 16 * 16]);
//! assert_eq!(layer.weights()?.dims(), [8, 3 * 5 * 5]);
//! # Ok::<(), candle_core::Error>(())
//! ```

use candle_core::{D, Device, Result, Tensor, bail};
use candle_nn::Module;
use hebbian_training::{Generator, Invalid, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::images::ImageSize;
use super::patches::{Padding, Windows, patches};
use super::planes::Planes;
use super::stack::StackedRule;
use crate::Registry;
use crate::ops::{has_kernel, in_portions};
use crate::rule::{Composite, Learned, LearningRule};

/// Where a [`Convolution`] takes its patches, and what is done to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConvolutionConfig {
    /// The images that it takes.
    pub input: ImageSize,
    /// Side of a patch.
    #[schemars(range(min = 1))]
    pub kernel: usize,
    /// From one patch to the next.
    #[schemars(range(min = 1))]
    pub stride: usize,
    /// What lies beyond the edge of an image.
    pub padding: Padding,
    /// What is done to each patch before the rule sees it.
    pub patches: PatchNorm,
}

/// What is done to each patch before the rule sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PatchNorm {
    /// Nothing.
    #[default]
    None,
    /// It is brought to length 1.
    UnitLength,
}

impl ConvolutionConfig {
    /// Patches of `kernel` by `kernel` around each pixel of images of the size `input`, which are mirrored at their edges.
    pub fn new(input: ImageSize, kernel: usize) -> Self {
        Self { input, kernel, stride: 1, padding: Padding::Reflect, patches: PatchNorm::None }
    }

    /// With `stride` pixels from one patch to the next.
    pub fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With what lies beyond the edge of an image.
    pub fn with_padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    /// With what is done to each patch.
    pub fn with_patches(self, patches: PatchNorm) -> Self {
        Self { patches, ..self }
    }

    /// Values per patch.
    pub fn patch_values(&self) -> usize {
        self.input.channels.saturating_mul(self.kernel.saturating_mul(self.kernel))
    }

    /// One value per place of a patch: the size of what a rule of one unit gives.
    fn places(&self) -> std::result::Result<ImageSize, Invalid> {
        let Self { input, kernel, stride, .. } = *self;
        Invalid::unless(stride >= 1, "stride", stride, "at least 1")?;
        Invalid::unless(kernel >= 1, "kernel", kernel, "at least 1")?;
        let least = kernel / 2 + 1;
        let mirrors = self.padding != Padding::Reflect || input.height.min(input.width) >= least;
        let allowed =
            format!("at most {}, to be mirrored at the edges", 2 * input.height.min(input.width) - 1);
        Invalid::unless(mirrors, "kernel", kernel, allowed)?;
        input.windows(kernel, stride, self.padding.pixels(kernel))
    }
}

/// All that a [`Convolution`] is made of, beside its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeConfig {
    /// Where patches are taken.
    pub convolution: ConvolutionConfig,
    /// The rule that sees them.
    pub rule: StackedRule,
}

/// A rule that sees patches of images.
///
/// It takes `(batch, values)` or `(batch, channels, height, width)` and gives `(batch, units · rows · columns)`, a whole plane
/// per unit of the rule. Its state is that of the rule.
pub struct Convolution {
    config: ConvolutionConfig,
    output: ImageSize,
    rule: Box<dyn LearningRule>,
}

/// The least that a patch's length is taken for.
const LENGTH_FLOOR: f64 = 1e-12;
/// Images whose patches a rule prepares with.
const PREPARED: usize = 20;

impl Convolution {
    /// `rule` on the patches that `config` says.
    ///
    /// # Errors
    /// If patches do not fit into the images, or if the rule does not take patches of their size.
    pub fn new(rule: Box<dyn LearningRule>, config: ConvolutionConfig) -> Result<Self> {
        let places = config.places()?;
        if rule.inputs() != config.patch_values() {
            let (takes, patch) = (rule.inputs(), config.patch_values());
            bail!("convolution: the rule `{}` takes {takes} inputs, a patch has {patch}", rule.name());
        }
        let output = ImageSize { channels: rule.units(), ..places };
        Ok(Self { config, output, rule })
    }

    /// The rule.
    pub fn rule(&self) -> &dyn LearningRule {
        &*self.rule
    }

    /// The size of what it gives: a plane per unit.
    pub fn output(&self) -> ImageSize {
        self.output
    }

    /// The patches of a batch, image by image and row by row, `(batch · rows · columns, channels · kernel²)`.
    pub fn patches(&self, inputs: &Tensor) -> Result<Tensor> {
        let ConvolutionConfig { input, kernel, stride, padding, patches: norm } = self.config;
        let all = patches(&input.images(inputs)?, Windows { kernel, stride, padding })?;
        match norm {
            PatchNorm::None => Ok(all),
            PatchNorm::UnitLength => {
                let lengths = all.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(LENGTH_FLOOR)?;
                all.broadcast_div(&lengths)
            }
        }
    }

    /// Planes of what the rule made of patches, `(batch, units · rows · columns)`.
    fn planes(&self, responses: &Tensor) -> Result<Tensor> {
        let (places, units) = responses.dims2()?;
        let (positions, batch) = (self.output.positions(), places / self.output.positions());
        match has_kernel(responses) {
            true if responses.t()?.is_contiguous() => responses.apply_op1_no_bwd(&Planes { positions }),
            true => responses.contiguous()?.apply_op1_no_bwd(&Planes { positions }),
            false => responses.reshape((batch, positions, units))?.transpose(1, 2)?.flatten_from(1),
        }
    }

    /// The winners of patches `(patches, winners)` as units of the planes, `(batch, winners · rows · columns)`.
    fn winners(&self, winners: &Tensor) -> Result<Tensor> {
        let positions = self.output.positions();
        let batch = winners.dim(0)? / positions;
        let place = Tensor::arange(0, positions as u32, winners.device())?.reshape((1, positions, 1))?;
        let size = Tensor::full(positions as u32, winners.shape(), winners.device())?;
        let planes = (winners.contiguous()? * size)?.reshape((batch, positions, ()))?;
        planes.broadcast_add(&place)?.flatten_from(1)
    }

    fn first_patches(&self, inputs: &Tensor) -> Result<Tensor> {
        self.patches(&inputs.narrow(0, 0, inputs.dim(0)?.min(PREPARED))?)
    }
}

impl std::fmt::Debug for Convolution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Convolution").field("rule", &self.rule.name()).field("config", &self.config).finish()
    }
}

impl Module for Convolution {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        let respond = |images: &Tensor| self.planes(&self.rule.forward(&self.patches(images)?)?);
        match self.rule.is_sequential() {
            true => respond(inputs),
            false => in_portions(inputs, self.output.positions() * self.config.patch_values(), respond),
        }
    }
}

impl Composite for Convolution {
    const NAME: &'static str = "convolution";
    type Config = WholeConfig;

    fn from_config(
        WholeConfig { convolution, rule }: WholeConfig,
        inputs: usize,
        generator: &mut Generator,
        device: &Device,
        registry: &Registry,
    ) -> Result<Self> {
        if inputs != convolution.input.values() {
            bail!("convolution: images of {:?} have not {inputs} values", convolution.input);
        }
        let rule =
            registry.create(&rule.rule, &rule.config, convolution.patch_values(), generator, device)?;
        Self::new(rule, convolution)
    }

    fn from_state(
        WholeConfig { convolution, rule }: WholeConfig,
        state: State,
        registry: &Registry,
    ) -> Result<Self> {
        Self::new(registry.load(&rule.rule, &rule.config, state)?, convolution)
    }
}

impl LearningRule for Convolution {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn config(&self) -> serde_json::Value {
        let rule = StackedRule::of(&*self.rule);
        serde_json::json!(WholeConfig { convolution: self.config.clone(), rule })
    }

    fn inputs(&self) -> usize {
        self.config.input.values()
    }

    fn units(&self) -> usize {
        self.output.values()
    }

    fn learning_rate(&self) -> Option<f64> {
        self.rule.learning_rate()
    }

    /// With the patches of the first images.
    fn prepare(&mut self, inputs: &Tensor) -> Result<()> {
        self.rule.prepare(&self.first_patches(inputs)?)
    }

    /// `inputs` are those that it is given, and not patches: in a stack, those of the lowest rule.
    fn begin_epoch(&mut self, epoch: usize, inputs: &Tensor) -> Result<()> {
        self.rule.begin_epoch(epoch, inputs)
    }

    fn set_rate_scale(&mut self, scale: f64) {
        self.rule.set_rate_scale(scale);
    }

    /// One step of the rule on all patches of the batch. A winner is a unit at a place.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        let learned = self.rule.learn(&self.patches(inputs)?)?;
        Ok(Learned {
            output: self.planes(&learned.output)?,
            winners: learned.winners.as_ref().map(|winners| self.winners(winners)).transpose()?,
            repelled: None,
            measures: learned.measures,
        })
    }

    fn is_sequential(&self) -> bool {
        self.rule.is_sequential()
    }

    /// The rule's, `(units, channels · kernel²)`: filters, which all places share.
    fn weights(&self) -> Result<Tensor> {
        self.rule.weights()
    }

    fn synapses(&self) -> Result<Tensor> {
        self.rule.synapses()
    }

    fn tensors(&self) -> Result<State> {
        self.rule.tensors()
    }

    fn state(&self) -> Result<State> {
        self.rule.state()
    }

    fn inference_state(&self) -> Result<State> {
        self.rule.inference_state()
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
    use crate::{KrotovHopfield, KrotovHopfieldConfig, Rule, SoftHebb, SoftHebbConfig};

    const INPUT: ImageSize = ImageSize { channels: 3, height: 6, width: 5 };

    fn images() -> Result<Tensor> {
        Generator::new(0, "images").uniform((4, INPUT.values()), 0.0, 1.0, &Device::Cpu)
    }

    fn soft_hebb(inputs: usize) -> Result<Box<dyn LearningRule>> {
        let config = SoftHebbConfig { units: 7, ..Default::default() };
        Ok(Box::new(SoftHebb::new(config, inputs, &mut Generator::new(0, "rule"), &Device::Cpu)?))
    }

    #[test]
    fn it_is_its_rule_on_the_matrix_of_patches() -> Result<()> {
        let config = ConvolutionConfig::new(INPUT, 3);
        let (mut rule, mut layer) = (soft_hebb(27)?, Convolution::new(soft_hebb(27)?, config)?);
        let patches = layer.patches(&images()?)?;
        let (ours, theirs) = (layer.learn(&images()?)?, rule.learn(&patches)?);
        assert_eq!(layer.weights()?.to_vec2::<f32>()?, rule.weights()?.to_vec2::<f32>()?);
        let planes = ours.output.reshape((4, 7, 30))?.transpose(1, 2)?.reshape((120, 7))?;
        assert_eq!(planes.to_vec2::<f32>()?, theirs.output.to_vec2::<f32>()?);
        let (winners, places) = (ours.winners()?.flatten_all()?.to_vec1::<u32>()?, 30);
        for (place, theirs) in theirs.winners()?.flatten_all()?.to_vec1::<u32>()?.into_iter().enumerate() {
            assert_eq!((winners[place] / places, winners[place] % places), (theirs, place as u32 % places));
        }
        Ok(())
    }

    #[test]
    fn a_kernel_as_large_as_the_image_is_the_dense_rule() -> Result<()> {
        let input = ImageSize::new(3, 5, 5);
        let images = images()?.narrow(1, 0, 75)?.contiguous()?;
        let config = ConvolutionConfig::new(input, 5).with_padding(Padding::None);
        let (mut dense, mut layer) = (soft_hebb(75)?, Convolution::new(soft_hebb(75)?, config)?);
        let (ours, theirs) = (layer.learn(&images)?, dense.learn(&images)?);
        assert_eq!(ours.output.to_vec2::<f32>()?, theirs.output.to_vec2::<f32>()?);
        assert_eq!(layer.weights()?.to_vec2::<f32>()?, dense.weights()?.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn patches_can_be_brought_to_length_one_and_a_blank_one_stays_blank() -> Result<()> {
        let config = ConvolutionConfig::new(INPUT, 3).with_padding(Padding::None).with_stride(2);
        let layer = Convolution::new(soft_hebb(27)?, config.with_patches(PatchNorm::UnitLength))?;
        let lengths = layer.patches(&images()?)?.sqr()?.sum(1)?.to_vec1::<f32>()?;
        assert_eq!(lengths.len(), 4 * 2 * 2);
        assert!(lengths.iter().all(|length| (length - 1.0).abs() < 1e-5));
        assert_eq!(layer.patches(&images()?.zeros_like()?)?.abs()?.max_all()?.to_scalar::<f32>()?, 0.0);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_name() -> Result<()> {
        let refused = |rule: Box<dyn LearningRule>, config: ConvolutionConfig| {
            let text = Convolution::new(rule, config).unwrap_err().to_string();
            text.lines().next().unwrap_or_default().to_owned()
        };
        let config = ConvolutionConfig::new(INPUT, 3);
        let inputs = "convolution: the rule `soft-hebb` takes 26 inputs, a patch has 27";
        assert_eq!(refused(soft_hebb(26)?, config.clone()), inputs);
        assert!(refused(soft_hebb(27)?, config.clone().with_stride(0)).starts_with("stride = 0"));
        let wide = ConvolutionConfig::new(INPUT, 11);
        assert!(refused(soft_hebb(27)?, wide).starts_with("kernel = 11 is not allowed: at most 9"));
        let unpadded = ConvolutionConfig::new(INPUT, 6).with_padding(Padding::None);
        assert!(refused(soft_hebb(27)?, unpadded).starts_with("kernel = 6"));
        Ok(())
    }

    #[test]
    fn it_is_loaded_by_the_registry_with_the_rule_that_is_in_it() -> Result<()> {
        let config = KrotovHopfieldConfig { units: 6, p: 2.0, k: 2, ..Default::default() };
        let rule = KrotovHopfield::new(config, 27, &mut Generator::new(0, "rule"), &Device::Cpu)?;
        let mut layer = Convolution::new(Box::new(rule), ConvolutionConfig::new(INPUT, 3))?;
        layer.learn(&images()?)?;
        let registry = Registry::builtin();
        let loaded = registry.load(Convolution::NAME, &layer.config(), layer.state()?)?;
        assert_eq!(
            loaded.forward(&images()?)?.to_vec2::<f32>()?,
            layer.forward(&images()?)?.to_vec2::<f32>()?
        );
        let mut draws = Generator::new(0, "rule");
        let fresh =
            registry.create(Convolution::NAME, &layer.config(), INPUT.values(), &mut draws, &Device::Cpu)?;
        assert_eq!((fresh.inputs(), fresh.units()), (layer.inputs(), layer.units()));
        Ok(())
    }
}
