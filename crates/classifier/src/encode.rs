//! What a layer makes of many inputs, in portions, as f32 or in half the room.

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor, bail};
use candle_nn::Module;
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use crate::rows;

/// Examples a portion: enough to keep the product busy, few enough to keep its result small.
const PORTION: usize = 1000;
/// Bytes that the features of a portion may have as f32. A convolutional layer holds some ten times as much while it
/// makes them: patches and responses before they are pooled.
const PORTION_BYTES: usize = 16 << 20;

/// What `layer` makes of many inputs `(examples, inputs)`, computed in portions: beside the result little is held.
pub fn encode(layer: &dyn Module, inputs: &Tensor) -> Result<Tensor> {
    encode_as(layer, inputs, None)
}

/// What `layer` makes of many inputs `(examples, inputs)`, as f16 `(examples, features)`: half the room of [`encode`], and
/// no more than a portion of it is ever held as f32.
///
/// f16 keeps 11 significant bits of numbers of 6e-5 and more, bf16 8 bits of all that f32 holds. Features that were
/// brought to one size, such as a root mean square of 1 or 1/2, need the bits and not the range: each is off by at most
/// 0.05 %, with bf16 by 0.4 %. What is smaller than 6e-5 is off by at most 3e-8.
///
/// # Errors
/// If a feature is not a number or beyond 65 504, the largest f16.
pub fn encode_half(layer: &dyn Module, inputs: &Tensor) -> Result<Tensor> {
    encode_as(layer, inputs, Some(DType::F16))
}

/// What `layer` makes of `inputs`, as `dtype` or as the layer gives it.
fn encode_as(layer: &dyn Module, inputs: &Tensor, dtype: Option<DType>) -> Result<Tensor> {
    let examples = inputs.dim(0)?;
    let portion = portion(layer, inputs)?;
    let mut responses: Option<Tensor> = None;
    for start in (0..examples).step_by(portion) {
        let portion =
            layer.forward(&inputs.narrow(0, start, portion.min(examples - start))?)?.contiguous()?;
        let all = match responses {
            Some(all) => all,
            None => {
                let dtype = dtype.unwrap_or(portion.dtype());
                Tensor::zeros((examples, portion.dim(1)?), dtype, portion.device())?
            }
        };
        set_rows(&all, &portion, start)?;
        responses = Some(all);
    }
    responses.map_or_else(|| layer.forward(inputs)?.to_dtype(dtype.unwrap_or(DType::F32)), Ok)
}

/// Examples per portion. How wide the features are, the first example says.
fn portion(layer: &dyn Module, inputs: &Tensor) -> Result<usize> {
    const NEVER_TOO_MANY: usize = 100;
    if inputs.dim(0)? <= NEVER_TOO_MANY {
        return Ok(NEVER_TOO_MANY);
    }
    let features = layer.forward(&inputs.narrow(0, 0, 1)?)?.elem_count();
    Ok(PORTION.min(rows::within(PORTION_BYTES, features)))
}

/// Writes `portion` into the rows of `all` from `start` on, with the precision of `all`.
fn set_rows(all: &Tensor, portion: &Tensor, start: usize) -> Result<()> {
    let narrowed = all.dtype() == DType::F16 && portion.dtype() != DType::F16;
    if !narrowed {
        return all.slice_set(portion, 0, start);
    }
    if portion.device().is_cpu() && portion.dtype() == DType::F32 {
        return all.narrow(0, start, portion.dim(0)?)?.inplace_op2(portion, &Narrow);
    }
    let largest = portion.to_dtype(DType::F32)?.abs()?.max_all()?.to_scalar::<f32>()?;
    check(largest)?;
    all.slice_set(&portion.to_dtype(DType::F16)?, 0, start)
}

fn check(value: f32) -> Result<()> {
    if value.abs() <= f32::from(f16::MAX) {
        return Ok(());
    }
    bail!("a feature is {value}, and f16 holds only numbers up to {}", f16::MAX)
}

/// f32 numbers as f16 numbers, on the CPU.
struct Narrow;

/// Numbers per task.
const CHUNK: usize = 1 << 14;

impl InplaceOp2 for Narrow {
    fn name(&self) -> &'static str {
        "narrow-to-f16"
    }

    fn cpu_fwd(
        &self,
        to: &mut CpuStorage,
        to_layout: &Layout,
        from: &CpuStorage,
        from_layout: &Layout,
    ) -> Result<()> {
        let (place, from_place) = (rows::place(to_layout)?, rows::place(from_layout)?);
        let CpuStorage::F16(to) = to else { bail!("narrow-to-f16: the result must be f16") };
        let from = &from.as_slice::<f32>()?[from_place];
        let chunks = to[place].par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK));
        chunks.try_for_each(|(to, from)| {
            to.convert_from_f32_slice(from);
            let fits = to.iter().fold(true, |fits, value| fits & value.is_finite());
            if fits { Ok(()) } else { from.iter().try_for_each(|&value| check(value)) }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;

    fn inputs(examples: usize) -> Result<Tensor> {
        Generator::new(0, "encode test").normal((examples, 6), 0.0, 1.0, &Device::Cpu)
    }

    #[test]
    fn halves_are_the_nearest_to_the_features_in_every_portion() -> Result<()> {
        let layer = candle_nn::func(|x: &Tensor| x * 3.0);
        for examples in [0, 1, 100, 101, 2300] {
            let inputs = inputs(examples)?;
            let expected = encode(&layer, &inputs)?.to_dtype(DType::F16)?;
            assert_eq!(expected.dims(), [examples, 6]);
            assert_eq!(encode_half(&layer, &inputs)?.to_vec2::<f16>()?, expected.to_vec2::<f16>()?);
        }
        Ok(())
    }

    #[test]
    fn portions_of_wide_features_are_small() -> Result<()> {
        let (most, wide) = (AtomicUsize::new(0), 1 << 16);
        let layer = candle_nn::func(|x: &Tensor| {
            most.fetch_max(x.dim(0)?, Ordering::Relaxed);
            Tensor::zeros((x.dim(0)?, wide), DType::F32, x.device())
        });
        assert_eq!(encode_half(&layer, &inputs(150)?)?.dims(), [150, wide]);
        assert_eq!(most.load(Ordering::Relaxed), PORTION_BYTES / (4 * wide));
        Ok(())
    }

    #[test]
    fn a_feature_that_f16_does_not_hold_is_named() -> Result<()> {
        for value in [7e4, -7e4, f64::INFINITY, f64::NAN] {
            let layer = candle_nn::func(move |x: &Tensor| (x * 0.0)? + value);
            let refused = encode_half(&layer, &inputs(3)?).unwrap_err().to_string();
            let expected = format!("a feature is {value}, and f16 holds only numbers up to 65504");
            assert!(refused.starts_with(&expected), "{refused}");
        }
        Ok(())
    }
}
