//! Signed powers on the CPU, a row at a time.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::ops::cpu;

/// Below this, handing rows to another thread costs more than it saves.
const ROWS_PER_TASK: usize = 16;

/// Raises the named `rows` (ascending, distinct) of `weights`.
pub(super) fn refresh(powers: &mut [f32], weights: &[f32], columns: usize, exponent: f64, rows: &[u32]) {
    cpu::rows_mut(powers, columns, rows).into_par_iter().zip(rows).with_min_len(ROWS_PER_TASK).for_each(
        |(powers, &row)| raise_row(powers, &weights[row as usize * columns..][..columns], exponent),
    );
}

/// Whole exponents up to 3 are products, which vectorize; `powf` does not. A power that would be subnormal is 0: products
/// with such numbers take many times longer.
#[multiversion(targets = "simd")]
pub(crate) fn raise_row(powers: &mut [f32], weights: &[f32], exponent: f64) {
    let least = f64::from(f32::MIN_POSITIVE).powf(1.0 / exponent) as f32;
    let weights = weights.iter().map(|&w| if w.abs() < least { 0.0 } else { w });
    let pairs = powers.iter_mut().zip(weights);
    if exponent == 1.0 {
        pairs.for_each(|(power, w)| *power = w);
    } else if exponent == 2.0 {
        pairs.for_each(|(power, w)| *power = w * w.abs());
    } else if exponent == 3.0 {
        pairs.for_each(|(power, w)| *power = w * w * w);
    } else {
        let exponent = exponent as f32;
        pairs.for_each(|(power, w)| *power = if w == 0.0 { 0.0 } else { w.abs().powf(exponent).copysign(w) });
    }
}
