//! Features at mean 0 and variance 1, which suit a readout whatever their size.

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use candle_nn::Module;
use hebbian::{ImageSize, LearningRule, Standardize, StandardizeConfig};
use hebbian_classifier::encode;
use hebbian_training::State;

/// Images by which features are standardized.
const MEASURED: usize = 1000;

/// What `M` makes of inputs, each channel of it at mean 0 and variance 1.
pub struct Standardized<M> {
    features: M,
    standardize: Standardize,
}

impl<M: Module> Standardized<M> {
    /// Measures the `features` of the size `size` on the first thousand of the `inputs (examples, inputs)`.
    pub fn fit(features: M, size: ImageSize, inputs: &Tensor) -> Result<Self> {
        let measured = inputs.narrow(0, 0, inputs.dim(0)?.min(MEASURED))?;
        let standardize =
            Standardize::fit(StandardizeConfig { input: size }, &encode(&features, &measured)?)?;
        Ok(Self { features, standardize })
    }

    /// How many features there are.
    pub fn count(&self) -> usize {
        self.standardize.inputs()
    }

    /// The state of a `readout` of these features as that of one which sees them before they are standardized.
    ///
    /// # Errors
    /// If it has no `weight` or no `bias`.
    pub fn unstandardized(&self, mut readout: State) -> Result<State> {
        let of =
            |name: &str| readout.get(name).cloned().with_context(|| format!("the readout has no `{name}`"));
        let (weight, bias) = (of("weight")?, of("bias")?);
        // An affine map is what it makes of zeros and ones.
        let zeros = Tensor::zeros((1, self.count()), DType::F32, weight.device())?;
        let offset = self.standardize.forward(&zeros)?;
        let scale = (self.standardize.forward(&zeros.ones_like()?)? - &offset)?;
        readout.insert("bias".into(), (bias + weight.matmul(&offset.t()?)?.flatten_all()?)?);
        readout.insert("weight".into(), weight.broadcast_mul(&scale)?);
        Ok(readout)
    }
}

impl<M: Module> Module for Standardized<M> {
    fn forward(&self, inputs: &Tensor) -> candle_core::Result<Tensor> {
        self.standardize.forward(&self.features.forward(inputs)?)
    }
}
