//! What a place of a layer sees of the image, through all windows between the two.

use std::ops::Range;

/// A square window that a layer moves over what is below it.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub kernel: usize,
    pub stride: usize,
    /// Pixels beyond each edge.
    pub padding: usize,
}

/// Where the receptive field of the place `place` lies along one side of the image, below the `windows`, the lowest first. It may
/// reach beyond both edges.
pub fn receptive_field(windows: &[Window], place: usize) -> Range<isize> {
    let place = place as isize;
    windows.iter().rev().fold(place..place + 1, |field, window| {
        let [kernel, stride, padding] = [window.kernel, window.stride, window.padding].map(|n| n as isize);
        let first = field.start * stride - padding;
        let last = (field.end - 1) * stride - padding;
        first..last + kernel
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Window = Window { kernel: 5, stride: 1, padding: 2 };
    const POOL: Window = Window { kernel: 4, stride: 2, padding: 1 };
    const SECOND: Window = Window { kernel: 3, stride: 1, padding: 1 };

    #[test]
    fn without_a_window_a_place_sees_itself() {
        assert_eq!(receptive_field(&[], 3), 3..4);
    }

    #[test]
    fn a_filter_is_centered_on_its_place() {
        assert_eq!(receptive_field(&[FIRST], 0), -2..3);
        assert_eq!(receptive_field(&[FIRST], 10), 8..13);
    }

    #[test]
    fn a_pool_takes_steps() {
        assert_eq!(receptive_field(&[POOL], 0), -1..3);
        assert_eq!(receptive_field(&[POOL], 5), 9..13);
        assert_eq!(receptive_field(&[FIRST, POOL], 5), 7..15);
    }

    #[test]
    fn fields_grow_with_depth() {
        let second = [FIRST, POOL, SECOND];
        assert_eq!(receptive_field(&second, 0), -5..7);
        assert_eq!(receptive_field(&second, 7), 9..21);
        let third = [FIRST, POOL, SECOND, POOL, SECOND];
        assert_eq!(receptive_field(&third, 0), -11..15);
        assert_eq!(receptive_field(&third, 4), 5..31);
    }

    /// The places of the image that any path through the windows leads to.
    fn reached(windows: &[Window], place: isize) -> Vec<isize> {
        let mut places = vec![place];
        for window in windows.iter().rev() {
            let seen = |&place: &isize| {
                (0..window.kernel)
                    .map(move |at| place * window.stride as isize + at as isize - window.padding as isize)
            };
            places = places.iter().flat_map(seen).collect();
            places.sort();
            places.dedup();
        }
        places
    }

    #[test]
    fn a_field_is_every_place_that_a_path_through_the_windows_leads_to() {
        let even = Window { kernel: 2, stride: 2, padding: 0 };
        for windows in [&[FIRST, POOL, SECOND][..], &[POOL, POOL, FIRST], &[even, SECOND, even]] {
            for place in 0..6 {
                let field: Vec<isize> = receptive_field(windows, place as usize).collect();
                assert_eq!(field, reached(windows, place), "{windows:?}");
            }
        }
    }
}
