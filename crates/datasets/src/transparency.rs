//! What images with transparency show.
//!
//! A drawing on nothing has no background, and a layer needs one. Where every visible pixel has the same gray, the color says
//! nothing and the opacity is the drawing: such an image is a stencil. Any other is composited on the background that makes it
//! seen.

use crate::image_file::luma;

/// The values per pixel of an image of gray or color and opacity, the last of `N` values each, and the pixels that it shows.
///
/// If some pixel is not opaque and all that are visible (of an opacity above 0) have one gray, of equal red, green and blue,
/// these are the opacities: bright strokes on black, whatever the gray. Else these are the colors before white, where what is
/// drawn, weighted by its opacity, is darker than middle gray, and before black where it is brighter.
pub(crate) fn shown<const N: usize>(pixels: &[u8]) -> (usize, Vec<u8>) {
    let pixels: &[[u8; N]] = pixels.as_chunks().0;
    match is_stencil(pixels) {
        true => (1, pixels.iter().map(|pixel| pixel[N - 1]).collect()),
        false => (N - 1, composited(pixels)),
    }
}

fn is_stencil<const N: usize>(pixels: &[[u8; N]]) -> bool {
    let mut visible = pixels.iter().filter(|pixel| pixel[N - 1] > 0).map(|pixel| &pixel[..N - 1]);
    let Some(gray) = visible.next() else { return true };
    gray.iter().all(|value| *value == gray[0])
        && visible.all(|color| color == gray)
        && pixels.iter().any(|pixel| pixel[N - 1] < 255)
}

fn composited<const N: usize>(pixels: &[[u8; N]]) -> Vec<u8> {
    let colors = N - 1;
    let luma = |pixel: &[u8; N]| match pixel[..] {
        [red, green, blue, _] => luma([red, green, blue]),
        _ => pixel[0],
    };
    let (sum, opacity) = pixels.iter().fold((0u64, 0u64), |(sum, opacity), pixel| {
        let alpha = u64::from(pixel[colors]);
        (sum + alpha * u64::from(luma(pixel)), opacity + alpha)
    });
    let background = if 2 * sum < 255 * opacity { 255 } else { 0 };
    let over = |value: u8, alpha: u8| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        ((value * alpha + background * (255 - alpha) + 127) / 255) as u8
    };
    pixels.iter().flat_map(|pixel| (0..colors).map(move |color| over(pixel[color], pixel[colors]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_of_one_gray_on_nothing_is_its_opacity_whatever_the_gray() {
        for gray in [0, 1, 128, 255] {
            assert_eq!(shown::<2>(&[gray, 255, gray, 7, 99, 0]), (1, vec![255, 7, 0]), "{gray}");
            let color = [gray, gray, gray, 255, gray, gray, gray, 7, 1, 2, 3, 0];
            assert_eq!(shown::<4>(&color), (1, vec![255, 7, 0]), "{gray}");
        }
        // Half of it everywhere, and nothing at all.
        assert_eq!(shown::<2>(&[9, 128, 9, 128]), (1, vec![128, 128]));
        assert_eq!(shown::<4>(&[9, 9, 9, 0]), (1, vec![0]));
    }

    #[test]
    fn two_grays_a_color_or_no_transparency_are_no_stencil() {
        assert_eq!(shown::<2>(&[0, 255, 1, 255, 0, 0]), (1, vec![0, 1, 255]));
        assert_eq!(shown::<2>(&[255, 255, 254, 255, 0, 0]), (1, vec![255, 254, 0]));
        assert_eq!(shown::<4>(&[0, 0, 1, 255, 0, 0, 0, 0]), (3, vec![0, 0, 1, 255, 255, 255]));
        assert_eq!(shown::<2>(&[9, 255, 9, 255]), (1, vec![9, 9]));
    }
}
