//! Images from anywhere, brought to the form that a layer takes.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use candle_core::{Device, Tensor};
use fast_image_resize::images::Image;
use fast_image_resize::{PixelType, ResizeOptions, Resizer};
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use crate::array_dir::read_npy;
use crate::idx::Idx;
use crate::{Error, ImageShape, Result};

/// More than any image that a layer here could learn, in pixels.
const LARGEST: usize = 1 << 24;

/// One image as bytes, row by row, the values of a pixel side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Its form.
    pub shape: ImageShape,
    /// [`ImageShape::inputs`] values.
    pub pixels: Vec<u8>,
}

impl ImageFile {
    /// Reads a PNG file, gray or color. 16-bit values lose their lower half, and what is transparent is taken as it is under
    /// its transparency.
    ///
    /// # Errors
    /// If the file cannot be read, is no PNG, or has more than 2^24 pixels.
    pub fn read_png(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let unreadable = |reason| Error::Read { file: file.clone(), offset: 0, reason };
        let not_png = |error: png::DecodingError| unreadable(std::io::Error::other(error));
        let reader = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut decoder = Decoder::new_with_limits(reader, Limits { bytes: 16 * LARGEST });
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        let mut reader = decoder.read_info().map_err(not_png)?;
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        let size = reader.output_buffer_size().filter(|_| width.saturating_mul(height) <= LARGEST);
        let Some(size) = size else {
            let found = format!("{height} x {width} pixels");
            return Err(Error::Malformed {
                file,
                offset: 16,
                found,
                expected: format!("at most {LARGEST} pixels"),
            });
        };
        let mut bytes = vec![0; size];
        reader.next_frame(&mut bytes).map_err(not_png)?;
        let (color, depth) = reader.output_color_type();
        let (values, channels) = match (color, depth) {
            (ColorType::Grayscale, BitDepth::Eight) => (1, 1),
            (ColorType::GrayscaleAlpha, BitDepth::Eight) => (2, 1),
            (ColorType::Rgb, BitDepth::Eight) => (3, 3),
            (ColorType::Rgba, BitDepth::Eight) => (4, 3),
            _ => {
                return Err(unreadable(std::io::Error::other(format!(
                    "{color:?} at {depth:?} bits is not known"
                ))));
            }
        };
        if values != channels {
            bytes = bytes.chunks_exact(values).flat_map(|pixel| &pixel[..channels]).copied().collect();
        }
        Ok(Self { shape: ImageShape { height, width, channels }, pixels: bytes })
    }

    /// The image in the form `shape`, and in words what was done to it. Color becomes gray by its luma (Rec. 601), gray color
    /// of three equal values; another size is reached by bilinear convolution, each side by itself.
    ///
    /// # Errors
    /// If the numbers of values per pixel are not 1 or 3 on both sides, or the image is empty.
    pub fn fitted(self, shape: ImageShape) -> Result<(Self, Vec<String>)> {
        let mut done = Vec::new();
        let mut image = self;
        if image.shape.channels != shape.channels {
            image = image.recolored(shape)?;
            done.push(if shape.channels == 1 { "made gray" } else { "taken as color" }.to_owned());
        }
        if (image.shape.height, image.shape.width) != (shape.height, shape.width) {
            let ImageShape { height, width, .. } = image.shape;
            done.push(format!("resized from {height} x {width} to {} x {}", shape.height, shape.width));
            image = image.resized(shape)?;
        }
        Ok((image, done))
    }

    fn recolored(self, wanted: ImageShape) -> Result<Self> {
        let shape = ImageShape { channels: wanted.channels, ..self.shape };
        let luma = |pixel: &[u8]| {
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8
        };
        let pixels = match (self.shape.channels, wanted.channels) {
            (3, 1) => self.pixels.chunks_exact(3).map(luma).collect(),
            (1, 3) => self.pixels.iter().flat_map(|&gray| [gray; 3]).collect(),
            (found, expected) => {
                return Err(Error::Examples {
                    found: format!("{found} values per pixel"),
                    expected: format!("{expected}"),
                });
            }
        };
        Ok(Self { shape, pixels })
    }

    fn resized(self, shape: ImageShape) -> Result<Self> {
        let kind = if shape.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
        let unfit = |error: &dyn std::fmt::Display| Error::Examples {
            found: format!("{} ({error})", describe(self.shape)),
            expected: "an image that can be resized".to_owned(),
        };
        let (width, height) = (self.shape.width as u32, self.shape.height as u32);
        let from =
            Image::from_vec_u8(width, height, self.pixels.clone(), kind).map_err(|error| unfit(&error))?;
        let mut to = Image::new(shape.width as u32, shape.height as u32, kind);
        let options = ResizeOptions::new()
            .resize_alg(fast_image_resize::ResizeAlg::Convolution(fast_image_resize::FilterType::Bilinear));
        Resizer::new().resize(&from, &mut to, &options).map_err(|error| unfit(&error))?;
        Ok(Self { shape, pixels: to.into_vec() })
    }

    /// Whether its edge is brighter than middle gray on average: dark strokes on paper, where most datasets have bright ones on
    /// black.
    pub fn has_bright_edge(&self) -> bool {
        let ImageShape { height, width, channels } = self.shape;
        let at_edge = |place: usize| {
            let (y, x) = (place / width, place % width);
            y == 0 || x == 0 || y == height - 1 || x == width - 1
        };
        let edge = self.pixels.chunks_exact(channels).enumerate().filter(|(place, _)| at_edge(*place));
        let (sum, values) = edge.fold((0u64, 0u64), |(sum, values), (_, pixel)| {
            (sum + pixel.iter().map(|&value| u64::from(value)).sum::<u64>(), values + pixel.len() as u64)
        });
        2 * sum > 255 * values
    }

    /// Bright where it was dark.
    pub fn inverted(self) -> Self {
        Self { pixels: self.pixels.into_iter().map(|value| 255 - value).collect(), ..self }
    }
}

/// `28 x 28 pixels, gray`
pub(crate) fn describe(shape: ImageShape) -> String {
    let kind = if shape.channels == 1 { "gray" } else { "color" };
    format!("{} x {} pixels, {kind}", shape.height, shape.width)
}

/// The images of an IDX file, gzipped if its name ends in `.gz`: their form, and u8 `(images, inputs)`.
///
/// # Errors
/// If the file cannot be read or is not IDX of unsigned bytes with three dimensions.
pub fn read_idx_images(path: &Path) -> Result<(ImageShape, Tensor)> {
    let Idx { dims, data, .. } = Idx::<3>::open(path)?;
    let [count, height, width] = dims.map(|dim| dim as usize);
    let shape = ImageShape { height, width, channels: 1 };
    Ok((shape, Tensor::from_vec(data, (count, shape.inputs()), &Device::Cpu)?))
}

/// The labels of an IDX file, gzipped if its name ends in `.gz`.
///
/// # Errors
/// If the file cannot be read or is not IDX of unsigned bytes with one dimension.
pub fn read_idx_labels(path: &Path) -> Result<Vec<u32>> {
    Ok(Idx::<1>::open(path)?.data.into_iter().map(u32::from).collect())
}

/// The images of a numpy file of bytes `(images, height, width)` or `(images, height, width, channels)`: their form, and u8
/// `(images, inputs)`.
///
/// # Errors
/// If the file cannot be read or holds something else.
pub fn read_npy_images(path: &Path) -> Result<(ImageShape, Tensor)> {
    read_npy(path)?.images()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(height: usize, width: usize, channels: usize, pixels: Vec<u8>) -> ImageFile {
        ImageFile { shape: ImageShape { height, width, channels }, pixels }
    }

    const GRAY: ImageShape = ImageShape { height: 2, width: 2, channels: 1 };

    #[test]
    fn an_image_that_fits_is_left_alone() {
        let whole = image(2, 2, 1, vec![1, 2, 3, 4]);
        assert_eq!(whole.clone().fitted(GRAY).unwrap(), (whole, vec![]));
    }

    #[test]
    fn gray_saved_as_color_comes_back_unchanged_and_color_by_its_luma() {
        let color = image(2, 2, 3, vec![7, 7, 7, 255, 255, 255, 255, 0, 0, 0, 255, 0]);
        let (gray, done) = color.fitted(GRAY).unwrap();
        assert_eq!((gray.pixels, done), (vec![7, 255, 76, 150], vec!["made gray".to_owned()]));
    }

    #[test]
    fn another_size_is_resized_and_says_so() {
        let (small, done) = image(4, 6, 1, vec![90; 24]).fitted(GRAY).unwrap();
        assert_eq!((small.pixels, done), (vec![90; 4], vec!["resized from 4 x 6 to 2 x 2".to_owned()]));
        let stairs = image(4, 4, 1, [0, 0, 200, 200].repeat(4));
        let (small, _) = stairs.fitted(GRAY).unwrap();
        assert!(small.pixels[0] < 60 && small.pixels[1] > 140, "{:?}", small.pixels);
    }

    #[test]
    fn a_bright_edge_is_told_from_a_bright_middle() {
        let middle = |edge: u8, middle: u8| {
            image(3, 3, 1, vec![edge, edge, edge, edge, middle, edge, edge, edge, edge])
        };
        assert!(middle(255, 0).has_bright_edge());
        assert!(!middle(0, 255).has_bright_edge());
        assert!(!middle(255, 0).inverted().has_bright_edge());
    }
}
