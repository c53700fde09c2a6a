//! Pooling on the CPU: a plane at a time, without what lies beyond its edges.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};
use multiversion::multiversion;
use rayon::prelude::*;

use super::{Pool, PoolingConfig};
use crate::layers::images::ImageSize;
use crate::ops::cpu::values;

/// Pools `(batch, channels, height, width)`.
pub(super) struct Pooled<'a> {
    pub config: &'a PoolingConfig,
    pub output: ImageSize,
}

/// Planes that are handed to another thread at once.
const PLANES_PER_TASK: usize = 8;

impl CustomOp1 for Pooled<'_> {
    fn name(&self) -> &'static str {
        "pooling"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, _, _) = layout.shape().dims4()?;
        let (images, ImageSize { height, width, .. }) = (values(storage, layout)?, self.output);
        let mut pooled = vec![0f32; batch * channels * height * width];
        let planes =
            pooled.par_chunks_mut(height * width).zip(images.par_chunks(self.config.input.positions()));
        planes.with_min_len(PLANES_PER_TASK).for_each(|(pooled, plane)| match self.config.kind {
            Pool::Max => max_plane(pooled, plane, self.config, width),
            Pool::Average => average_plane(pooled, plane, self.config, width),
        });
        Ok((CpuStorage::F32(pooled), (batch, channels, height, width).into()))
    }
}

#[multiversion(targets = "simd")]
fn max_plane(pooled: &mut [f32], plane: &[f32], config: &PoolingConfig, width: usize) {
    fold_plane(
        pooled,
        plane,
        config,
        width,
        f32::NEG_INFINITY,
        |most, value| if value > most { value } else { most },
    );
}

#[multiversion(targets = "simd")]
fn average_plane(pooled: &mut [f32], plane: &[f32], config: &PoolingConfig, width: usize) {
    fold_plane(pooled, plane, config, width, 0.0, |sum, value| sum + value);
    let share = 1.0 / (config.kernel * config.kernel) as f32;
    pooled.iter_mut().for_each(|sum| *sum *= share);
}

/// Folds the places of each neighborhood that lie in the plane: its rows into one, and that row.
#[inline(always)]
fn fold_plane(
    pooled: &mut [f32],
    plane: &[f32],
    config: &PoolingConfig,
    width: usize,
    first: f32,
    fold: impl Fn(f32, f32) -> f32,
) {
    let PoolingConfig { input, kernel, stride, padding, .. } = *config;
    let inside = |at: usize, side: usize| {
        let start = (at * stride).saturating_sub(padding).min(side);
        (start, (at * stride + kernel).saturating_sub(padding).min(side))
    };
    let mut columns = vec![first; input.width];
    for (row, pooled) in pooled.chunks_mut(width).enumerate() {
        let (top, bottom) = inside(row, input.height);
        columns.fill(first);
        for line in plane[top * input.width..bottom * input.width].chunks(input.width) {
            columns.iter_mut().zip(line).for_each(|(value, &other)| *value = fold(*value, other));
        }
        for (column, pooled) in pooled.iter_mut().enumerate() {
            let (left, right) = inside(column, input.width);
            *pooled = columns[left..right].iter().fold(first, |value, &other| fold(value, other));
        }
    }
}
