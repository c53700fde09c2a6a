//! The check that every tensor passes once, where it enters.

use candle_core::{DType, Result, Tensor};

/// Whether `tensor` holds neither a NaN nor an infinity.
pub fn all_finite(tensor: &Tensor) -> Result<bool> {
    if !tensor.dtype().is_float() {
        return Ok(true);
    }
    // 0 · x is 0 for every number, and a NaN otherwise, which a sum keeps.
    Ok(tensor.affine(0.0, 0.0)?.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()? == 0.0)
}
