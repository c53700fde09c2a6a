//! Images as they are seen from elsewhere: moved by some pixels, in jittered sequences, or a window's worth of them.

use std::ops::Range;

use candle_core::{Device, Tensor};
use hebbian_training::Generator;

use crate::patches::check_inputs;
use crate::{Error, ImageShape, Result};

/// How far an image is moved to the left and up, in pixels.
pub type Shift = (i64, i64);

/// Every shift of up to `most` pixels in either direction, row by row.
pub fn every_shift(most: i64) -> Vec<Shift> {
    (-most..=most).flat_map(|dy| (-most..=most).map(move |dx| (dx, dy))).collect()
}

/// A walk of `views` steps for each of `images`, up to `most` pixels from the middle in either direction: it begins anywhere,
/// and goes a pixel at most from one view to the next.
///
/// # Errors
/// If there is no room for the draws.
pub fn jitter(images: usize, views: usize, most: i64, mut draws: Generator) -> Result<Vec<Vec<Shift>>> {
    let draws = draws.uniform((images, views, 2), 0.0, 1.0, &Device::Cpu)?.to_vec3::<f32>()?;
    let walk = |draws: Vec<Vec<f32>>| {
        let mut at = [0i64; 2];
        let step = |(view, draw): (usize, Vec<f32>)| {
            for axis in 0..2 {
                let choices = if view == 0 { 2 * most + 1 } else { 3 };
                let choice = (draw[axis] * choices as f32) as i64 - choices / 2;
                at[axis] = (at[axis] + choice).clamp(-most, most);
            }
            (at[0], at[1])
        };
        draws.into_iter().enumerate().map(step).collect()
    };
    Ok(draws.into_iter().map(walk).collect())
}

/// The middle of `images (images, inputs)` of the form `shape`, `window` pixels wide, moved by each of an image's shifts:
/// `(images · shifts, window² · channels)`. Beyond an image there is nothing; images that no shifts are given for are left
/// out.
///
/// # Errors
/// If the images are not of that form, or if there are more lists of shifts than images.
pub fn shifted(images: &Tensor, shape: ImageShape, shifts: &[Vec<Shift>], window: usize) -> Result<Tensor> {
    let (count, inputs) = images.dims2()?;
    check_inputs(inputs, shape.inputs())?;
    if shifts.len() > count {
        return Err(Error::setting("shifts", shifts.len(), format!("one list for each of {count} images")));
    }
    let ImageShape { height, width, channels } = shape;
    // Room for every window: what lies beyond an image is zero.
    let all = || shifts.iter().flatten();
    let farthest = all().map(|(dx, dy)| dx.unsigned_abs().max(dy.unsigned_abs()) as usize).max().unwrap_or(0);
    let margin = farthest + window;
    let images = images.reshape((count, height, width, channels))?;
    let images = images.pad_with_zeros(1, margin, margin)?.pad_with_zeros(2, margin, margin)?;
    let corner = |side: usize, shift: i64| {
        let middle = (side as i64 - window as i64) / 2;
        (middle + shift + margin as i64) as usize
    };
    let mut frames = Vec::new();
    for (image, shifts) in shifts.iter().enumerate() {
        let image = images.get(image)?;
        for &(dx, dy) in shifts {
            let lines = image.narrow(0, corner(height, dy), window)?;
            let frame = lines.narrow(1, corner(width, dx), window)?;
            frames.push(frame.reshape((1, window * window * channels))?);
        }
    }
    match frames.is_empty() {
        true => Ok(images.flatten_from(1)?.narrow(0, 0, 0)?.narrow(1, 0, window * window * channels)?),
        false => Ok(Tensor::cat(&frames, 0)?),
    }
}

/// Windows at random places of random images, in all their colors: a stream in which no frame has to do with the next.
#[derive(Clone, Debug)]
pub struct RandomWindows {
    images: Tensor,
    shape: ImageShape,
    window: usize,
}

impl RandomWindows {
    /// Windows of `window` by `window` pixels over `images (images, inputs)` of the form `shape`.
    ///
    /// # Errors
    /// If there are no images, if they are not of that form, or if a window does not fit into one.
    pub fn new(images: &Tensor, shape: ImageShape, window: usize) -> Result<Self> {
        let (count, inputs) = images.dims2()?;
        check_inputs(inputs, shape.inputs())?;
        let side = shape.height.min(shape.width);
        if count == 0 || !(1..=side).contains(&window) {
            return Err(Error::setting("window", window, format!("1 to {side}, over at least one image")));
        }
        Ok(Self { images: images.clone(), shape, window })
    }

    /// The frames with these numbers, `(frames, window² · channels)`: the same ones for the same `draws`.
    ///
    /// # Errors
    /// If there is no room for them.
    pub fn frames(&self, mut draws: Generator, numbers: Range<usize>) -> Result<Tensor> {
        let Self { images, shape, window } = self;
        let count = numbers.len();
        let draws = draws.uniform((numbers.start + count, 3), 0.0, 1.0, &Device::Cpu)?;
        let draws = draws.narrow(0, numbers.start, count)?.to_vec2::<f32>()?;
        let below = |draw: f32, limit: usize| ((f64::from(draw) * limit as f64) as usize).min(limit - 1);
        let place = |draw: f32, side: usize| {
            below(draw, side - window + 1) as i64 - (side as i64 - *window as i64) / 2
        };
        let places =
            draws.iter().map(|draw| vec![(place(draw[1], shape.width), place(draw[2], shape.height))]);
        let chosen: Vec<u32> = draws.iter().map(|draw| below(draw[0], images.dims()[0]) as u32).collect();
        let chosen = images.index_select(&Tensor::from_vec(chosen, count, &Device::Cpu)?, 0)?;
        shifted(&chosen, *shape, &places.collect::<Vec<_>>(), *window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { height: 3, width: 3, channels: 1 };

    fn image() -> Tensor {
        Tensor::from_vec((1..=9u8).collect::<Vec<_>>(), (1, 9), &Device::Cpu).unwrap()
    }

    #[test]
    fn a_shifted_image_shows_what_lies_there_and_nothing_beyond_its_edge() {
        let views = shifted(&image(), SHAPE, &[vec![(0, 0), (1, 0), (0, -1)]], 3).unwrap();
        let expected: [[u8; 9]; 3] =
            [[1, 2, 3, 4, 5, 6, 7, 8, 9], [2, 3, 0, 5, 6, 0, 8, 9, 0], [0, 0, 0, 1, 2, 3, 4, 5, 6]];
        assert_eq!(views.to_vec2::<u8>().unwrap(), expected);
        assert_eq!(shifted(&image(), SHAPE, &[vec![(1, 1)]], 1).unwrap().to_vec2::<u8>().unwrap(), [[9]]);
        assert!(shifted(&image(), SHAPE, &[vec![], vec![]], 1).is_err());
    }

    #[test]
    fn every_shift_goes_row_by_row_through_the_middle() {
        let shifts = every_shift(1);
        assert_eq!((shifts.len(), shifts[0], shifts[4], shifts[5]), (9, (-1, -1), (0, 0), (1, 0)));
    }

    #[test]
    fn jitter_takes_steps_of_a_pixel_at_most_and_stays_near_the_middle() {
        let walks = jitter(50, 9, 3, Generator::new(0, "test")).unwrap();
        assert_eq!(walks, jitter(50, 9, 3, Generator::new(0, "test")).unwrap());
        for walk in &walks {
            assert!(walk.iter().all(|(x, y)| x.abs() <= 3 && y.abs() <= 3));
            let near =
                |pair: &[Shift]| (pair[0].0 - pair[1].0).abs() <= 1 && (pair[0].1 - pair[1].1).abs() <= 1;
            assert!(walk.windows(2).all(near));
        }
        assert!(walks.iter().any(|walk| walk[0].0.abs() == 3));
    }

    #[test]
    fn a_window_lies_within_its_image_and_a_part_of_the_stream_is_the_same_alone() {
        let windows = RandomWindows::new(&image(), SHAPE, 2).unwrap();
        let frames =
            |numbers| windows.frames(Generator::new(0, "test"), numbers).unwrap().to_vec2::<u8>().unwrap();
        let all = frames(0..40);
        assert!(all.iter().all(|frame| frame[0] > 0 && frame[1] == frame[0] + 1 && frame[2] == frame[0] + 3));
        assert_eq!(frames(7..20), all[7..20]);
        assert!(RandomWindows::new(&image(), SHAPE, 4).is_err());
    }
}
