//! How many connected synapses of each column an input reaches.

#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{DType, Result, Tensor};

/// The counts `(batch, units)` f32 of inputs that are on, in `inputs (batch, inputs)` of 0 and 1, and whose permanence
/// in `permanences (units, inputs)` is at least `connected`. On the CPU the pooler has bit sets of its own.
pub(super) fn overlap_counts(inputs: &Tensor, permanences: &Tensor, connected: f64) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if inputs.device().is_cuda() {
        return inputs.contiguous()?.apply_op2_no_bwd(permanences, &cuda::Count(connected as f32));
    }
    inputs.matmul(&permanences.ge(connected)?.to_dtype(DType::F32)?.t()?)
}
