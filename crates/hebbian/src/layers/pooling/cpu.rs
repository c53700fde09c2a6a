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

/// Rows are made so long that loops over them are of whole vectors.
const LANES: usize = 16;
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
        let config = self.config;
        let line = (2 * config.padding + config.input.width).next_multiple_of(LANES);
        planes.with_min_len(PLANES_PER_TASK).for_each_init(
            || vec![0f32; 2 * line + config.kernel],
            |lines, (pooled, plane)| match config.kind {
                Pool::Max => max_plane(pooled, plane, config, width, lines),
                Pool::Average => average_plane(pooled, plane, config, width, lines),
            },
        );
        Ok((CpuStorage::F32(pooled), (batch, channels, height, width).into()))
    }
}

#[multiversion(targets = "simd")]
fn max_plane(pooled: &mut [f32], plane: &[f32], config: &PoolingConfig, width: usize, lines: &mut [f32]) {
    let larger = |most: f32, value: f32| if value > most { value } else { most };
    fold_plane(pooled, plane, config, width, lines, f32::NEG_INFINITY, larger);
}

#[multiversion(targets = "simd")]
fn average_plane(pooled: &mut [f32], plane: &[f32], config: &PoolingConfig, width: usize, lines: &mut [f32]) {
    fold_plane(pooled, plane, config, width, lines, 0.0, |sum, value| sum + value);
    let share = 1.0 / (config.kernel * config.kernel) as f32;
    pooled.iter_mut().for_each(|sum| *sum *= share);
}

/// Folds the rows of each neighborhood that lie in the plane into one, that one at each of its columns, and takes those that
/// the stride leads to. `lines` are room for two rows with their padding, and a neighborhood's width beyond.
#[inline(always)]
fn fold_plane(
    pooled: &mut [f32],
    plane: &[f32],
    config: &PoolingConfig,
    width: usize,
    lines: &mut [f32],
    first: f32,
    fold: impl Fn(f32, f32) -> f32,
) {
    let PoolingConfig { input, kernel, stride, padding, .. } = *config;
    let (folded, column) = lines.split_at_mut((lines.len() - kernel) / 2);
    for (row, pooled) in pooled.chunks_mut(width).enumerate() {
        let top = (row * stride).saturating_sub(padding).min(input.height);
        let bottom = (row * stride + kernel).saturating_sub(padding).min(input.height);
        column.fill(first);
        let inside = &mut column[padding..][..input.width];
        for line in plane[top * input.width..bottom * input.width].chunks(input.width) {
            inside.iter_mut().zip(line).for_each(|(value, &other)| *value = fold(*value, other));
        }
        folded.copy_from_slice(&column[..folded.len()]);
        for from in 1..kernel {
            folded.iter_mut().zip(&column[from..]).for_each(|(value, &other)| *value = fold(*value, other));
        }
        match stride {
            // A known distance vectorizes.
            2 => {
                pooled.iter_mut().zip(folded.as_chunks::<2>().0).for_each(|(pooled, pair)| *pooled = pair[0])
            }
            _ => pooled
                .iter_mut()
                .zip(folded.iter().step_by(stride))
                .for_each(|(pooled, &value)| *pooled = value),
        }
    }
}
