//! Images from anywhere, brought to the form that a layer takes.

use std::io::{Cursor, Read};
use std::path::Path;

use fast_image_resize::images::Image;
use fast_image_resize::{PixelType, ResizeOptions, Resizer};
use image::{DynamicImage, ImageFormat};

use crate::transparency::shown;
use crate::{Error, ImageShape, Result, jpeg};

/// More than any image that a layer here could learn, in pixels.
const LARGEST: usize = 1 << 24;
const FORMATS: [ImageFormat; 3] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp];
/// Bytes by which every format of images is known.
const LONGEST_MAGIC: u64 = 64;
/// Endings of such files, in lower case.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "bmp"];

/// One image as bytes, row by row, the values of a pixel side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Its form.
    pub shape: ImageShape,
    /// [`ImageShape::inputs`] values.
    pub pixels: Vec<u8>,
}

impl ImageFile {
    /// Reads a PNG, JPEG or BMP file, which it is by its content and not by its name: gray or color, of 1 to 16 bits, with a
    /// palette or without.
    ///
    /// 16-bit values v become v / 257, rounded. An image with transparency whose visible pixels all have one gray is its opacity,
    /// bright strokes on black; any other shows a background: white where what is drawn, weighted by its opacity, is darker than
    /// middle gray, and black where it is brighter.
    ///
    /// # Errors
    /// If the file cannot be read, is none of these, or has more than 2^24 pixels.
    pub fn read(path: &Path) -> Result<Self> {
        let not_one =
            || Error::unfit(&path.display().to_string(), "another file", "a PNG, JPEG or BMP image");
        Self::read_if_image(path)?.ok_or_else(not_one)
    }

    /// Whether the file is named as one of these.
    pub fn has_image_name(path: &Path) -> bool {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        path.is_file() && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
    }

    /// Whether a file that begins with these bytes is one of these.
    pub(crate) fn is_one(first: &[u8]) -> bool {
        image::guess_format(first).is_ok_and(|format| FORMATS.contains(&format))
    }

    /// What image the file is, if it is one of a kind that is not read.
    pub(crate) fn other_kind(path: &Path) -> Option<String> {
        let mut first = Vec::new();
        std::fs::File::open(path).ok()?.take(LONGEST_MAGIC).read_to_end(&mut first).ok()?;
        image::guess_format(&first).ok().filter(|format| !FORMATS.contains(format))?;
        Some(kind_of(&first))
    }

    /// As [`read`](Self::read), or none for a file that is no image by its content nor by its ending.
    pub(crate) fn read_if_image(path: &Path) -> Result<Option<Self>> {
        let unreadable = |reason| Error::unreadable(path, reason);
        // Opening a pipe would wait for what never comes.
        if !path.metadata().map_err(unreadable)?.is_file() {
            return Ok(None);
        }
        let (mut file, mut bytes) = (std::fs::File::open(path).map_err(unreadable)?, Vec::new());
        // Whatever else lies in a folder of images may be large.
        file.by_ref().take(LONGEST_MAGIC).read_to_end(&mut bytes).map_err(unreadable)?;
        let format = image::guess_format(&bytes).ok().filter(|format| FORMATS.contains(format));
        let Some(format) = format else {
            let expected = "a PNG, JPEG or BMP image, as its name says";
            return match Self::has_image_name(path) {
                true => Err(Error::unfit(&path.display().to_string(), kind_of(&bytes), expected)),
                false => Ok(None),
            };
        };
        file.read_to_end(&mut bytes).map_err(unreadable)?;
        if format == ImageFormat::Jpeg && !jpeg::is_whole(&bytes) {
            let found = "the end of the file";
            return Err(Error::unfit(&path.display().to_string(), found, "the end of the image before it"));
        }
        let mut reader = image::ImageReader::with_format(Cursor::new(&bytes), format);
        let mut limits = image::Limits::default();
        limits.max_alloc = Some(16 * LARGEST as u64);
        reader.limits(limits);
        let decoded = reader.decode().map_err(|error| unreadable(std::io::Error::other(error)))?;
        let pixels = decoded.width() as usize * decoded.height() as usize;
        if pixels == 0 || pixels > LARGEST {
            let found = format!("{} x {} pixels", decoded.height(), decoded.width());
            return Err(Error::unfit(&path.display().to_string(), found, format!("1 to {LARGEST} pixels")));
        }
        Ok(Some(Self::of(decoded)))
    }

    /// What the hub and other containers hold: an encoded image.
    ///
    /// # Errors
    /// In words, if it cannot be decoded.
    #[cfg(feature = "hub")]
    pub(crate) fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) if !jpeg::is_whole(bytes) => Err("the image has no end".to_owned()),
            _ => image::load_from_memory(bytes).map(Self::of).map_err(|error| error.to_string()),
        }
    }

    fn of(image: DynamicImage) -> Self {
        let (height, width) = (image.height() as usize, image.width() as usize);
        let color = image.color();
        let (channels, pixels) = match (color.has_color(), color.has_alpha()) {
            (false, false) => (1, image.into_luma8().into_raw()),
            (true, false) => (3, image.into_rgb8().into_raw()),
            (false, true) => shown::<2>(&image.into_luma_alpha8().into_raw()),
            (true, true) => shown::<4>(&image.into_rgba8().into_raw()),
        };
        Self { shape: ImageShape { height, width, channels }, pixels }
    }

    /// The image with one value per pixel if those of every pixel are equal, else as it is.
    pub(crate) fn gray_if_gray(self) -> Self {
        let is_gray = self.shape.channels == 3
            && self.pixels.as_chunks().0.iter().all(|[red, green, blue]| red == green && green == blue);
        match is_gray {
            true => Self {
                shape: ImageShape { channels: 1, ..self.shape },
                pixels: self.pixels.into_iter().step_by(3).collect(),
            },
            false => self,
        }
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
        let pixels = match (self.shape.channels, wanted.channels) {
            (3, 1) => self.pixels.as_chunks().0.iter().map(|color| luma(*color)).collect(),
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
            found: format!("an image of {} ({error})", self.shape),
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

/// What a file is that begins with these bytes and is no PNG, JPEG or BMP image.
fn kind_of(first: &[u8]) -> String {
    match image::guess_format(first) {
        Ok(format) => format!("a {format:?} image"),
        Err(_) if first.is_empty() => "an empty file".to_owned(),
        Err(_) => "another file".to_owned(),
    }
}

/// The brightness of a color (Rec. 601).
pub(crate) fn luma(color: [u8; 3]) -> u8 {
    let [red, green, blue] = color.map(u32::from);
    ((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8
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
