//! The flag that stops a rule on a device whose values nobody reads.
//!
//! On the CPU an update that is not finite is an error. On other devices finding out at each step would cost a transfer,
//! so the size of an update, which is reported anyway, is the flag: from the first one that is not finite on it is none
//! of the numbers, every update is left out, and whoever reads the next report finds out.

use candle_core::{DType, Device, Result, Tensor, bail};

use super::total::total;

/// The size of the update before the first: a scalar 0.
pub(crate) fn no_update(device: &Device) -> Result<Tensor> {
    Tensor::zeros((), DType::F32, device)
}

/// The `size` of an update, or NaN if it or the one `before` is not finite: scalars.
pub(crate) fn size_or_fault(size: &Tensor, before: &Tensor) -> Result<Tensor> {
    // 0 times a number is 0, and otherwise a NaN, which a sum keeps.
    size + (size.affine(0.0, 0.0)? + before.affine(0.0, 0.0)?)?
}

/// A scalar 0, or NaN if `tensor` holds a value that is not finite.
pub(crate) fn zero_if_finite(tensor: &Tensor) -> Result<Tensor> {
    total(&tensor.affine(0.0, 0.0)?)
}

/// `updated` where `size` is a number, else `before`.
pub(crate) fn unless_fault(size: &Tensor, updated: &Tensor, before: &Tensor) -> Result<Tensor> {
    size.eq(size)?.broadcast_as(updated.shape())?.where_cond(updated, before)
}

/// Writes what became of `weights`, unless the `size` of the update, or the one `before`, is not finite; on the CPU that
/// is an error. Returns the size, or NaN.
pub(crate) fn settle_update(
    weights: &Tensor,
    updated: &Tensor,
    size: &Tensor,
    before: &Tensor,
) -> Result<Tensor> {
    let size = size_or_fault(size, before)?;
    if weights.device().is_cpu() && !size.to_scalar::<f32>()?.is_finite() {
        bail!("the update is not finite: no weight was changed");
    }
    weights.slice_set(&unless_fault(&size, updated, weights)?, 0, 0)?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_one_update_that_is_not_finite_all_are_left_out() -> Result<()> {
        let scalar = |value: f32| Tensor::new(value, &Device::Cpu);
        let mut size = no_update(&Device::Cpu)?;
        let mut weight = scalar(1.0)?;
        for (update, expected) in [(2f32, 3f32), (f32::INFINITY, 3.0), (4.0, 3.0)] {
            size = size_or_fault(&scalar(update)?, &size)?;
            weight = unless_fault(&size, &(&weight + f64::from(update))?, &weight)?;
            assert_eq!(weight.to_scalar::<f32>()?, expected);
        }
        assert!(size.to_scalar::<f32>()?.is_nan());
        Ok(())
    }
}
