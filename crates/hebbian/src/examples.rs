//! Where the inputs of a training lie: in a tensor, or anywhere else that gives a batch at a time.

use candle_core::{DType, Result, Tensor, bail};
use hebbian_training::all_finite;

use crate::rule::check_finite;

/// The inputs that a [`Fit`](crate::Fit) learns from. A tensor is what most programs have; what lies in memory that candle
/// does not own gives its rows when they are needed, and is never copied as a whole.
pub trait Examples {
    /// How many there are.
    fn examples(&self) -> Result<usize>;

    /// Refuses what no rule can learn from, such as a value that is not finite.
    fn check(&self) -> Result<()>;

    /// The first of them, `(first, inputs)`, from which a rule [prepares](crate::LearningRule::prepare): all of them, or as
    /// many as can be spared.
    fn first(&self) -> Result<Tensor>;

    /// Those at the places `indices (batch)` u32, `(batch, inputs)`.
    fn batch(&self, indices: &Tensor) -> Result<Tensor>;
}

impl Examples for Tensor {
    fn examples(&self) -> Result<usize> {
        self.dim(0)
    }

    /// That they are finite f32, or u8; names the first example that is not.
    fn check(&self) -> Result<()> {
        if self.dtype() == DType::U8 {
            return Ok(());
        }
        let Err(error) = check_finite("inputs", self) else { return Ok(()) };
        for example in 0..self.dim(0)? {
            if !all_finite(&self.narrow(0, example, 1)?)? {
                bail!("`inputs` holds a value that is not finite, first in example {example}");
            }
        }
        Err(error)
    }

    fn first(&self) -> Result<Tensor> {
        Ok(self.clone())
    }

    fn batch(&self, indices: &Tensor) -> Result<Tensor> {
        self.index_select(indices, 0)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use hebbian_training::Generator;

    use super::*;
    use crate::{Fit, FitConfig, KrotovHopfield, KrotovHopfieldConfig, LearningRule, Rule};

    /// Rows that lie where candle does not know of them.
    struct Elsewhere(Vec<Vec<f32>>);

    impl Examples for Elsewhere {
        fn examples(&self) -> Result<usize> {
            Ok(self.0.len())
        }

        fn check(&self) -> Result<()> {
            Ok(())
        }

        fn first(&self) -> Result<Tensor> {
            Tensor::new(self.0[..1].to_vec(), &Device::Cpu)
        }

        fn batch(&self, indices: &Tensor) -> Result<Tensor> {
            let rows = indices.to_vec1::<u32>()?.into_iter().map(|index| self.0[index as usize].clone());
            Tensor::new(rows.collect::<Vec<_>>(), &Device::Cpu)
        }
    }

    #[test]
    fn a_rule_learns_the_same_from_a_tensor_and_from_rows_that_lie_elsewhere() -> Result<()> {
        let inputs = Generator::new(0, "inputs").uniform((55, 5), 0.0, 1.0, &Device::Cpu)?;
        let elsewhere = Elsewhere(inputs.to_vec2()?);
        let config = KrotovHopfieldConfig { units: 8, k: 2, ..Default::default() };
        let rule = || KrotovHopfield::new(config.clone(), 5, &mut Generator::new(0, "weights"), &Device::Cpu);
        let (mut from_tensor, mut from_elsewhere) = (rule()?, rule()?);
        let fit = FitConfig { epochs: 2, batch_size: 10, ..Default::default() };
        Fit::new(fit.clone(), 0)?.run(&mut from_tensor, &inputs, &mut [])?;
        Fit::new(fit, 0)?.run(&mut from_elsewhere, &elsewhere, &mut [])?;
        assert_eq!(from_tensor.weights()?.to_vec2::<f32>()?, from_elsewhere.weights()?.to_vec2::<f32>()?);
        Ok(())
    }
}
