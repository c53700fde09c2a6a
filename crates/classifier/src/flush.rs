//! Gradients without subnormal numbers.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::rows::place;

/// Where the gradient of a logit is smaller, it becomes 0. That of a softmax falls without end where it grows sure, and the
/// product with the inputs then takes several times longer: the CPU is slow with subnormal numbers. Adam divides by 1e-7 and
/// more, so that no weight would move by more than 1e-23 learning rates for it.
const SMALLEST: f64 = 1e-30;

/// The logits as they are; on the CPU their gradient is without what is too small.
///
/// It is not for f32 inputs without dropout, whose published results keep every bit: in a sum of products that begins with
/// 1e-35 and not with 0, the next product may be rounded to the other side.
pub(crate) fn without_tiny_gradients(logits: &Tensor) -> Result<Tensor> {
    if logits.device().is_cpu() { logits.contiguous()?.apply_op1(Flush) } else { Ok(logits.clone()) }
}

struct Flush;

impl CustomOp1 for Flush {
    fn name(&self) -> &'static str {
        "flush"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let logits = logits.as_slice::<f32>()?[place(layout)?].to_vec();
        Ok((CpuStorage::F32(logits), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let large = gradient.abs()?.ge(SMALLEST)?.to_dtype(gradient.dtype())?;
        Ok(Some((gradient * large)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn gradients_too_small_to_move_a_weight_are_zero_and_all_else_stays() -> Result<()> {
        let logits = Var::new(&[[1f32, -2.0, 1e-40]], &Device::Cpu)?;
        let slopes = Tensor::new(&[[-1e-29f32, 1e-31, -1e-40]], &Device::Cpu)?;
        let flushed = without_tiny_gradients(&logits)?;
        assert_eq!(flushed.to_vec2::<f32>()?, logits.to_vec2::<f32>()?);
        let gradients = (flushed * slopes)?.sum_all()?.backward()?;
        let gradient = gradients.get(&logits).map(Tensor::to_vec2::<f32>).transpose()?;
        assert_eq!(gradient, Some(vec![vec![-1e-29, 0.0, 0.0]]));
        Ok(())
    }
}
