//! The sum of a whole tensor.

use candle_core::{D, Result, Tensor};

/// The sum of all values, row by row first: a GPU gives a sum one block, however many values there are.
pub(crate) fn total(tensor: &Tensor) -> Result<Tensor> {
    tensor.sum(D::Minus1)?.sum_all()
}
