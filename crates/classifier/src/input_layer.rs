//! Layers on data: below them no gradient is wanted.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use hebbian_sparse::SparseRows;

use crate::rectifier::{below_rectifier, rectified};

/// `x wᵀ + b` as the first layer of a network.
///
/// candle's product would also compute the gradient of its input. For data that is a product as large as the forward
/// one, thrown away; so the graph begins above this layer, and its own gradients are added by hand.
#[derive(Debug)]
pub(crate) struct InputLayer {
    /// `(outputs, inputs)`.
    pub(crate) weight: Var,
    pub(crate) bias: Option<Var>,
}

impl InputLayer {
    pub(crate) fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        let product = inputs.matmul(&self.weight.as_detached_tensor().t()?)?;
        match &self.bias {
            Some(bias) => product.broadcast_add(&bias.as_detached_tensor()),
            None => Ok(product),
        }
    }

    /// What `loss_above` makes of this layer's output, and the gradients of it and of all variables above.
    pub(crate) fn descend(
        &self,
        inputs: &Tensor,
        loss_above: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, GradStore)> {
        descend(self.forward(inputs)?, loss_above, |_, gradient, gradients| {
            gradients.insert(&self.weight, gradient.t()?.matmul(inputs)?);
            if let Some(bias) = &self.bias {
                gradients.insert(bias, sum_rows(&gradient)?);
            }
            Ok(())
        })
    }

    pub(crate) fn variables(&self) -> Vec<Var> {
        std::iter::once(&self.weight).chain(&self.bias).cloned().collect()
    }
}

/// `max(0, x w + b)` as the first layer of a network, with no gradient of its input either. Inputs that are mostly zeros, on
/// the CPU, pass only by the weights that they meet, and so does the gradient: hence the order of the weights.
#[derive(Debug)]
pub(crate) struct RectifiedInputLayer {
    /// `(inputs, units)`.
    pub(crate) weight: Var,
    pub(crate) bias: Var,
}

impl RectifiedInputLayer {
    pub(crate) fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        self.respond(inputs, SparseRows::of(inputs)?.as_ref())
    }

    fn respond(&self, inputs: &Tensor, sparse: Option<&SparseRows>) -> Result<Tensor> {
        let weight = self.weight.as_detached_tensor();
        let product = sparse.map_or_else(|| inputs.matmul(&weight), |rows| rows.matmul(&weight))?;
        rectified(product, &self.bias.as_detached_tensor())
    }

    /// What `loss_above` makes of this layer's output, and the gradients of it and of all variables above.
    pub(crate) fn descend(
        &self,
        inputs: &Tensor,
        loss_above: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, GradStore)> {
        let sparse = SparseRows::of(inputs)?;
        let output = self.respond(inputs, sparse.as_ref())?;
        descend(output, loss_above, |output, gradient, gradients| {
            let gradient = below_rectifier(gradient, output)?;
            let of_weight = match &sparse {
                Some(rows) => rows.transposed().matmul(&gradient)?,
                None => inputs.t()?.matmul(&gradient)?,
            };
            gradients.insert(&self.weight, of_weight);
            gradients.insert(&self.bias, sum_rows(&gradient)?);
            Ok(())
        })
    }

    pub(crate) fn variables(&self) -> Vec<Var> {
        vec![self.weight.clone(), self.bias.clone()]
    }
}

/// What `loss_above` makes of a first layer's `output`, and all gradients: `below` adds the layer's own to those above it,
/// from its output and the gradient of that.
pub(crate) fn descend(
    output: Tensor,
    loss_above: impl FnOnce(&Tensor) -> Result<Tensor>,
    below: impl FnOnce(&Tensor, Tensor, &mut GradStore) -> Result<()>,
) -> Result<(Tensor, GradStore)> {
    let output = Var::from_tensor(&output)?;
    let loss = loss_above(output.as_tensor())?;
    let mut gradients = loss.backward()?;
    if let Some(gradient) = gradients.remove(&output) {
        below(&output.as_detached_tensor(), gradient, &mut gradients)?;
    }
    Ok((loss.detach(), gradients))
}

/// The sum over the first dimension, as a product: candle's own reduction over it is strided and many times slower.
pub(crate) fn sum_rows(matrix: &Tensor) -> Result<Tensor> {
    let ones = Tensor::ones((1, matrix.dim(0)?), matrix.dtype(), matrix.device())?;
    ones.matmul(matrix)?.squeeze(0)
}

/// The mean over the first dimension.
pub(crate) fn mean_rows(matrix: &Tensor) -> Result<Tensor> {
    sum_rows(matrix)? / matrix.dim(0)? as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;

    fn normal(seed: u64, rows: usize, columns: usize) -> Result<Tensor> {
        Generator::new(seed, "input layer").normal((rows, columns), 0.0, 1.0, &Device::Cpu)
    }

    fn loss(output: &Tensor) -> Result<Tensor> {
        (output - &normal(9, 7, 3)?)?.sqr()?.sum_all()
    }

    fn assert_agree(graph: &GradStore, by_hand: &GradStore, variables: &[Var]) -> Result<()> {
        for variable in variables {
            let (Some(graph), Some(by_hand)) = (graph.get(variable), by_hand.get(variable)) else {
                candle_core::bail!("a gradient is missing");
            };
            let difference = (graph - by_hand)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
            assert!(difference < 1e-4, "{difference}");
        }
        Ok(())
    }

    #[test]
    fn gradients_by_hand_are_those_of_the_whole_graph() -> Result<()> {
        let (inputs, weight) = (normal(0, 7, 5)?, Var::from_tensor(&normal(1, 3, 5)?)?);
        let bias = Var::from_tensor(&normal(2, 1, 3)?.squeeze(0)?)?;
        let graph = loss(&inputs.matmul(&weight.t()?)?.broadcast_add(&bias)?)?.backward()?;
        let layer = InputLayer { weight, bias: Some(bias) };
        let (_, by_hand) = layer.descend(&inputs, loss)?;
        assert_agree(&graph, &by_hand, &layer.variables())
    }

    #[test]
    fn a_rectified_layers_are_too_whether_its_inputs_are_sparse_or_dense() -> Result<()> {
        let dense = normal(0, 7, 50)?;
        let sparse = (&dense * dense.gt(1.0)?.to_dtype(dense.dtype())?)?;
        assert!(SparseRows::of(&dense)?.is_none() && SparseRows::of(&sparse)?.is_some());
        for inputs in [dense, sparse] {
            let weight = Var::from_tensor(&normal(1, 50, 3)?)?;
            let bias = Var::from_tensor(&normal(2, 1, 3)?.squeeze(0)?)?;
            let graph = loss(&inputs.matmul(&weight)?.broadcast_add(&bias)?.relu()?)?.backward()?;
            let layer = RectifiedInputLayer { weight, bias };
            let (_, by_hand) = layer.descend(&inputs, loss)?;
            assert_agree(&graph, &by_hand, &layer.variables())?;
        }
        Ok(())
    }
}
