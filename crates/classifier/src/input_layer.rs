//! A linear layer on data: below it no gradient is wanted.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

/// `h = f(x wᵀ + b)` as the first layer of a network, f being the identity or `max(0, ·)`.
///
/// candle's product would also compute the gradient of its input. For data that is a product as large as the forward
/// one, thrown away; so the graph begins above this layer, and its own gradients are added by hand.
#[derive(Debug)]
pub(crate) struct InputLayer {
    pub(crate) weight: Var,
    pub(crate) bias: Option<Var>,
    pub(crate) rectified: bool,
}

impl InputLayer {
    pub(crate) fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        let product = inputs.matmul(&self.weight.as_detached_tensor().t()?)?;
        let sum = match &self.bias {
            Some(bias) => product.broadcast_add(&bias.as_detached_tensor())?,
            None => product,
        };
        if self.rectified { sum.relu() } else { Ok(sum) }
    }

    /// What `loss_above` makes of this layer's output, and the gradients of it and of all variables above.
    pub(crate) fn descend(
        &self,
        inputs: &Tensor,
        loss_above: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, GradStore)> {
        let output = Var::from_tensor(&self.forward(inputs)?)?;
        let loss = loss_above(output.as_tensor())?;
        let mut gradients = loss.backward()?;
        if let Some(above) = gradients.remove(&output) {
            let gradient = self.below_rectifier(&output, above)?;
            gradients.insert(&self.weight, gradient.t()?.matmul(inputs)?);
            if let Some(bias) = &self.bias {
                gradients.insert(bias, sum_rows(&gradient)?);
            }
        }
        Ok((loss.detach(), gradients))
    }

    /// The slope of the rectifier is the sign of its output. (Asking where its input was positive, as candle's own
    /// gradient does, takes longer on the CPU than the product of the layer.)
    fn below_rectifier(&self, output: &Tensor, gradient: Tensor) -> Result<Tensor> {
        if self.rectified { gradient * output.detach().sign()? } else { Ok(gradient) }
    }

    pub(crate) fn variables(&self) -> Vec<Var> {
        std::iter::once(&self.weight).chain(&self.bias).cloned().collect()
    }
}

/// The sum over the first dimension, as a product: candle's own reduction over it is strided and many times slower.
pub(crate) fn sum_rows(matrix: &Tensor) -> Result<Tensor> {
    let ones = Tensor::ones((1, matrix.dim(0)?), matrix.dtype(), matrix.device())?;
    ones.matmul(matrix)?.squeeze(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;

    #[test]
    fn gradients_by_hand_are_those_of_the_whole_graph() -> Result<()> {
        for rectified in [false, true] {
            let mut draws = Generator::new(0, "input layer");
            let mut normal = |shape: (usize, usize)| draws.normal(shape, 0.0, 1.0, &Device::Cpu);
            let (inputs, target) = (normal((7, 5))?, normal((7, 3))?);
            let (weight, bias) =
                (Var::from_tensor(&normal((3, 5))?)?, Var::from_tensor(&normal((1, 3))?.squeeze(0)?)?);
            let loss = |output: &Tensor| (output - &target)?.sqr()?.sum_all();

            let output = inputs.matmul(&weight.t()?)?.broadcast_add(&bias)?;
            let output = if rectified { output.relu()? } else { output };
            let graph = loss(&output)?.backward()?;
            let layer = InputLayer { weight: weight.clone(), bias: Some(bias.clone()), rectified };
            let (_, by_hand) = layer.descend(&inputs, loss)?;
            for variable in [&weight, &bias] {
                let (Some(graph), Some(by_hand)) = (graph.get(variable), by_hand.get(variable)) else {
                    candle_core::bail!("a gradient is missing");
                };
                let difference = (graph - by_hand)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
                assert!(difference < 1e-4, "{difference}");
            }
        }
        Ok(())
    }
}
