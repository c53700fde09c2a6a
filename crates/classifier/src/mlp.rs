//! Backprop, the yardstick: one hidden layer of rectified units, every weight trained on the labels.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::Module;
use hebbian_training::Generator;

use crate::Network;
use crate::input_layer::RectifiedInputLayer;

/// `logits = relu(x w₁ᵀ + b₁) w₂ᵀ + b₂`.
#[derive(Debug)]
pub struct Mlp {
    hidden: RectifiedInputLayer,
    weight: Var,
    bias: Var,
}

impl Mlp {
    /// Weights drawn from the uniform distribution of Glorot and Bengio 2010, as Keras does; biases 0.
    pub fn new(
        inputs: usize,
        units: usize,
        classes: usize,
        generator: &mut Generator,
        device: &Device,
    ) -> Result<Self> {
        let mut glorot = |outputs: usize, inputs: usize| {
            let limit = (6.0 / (inputs + outputs) as f64).sqrt();
            generator.uniform((outputs, inputs), -limit, limit, device)
        };
        let hidden = Var::from_tensor(&glorot(units, inputs)?.t()?.contiguous()?)?;
        let weight = Var::from_tensor(&glorot(classes, units)?)?;
        let zeros = |outputs: usize| Var::zeros(outputs, DType::F32, device);
        Ok(Self {
            hidden: RectifiedInputLayer { weight: hidden, bias: zeros(units)? },
            weight,
            bias: zeros(classes)?,
        })
    }

    /// A copy of the first layer's weights `(units, inputs)`: its receptive fields.
    pub fn hidden_weights(&self) -> Result<Tensor> {
        self.hidden.weight.as_detached_tensor().t()?.force_contiguous()
    }

    fn above(&self, hidden: &Tensor) -> Result<Tensor> {
        hidden.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }
}

impl Module for Mlp {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        Ok(self.above(&self.hidden.forward(inputs)?)?.detach())
    }
}

impl Network for Mlp {
    fn descend(
        &self,
        inputs: &Tensor,
        loss: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, GradStore)> {
        self.hidden.descend(inputs, |hidden| loss(&self.above(hidden)?))
    }

    fn variables(&self) -> Vec<Var> {
        let mut variables = self.hidden.variables();
        variables.extend([self.weight.clone(), self.bias.clone()]);
        variables
    }
}
