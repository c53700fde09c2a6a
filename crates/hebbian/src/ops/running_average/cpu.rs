//! A running average on the CPU.

use multiversion::multiversion;

/// Replaces each row of `values` by the average after it.
pub(super) fn running_average(values: &mut [f32], average: &mut [f32], rate: f32) {
    for row in values.chunks_exact_mut(average.len()) {
        follow(average, row, rate);
    }
}

#[multiversion(targets = "simd")]
fn follow(average: &mut [f32], row: &mut [f32], rate: f32) {
    for (value, average) in row.iter_mut().zip(average) {
        *average += rate * (*value - *average);
        *value = *average;
    }
}
