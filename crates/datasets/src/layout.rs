//! Where in an array the values of each image lie.

use std::str::FromStr;

use crate::ImageShape;

/// How the values of one example lie in a file: the sizes from the slowest to the fastest, written `28x28`, `32x32x3` or
/// `3x32x32`. Of three sizes the first is the channels if it is at most 4 and the last is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExampleShape {
    image: ImageShape,
    channels_first: bool,
}

/// Values per pixel that an image can have.
const CHANNELS: std::ops::RangeInclusive<usize> = 1..=4;

impl ExampleShape {
    /// The image that such an example is.
    pub fn image(&self) -> ImageShape {
        self.image
    }

    /// The shape whose sizes are these, and whether another reading was possible.
    fn of(sizes: &[usize]) -> Option<(Self, bool)> {
        let image = |height, width, channels| ImageShape { height, width, channels };
        let last = |image| Self { image, channels_first: false };
        match *sizes {
            [height, width] => Some((last(image(height, width, 1)), false)),
            [first, middle, end] => match (CHANNELS.contains(&first), CHANNELS.contains(&end)) {
                (either, true) => Some((last(image(first, middle, end)), either)),
                (true, false) => {
                    Some((Self { image: image(middle, end, first), channels_first: true }, false))
                }
                (false, false) => None,
            },
            _ => None,
        }
    }
}

impl FromStr for ExampleShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sizes: Option<Vec<usize>> = text.split('x').map(|size| size.trim().parse().ok()).collect();
        let shape = sizes.filter(|sizes| !sizes.contains(&0)).and_then(|sizes| Self::of(&sizes));
        let refused = || format!("an image shape is {text}; allowed: HxW, HxWxC or CxHxW with C from 1 to 4");
        shape.map(|(shape, _)| shape).ok_or_else(refused)
    }
}

/// How an array `(examples, ...)` becomes `(examples, height, width, channels)`, the values of a pixel side by side.
pub(crate) struct Layout {
    /// Examples, height, width, channels.
    sizes: [usize; 4],
    /// By how many elements the place moves along each.
    strides: [usize; 4],
}

impl Layout {
    /// The layout of an array of this shape, of which `first_fastest` says that it lies in Fortran's order; and, if it could
    /// have been read in another way, how it was.
    ///
    /// Rows of numbers are square gray images if their length is a square, else images of one row.
    pub(crate) fn of(
        shape: &[usize],
        first_fastest: bool,
        wanted: Option<ExampleShape>,
    ) -> Result<(Self, Option<String>), String> {
        let (&examples, sizes) = shape.split_first().ok_or("(examples, ...)")?;
        let inputs: usize = sizes.iter().product();
        let (example, note) = match (wanted, sizes) {
            (Some(wanted), _) if wanted.image.inputs() == inputs => (wanted, None),
            (Some(_), _) => return Err(format!("images of the shape asked for; each has {inputs} values")),
            (None, []) => return Err("(examples, values)".to_owned()),
            (None, [_]) => flat(inputs),
            (None, sizes) => {
                let (shape, ambiguous) =
                    ExampleShape::of(sizes).ok_or("(examples, height, width[, channels])")?;
                let said = "channels taken to be last; --image-shape can say otherwise";
                (shape, ambiguous.then(|| said.to_owned()))
            }
        };
        let layout = Self::strided(examples, sizes, first_fastest, example);
        layout
            .map(|layout| (layout, note))
            .ok_or_else(|| "the shape that the array has, in Fortran's order".to_owned())
    }

    /// None for an array in Fortran's order of which another shape is wanted.
    fn strided(examples: usize, sizes: &[usize], first_fastest: bool, example: ExampleShape) -> Option<Self> {
        let ExampleShape { image: ImageShape { height, width, channels }, channels_first } = example;
        let sizes_in_file = match channels_first {
            true => [channels, height, width],
            false => [height, width, channels],
        };
        let beyond_one = |sizes: &[usize]| Vec::from_iter(sizes.iter().copied().filter(|&size| size > 1));
        let is_own = beyond_one(sizes) == beyond_one(&sizes_in_file);
        let fastest_first = |all: [usize; 4]| [1, all[0], all[0] * all[1], all[0] * all[1] * all[2]];
        let [a, b, c] = sizes_in_file;
        let [n, s0, s1, s2] = match sizes {
            _ if !first_fastest => [a * b * c, b * c, c, 1],
            _ if is_own => fastest_first([examples, a, b, c]),
            // Rows of numbers: the values of an example are `examples` apart.
            [_] => [1, b * c * examples, c * examples, examples],
            _ => return None,
        };
        let strides = if channels_first { [n, s1, s2, s0] } else { [n, s0, s1, s2] };
        Some(Self { sizes: [examples, height, width, channels], strides })
    }

    pub(crate) fn image(&self) -> ImageShape {
        let [_, height, width, channels] = self.sizes;
        ImageShape { height, width, channels }
    }

    /// Whether the values lie as they are wanted.
    pub(crate) fn is_in_order(&self) -> bool {
        let [_, height, width, channels] = self.sizes;
        self.strides == [height * width * channels, width * channels, channels, 1]
    }

    /// Where the values lie, in the order in which they are wanted.
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> {
        let ([examples, height, width, channels], [n, y, x, c]) = (self.sizes, self.strides);
        (0..examples).flat_map(move |example| {
            (0..height).flat_map(move |row| {
                (0..width).flat_map(move |column| {
                    (0..channels).map(move |channel| n * example + y * row + x * column + c * channel)
                })
            })
        })
    }
}

fn flat(inputs: usize) -> (ExampleShape, Option<String>) {
    let side = inputs.isqrt();
    let (height, width, note) = match side * side == inputs {
        true => (side, side, None),
        false => {
            (1, inputs, Some(format!("rows of {inputs} values; --image-shape says what images they are")))
        }
    };
    (ExampleShape { image: ImageShape { height, width, channels: 1 }, channels_first: false }, note)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(shape: &[usize], first_fastest: bool) -> (ImageShape, Vec<usize>) {
        let (layout, _) = Layout::of(shape, first_fastest, None).unwrap();
        (layout.image(), layout.places().collect())
    }

    fn image(height: usize, width: usize, channels: usize) -> ImageShape {
        ImageShape { height, width, channels }
    }

    #[test]
    fn the_small_dimension_is_the_channels_and_the_last_of_two() {
        assert_eq!(places(&[1, 5, 6, 3], false).0, image(5, 6, 3));
        assert_eq!(places(&[1, 3, 5, 6], false).0, image(5, 6, 3));
        assert_eq!(places(&[1, 1, 5, 6], false).0, image(5, 6, 1));
        let (layout, note) = Layout::of(&[1, 3, 5, 3], false, None).unwrap();
        assert_eq!(layout.image(), image(3, 5, 3));
        assert!(note.unwrap().starts_with("channels taken to be last"));
        let channels_first = "3x5x6".parse::<ExampleShape>().unwrap();
        assert_eq!(Layout::of(&[1, 90], false, Some(channels_first)).unwrap().0.image(), image(5, 6, 3));
        assert!(Layout::of(&[1, 5, 6, 7], false, None).is_err());
    }

    #[test]
    fn channels_first_are_brought_side_by_side() {
        assert_eq!(places(&[1, 2, 1, 5], false).1, [0, 5, 1, 6, 2, 7, 3, 8, 4, 9]);
    }

    #[test]
    fn fortrans_order_is_turned_around_whatever_the_shape() {
        assert_eq!(places(&[2, 2, 3], true).1, [0, 4, 8, 2, 6, 10, 1, 5, 9, 3, 7, 11]);
        assert_eq!(places(&[2, 4], true), (image(2, 2, 1), vec![0, 2, 4, 6, 1, 3, 5, 7]));
    }

    #[test]
    fn rows_are_squares_or_one_row_and_a_shape_that_does_not_fit_is_refused() {
        assert_eq!(places(&[3, 64], false).0, image(8, 8, 1));
        assert_eq!(places(&[3, 13], false).0, image(1, 13, 1));
        let refused = Layout::of(&[3, 13], false, Some("2x6".parse().unwrap())).err().unwrap();
        assert_eq!(refused, "images of the shape asked for; each has 13 values");
        for text in ["", "28", "0x3", "5x6x7", "axb"] {
            assert!(text.parse::<ExampleShape>().unwrap_err().contains("HxW"), "{text}");
        }
    }
}
