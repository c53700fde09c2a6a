//! A dataset in the order its authors gave it.

use candle_core::{Device, Tensor};

use crate::idx::Idx;
use crate::{Error, Examples, Result};

/// What one image measures, in pixels, and how many values each pixel has. An image lies row by row, the values of a pixel
/// side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// Values per pixel: 1 for gray, 3 for color.
    pub channels: usize,
}

impl ImageShape {
    /// The length of an image as a flat vector, which is what a layer sees.
    pub fn inputs(&self) -> usize {
        self.height * self.width * self.channels
    }
}

/// Training and test examples, raw and in their original order.
///
/// Experiments do not train on this but on a [`split`](Dataset::split) of it; the raw order is for what refers to
/// images by their place in the published files.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// What the dataset is called in results, such as `mnist`.
    pub name: String,
    /// The form of every image; its `inputs()` is the second dimension of the image tensors.
    pub shape: ImageShape,
    /// The number of classes; every label is below it.
    pub classes: usize,
    /// The training examples.
    pub train: Examples,
    /// The test examples.
    pub test: Examples,
}

/// The two files that make up one set of examples.
pub(crate) struct IdxPair {
    pub(crate) images: Idx<3>,
    pub(crate) labels: Idx<1>,
}

impl Dataset {
    /// The classes are numbered from 0, so the highest label of the two sets tells how many there are.
    pub(crate) fn from_idx(name: &str, train: IdxPair, test: IdxPair) -> Result<Self> {
        train.check_counts()?;
        test.check_counts()?;
        train.check_same_shape(&test)?;
        let highest = train.labels.data.iter().chain(&test.labels.data).max();
        let classes = highest.map_or(0, |&label| usize::from(label) + 1);
        Ok(Self {
            name: name.to_owned(),
            shape: train.shape(),
            classes,
            train: train.into_examples(classes)?,
            test: test.into_examples(classes)?,
        })
    }
}

impl IdxPair {
    fn shape(&self) -> ImageShape {
        let [_, height, width] = self.images.dims.map(|dim| dim as usize);
        ImageShape { height, width, channels: 1 }
    }

    fn check_counts(&self) -> Result<()> {
        let ([images, ..], [labels]) = (self.images.dims, self.labels.dims);
        if images == labels {
            return Ok(());
        }
        Err(Error::Malformed {
            file: self.labels.file.clone(),
            offset: 4,
            found: format!("{labels} labels"),
            expected: format!("{images}, one for each image of {}", self.images.file),
        })
    }

    fn check_same_shape(&self, test: &Self) -> Result<()> {
        let ([_, height, width], [_, test_height, test_width]) = (self.images.dims, test.images.dims);
        if (height, width) == (test_height, test_width) {
            return Ok(());
        }
        Err(Error::Malformed {
            file: test.images.file.clone(),
            offset: 8,
            found: format!("images of {test_height} x {test_width}"),
            expected: format!("{height} x {width}, as in {}", self.images.file),
        })
    }

    fn into_examples(self, classes: usize) -> Result<Examples> {
        let inputs = self.shape().inputs();
        let labels: Vec<u32> = self.labels.data.into_iter().map(u32::from).collect();
        let count = labels.len();
        Examples::new(
            Tensor::from_vec(self.images.data, (count, inputs), &Device::Cpu)?,
            Tensor::from_vec(labels, count, &Device::Cpu)?,
            classes,
        )
    }
}
