//! What the readout sees of a hidden layer.

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::Module;
use hebbian_sparse::{Panels, SparseRows};
use hebbian_training::Parameters;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encode;

/// How inputs become features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesConfig {
    /// Exponent `n` of the rectified response.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub power: f64,
    /// Whether each input loses its mean before it is brought to unit length.
    pub subtract_mean: bool,
    /// What all features are divided by.
    pub scale: FeatureScale,
}

/// The one number that all features are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureScale {
    /// Their root mean square over the first 10 000 training examples, so that one learning rate suits every layer.
    Rms,
    /// 1.
    None,
}

impl Default for FeaturesConfig {
    fn default() -> Self {
        Self { power: 4.5, subtract_mean: false, scale: FeatureScale::Rms }
    }
}

impl Parameters for FeaturesConfig {}

/// `relu(w x / |x|)^n / scale` for weights `w (units, inputs)`, learned or not.
#[derive(Clone, Debug)]
pub struct Features {
    config: FeaturesConfig,
    weights: Tensor,
    /// The weights once more, for inputs that are mostly zeros; none away from the CPU.
    panels: Option<Panels>,
    scale: f64,
}

/// Examples that the scale is taken from.
const SCALE_EXAMPLES: usize = 10_000;
const FLOOR: f64 = 1e-12;

impl Features {
    /// Features of `weights`, their scale taken from the training `inputs (examples, inputs)`.
    pub fn fit(config: FeaturesConfig, weights: Tensor, inputs: &Tensor) -> Result<Self> {
        let mut features = Self::unscaled(config, weights)?;
        if features.config.scale == FeatureScale::Rms {
            let sample = inputs.narrow(0, 0, inputs.dim(0)?.min(SCALE_EXAMPLES))?;
            let mean_square = encode(&features, &sample)?.sqr()?.mean_all()?.to_scalar::<f32>()?;
            features.scale = f64::from(mean_square).sqrt().max(FLOOR);
        }
        Ok(features)
    }

    /// Features with a saved `scale` (a scalar).
    pub fn with_scale(config: FeaturesConfig, weights: Tensor, scale: &Tensor) -> Result<Self> {
        let scale = f64::from(scale.to_scalar::<f32>()?);
        if !(scale.is_finite() && scale > 0.0) {
            bail!("feature scale is {scale}, expected a number above 0");
        }
        Ok(Self { scale, ..Self::unscaled(config, weights)? })
    }

    fn unscaled(config: FeaturesConfig, weights: Tensor) -> Result<Self> {
        config.validate()?;
        let weights = weights.contiguous()?;
        let panels = weights.device().is_cpu().then(|| Panels::of(&weights)).transpose()?;
        Ok(Self { config, weights, panels, scale: 1.0 })
    }

    /// What all features are divided by, a scalar f32.
    pub fn scale(&self) -> Result<Tensor> {
        Tensor::new(self.scale as f32, self.weights.device())
    }

    /// How inputs become features.
    pub fn config(&self) -> &FeaturesConfig {
        &self.config
    }

    /// Bits, u8, are numbers here.
    fn unit_length(&self, inputs: &Tensor) -> Result<Tensor> {
        let inputs = inputs.to_dtype(DType::F32)?;
        let inputs = match self.config.subtract_mean {
            true => inputs.broadcast_sub(&inputs.mean_keepdim(1)?)?,
            false => inputs,
        };
        let length = inputs.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(FLOOR)?;
        inputs.broadcast_div(&length)
    }
}

impl Module for Features {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        let inputs = self.unit_length(inputs)?;
        let response = match (&self.panels, SparseRows::of(&inputs)?) {
            (Some(panels), Some(rows)) => panels.product(&rows)?,
            _ => inputs.matmul(&self.weights.t()?)?,
        };
        power(&response.relu()?, self.config.power)? * (1.0 / self.scale)
    }
}

/// `x^n` for `x >= 0`. Whole and half powers are products and a root, which candle does many times faster than `powf`.
fn power(x: &Tensor, n: f64) -> Result<Tensor> {
    const LARGEST_PRODUCT: f64 = 16.0;
    if n > LARGEST_PRODUCT || (2.0 * n).fract() != 0.0 {
        return x.powf(n);
    }
    let mut whole = n as u32;
    let mut square = x.clone();
    let mut factors = Vec::new();
    if n.fract() != 0.0 {
        factors.push(x.sqrt()?);
    }
    while whole > 0 {
        if whole % 2 == 1 {
            factors.push(square.clone());
        }
        whole /= 2;
        if whole > 0 {
            square = square.sqr()?;
        }
    }
    let mut factors = factors.into_iter();
    let first = factors.next().unwrap_or_else(|| x.clone());
    factors.try_fold(first, |product, factor| product * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;

    fn inputs() -> Tensor {
        Generator::new(0, "features test").uniform((2300, 6), 0.0, 1.0, &Device::Cpu).unwrap()
    }

    fn weights() -> Tensor {
        Generator::new(1, "features test").normal((5, 6), 0.0, 1.0, &Device::Cpu).unwrap()
    }

    #[test]
    fn products_and_powf_agree() -> Result<()> {
        let x = inputs();
        for n in [0.5, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 16.0] {
            let difference = (power(&x, n)? - x.powf(n)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(difference < 1e-6, "n = {n}: {difference}");
        }
        Ok(())
    }

    #[test]
    fn features_have_unit_root_mean_square_on_the_training_inputs() -> Result<()> {
        let features = Features::fit(FeaturesConfig::default(), weights(), &inputs())?;
        let mean_square = encode(&features, &inputs())?.sqr()?.mean_all()?.to_scalar::<f32>()?;
        assert!((mean_square - 1.0).abs() < 1e-4, "{mean_square}");
        Ok(())
    }

    #[test]
    fn portions_make_no_difference() -> Result<()> {
        let features = Features::fit(FeaturesConfig::default(), weights(), &inputs())?;
        let (whole, portions) = (features.forward(&inputs())?, encode(&features, &inputs())?);
        assert_eq!(whole.to_vec2::<f32>()?, portions.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn the_brightness_of_an_input_does_not_matter_and_a_blank_one_gives_zeros() -> Result<()> {
        let features = Features::fit(FeaturesConfig::default(), weights(), &inputs())?;
        let difference = (encode(&features, &inputs())? - encode(&features, &(inputs() * 0.25)?)?)?;
        assert!(difference.abs()?.max_all()?.to_scalar::<f32>()? < 1e-4);
        let blank = features.forward(&inputs().narrow(0, 0, 1)?.zeros_like()?)?;
        assert_eq!(blank.to_vec2::<f32>()?, [[0.0; 5]]);
        Ok(())
    }

    #[test]
    fn inputs_of_bits_have_the_features_of_the_same_numbers() -> Result<()> {
        let features = Features::fit(FeaturesConfig::default(), weights(), &inputs())?;
        let bits = inputs().ge(0.5)?;
        let expected = features.forward(&bits.to_dtype(DType::F32)?)?.to_vec2::<f32>()?;
        assert_eq!(features.forward(&bits)?.to_vec2::<f32>()?, expected);
        Ok(())
    }

    #[test]
    fn subtracting_the_mean_hides_a_constant_background() -> Result<()> {
        let config = FeaturesConfig { subtract_mean: true, ..Default::default() };
        let features = Features::fit(config, weights(), &inputs())?;
        let difference = (encode(&features, &inputs())? - encode(&features, &(inputs() + 0.5)?)?)?;
        assert!(difference.abs()?.max_all()?.to_scalar::<f32>()? < 1e-4);
        Ok(())
    }

    #[test]
    fn a_saved_scale_gives_the_same_features() -> Result<()> {
        let features = Features::fit(FeaturesConfig::default(), weights(), &inputs())?;
        let again = Features::with_scale(FeaturesConfig::default(), weights(), &features.scale()?)?;
        let difference = (encode(&features, &inputs())? - encode(&again, &inputs())?)?.abs()?.max_all()?;
        assert!(difference.to_scalar::<f32>()? < 1e-5);
        Ok(())
    }
}
