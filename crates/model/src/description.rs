//! What a file says of its model beside rule and tensors: the only reader and writer of the metadata's `model`.

use hebbian_datasets::{DatasetSummary, ImageShape};
use hebbian_training::Checkpoint;
use serde::{Deserialize, Serialize};

use crate::{Encoding, Error, Preprocess, Result};

/// The `model` of a checkpoint's metadata. What is missing there has its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Description {
    /// How images become inputs.
    pub preprocess: Preprocess,
    /// How inputs become features.
    pub encoding: Encoding,
    /// Height, width and values per pixel of the image that an input is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<[usize; 3]>,
    /// What the classes are called, from class 0 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_names: Option<Vec<String>>,
    /// The dataset that it has learned from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetSummary>,
}

impl Description {
    /// The description of a layer that takes images of this shape and is nothing but itself.
    pub fn of_images(shape: ImageShape) -> Self {
        Self { image: Some([shape.height, shape.width, shape.channels]), ..Self::default() }
    }

    /// What `checkpoint` says; the default where it says nothing, as one does that a training left.
    ///
    /// # Errors
    /// If a field is unknown or has a value that it cannot have.
    pub fn read(checkpoint: &Checkpoint) -> Result<Self> {
        let Some(model) = &checkpoint.metadata.model else { return Ok(Self::default()) };
        Self::deserialize(model).map_err(Error::Description)
    }

    /// Has `checkpoint` say this.
    pub fn write(&self, checkpoint: &mut Checkpoint) {
        checkpoint.metadata.model = Some(serde_json::json!(self));
    }

    /// The shape of the images of a layer with this many `inputs`. Where nothing is recorded, squares are recognized, gray
    /// before color; other layers are of no image that is known.
    pub(crate) fn image_shape(&self, inputs: usize) -> Result<Option<ImageShape>> {
        let fits = |shape: &ImageShape| {
            let area = shape.height.checked_mul(shape.width);
            area.and_then(|area| area.checked_mul(shape.channels)) == Some(inputs) && inputs > 0
        };
        let square = |channels: usize| {
            let side = (inputs / channels).isqrt();
            ImageShape { height: side, width: side, channels }
        };
        match self.image.map(|[height, width, channels]| ImageShape { height, width, channels }) {
            None => Ok([square(1), square(3)].into_iter().find(fits)),
            Some(shape) if fits(&shape) => Ok(Some(shape)),
            Some(ImageShape { height, width, channels }) => Err(Error::Mismatch(format!(
                "the layer takes {inputs} inputs, but its images have {height} x {width} pixels of {channels} values"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_recognized_gray_before_color_and_nothing_else() -> Result<()> {
        let shape = |image, inputs| Description { image, ..Description::default() }.image_shape(inputs);
        let square = |side, channels| Some(ImageShape { height: side, width: side, channels });
        assert_eq!(shape(None, 784)?, square(28, 1));
        assert_eq!(shape(None, 3072)?, square(32, 3));
        assert_eq!(shape(None, 600)?, None);
        assert_eq!(shape(None, 0)?, None);
        assert_eq!(shape(Some([20, 30, 1]), 600)?.map(|shape| shape.width), Some(30));
        let refused = shape(Some([20, 30, 1]), 601).unwrap_err().to_string();
        assert!(refused.starts_with("the layer takes 601 inputs, but its images have 20 x 30"), "{refused}");
        assert!(shape(Some([usize::MAX, 2, 1]), 784).is_err());
        Ok(())
    }

    #[test]
    fn an_unknown_field_is_refused_by_its_name() {
        let mut checkpoint = Checkpoint::new("rule", serde_json::json!({}), Default::default());
        assert_eq!(Description::read(&checkpoint).unwrap(), Description::default());
        checkpoint.metadata.model = Some(serde_json::json!({"colour": 3}));
        let refused = Description::read(&checkpoint).unwrap_err().to_string();
        assert!(refused.starts_with("the checkpoint's model: unknown field `colour`"), "{refused}");
    }
}
