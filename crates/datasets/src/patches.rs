//! Gray images, and the patches that are cut out of them.

use candle_core::{DType, Device, Tensor};
use hebbian_training::fits;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::{Error, ImageShape, Result};

/// Gray images f32 `(images, height * width)` of `images (images, inputs)` of the form `shape`, u8 or f32: the length of each
/// pixel's color vector, divided by the largest of its image, as the notebook "Exploring Sparse Coding" (2020) has it. A
/// black image stays black.
///
/// # Errors
/// If the images are not of that form, or the form has no pixels.
pub fn gray(images: &Tensor, shape: ImageShape) -> Result<Tensor> {
    let (count, inputs) = images.dims2()?;
    check_inputs(inputs, shape.inputs())?;
    let values_of_all = images.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    let length = |pixel: &[f32]| pixel.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    let mut values = Vec::with_capacity(count * shape.height * shape.width);
    for image in values_of_all.chunks_exact(shape.inputs()) {
        let pixels = || image.chunks_exact(shape.channels).map(length);
        let largest = pixels().fold(0.0, f64::max);
        let divisor = if largest > 0.0 { largest } else { 1.0 };
        values.extend(pixels().map(|pixel| (pixel / divisor) as f32));
    }
    Ok(Tensor::from_vec(values, (count, shape.height * shape.width), &Device::Cpu)?)
}

/// The middle `size` by `size` pixels of each gray image `(images, height * width)`, divided by the largest value of all of
/// them.
///
/// # Errors
/// If the images are not of that form or smaller than a patch.
pub fn center_patches(images: &Tensor, image: (usize, usize), size: usize) -> Result<Tensor> {
    let (height, width) = image;
    check_patch(images, image, size)?;
    let (top, left) = (height / 2 - size / 2, width / 2 - size / 2);
    let patches = images.reshape((images.dim(0)?, height, width))?;
    let patches = patches.narrow(1, top, size)?.narrow(2, left, size)?.flatten_from(1)?;
    let largest = patches.max_all()?.to_scalar::<f32>()?;
    Ok((patches / f64::from(if largest > 0.0 { largest } else { 1.0 }))?)
}

/// `count` patches of `size` by `size` pixels, each from a random place of a random image `(images, height * width)`. The
/// seed decides the draws.
///
/// # Errors
/// If the images are not of that form or smaller than a patch, or the patches are more than memory holds.
pub fn random_patches(
    images: &Tensor,
    image: (usize, usize),
    size: usize,
    count: usize,
    seed: u64,
) -> Result<Tensor> {
    let (height, width) = image;
    check_patch(images, image, size)?;
    fits(&[count, size * size], size_of::<f32>()).map_err(candle_core::Error::from)?;
    let pixels = images.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut below = |limit: usize| ((u128::from(generator.next_u64()) * limit as u128) >> 64) as usize;
    let mut patches = Vec::with_capacity(count * size * size);
    for _ in 0..count {
        let place = below(images.dim(0)?) * height * width;
        let corner = place + below(height - size + 1) * width + below(width - size + 1);
        for row in 0..size {
            patches.extend_from_slice(&pixels[corner + row * width..][..size]);
        }
    }
    Ok(Tensor::from_vec(patches, (count, size * size), &Device::Cpu)?)
}

fn check_patch(images: &Tensor, (height, width): (usize, usize), size: usize) -> Result<()> {
    check_inputs(images.dims2()?.1, height * width)?;
    let most = height.min(width);
    match (1..=most).contains(&size) && images.dim(0)? > 0 {
        true => Ok(()),
        false => Err(Error::setting("patch size", size, format!("1 to {most}, of at least one image"))),
    }
}

pub(crate) fn check_inputs(found: usize, expected: usize) -> Result<()> {
    match found == expected && expected > 0 {
        true => Ok(()),
        false => Err(Error::Examples {
            found: format!("images of {found} values"),
            expected: format!("{} values per image", expected.max(1)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { height: 2, width: 2, channels: 3 };

    #[test]
    fn gray_is_the_length_of_the_color_over_the_largest_of_the_image() {
        let colored = vec![3u8, 4, 0, 0, 0, 10, 0, 0, 0, 2, 3, 6];
        let images = Tensor::from_vec([colored, vec![0; 12]].concat(), (2, 12), &Device::Cpu).unwrap();
        let gray = gray(&images, SHAPE).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(gray, [[0.5, 1.0, 0.0, 0.7], [0.0; 4]]);
    }

    #[test]
    fn images_without_pixels_are_refused() {
        let nothing = Tensor::zeros((2, 0), DType::U8, &Device::Cpu).unwrap();
        let refused = gray(&nothing, ImageShape { channels: 0, ..SHAPE }).unwrap_err().to_string();
        assert!(refused.contains("found images of 0 values, expected 1 values per image"), "{refused}");
    }

    #[test]
    fn the_middle_of_an_even_image_begins_half_a_patch_before_its_middle() {
        let images = Tensor::arange(0f32, 36.0, &Device::Cpu).unwrap().reshape((1, 36)).unwrap();
        let patches = (center_patches(&images, (6, 6), 2).unwrap() * 21.0).unwrap();
        let patches = patches.round().unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(patches, [[14.0, 15.0, 20.0, 21.0]]);
    }

    #[test]
    fn random_patches_are_pieces_of_the_images_and_reach_every_corner() {
        let images = Tensor::arange(0f32, 24.0, &Device::Cpu).unwrap().reshape((2, 12)).unwrap();
        let patches = random_patches(&images, (3, 4), 2, 500, 3).unwrap().to_vec2::<f32>().unwrap();
        for patch in &patches {
            let first = patch[0];
            assert_eq!(*patch, [first, first + 1.0, first + 4.0, first + 5.0]);
            assert!(first % 4.0 < 3.0 && first % 12.0 < 8.0, "{first}");
        }
        for corner in [0.0, 2.0, 6.0, 12.0, 18.0] {
            assert!(patches.iter().any(|patch| patch[0] == corner), "{corner}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let images = Tensor::zeros((2, 12), DType::F32, &Device::Cpu).unwrap();
        let message = |error: Error| error.to_string();
        let too_large = "patch size is 4, allowed: 1 to 3, of at least one image";
        assert_eq!(message(center_patches(&images, (3, 4), 4).unwrap_err()), too_large);
        assert_eq!(message(random_patches(&images, (3, 4), 4, 1, 0).unwrap_err()), too_large);
        let bytes = images.to_dtype(DType::U8).unwrap();
        assert!(gray(&bytes, SHAPE).is_ok());
        let other = ImageShape { height: 3, ..SHAPE };
        let expected = "examples: found images of 12 values, expected 18 values per image";
        assert_eq!(message(gray(&bytes, other).unwrap_err()), expected);
    }
}
