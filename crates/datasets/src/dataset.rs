//! A dataset in the order its authors gave it.

use std::fmt;

use crate::Examples;

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

/// `28 x 28 gray`
impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { height, width, channels } = self;
        match channels {
            1 => write!(f, "{height} x {width} gray"),
            3 => write!(f, "{height} x {width} color"),
            _ => write!(f, "{height} x {width} x {channels}"),
        }
    }
}

/// Training and test examples, raw and in their original order.
///
/// Experiments do not train on this but on a [`split`](Dataset::split) of it; the raw order is for what refers to
/// images by their place in the published files.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dataset {
    /// What the dataset is called in results, such as `mnist`.
    pub name: String,
    /// The form of every image; its `inputs()` is the second dimension of the image tensors.
    pub shape: ImageShape,
    /// What the classes are called, from class 0 on; none where the examples have no labels.
    pub class_names: Vec<String>,
    /// The training examples.
    pub train: Examples,
    /// The test examples.
    pub test: Examples,
    /// What it was read from, such as `npy files`.
    pub form: &'static str,
    /// What a reader should know who expected something else: what was passed over, how an array was understood.
    pub notes: Vec<String>,
}

impl Dataset {
    /// The number of classes; every label is below it.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }
}
