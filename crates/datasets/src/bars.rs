//! Lines on a grid: patterns whose causes are known, as Földiák (1990) drew them.

use candle_core::{Device, Tensor};
use hebbian_training::fits;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::{Error, Result};

/// Patterns of horizontal and vertical lines, and which lines each has.
#[derive(Clone, Debug)]
pub struct Bars {
    /// Pixels per side.
    pub side: usize,
    /// u8 `(patterns, side²)`: 255 where any line passes, else 0.
    pub images: Tensor,
    /// u8 `(patterns, 2 side)`: 1 for each line that is there, first the horizontal ones from the top, then the vertical
    /// ones from the left.
    pub lines: Tensor,
}

impl Bars {
    /// `count` patterns of `side` by `side` pixels, in which each line appears with `probability`, whatever the others do.
    /// The seed decides the draws.
    ///
    /// # Errors
    /// If `side` is not 1 to 256, the probability not 0 to 1, or the patterns are more than memory holds.
    pub fn draw(count: usize, side: usize, probability: f64, seed: u64) -> Result<Self> {
        check_side(side)?;
        if !(0.0..=1.0).contains(&probability) {
            return Err(Error::setting("probability", probability, "0 to 1"));
        }
        fits(&[count, side * side + 2 * side], 1).map_err(candle_core::Error::from)?;
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        // Of 2^53 equally likely draws, as many are below as the probability says.
        let mut appears = || ((generator.next_u64() >> 11) as f64) < probability * (1u64 << 53) as f64;
        let lines = (0..count * 2 * side).map(|_| u8::from(appears())).collect();
        Self::of_lines(side, lines)
    }

    /// The `2 side` patterns of one line each, in the order of their lines.
    ///
    /// # Errors
    /// If `side` is not 1 to 256.
    pub fn single(side: usize) -> Result<Self> {
        check_side(side)?;
        let all = 2 * side;
        Self::of_lines(side, (0..all * all).map(|at| u8::from(at / all == at % all)).collect())
    }

    fn of_lines(side: usize, lines: Vec<u8>) -> Result<Self> {
        let count = lines.len() / (2 * side);
        let mut images = Vec::with_capacity(count * side * side);
        for lines in lines.chunks_exact(2 * side) {
            let (rows, columns) = lines.split_at(side);
            images.extend(rows.iter().flat_map(|row| columns.iter().map(move |column| 255 * (row | column))));
        }
        Ok(Self {
            side,
            images: Tensor::from_vec(images, (count, side * side), &Device::Cpu)?,
            lines: Tensor::from_vec(lines, (count, 2 * side), &Device::Cpu)?,
        })
    }
}

fn check_side(side: usize) -> Result<()> {
    match side {
        1..=256 => Ok(()),
        _ => Err(Error::setting("side", side, "1 to 256")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_on_where_its_row_or_its_column_has_a_line() {
        let bars = Bars::draw(200, 3, 0.3, 0).unwrap();
        let (images, lines) = (bars.images.to_vec2::<u8>().unwrap(), bars.lines.to_vec2::<u8>().unwrap());
        for (image, lines) in images.iter().zip(&lines) {
            for (at, &pixel) in image.iter().enumerate() {
                assert_eq!(pixel == 255, lines[at / 3] == 1 || lines[3 + at % 3] == 1, "{lines:?}");
            }
        }
        assert!(lines.iter().any(|lines| lines.iter().sum::<u8>() >= 2));
    }

    #[test]
    fn lines_appear_as_often_as_asked() {
        for probability in [0.0, 0.125, 1.0] {
            let lines = Bars::draw(4000, 8, probability, 1).unwrap().lines.to_vec2::<u8>().unwrap();
            let share = lines.concat().into_iter().map(f64::from).sum::<f64>() / 64_000.0;
            assert!((share - probability).abs() < 0.01, "{share}");
        }
    }

    #[test]
    fn a_seed_draws_the_same_patterns_and_another_seed_others() {
        let draw = |seed| Bars::draw(50, 8, 0.125, seed).unwrap().lines.to_vec2::<u8>().unwrap();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn single_lines_come_one_by_one() {
        let single = Bars::single(2).unwrap();
        let (on, off) = (255, 0);
        let images = [[on, on, off, off], [off, off, on, on], [on, off, on, off], [off, on, off, on]];
        assert_eq!(single.images.to_vec2::<u8>().unwrap(), images);
    }

    #[test]
    fn impossible_settings_are_named() {
        let message = |side, probability| Bars::draw(1, side, probability, 0).unwrap_err().to_string();
        assert_eq!(message(0, 0.5), "side is 0, allowed: 1 to 256");
        assert_eq!(message(257, 0.5), "side is 257, allowed: 1 to 256");
        assert_eq!(message(8, 1.5), "probability is 1.5, allowed: 0 to 1");
        assert_eq!(message(8, f64::NAN), "probability is NaN, allowed: 0 to 1");
    }
}
