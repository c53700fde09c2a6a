//! Pixels, and the way out as PNG.

use std::path::Path;

use crate::{Error, Result};

/// Red, green and blue.
pub(crate) type Rgb = [u8; 3];

pub(crate) const WHITE: Rgb = [255, 255, 255];

/// 64 megapixels: past any screen, and far below what would exhaust a machine's memory.
pub(crate) const LARGEST: usize = 1 << 26;

/// A finished picture: `width x height` RGB pixels of 8 bits, row by row from the top left.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// A picture of the pixels `(height, width, 3)`, for people who draw their own and want them in a film.
    pub fn from_rgb(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self> {
        let area = area(width, height)?;
        if pixels.len() != 3 * area {
            let expected = format!("{} bytes for {width} x {height} pixels", 3 * area);
            return Err(Error::argument("pixels", format!("{} bytes", pixels.len()), expected));
        }
        Ok(Self { width, height, pixels })
    }

    pub(crate) fn white(width: usize, height: usize) -> Result<Self> {
        Ok(Self { width, height, pixels: vec![255; 3 * area(width, height)?] })
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows of pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All bytes, `(height, width, 3)`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The color at column `x` and row `y`, if the picture reaches there.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        self.offset(x, y).map(|at| [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]])
    }

    /// The pictures in one row, tops aligned, on white.
    pub fn side_by_side(pictures: &[Picture]) -> Result<Picture> {
        let width = pictures.iter().map(|picture| picture.width).sum();
        let height = pictures.iter().map(|picture| picture.height).max().unwrap_or(0);
        let mut row = Picture::white(width, height)?;
        let mut left = 0;
        for picture in pictures {
            for (y, line) in picture.pixels.chunks_exact(3 * picture.width).enumerate() {
                let at = 3 * (y * width + left);
                row.pixels[at..at + line.len()].copy_from_slice(line);
            }
            left += picture.width;
        }
        Ok(row)
    }

    /// The pictures row by row, `columns` of them in each, on white.
    pub fn grid(pictures: &[Picture], columns: usize) -> Result<Picture> {
        let rows = pictures.chunks(columns.max(1)).map(Self::side_by_side).collect::<Result<Vec<_>>>()?;
        let width = rows.iter().map(|row| row.width).max().unwrap_or(0);
        let mut grid = Picture::white(width, rows.iter().map(|row| row.height).sum())?;
        let mut lines = grid.pixels.chunks_exact_mut(3 * width);
        for row in &rows {
            for (line, to) in row.pixels.chunks_exact(3 * row.width).zip(&mut lines) {
                to[..line.len()].copy_from_slice(line);
            }
        }
        Ok(grid)
    }

    /// Smaller by a whole factor: each pixel is the mean of `factor x factor`.
    pub(crate) fn shrink(&self, factor: usize) -> Result<Picture> {
        let mut small = Picture::white(self.width / factor, self.height / factor)?;
        for (at, byte) in small.pixels.iter_mut().enumerate() {
            let (x, y, c) = (at / 3 % small.width * factor, at / 3 / small.width * factor, at % 3);
            let rows = (y..y + factor).map(|y| 3 * (y * self.width + x) + c);
            let sum: usize =
                rows.flat_map(|at| (0..factor).map(move |x| usize::from(self.pixels[at + 3 * x]))).sum();
            *byte = (sum / factor.pow(2)) as u8;
        }
        Ok(small)
    }

    /// The bytes of a PNG file.
    pub fn png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(bytes)
    }

    /// Writes the PNG file `path`.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, self.png()?).map_err(|source| Error::Write { path: path.to_owned(), source })
    }

    /// What lies outside the picture is not drawn.
    pub(crate) fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, color: Rgb) {
        let (right, bottom) = ((x + width).min(self.width), (y + height).min(self.height));
        for row in y..bottom {
            for column in x..right {
                self.set(column, row, color);
            }
        }
    }

    /// Lays `color` over the pixel; a `coverage` of 1 hides what was there.
    pub(crate) fn blend(&mut self, x: usize, y: usize, color: Rgb, coverage: f32) {
        let Some(under) = self.pixel(x, y) else { return };
        let mix = |c: usize| f32::from(under[c]) + coverage * (f32::from(color[c]) - f32::from(under[c]));
        self.set(x, y, [0, 1, 2].map(|c| mix(c).round() as u8));
    }

    fn set(&mut self, x: usize, y: usize, color: Rgb) {
        if let Some(at) = self.offset(x, y) {
            self.pixels[at..at + 3].copy_from_slice(&color);
        }
    }

    fn offset(&self, x: usize, y: usize) -> Option<usize> {
        (x < self.width && y < self.height).then(|| 3 * (y * self.width + x))
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({} x {})", self.width, self.height)
    }
}

fn area(width: usize, height: usize) -> Result<usize> {
    match width.checked_mul(height) {
        Some(area @ 1..=LARGEST) => Ok(area),
        _ => {
            let expected = format!("1 to {LARGEST} pixels");
            Err(Error::argument("picture", format!("{width} x {height}"), expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: usize, height: usize, color: Rgb) -> Picture {
        Picture::from_rgb(width, height, color.repeat(width * height)).unwrap()
    }

    #[test]
    fn a_png_read_back_has_the_same_pixels() {
        let picture = Picture::from_rgb(3, 2, (0..18).collect()).unwrap();
        let bytes = picture.png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, picture.pixels());
    }

    #[test]
    fn pictures_side_by_side_stand_on_white() {
        let row = Picture::side_by_side(&[plain(2, 1, [9, 9, 9]), plain(1, 3, [7, 7, 7])]).unwrap();
        assert_eq!((row.width(), row.height()), (3, 3));
        assert_eq!(row.pixel(1, 0), Some([9, 9, 9]));
        assert_eq!(row.pixel(1, 1), Some(WHITE));
        assert_eq!(row.pixel(2, 2), Some([7, 7, 7]));
        assert_eq!(row.pixel(3, 0), None);
    }

    #[test]
    fn a_grid_is_filled_row_by_row() {
        let (dark, light) = (plain(2, 1, [9, 9, 9]), plain(1, 2, [200, 200, 200]));
        let grid = Picture::grid(&[dark.clone(), light.clone(), light], 2).unwrap();
        assert_eq!((grid.width(), grid.height()), (3, 4));
        assert_eq!((grid.pixel(2, 1), grid.pixel(0, 1)), (Some([200, 200, 200]), Some(WHITE)));
        assert_eq!((grid.pixel(0, 3), grid.pixel(1, 2)), (Some([200, 200, 200]), Some(WHITE)));
        assert!(Picture::grid(&[], 2).is_err() && Picture::grid(&[dark], 0).is_ok());
    }

    #[test]
    fn shrinking_takes_the_mean_of_each_square() {
        let picture = Picture::side_by_side(&[plain(2, 2, [9, 9, 9]), plain(2, 1, [55, 255, 0])]).unwrap();
        let small = picture.shrink(2).unwrap();
        assert_eq!((small.pixel(0, 0), small.pixel(1, 0)), (Some([9, 9, 9]), Some([155, 255, 127])));
        assert_eq!((small.width(), small.height()), (2, 1));
    }

    #[test]
    fn no_picture_is_empty_or_beyond_memory() {
        assert!(Picture::side_by_side(&[]).is_err());
        assert!(Picture::white(0, 5).is_err());
        assert!(Picture::white(usize::MAX, usize::MAX).is_err());
        assert!(Picture::from_rgb(2, 2, vec![0; 11]).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let picture = plain(1, 1, WHITE);
        picture.save(folder.path().join("w.png")).unwrap();
        let error = picture.save(folder.path().join("no/such/w.png")).unwrap_err();
        assert!(error.to_string().contains("w.png"));
    }
}
