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
