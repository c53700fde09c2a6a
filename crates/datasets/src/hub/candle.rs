//! Datasets in the form of candle-datasets.

use candle_core::{DType, Device, Tensor};

use crate::{Dataset, Error, Examples, ImageShape, Result};

/// As many classes as its u8 labels can tell apart.
const CLASSES: usize = 256;

/// The dataset as candle-datasets has it: f32 images, bytes being brought to \[0, 1\] and numbers left as they are,
/// `(images, inputs)` if gray and `(images, channels, height, width)` if not (upright, which that crate's own CIFAR-10 from the
/// hub is not), and u8 labels.
///
/// # Errors
/// If a set has no labels, or there are more than 256 classes.
impl TryFrom<&Dataset> for candle_datasets::vision::Dataset {
    type Error = Error;

    fn try_from(dataset: &Dataset) -> Result<Self> {
        if dataset.classes() > CLASSES {
            let found = format!("{} classes", dataset.classes());
            return Err(Error::Examples {
                found,
                expected: format!("at most {CLASSES} for candle-datasets"),
            });
        }
        Ok(Self {
            train_images: images(&dataset.train, dataset.shape)?,
            train_labels: labels(&dataset.train)?,
            test_images: images(&dataset.test, dataset.shape)?,
            test_labels: labels(&dataset.test)?,
            labels: dataset.classes(),
        })
    }
}

fn images(examples: &Examples, shape: ImageShape) -> Result<Tensor> {
    let ImageShape { height, width, channels } = shape;
    let images = crate::transforms::inputs(examples.images(), &Device::Cpu)?;
    match channels {
        1 => Ok(images),
        _ => Ok(images.reshape(((), height, width, channels))?.permute((0, 3, 1, 2))?.contiguous()?),
    }
}

fn labels(examples: &Examples) -> Result<Tensor> {
    let missing =
        || Error::Examples { found: "no labels".to_owned(), expected: "a label for each image".to_owned() };
    Ok(examples.labels().ok_or_else(missing)?.to_dtype(DType::U8)?)
}
