//! Functions from the bytes of a dataset to what a layer takes in.

use std::fmt;
use std::str::FromStr;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor, WithDType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Scales u8 pixels to f32 in \[0, 1\], `pixel / 255`, in the shape they have, and puts them on `device`.
///
/// The quotient is rounded once, on the CPU, so its bits are the same for every device. On the CPU the result, four
/// times the size of the pixels, is the only memory taken: 188 MB for the 60 000 training images of MNIST.
///
/// # Errors
/// If the images are not u8, or if `device` has no room for them.
pub fn scale(images: &Tensor, device: &Device) -> Result<Tensor> {
    let images = images.to_device(&Device::Cpu)?.contiguous()?;
    Ok(images.apply_op1_no_bwd(&Scale)?.to_device(device)?)
}

/// What a layer takes in of images, on `device`: bytes [scaled](scale), and f32 as they are.
///
/// # Errors
/// If the images are of another type, or if `device` has no room for them.
pub fn inputs(images: &Tensor, device: &Device) -> Result<Tensor> {
    match images.dtype() {
        DType::F32 => Ok(images.contiguous()?.to_device(device)?),
        _ => scale(images, device),
    }
}

/// In one pass; as candle operations, a cast and a division, it would take twice the memory.
struct Scale;

impl CustomOp1 for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let pixels = contiguous::<u8>(self.name(), storage, layout)?;
        let scaled = pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        Ok((CpuStorage::F32(scaled), layout.shape().clone()))
    }
}

/// From which brightness a pixel is on; written `mean` or `above:30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(!try_from, !into, with = "String", inline, extend("x-allowed" = FORMS))]
pub enum Threshold {
    /// The mean of its own image, compared in whole numbers: `pixel · n >= sum`. A uniform image is all on, a blank one
    /// too.
    Mean,
    /// Above this value.
    Above(u8),
}

const FORMS: &str = "mean, above:0 to above:255";

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match (text, text.strip_prefix("above:").map(str::parse)) {
            ("mean", _) => Ok(Self::Mean),
            (_, Some(Ok(value))) => Ok(Self::Above(value)),
            _ => Err(format!("binarize is \"{text}\"; allowed: {FORMS}")),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => write!(formatter, "mean"),
            Self::Above(value) => write!(formatter, "above:{value}"),
        }
    }
}

impl TryFrom<String> for Threshold {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Threshold> for String {
    fn from(threshold: Threshold) -> Self {
        threshold.to_string()
    }
}

/// Turns u8 or f32 pixels `(images, pixels)` into 0 and 1, u8, and puts them on `device`.
///
/// # Errors
/// If the images are of another form, if those of f32 are to be above a value of bytes, or if `device` has no room for them.
pub fn binarize(images: &Tensor, threshold: Threshold, device: &Device) -> Result<Tensor> {
    let images = images.to_device(&Device::Cpu)?.contiguous()?;
    Ok(images.apply_op1_no_bwd(&Binarize(threshold))?.to_device(device)?)
}

struct Binarize(Threshold);

impl CustomOp1 for Binarize {
    fn name(&self) -> &'static str {
        "binarize"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, size) = layout.shape().dims2()?;
        let bits = match (storage.dtype(), self.0) {
            (DType::F32, Threshold::Mean) => {
                let values = contiguous::<f32>(self.name(), storage, layout)?;
                values.chunks(size.max(1)).flat_map(above_mean).collect()
            }
            (DType::F32, threshold) => {
                candle_core::bail!("the threshold {threshold} is for bytes; allowed for other numbers: mean")
            }
            (_, Threshold::Mean) => {
                let values = contiguous::<u8>(self.name(), storage, layout)?;
                values.chunks(size.max(1)).flat_map(above_mean).collect()
            }
            (_, Threshold::Above(least)) => contiguous::<u8>(self.name(), storage, layout)?
                .iter()
                .map(|&value| u8::from(value > least))
                .collect(),
        };
        Ok((CpuStorage::U8(bits), layout.shape().clone()))
    }
}

/// Which values are at least the mean of all; for bytes exactly so, as their sums are whole numbers below 2^53.
fn above_mean<T: Copy + Into<f64>>(image: &[T]) -> Vec<u8> {
    let sum: f64 = image.iter().map(|&value| value.into()).sum();
    image.iter().map(|&value| u8::from(value.into() * image.len() as f64 >= sum)).collect()
}

fn contiguous<'a, T: WithDType>(
    op: &'static str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'a [T]> {
    let pixels = storage.as_slice::<T>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&pixels[start..end]),
        None => Err(candle_core::Error::RequiresContiguous { op }.bt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_divided_by_255_and_rounded_once() {
        let pixels = Tensor::from_iter(0..=255u8, &Device::Cpu).unwrap().reshape((2, 128)).unwrap();
        let scaled = scale(&pixels, &Device::Cpu).unwrap();
        assert_eq!(scaled.dims(), [2, 128]);
        let values = scaled.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (pixel, value) in (0..=255u8).zip(values) {
            assert_eq!(value, (f64::from(pixel) / 255.0) as f32);
        }
    }

    #[test]
    fn a_view_is_scaled_as_it_is_seen() {
        let pixels = Tensor::from_vec(vec![0u8, 51, 102, 153, 204, 255], (2, 3), &Device::Cpu).unwrap();
        let turned = scale(&pixels.t().unwrap(), &Device::Cpu).unwrap();
        assert_eq!(turned.to_vec2::<f32>().unwrap(), [[0.0, 0.6], [0.2, 0.8], [0.4, 1.0]]);
        let last = scale(&pixels.narrow(0, 1, 1).unwrap(), &Device::Cpu).unwrap();
        assert_eq!(last.to_vec2::<f32>().unwrap(), [[0.6, 0.8, 1.0]]);
    }

    #[test]
    fn only_bytes_can_be_scaled() {
        let floats = Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(scale(&floats, &Device::Cpu).is_err());
    }

    #[test]
    fn a_pixel_is_on_from_the_mean_of_its_own_image_exactly() {
        let images = [[0u8, 1, 2, 3, 4], [0, 0, 0, 0, 255], [7, 7, 7, 7, 7], [0, 0, 0, 0, 0]];
        let images = Tensor::new(&images, &Device::Cpu).unwrap();
        let bits = binarize(&images, Threshold::Mean, &Device::Cpu).unwrap().to_vec2::<u8>().unwrap();
        assert_eq!(bits, [[0, 0, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]);
    }

    #[test]
    fn a_threshold_is_read_as_it_is_written_and_nonsense_is_refused() {
        for threshold in [Threshold::Mean, Threshold::Above(0), Threshold::Above(255)] {
            assert_eq!(threshold.to_string().parse(), Ok(threshold));
        }
        for text in ["", "above", "above:256", "above:-1", "30"] {
            assert!(text.parse::<Threshold>().unwrap_err().contains("mean, above:0 to above:255"), "{text}");
        }
    }

    #[test]
    fn a_pixel_at_a_fixed_threshold_is_off() {
        let images = Tensor::new(&[[0u8, 30, 31, 255]], &Device::Cpu).unwrap();
        let bits = binarize(&images, Threshold::Above(30), &Device::Cpu).unwrap().to_vec2::<u8>().unwrap();
        assert_eq!(bits, [[0, 0, 1, 1]]);
    }
}
