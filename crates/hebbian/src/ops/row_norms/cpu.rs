//! Norms of rows on the CPU.

use multiversion::multiversion;
use rayon::prelude::*;

use super::RowNorm;
use crate::ops::cpu;

/// Below this, handing rows to another thread costs more than it saves.
const ROWS_PER_TASK: usize = 32;

/// Computes the norms of the named `rows` (ascending, distinct) of `weights`.
pub(super) fn refresh(norms: &mut [f32], weights: &[f32], columns: usize, norm: RowNorm, rows: &[u32]) {
    let entries = cpu::rows_mut(norms, 1, rows).into_par_iter().zip(rows);
    entries.with_min_len(ROWS_PER_TASK).for_each(|(entry, &row)| {
        entry[0] = norm_of_row(&weights[row as usize * columns..][..columns], norm);
    });
}

#[multiversion(targets = "simd")]
pub(crate) fn norm_of_row(row: &[f32], norm: RowNorm) -> f32 {
    match norm {
        RowNorm::Euclidean => cpu::sum_of(row, |value| value * value).sqrt(),
        RowNorm::Maximum => row.iter().fold(0f32, |most, value| most.max(value.abs())),
    }
}
