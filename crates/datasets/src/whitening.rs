//! Taking out of images what neighboring pixels have in common, so that what is left is worth learning.

use std::f64::consts::TAU;

use candle_core::{DType, Device, Tensor};

use crate::patches::check_inputs;
use crate::{Error, Result};

/// Zero-phase component analysis: the linear map that leaves the inputs it was fitted to with uncorrelated values of equal
/// variance, and changes them as little as possible: `(x - mean) V (λ + ε)^(-1/2) Vᵀ`.
#[derive(Clone, Debug)]
pub struct Zca {
    mean: Tensor,
    map: Tensor,
}

impl Zca {
    /// Fits the map to f32 `inputs (examples, inputs)`. `floor` is ε as a share of the largest variance λ: directions with
    /// less of it are left weak, since most of what they hold is noise.
    ///
    /// # Errors
    /// If there are no examples, or the floor is not a number above 0.
    pub fn fit(inputs: &Tensor, floor: f64) -> Result<Self> {
        let (count, size) = inputs.dims2()?;
        if count == 0 || size == 0 {
            return Err(Error::setting("examples", count, "at least 1, of at least one value"));
        }
        if !(floor.is_finite() && floor > 0.0) {
            return Err(Error::setting("floor", floor, "a number above 0"));
        }
        let inputs = inputs.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
        let mean = inputs.mean_keepdim(0)?;
        let centered = inputs.broadcast_sub(&mean)?;
        let covariance = (centered.t()?.matmul(&centered)? / count as f64)?;
        let (values, vectors) = eigen(covariance.to_vec2()?);
        // Inputs that do not vary at all stay as small as they are.
        let largest = values.iter().copied().fold(1e-20, f64::max);
        let gains: Vec<f64> =
            values.iter().map(|value| (value.max(0.0) + floor * largest).powf(-0.5)).collect();
        let vectors = Tensor::new(vectors, &Device::Cpu)?;
        let map = vectors.broadcast_mul(&Tensor::new(gains, &Device::Cpu)?)?.matmul(&vectors.t()?)?;
        Ok(Self { mean: mean.to_dtype(DType::F32)?, map: map.to_dtype(DType::F32)? })
    }

    /// Whitens f32 `inputs (examples, inputs)` on the CPU.
    ///
    /// # Errors
    /// If they are of another size than those that the map was fitted to.
    pub fn apply(&self, inputs: &Tensor) -> Result<Tensor> {
        check_inputs(inputs.dims2()?.1, self.mean.dim(1)?)?;
        Ok(inputs.broadcast_sub(&self.mean)?.matmul(&self.map)?)
    }
}

/// Eigenvalues, and eigenvectors as columns, of a symmetric matrix, by Jacobi's rotations: slow for large matrices, but
/// short and as exact as f64.
fn eigen(mut matrix: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    const SWEEPS: usize = 60;
    let size = matrix.len();
    let mut vectors: Vec<Vec<f64>> =
        (0..size).map(|row| (0..size).map(|column| f64::from(u8::from(row == column))).collect()).collect();
    for _ in 0..SWEEPS {
        let total: f64 = matrix.iter().flatten().map(|value| value * value).sum();
        let diagonal: f64 = (0..size).map(|at| matrix[at][at] * matrix[at][at]).sum();
        if total - diagonal <= 1e-24 * total {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut matrix, &mut vectors, p, q);
            }
        }
    }
    ((0..size).map(|at| matrix[at][at]).collect(), vectors)
}

/// Turns the plane of p and q so that their entry becomes 0.
fn rotate(matrix: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    if matrix[p][q] == 0.0 {
        return;
    }
    let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    let turn = |a: f64, b: f64| (cosine * a - sine * b, sine * a + cosine * b);
    for row in matrix.iter_mut().chain(vectors) {
        (row[p], row[q]) = turn(row[p], row[q]);
    }
    let (above, below) = matrix.split_at_mut(q);
    for (a, b) in above[p].iter_mut().zip(&mut below[0]) {
        (*a, *b) = turn(*a, *b);
    }
}

/// Filters f32 gray `images (images, height * width)` by `f exp(-(f / cutoff)⁴)` of each spatial frequency f, in cycles an
/// image: natural images have amplitudes that fall as 1/f, which this makes equal up to the cutoff. The filter is that of
/// Olshausen and Field (1997), whose cutoff is 0.4 of the image's side; images are taken to continue periodically.
///
/// # Errors
/// If the images are not of that form, or the cutoff is not a number above 0.
pub fn one_over_f(images: &Tensor, (height, width): (usize, usize), cutoff: f64) -> Result<Tensor> {
    check_inputs(images.dims2()?.1, height * width)?;
    if !(cutoff.is_finite() && cutoff > 0.0) {
        return Err(Error::setting("cutoff", cutoff, "a number above 0"));
    }
    let response = response((height, width), cutoff);
    let place = |at: usize| (at / width, at % width);
    let mut map = Vec::with_capacity(response.len().pow(2));
    for (y, x) in (0..height * width).map(place) {
        for (to_y, to_x) in (0..height * width).map(place) {
            let (dy, dx) = ((to_y + height - y) % height, (to_x + width - x) % width);
            map.push(response[dy * width + dx]);
        }
    }
    let map = Tensor::from_vec(map, (height * width, height * width), &Device::Cpu)?;
    Ok(images.matmul(&map)?)
}

/// What the filter makes of a single bright pixel, `(height * width)`.
fn response((height, width): (usize, usize), cutoff: f64) -> Vec<f32> {
    let cycles = |at: usize, size: usize| at.min(size - at) as f64;
    let gain = |v: usize, u: usize| {
        let frequency = cycles(v, height).hypot(cycles(u, width));
        frequency * (-(frequency / cutoff).powi(4)).exp()
    };
    let at = |y: usize, x: usize| {
        let waves = (0..height).flat_map(|v| (0..width).map(move |u| (v, u)));
        let sum: f64 = waves
            .map(|(v, u)| {
                let turns = (v * y % height) as f64 / height as f64 + (u * x % width) as f64 / width as f64;
                gain(v, u) * (TAU * turns).cos()
            })
            .sum();
        (sum / (height * width) as f64) as f32
    };
    (0..height).flat_map(|y| (0..width).map(move |x| at(y, x))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Smooth rows: each value is close to the one before.
    fn smooth(count: usize, size: usize) -> Tensor {
        let mut draw = 1u64;
        let mut next = move || {
            draw = draw.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (draw >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let mut values = Vec::new();
        for _ in 0..count {
            let mut value = 3.0;
            values.extend((0..size).map(|_| {
                value += next();
                value
            }));
        }
        Tensor::from_vec(values, (count, size), &Device::Cpu).unwrap()
    }

    #[test]
    fn whitened_inputs_are_uncorrelated_with_equal_variance_and_mean_zero() {
        let inputs = smooth(5000, 12);
        let white = Zca::fit(&inputs, 1e-9).unwrap().apply(&inputs).unwrap();
        let covariance =
            (white.t().unwrap().matmul(&white).unwrap() / 5000.0).unwrap().to_vec2::<f32>().unwrap();
        for (row, values) in covariance.iter().enumerate() {
            for (column, &value) in values.iter().enumerate() {
                let expected = if row == column { 1.0 } else { 0.0 };
                assert!((value - expected).abs() < 1e-2, "({row}, {column}): {value}");
            }
        }
        assert!(white.mean(0).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-3);
    }

    #[test]
    fn a_direction_without_variance_stays_finite() {
        let inputs = Tensor::new(&[[1f32, 1.0], [2.0, 2.0], [4.0, 4.0]], &Device::Cpu).unwrap();
        let white = Zca::fit(&inputs, 0.01).unwrap().apply(&inputs).unwrap().to_vec2::<f32>().unwrap();
        assert!(white.concat().iter().all(|value| value.is_finite()));
        let blank = Tensor::zeros((3, 2), DType::F32, &Device::Cpu).unwrap();
        let white = Zca::fit(&blank, 0.01).unwrap().apply(&blank).unwrap().to_vec2::<f32>().unwrap();
        assert!(white.concat().iter().all(|value| value.is_finite()));
    }

    #[test]
    fn a_wave_comes_out_as_strong_as_its_frequency() {
        let (height, width) = (6, 8);
        for (v, u) in [(0, 0), (1, 0), (0, 2), (2, 3)] {
            let turns = |at: usize| {
                (v * (at / width)) as f64 / height as f64 + (u * (at % width)) as f64 / width as f64
            };
            let wave: Vec<f32> = (0..height * width).map(|at| (TAU * turns(at)).cos() as f32).collect();
            let wave = Tensor::from_vec(wave, (1, height * width), &Device::Cpu).unwrap();
            let frequency = (v as f64).hypot(u as f64);
            let expected = (&wave * (frequency * (-(frequency / 3.0).powi(4)).exp())).unwrap();
            let filtered = one_over_f(&wave, (height, width), 3.0).unwrap();
            let difference = (filtered - expected).unwrap().abs().unwrap().max_all().unwrap();
            assert!(difference.to_scalar::<f32>().unwrap() < 1e-5, "{v}, {u}");
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        let inputs = smooth(3, 4);
        let message = Zca::fit(&inputs, 0.0).unwrap_err().to_string();
        assert_eq!(message, "floor is 0, allowed: a number above 0");
        let message = one_over_f(&inputs, (2, 2), f64::NAN).unwrap_err().to_string();
        assert_eq!(message, "cutoff is NaN, allowed: a number above 0");
        assert!(one_over_f(&inputs, (3, 2), 1.0).is_err());
        assert!(Zca::fit(&inputs, 0.1).unwrap().apply(&smooth(3, 5)).is_err());
    }
}
