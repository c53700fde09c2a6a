//! `max(0, x + b)` and its gradient, each in one pass.
//!
//! On the CPU they change what they are given, on one thread: a batch's worth is too little to share. As graphs they are two
//! operations each, for which candle's threads wait for one another. A test holds both equal.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};
use multiversion::multiversion;

use crate::rows::place;

/// `max(0, x + b)` of sums `x (batch, units)` that nobody else needs, and a bias `b (units)`.
pub(crate) fn rectified(sums: Tensor, bias: &Tensor) -> Result<Tensor> {
    if !sums.device().is_cpu() {
        return sums.broadcast_add(bias)?.relu();
    }
    sums.inplace_op2(bias, &Kernel("rectify", rectify))?;
    Ok(sums)
}

/// The `gradient` of the rectifier's output, which nobody else needs, where that output is positive; 0 elsewhere.
pub(crate) fn below_rectifier(gradient: Tensor, output: &Tensor) -> Result<Tensor> {
    if !(gradient.device().is_cpu() && gradient.is_contiguous()) {
        return gradient * output.sign()?;
    }
    gradient.inplace_op2(output, &Kernel("below_rectifier", mask))?;
    Ok(gradient)
}

/// A change of each row of the first tensor by the second, which is as wide.
struct Kernel(&'static str, fn(&mut [f32], &[f32]));

impl InplaceOp2 for Kernel {
    fn name(&self) -> &'static str {
        self.0
    }

    fn cpu_fwd(
        &self,
        rows: &mut CpuStorage,
        rows_layout: &Layout,
        by: &CpuStorage,
        by_layout: &Layout,
    ) -> Result<()> {
        let CpuStorage::F32(rows) = rows else { bail!("{}: the numbers must be f32", self.0) };
        let by = &by.as_slice::<f32>()?[place(by_layout)?];
        let rows = &mut rows[place(rows_layout)?];
        if by.is_empty() || rows.len() % by.len() != 0 {
            bail!("{}: rows of {} for {} numbers", self.0, by.len(), rows.len());
        }
        rows.chunks_exact_mut(by.len()).for_each(|row| self.1(row, by));
        Ok(())
    }
}

#[multiversion(targets = "simd")]
fn rectify(sums: &mut [f32], bias: &[f32]) {
    sums.iter_mut().zip(bias).for_each(|(sum, bias)| *sum = (*sum + bias).max(0.0));
}

#[multiversion(targets = "simd")]
fn mask(gradient: &mut [f32], output: &[f32]) {
    for (gradient, &output) in gradient.iter_mut().zip(output) {
        *gradient = if output > 0.0 { *gradient } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;

    #[test]
    fn kernels_and_candles_graphs_agree() -> Result<()> {
        let normal = |name, rows| Generator::new(0, name).normal((rows, 37), 0.0, 1.0, &Device::Cpu);
        let (sums, bias, above) = (normal("sums", 9)?, normal("bias", 1)?.squeeze(0)?, normal("above", 9)?);
        let expected = sums.broadcast_add(&bias)?.relu()?;
        let output = rectified(sums, &bias)?;
        assert_eq!(output.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);
        let expected = (&above * output.sign()?)?;
        assert_eq!(below_rectifier(above, &output)?.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);
        Ok(())
    }
}
