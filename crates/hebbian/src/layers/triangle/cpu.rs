//! The triangle on the CPU: an image at a time.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};
use multiversion::multiversion;
use rayon::prelude::*;

use crate::layers::raise::raise;
use crate::ops::cpu::values;

/// The triangle of `(batch, channels, height, width)`.
pub(super) struct Raised {
    pub power: f64,
}

impl CustomOp1 for Raised {
    fn name(&self) -> &'static str {
        "triangle"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, channels, height, width) = layout.shape().dims4()?;
        let (images, positions) = (values(storage, layout)?, height * width);
        let mut raised = vec![0f32; images.len()];
        let all = raised.par_chunks_mut(channels * positions).zip(images.par_chunks(channels * positions));
        all.for_each_init(Vec::new, |mean, (raised, image)| {
            mean.clear();
            mean.resize(positions, 0f32);
            mean_of_planes(mean, image, channels);
            for (raised, plane) in raised.chunks_mut(positions).zip(image.chunks(positions)) {
                above_mean(raised, plane, mean);
                raise(raised, self.power);
            }
        });
        Ok((CpuStorage::F32(raised), layout.shape().clone()))
    }
}

#[multiversion(targets = "simd")]
fn mean_of_planes(mean: &mut [f32], image: &[f32], channels: usize) {
    for plane in image.chunks(mean.len()) {
        mean.iter_mut().zip(plane).for_each(|(sum, value)| *sum += value);
    }
    let share = 1.0 / channels as f32;
    mean.iter_mut().for_each(|sum| *sum *= share);
}

#[multiversion(targets = "simd")]
fn above_mean(above: &mut [f32], plane: &[f32], mean: &[f32]) {
    for ((above, &value), &mean) in above.iter_mut().zip(plane).zip(mean) {
        // What is not a number stays so.
        *above = if value - mean < 0.0 { 0.0 } else { value - mean };
    }
}
