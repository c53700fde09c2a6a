//! What a rule is given to learn from, checked before anything changes.

use candle_core::{DType, Result, Tensor, bail};

/// Checks one step's `inputs (batch, inputs)` and returns both numbers: at least one sample of `expected` inputs, f32.
pub fn check_batch(inputs: &Tensor, expected: usize) -> Result<(usize, usize)> {
    check_batch_of(&[DType::F32], inputs, expected)
}

/// The same, for a rule that takes any of `dtypes`.
pub(crate) fn check_batch_of(dtypes: &[DType], inputs: &Tensor, expected: usize) -> Result<(usize, usize)> {
    let shape = check_samples(dtypes, inputs, expected)?;
    if shape.0 == 0 {
        bail!("inputs: a batch of 0 samples; allowed: at least 1");
    }
    Ok(shape)
}

/// The same, for what needs no sample.
pub(crate) fn check_samples(dtypes: &[DType], inputs: &Tensor, expected: usize) -> Result<(usize, usize)> {
    let Ok(shape) = inputs.dims2() else {
        bail!("inputs: shape {:?}; allowed: (batch, {expected})", inputs.dims());
    };
    if shape.1 != expected {
        bail!("inputs: {} per sample; allowed: {expected}", shape.1);
    }
    if !dtypes.contains(&inputs.dtype()) {
        let allowed: Vec<_> = dtypes.iter().map(|dtype| format!("{dtype:?}")).collect();
        bail!("inputs: dtype {:?}; allowed: {}", inputs.dtype(), allowed.join(" or "));
    }
    Ok(shape)
}

/// Checks that a rule is made for at least one of `inputs`.
pub(crate) fn check_inputs(inputs: usize) -> Result<()> {
    if inputs == 0 {
        bail!("inputs: 0 per sample; allowed: at least 1");
    }
    Ok(())
}

/// Bytes that a layer holds at once of what it computes for many samples on the CPU: few enough to stay in the last cache, and
/// so that the allocator keeps them.
const HELD: usize = 16 << 20;

/// What `layer` makes of `inputs (samples, ...)`, on the CPU in portions of samples for each of which it holds so many `values`
/// beside its result.
pub(crate) fn in_portions(
    inputs: &Tensor,
    values: usize,
    layer: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let samples = inputs.dim(0)?;
    let portion = (HELD / (size_of::<f32>() * values.max(1))).max(1);
    if !inputs.device().is_cpu() || samples <= portion {
        return layer(inputs);
    }
    let portions = (0..samples).step_by(portion);
    let portions = portions.map(|first| layer(&inputs.narrow(0, first, portion.min(samples - first))?));
    Tensor::cat(&portions.collect::<Result<Vec<_>>>()?, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn first_line<T: std::fmt::Debug>(refused: Result<T>) -> String {
        refused.unwrap_err().to_string().lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_batch_has_samples_of_the_expected_inputs_in_f32() -> Result<()> {
        let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu);
        assert_eq!(check_batch(&zeros(&[3, 4], DType::F32)?, 4)?, (3, 4));
        for (inputs, expected) in [
            (zeros(&[0, 4], DType::F32)?, "inputs: a batch of 0 samples; allowed: at least 1"),
            (zeros(&[4], DType::F32)?, "inputs: shape [4]; allowed: (batch, 4)"),
            (zeros(&[3, 5], DType::F32)?, "inputs: 5 per sample; allowed: 4"),
            (zeros(&[3, 4], DType::F64)?, "inputs: dtype F64; allowed: F32"),
        ] {
            assert_eq!(first_line(check_batch(&inputs, 4)), expected);
        }
        let refused = check_batch_of(&[DType::F32, DType::U8], &zeros(&[3, 4], DType::U32)?, 4);
        assert_eq!(first_line(refused), "inputs: dtype U32; allowed: F32 or U8");
        Ok(())
    }
}
