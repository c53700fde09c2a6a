//! The notebook's control: batch normalization, then softmax, on the pixels themselves.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::Module;

use crate::Network;
use crate::column_moments::column_moments;
use crate::input_layer::{descend, sum_rows};

/// Softmax regression on batch-normalized inputs. If it does as well as a hidden layer, the images alone are as
/// telling as the features.
///
/// Nothing of the inputs' size is computed but their moments and two products: normalizing is a linear map, and so becomes
/// part of the weights.
#[derive(Debug)]
pub struct NormalizedRegression {
    /// The running mean and variance `(inputs)`.
    moments: [Var; 2],
    /// Scale and offset of the normalized inputs `(inputs)`.
    gamma: Var,
    beta: Var,
    /// `(classes, inputs)` and `(classes)`.
    weight: Var,
    bias: Var,
}

/// What the newest batch counts in the running statistics; Keras's momentum is 0.99.
const NEWEST: f64 = 0.01;
/// What stands under the root beside the variance, as in Keras.
const FLOOR: f64 = 1e-3;

impl NormalizedRegression {
    /// A linear map that begins at zero, on inputs that have not been normalized yet.
    pub fn new(inputs: usize, classes: usize, device: &Device) -> Result<Self> {
        let (zeros, ones) = (
            |outputs: usize| Var::zeros(outputs, DType::F32, device),
            || Var::ones(inputs, DType::F32, device),
        );
        Ok(Self {
            moments: [zeros(inputs)?, ones()?],
            gamma: ones()?,
            beta: zeros(inputs)?,
            weight: Var::zeros((classes, inputs), DType::F32, device)?,
            bias: zeros(classes)?,
        })
    }

    /// The logits of `inputs` that are normalized by `mean` and `slope`, one over the deviation.
    fn logits(&self, inputs: &Tensor, mean: &Tensor, slope: &Tensor) -> Result<Tensor> {
        let (gamma, beta) = (self.gamma.as_detached_tensor(), self.beta.as_detached_tensor());
        let weight = self.weight.as_detached_tensor();
        let scale = (gamma * slope)?;
        let constant = (beta - (mean * &scale)?)?.unsqueeze(1)?;
        let offset = (weight.matmul(&constant)?.squeeze(1)? + self.bias.as_detached_tensor())?;
        inputs.matmul(&weight.broadcast_mul(&scale)?.t()?)?.broadcast_add(&offset)
    }

    /// Brings the running statistics nearer to those of a batch of `count`.
    fn follow(&self, moments: &[Tensor; 2], count: usize) -> Result<()> {
        let unbiased = count as f64 / (count.max(2) - 1) as f64;
        for ((running, newest), correction) in self.moments.iter().zip(moments).zip([1.0, unbiased]) {
            let kept = (running.as_detached_tensor() * (1.0 - NEWEST))?;
            running.set(&(kept + (newest * (NEWEST * correction))?)?)?;
        }
        Ok(())
    }
}

/// One over the deviation.
fn slope(variance: &Tensor) -> Result<Tensor> {
    (variance + FLOOR)?.sqrt()?.recip()
}

impl Module for NormalizedRegression {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        let [mean, variance] = &self.moments;
        self.logits(inputs, &mean.as_detached_tensor(), &slope(&variance.as_detached_tensor())?)
    }
}

impl Network for NormalizedRegression {
    fn descend(
        &self,
        inputs: &Tensor,
        loss: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, GradStore)> {
        let moments = column_moments(inputs)?;
        self.follow(&moments, inputs.dim(0)?)?;
        let [mean, variance] = moments;
        let slope = slope(&variance)?;
        descend(self.logits(inputs, &mean, &slope)?, loss, |_, gradient, gradients| {
            let weight = self.weight.as_detached_tensor();
            let total = sum_rows(&gradient)?;
            let column = total.unsqueeze(1)?;
            // The product of the gradient with the normalized inputs.
            let product = gradient.t()?.matmul(inputs)?;
            let product = (product - column.matmul(&mean.unsqueeze(0)?)?)?.broadcast_mul(&slope)?;
            gradients.insert(&self.gamma, sum_rows(&(&weight * &product)?)?);
            gradients.insert(&self.beta, column.t()?.matmul(&weight)?.squeeze(0)?);
            let scaled = product.broadcast_mul(&self.gamma.as_detached_tensor())?;
            let offset = column.matmul(&self.beta.as_detached_tensor().unsqueeze(0)?)?;
            gradients.insert(&self.weight, (scaled + offset)?);
            gradients.insert(&self.bias, total);
            Ok(())
        })
    }

    fn variables(&self) -> Vec<Var> {
        [&self.gamma, &self.beta, &self.weight, &self.bias].map(Var::clone).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_nn::{BatchNorm, Linear, ModuleT};
    use hebbian_training::Generator;

    fn normal(rows: usize, columns: usize, name: &str) -> Result<Tensor> {
        Generator::new(0, name).normal((rows, columns), 0.5, 1.0, &Device::Cpu)
    }

    fn difference(one: &Tensor, other: &Tensor) -> Result<f32> {
        (one - other)?.abs()?.flatten_all()?.max(0)?.to_scalar()
    }

    /// The same network as a graph.
    fn graph(network: &NormalizedRegression) -> Result<(BatchNorm, Linear)> {
        let tensor = |variable: &Var| variable.as_tensor().clone();
        let [mean, variance] = &network.moments;
        let (mean, variance) = (mean.copy()?, variance.copy()?);
        let (gamma, beta) = (tensor(&network.gamma), tensor(&network.beta));
        let norm = BatchNorm::new_with_momentum(5, mean, variance, gamma, beta, FLOOR, NEWEST)?;
        Ok((norm, Linear::new(tensor(&network.weight), Some(tensor(&network.bias)))))
    }

    #[test]
    fn gradients_statistics_and_answers_are_those_of_candles_graph() -> Result<()> {
        let network = NormalizedRegression::new(5, 3, &Device::Cpu)?;
        for (place, variable) in network.variables().iter().enumerate() {
            let columns = variable.elem_count();
            variable.set(&normal(1, columns, &format!("variable {place}"))?.reshape(variable.shape())?)?;
        }
        let (inputs, target) = (normal(7, 5, "inputs")?, normal(7, 3, "target")?);
        let loss = |logits: &Tensor| (logits - &target)?.sqr()?.sum_all();
        let (norm, linear) = graph(&network)?;
        let expected = loss(&linear.forward(&norm.forward_t(&inputs, true)?)?)?.backward()?;
        let (_, gradients) = network.descend(&inputs, &loss)?;
        for variable in network.variables() {
            let (Some(one), Some(other)) = (gradients.get(&variable), expected.get(&variable)) else {
                candle_core::bail!("a gradient is missing");
            };
            assert!(difference(one, other)? < 1e-4);
        }
        assert!(difference(network.moments[0].as_tensor(), norm.running_mean())? < 1e-6);
        assert!(difference(network.moments[1].as_tensor(), norm.running_var())? < 1e-6);
        let answers = linear.forward(&norm.forward_t(&inputs, false)?)?;
        assert!(difference(&network.forward(&inputs)?, &answers)? < 1e-5);
        Ok(())
    }
}
