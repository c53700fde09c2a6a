//! Frames before a rule learns from them: the check that they pass where no value may be negative, and minibatches of them.

use candle_core::{Result, Tensor, bail};

use super::cpu::with_values;
use super::total::total;

/// Refuses `frames (frames, inputs)` that hold a value that is negative or not finite, and names the first such frame. Away
/// from the CPU nothing is looked at, since values would have to be fetched.
pub(crate) fn check_frames(frames: &Tensor) -> Result<()> {
    let columns = frames.dim(1)?;
    if !frames.device().is_cpu() {
        return Ok(());
    }
    with_values([&frames.contiguous()?], |[values]| {
        for (number, frame) in values.chunks(columns.max(1)).enumerate() {
            // NaN fails every comparison.
            let allowed = |value: &f32| *value >= 0.0 && *value <= f32::MAX;
            if !frame.iter().fold(true, |all, value| all & allowed(value)) {
                let value = frame.iter().find(|value| !allowed(value)).copied().unwrap_or(f32::NAN);
                bail!("frame {number} holds {value}, expected finite values of at least 0");
            }
        }
        Ok(())
    })
}

/// `missed / shown`, the squares of what was missed and of what was shown; 0 where nothing was shown.
pub(crate) fn relative_error(missed: f32, shown: f32) -> f32 {
    if shown == 0.0 { 0.0 * missed } else { missed / shown }
}

/// The same of tensors: `missed` is a scalar, what was shown `frames`. It is not finite where `missed` is not.
pub(crate) fn relative_error_of(missed: &Tensor, frames: &Tensor) -> Result<Tensor> {
    let shown = total(&frames.sqr()?)?;
    let infinite = Tensor::full(f32::INFINITY, shown.shape(), shown.device())?;
    missed / shown.eq(0.0)?.where_cond(&infinite, &shown)?
}

/// `Σ |v - r|² / Σ |v|²` over all rows, 0 where nothing was shown. A row's squares are summed where it is, the rows in
/// f64: millions of pixels would lose digits in f32.
pub(crate) fn reconstruction_error(shown: &Tensor, reconstructed: &Tensor) -> Result<f64> {
    let energy = |rows: &Tensor| {
        let rows = rows.sqr()?.sum(1)?.to_vec1::<f32>()?;
        Ok::<_, candle_core::Error>(rows.into_iter().map(f64::from).sum::<f64>())
    };
    let missed = energy(&(shown - reconstructed)?)?;
    Ok(missed / energy(shown)?.max(f64::MIN_POSITIVE))
}

/// The rows of `frames`, `size` at a time and in their order; the last minibatch may be shorter.
pub(crate) fn minibatches(frames: &Tensor, size: usize) -> Result<Vec<Tensor>> {
    let count = frames.dim(0)?;
    let starts = (0..count).step_by(size.max(1));
    starts.map(|start| frames.narrow(0, start, size.min(count - start))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn refusal(frames: &[[f32; 2]]) -> String {
        let frames = Tensor::from_slice(frames.as_flattened(), (frames.len(), 2), &Device::Cpu).unwrap();
        let message = check_frames(&frames).unwrap_err().to_string();
        message.lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn the_first_frame_that_is_negative_or_not_finite_is_named_with_its_value() {
        let expected =
            |frame, value| format!("frame {frame} holds {value}, expected finite values of at least 0");
        assert_eq!(refusal(&[[0.0, 1.0], [f32::NAN, 0.0]]), expected(1, "NaN"));
        assert_eq!(refusal(&[[0.0, f32::INFINITY], [-1.0, 0.0]]), expected(0, "inf"));
        assert_eq!(refusal(&[[0.0, 1.0], [0.5, 0.0], [0.0, -0.25]]), expected(2, "-0.25"));
    }

    #[test]
    fn minibatches_keep_all_frames_in_order() -> Result<()> {
        let frames = Tensor::arange(0u32, 7, &Device::Cpu)?.unsqueeze(1)?;
        let minibatches = minibatches(&frames, 3)?;
        assert_eq!(minibatches.iter().map(|minibatch| minibatch.dims()[0]).collect::<Vec<_>>(), [3, 3, 1]);
        assert_eq!(Tensor::cat(&minibatches, 0)?.to_vec2::<u32>()?, frames.to_vec2::<u32>()?);
        Ok(())
    }

    #[test]
    fn what_is_missed_of_nothing_is_no_error_unless_it_is_not_finite() -> Result<()> {
        let blank = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu)?;
        let of_blank =
            |missed| relative_error_of(&Tensor::new(missed, &Device::Cpu)?, &blank)?.to_scalar::<f32>();
        for missed in [0.0, 9.0, f32::MAX] {
            assert_eq!((relative_error(missed, 0.0), of_blank(missed)?), (0.0, 0.0));
        }
        for missed in [f32::NAN, f32::INFINITY] {
            assert!(relative_error(missed, 0.0).is_nan() && of_blank(missed)?.is_nan());
        }
        let frames = Tensor::new(&[[1f32, 1.0], [0.0, 2.0]], &Device::Cpu)?;
        assert_eq!(relative_error_of(&Tensor::new(3f32, &Device::Cpu)?, &frames)?.to_scalar::<f32>()?, 0.5);
        assert_eq!(relative_error(3.0, 6.0), 0.5);
        Ok(())
    }

    #[test]
    fn a_blank_frame_is_legal() -> Result<()> {
        let blank = Tensor::zeros((1, 2), candle_core::DType::F32, &Device::Cpu)?;
        check_frames(&blank)
    }
}
