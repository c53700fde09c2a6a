//! The readout: softmax regression on features.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use candle_nn::Module;
use hebbian_training::State;

use crate::Network;
use crate::input_layer::InputLayer;

/// Multinomial logistic regression, `logits = x wᵀ + b`, beginning at zero.
#[derive(Debug)]
pub struct SoftmaxRegression {
    layer: InputLayer,
}

impl SoftmaxRegression {
    /// A readout of `inputs` features into `classes`, all zero.
    pub fn new(inputs: usize, classes: usize, device: &Device) -> Result<Self> {
        let weight = Var::zeros((classes, inputs), DType::F32, device)?;
        let bias = Var::zeros(classes, DType::F32, device)?;
        Ok(Self { layer: InputLayer { weight, bias, rectified: false } })
    }

    /// The readout with a saved state.
    pub fn from_state(state: &State) -> Result<Self> {
        let (Some(weight), Some(bias), 2) = (state.get("weight"), state.get("bias"), state.len()) else {
            bail!("readout: expected the tensors `weight` and `bias`, found {:?}", state.keys());
        };
        if weight.rank() != 2 || bias.dims() != &weight.dims()[..1] {
            bail!(
                "readout: `weight` has shape {:?} and `bias` {:?}, expected (classes, inputs) and (classes)",
                weight.dims(),
                bias.dims()
            );
        }
        let (weight, bias) = (Var::from_tensor(weight)?, Var::from_tensor(bias)?);
        Ok(Self { layer: InputLayer { weight, bias, rectified: false } })
    }

    /// Copies of `weight (classes, inputs)` and `bias (classes)`.
    pub fn state(&self) -> Result<State> {
        let InputLayer { weight, bias, .. } = &self.layer;
        Ok(State::from([("weight".to_owned(), weight.copy()?), ("bias".to_owned(), bias.copy()?)]))
    }
}

impl Module for SoftmaxRegression {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        self.layer.forward(inputs)
    }
}

impl Network for SoftmaxRegression {
    fn descend(
        &self,
        inputs: &Tensor,
        loss: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, GradStore)> {
        self.layer.descend(inputs, loss)
    }

    fn variables(&self) -> Vec<Var> {
        self.layer.variables()
    }
}
