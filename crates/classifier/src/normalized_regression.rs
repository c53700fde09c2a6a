//! The notebook's control: batch normalization, then softmax, on the pixels themselves.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{BatchNorm, Linear, Module, ModuleT};

use crate::Network;

/// Softmax regression on batch-normalized inputs. If it does as well as a hidden layer, the images alone are as
/// telling as the features.
#[derive(Debug)]
pub struct NormalizedRegression {
    norm: BatchNorm,
    linear: Linear,
    variables: Vec<Var>,
}

impl NormalizedRegression {
    /// Keras's defaults: momentum 0.99 on the running statistics, 0.001 under the root; the linear map begins at zero.
    pub fn new(inputs: usize, classes: usize, device: &Device) -> Result<Self> {
        let zeros = |outputs: usize| Var::zeros(outputs, DType::F32, device);
        let (gamma, beta) = (Var::ones(inputs, DType::F32, device)?, zeros(inputs)?);
        let (weight, bias) = (Var::zeros((classes, inputs), DType::F32, device)?, zeros(classes)?);
        let norm = BatchNorm::new_with_momentum(
            inputs,
            zeros(inputs)?.as_detached_tensor(),
            Tensor::ones(inputs, DType::F32, device)?,
            gamma.as_tensor().clone(),
            beta.as_tensor().clone(),
            1e-3,
            0.01,
        )?;
        let linear = Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
        Ok(Self { norm, linear, variables: vec![gamma, beta, weight, bias] })
    }
}

impl Module for NormalizedRegression {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        Ok(self.linear.forward(&self.norm.forward_t(inputs, false)?)?.detach())
    }
}

impl Network for NormalizedRegression {
    fn descend(
        &self,
        inputs: &Tensor,
        loss: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, GradStore)> {
        let loss = loss(&self.linear.forward(&self.norm.forward_t(inputs, true)?)?)?;
        let gradients = loss.backward()?;
        Ok((loss.detach(), gradients))
    }

    fn variables(&self) -> Vec<Var> {
        self.variables.clone()
    }
}
