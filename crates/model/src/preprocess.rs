//! What becomes of images before a layer sees them.

use candle_core::{DType, Device, Tensor};
use hebbian_datasets::transforms::{self, Threshold};
use serde::{Deserialize, Serialize};

use crate::Result;

/// How the pixels of an image become the inputs of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Preprocess {
    /// u8 pixels become `pixel / 255`, f32 in \[0, 1\].
    #[default]
    Scale,
    /// u8 pixels become 0 and 1, u8 too: 1 from the threshold on. In files `{"binarize": "mean"}` or
    /// `{"binarize": "above:30"}`.
    Binarize(Threshold),
    /// Numbers from the least to the most of the training examples become 0 to 1; what lies beyond them stays beyond.
    Between {
        /// What becomes 0.
        least: f32,
        /// What becomes 1.
        most: f32,
    },
    /// Inputs are taken as they are: for those that were prepared already, and those that are no images.
    None,
}

impl Preprocess {
    /// The inputs `(images, inputs)` that the layer sees of `images (images, inputs)`, on `device`.
    ///
    /// # Errors
    /// If the images are not u8 where pixels are expected, or if `device` has no room for them.
    pub fn apply(self, images: &Tensor, device: &Device) -> Result<Tensor> {
        match self {
            Self::Scale => Ok(transforms::scale(images, device)?),
            Self::Binarize(threshold) => Ok(transforms::binarize(images, threshold, device)?),
            Self::Between { least, most } => {
                let images = images.to_device(device)?.to_dtype(DType::F32)?;
                let (least, range) = (f64::from(least), f64::from(most) - f64::from(least));
                Ok(((images - least)? / if range > 0.0 { range } else { 1.0 })?)
            }
            Self::None => Ok(images.to_device(device)?),
        }
    }

    /// Whether it takes any numbers, where the others take bytes.
    pub fn takes_numbers(self) -> bool {
        matches!(self, Self::None | Self::Between { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_back_and_a_threshold_is_text() {
        for (preprocess, written) in [
            (Preprocess::Scale, json!("scale")),
            (Preprocess::None, json!("none")),
            (
                Preprocess::Between { least: 0.0, most: 16.0 },
                json!({"between": {"least": 0.0, "most": 16.0}}),
            ),
            (Preprocess::Binarize(Threshold::Mean), json!({"binarize": "mean"})),
            (Preprocess::Binarize(Threshold::Above(30)), json!({"binarize": "above:30"})),
        ] {
            assert_eq!(json!(preprocess), written);
            assert_eq!(serde_json::from_value::<Preprocess>(written).unwrap(), preprocess);
        }
    }

    #[test]
    fn an_unknown_threshold_is_refused_with_those_that_there_are() {
        let refused = serde_json::from_value::<Preprocess>(json!({"binarize": "below:3"})).unwrap_err();
        assert_eq!(refused.to_string(), "binarize is \"below:3\"; allowed: mean, above:0 to above:255");
    }

    #[test]
    fn pixels_are_scaled_or_compared_and_prepared_inputs_stay() -> Result<()> {
        let pixels = Tensor::new(&[[0u8, 51, 255]], &Device::Cpu)?;
        let scaled = Preprocess::Scale.apply(&pixels, &Device::Cpu)?;
        assert_eq!(scaled.to_vec2::<f32>()?, [[0.0, 0.2, 1.0]]);
        let bits = Preprocess::Binarize(Threshold::Above(50)).apply(&pixels, &Device::Cpu)?;
        assert_eq!(bits.to_vec2::<u8>()?, [[0, 1, 1]]);
        assert_eq!(Preprocess::None.apply(&scaled, &Device::Cpu)?.to_vec2::<f32>()?, [[0.0, 0.2, 1.0]]);
        let between = Preprocess::Between { least: -1.0, most: 3.0 };
        let numbers = Tensor::new(&[[-1f32, 1.0, 3.0, 5.0]], &Device::Cpu)?;
        assert_eq!(between.apply(&numbers, &Device::Cpu)?.to_vec2::<f32>()?, [[0.0, 0.5, 1.0, 1.5]]);
        assert!(Preprocess::Scale.apply(&scaled, &Device::Cpu).is_err());
        Ok(())
    }
}
