//! The diverging color map of weights, matplotlib's `bwr`: blue is negative, white is zero, red is positive.

use crate::picture::Rgb;

/// Levels to either side of white. All 201 colors and the grays of the text share one 256-color GIF palette.
const LEVELS: f64 = 100.0;

/// The color of `value` on the scale `-limit..limit`; where the limit is 0 everything is white.
pub(crate) fn red_white_blue(value: f64, limit: f64) -> Rgb {
    if limit <= 0.0 {
        return [255; 3];
    }
    let level = (value / limit * LEVELS).round().clamp(-LEVELS, LEVELS);
    let fade = (255.0 * (1.0 - level.abs() / LEVELS)).round() as u8;
    if level < 0.0 { [fade, fade, 255] } else { [255, fade, fade] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_white() {
        assert_eq!(red_white_blue(0.0, 3.0), [255; 3]);
        assert_eq!(red_white_blue(-0.0, 3.0), [255; 3]);
        assert_eq!(red_white_blue(0.0, 0.0), [255; 3]);
    }

    #[test]
    fn the_limits_are_pure_blue_and_pure_red() {
        assert_eq!(red_white_blue(-3.0, 3.0), [0, 0, 255]);
        assert_eq!(red_white_blue(3.0, 3.0), [255, 0, 0]);
    }

    #[test]
    fn opposite_weights_are_equally_far_from_white() {
        let [red, fade, _] = red_white_blue(0.37, 1.0);
        assert_eq!(red_white_blue(-0.37, 1.0), [fade, fade, red]);
    }
}
