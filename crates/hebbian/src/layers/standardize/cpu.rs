//! Mean and variance of channels, and what they make of images, on the CPU: a plane at a time.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};
use multiversion::multiversion;
use rayon::prelude::*;

use crate::ops::cpu::values;
use crate::ops::sum_of;

/// Mean and variance of each channel of `images (batch, channels, height, width)`, `(2, channels)`; the variance is the biased
/// one.
pub(super) struct Moments;

/// Planes that are handed to another thread at once.
const PLANES_PER_TASK: usize = 8;

impl CustomOp1 for Moments {
    fn name(&self) -> &'static str {
        "moments"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, height, width) = layout.shape().dims4()?;
        let (images, positions) = (values(storage, layout)?, height * width);
        let moments = (0..channels).into_par_iter().map(|channel| {
            let planes =
                (0..batch).map(|image| &images[(image * channels + channel) * positions..][..positions]);
            let count = (batch * positions) as f64;
            let mean = planes.clone().map(|plane| f64::from(sum(plane))).sum::<f64>() / count;
            let squares = planes.map(|plane| f64::from(sum_of_squares(plane, mean as f32))).sum::<f64>();
            (mean as f32, (squares / count) as f32)
        });
        let (mut mean, variance): (Vec<f32>, Vec<f32>) = moments.unzip();
        mean.extend(variance);
        Ok((CpuStorage::F32(mean), (2, channels).into()))
    }
}

#[multiversion(targets = "simd")]
fn sum(plane: &[f32]) -> f32 {
    sum_of(plane, |value| value)
}

#[multiversion(targets = "simd")]
fn sum_of_squares(plane: &[f32], mean: f32) -> f32 {
    sum_of(plane, |value| (value - mean) * (value - mean))
}

/// `(x - mean) scale` of each value of `(batch, channels, height, width)`, with the mean and the scale of its channel.
pub(super) struct Scaled {
    pub mean: Vec<f32>,
    pub scale: Vec<f32>,
}

impl CustomOp1 for Scaled {
    fn name(&self) -> &'static str {
        "standardize"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, channels, height, width) = layout.shape().dims4()?;
        let mut scaled = values(storage, layout)?.to_vec();
        let planes = scaled.par_chunks_mut(height * width).enumerate().with_min_len(PLANES_PER_TASK);
        planes.for_each(|(place, plane)| {
            let channel = place % channels;
            scale_plane(plane, self.mean[channel], self.scale[channel]);
        });
        Ok((CpuStorage::F32(scaled), layout.shape().clone()))
    }
}

#[multiversion(targets = "simd")]
fn scale_plane(plane: &mut [f32], mean: f32, scale: f32) {
    plane.iter_mut().for_each(|value| *value = (*value - mean) * scale);
}
