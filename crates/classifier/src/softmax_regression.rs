//! The readout: softmax regression on features.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use candle_nn::Module;
use hebbian_training::{Generator, State};

use crate::Network;
use crate::input_layer::InputLayer;

/// Multinomial logistic regression, `logits = x wᵀ + b`.
#[derive(Debug)]
pub struct SoftmaxRegression {
    layer: InputLayer,
}

impl SoftmaxRegression {
    /// A readout of `inputs` features into `classes`, all zero.
    pub fn new(inputs: usize, classes: usize, device: &Device) -> Result<Self> {
        let weight = Var::zeros((classes, inputs), DType::F32, device)?;
        let bias = Var::zeros(classes, DType::F32, device)?;
        Ok(Self { layer: InputLayer { weight, bias: Some(bias) } })
    }

    /// A readout without a bias that begins with `weight (classes, inputs)`.
    pub fn without_bias(weight: &Tensor) -> Result<Self> {
        Ok(Self { layer: InputLayer { weight: Var::from_tensor(weight)?, bias: None } })
    }

    /// A readout without a bias whose weights are drawn from N(0, 1).
    pub fn drawn(inputs: usize, classes: usize, generator: &mut Generator, device: &Device) -> Result<Self> {
        Self::without_bias(&generator.normal((classes, inputs), 0.0, 1.0, device)?)
    }

    /// The readout with a saved state.
    pub fn from_state(state: &State) -> Result<Self> {
        let Some(weight) = state.get("weight") else { bail!("readout: tensor `weight` is missing") };
        let bias = state.get("bias");
        let fits = |bias: &Tensor| bias.dims() == &weight.dims()[..1];
        if let Some(name) = state.keys().find(|name| !["weight", "bias"].contains(&name.as_str())) {
            bail!("readout: tensor `{name}` does not belong to it");
        }
        if weight.rank() != 2 || !bias.is_none_or(fits) {
            bail!(
                "readout: `weight` has shape {:?} and `bias` {:?}, expected (classes, inputs) and (classes)",
                weight.dims(),
                bias.map(Tensor::dims)
            );
        }
        let bias = bias.map(Var::from_tensor).transpose()?;
        Ok(Self { layer: InputLayer { weight: Var::from_tensor(weight)?, bias } })
    }

    /// Copies of `weight (classes, inputs)` and, if there is one, `bias (classes)`.
    pub fn state(&self) -> Result<State> {
        let mut state = State::from([("weight".to_owned(), self.layer.weight.copy()?)]);
        if let Some(bias) = &self.layer.bias {
            state.insert("bias".to_owned(), bias.copy()?);
        }
        Ok(state)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_readout_answers_the_same() -> Result<()> {
        let mut draws = Generator::new(0, "readout");
        let inputs = draws.normal((5, 4), 0.0, 1.0, &Device::Cpu)?;
        let biased = SoftmaxRegression::new(4, 3, &Device::Cpu)?;
        let unbiased = SoftmaxRegression::drawn(4, 3, &mut draws, &Device::Cpu)?;
        for readout in [biased, unbiased] {
            let again = SoftmaxRegression::from_state(&readout.state()?)?;
            assert_eq!(
                again.forward(&inputs)?.to_vec2::<f32>()?,
                readout.forward(&inputs)?.to_vec2::<f32>()?
            );
        }
        Ok(())
    }

    #[test]
    fn a_state_that_is_no_readout_is_refused() -> Result<()> {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
        let state = |tensors: &[(&str, &[usize])]| -> Result<State> {
            tensors.iter().map(|(name, shape)| Ok(((*name).to_owned(), zeros(shape)?))).collect()
        };
        let refusals = [
            (state(&[("bias", &[3])])?, "`weight` is missing"),
            (state(&[("weight", &[3, 4]), ("bias", &[4])])?, "expected (classes, inputs) and (classes)"),
            (state(&[("weight", &[3])])?, "expected (classes, inputs) and (classes)"),
            (state(&[("weight", &[3, 4]), ("scale", &[1])])?, "`scale` does not belong to it"),
        ];
        for (state, expected) in refusals {
            let message = SoftmaxRegression::from_state(&state).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        Ok(())
    }
}
