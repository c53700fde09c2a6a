//! Maps of numbers side by side in grays: the frames of a stream, and what layers make of them.

use std::time::Duration;

use candle_core::Tensor;

use crate::picture::Picture;
use crate::{Error, Film, Result};

/// One map: values row by row, drawn from white at 0 to black at `limit` and beyond.
#[derive(Clone, Copy, Debug)]
pub struct GrayMap<'a> {
    /// `height x width` values.
    pub values: &'a [f32],
    /// Height and width.
    pub shape: (usize, usize),
    /// What black stands for; the same in all frames of a film, so that they can be compared.
    pub limit: f32,
}

/// The side that maps are drawn at is the largest multiple of theirs up to this.
const SIDE: usize = 200;
const GAP: usize = 12;
const BORDER: [u8; 3] = [205, 205, 205];

/// All `maps` in one row, each as many whole pixels a value as fit into 200.
pub fn gray_maps(maps: &[GrayMap<'_>]) -> Result<Picture> {
    let mut picture = Picture::white(maps.len() * (SIDE + GAP) + GAP, SIDE + 2 * GAP)?;
    for (place, map) in maps.iter().enumerate() {
        let (height, width) = map.shape;
        if height == 0 || width == 0 || height.checked_mul(width) != Some(map.values.len()) {
            let expected = format!("{height} x {width} values, at least one");
            return Err(Error::argument("map", map.values.len(), expected));
        }
        let zoom = (SIDE / height.max(width)).max(1);
        let (left, top) = (GAP + place * (SIDE + GAP), GAP);
        picture.fill(left - 1, top - 1, width * zoom + 2, height * zoom + 2, BORDER);
        for (at, &value) in map.values.iter().enumerate() {
            let share = (value / map.limit.max(f32::MIN_POSITIVE)).clamp(0.0, 1.0);
            let gray = (255.0 * (1.0 - share)).round() as u8;
            picture.fill(left + at % width * zoom, top + at / width * zoom, zoom, zoom, [gray; 3]);
        }
    }
    Ok(picture)
}

/// A film of the rows of each tensor `(frames, height · width · channels)` as maps of its height and width, side by side,
/// colors in gray; black is a tensor's largest value. Each frame stands for `delay`.
///
/// # Errors
/// If a tensor's rows do not have its shape, or if tensors differ in their number of rows.
pub fn film_of_maps(shown: &[(&Tensor, (usize, usize))], delay: Duration) -> Result<Film> {
    let mut film = Film::new(delay);
    let values = shown.iter().map(|(tensor, (height, width))| {
        tensor.reshape((tensor.dim(0)?, height * width, ()))?.mean(2)?.to_vec2::<f32>()
    });
    let values = values.collect::<candle_core::Result<Vec<_>>>()?;
    let largest = |rows: &Vec<Vec<f32>>| rows.iter().flatten().fold(0f32, |most, &value| most.max(value));
    let limits: Vec<f32> = values.iter().map(largest).collect();
    let frames = values.first().map_or(0, Vec::len);
    if let Some(other) = values.iter().find(|rows| rows.len() != frames) {
        return Err(Error::argument(
            "rows",
            other.len().to_string(),
            format!("{frames} as in the first tensor"),
        ));
    }
    for frame in 0..frames {
        let maps = values.iter().zip(shown).zip(&limits).map(|((rows, (_, shape)), &limit)| GrayMap {
            values: &rows[frame],
            shape: *shape,
            limit,
        });
        film.push(&gray_maps(&maps.collect::<Vec<_>>())?)?;
    }
    Ok(film)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_white_and_the_limit_black() {
        let map = GrayMap { values: &[0.0, 1.0, 2.0, 9.0], shape: (2, 2), limit: 2.0 };
        let picture = gray_maps(&[map, map]).unwrap();
        let color = |x: usize, y: usize| picture.pixel(x, y).unwrap();
        assert_eq!(
            [color(12, 12), color(112, 12), color(12, 112), color(211, 211)],
            [[255; 3], [128; 3], [0; 3], [0; 3]]
        );
        assert_eq!(color(224 + 150, 12), [128; 3], "the second map");
    }

    #[test]
    fn a_map_of_another_size_than_its_shape_is_refused() {
        let map = GrayMap { values: &[0.0; 3], shape: (2, 2), limit: 1.0 };
        assert!(gray_maps(&[map]).unwrap_err().to_string().contains("2 x 2"));
    }
}
