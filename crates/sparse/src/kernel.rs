//! The loop that all sparse products share: what is on in a batch, times 128 columns of weights.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::rows::{SparseRows, TILE};

/// Columns side by side in a panel: eight vectors of 512 bits, as many sums as it takes to hide the time of an addition.
pub(crate) const WIDTH: usize = 128;
/// Vectors that are summed at a time.
const SUMS: usize = 8;

/// The weights of one input to all columns of a panel, or a sum for each of them; no vector of it lies across two lines of
/// the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Lanes(pub(crate) [f32; WIDTH]);

/// An output `(batch, columns)` by panels: for each of them its columns of every row.
pub(crate) fn stripes(output: &mut [f32], columns: usize) -> Vec<Vec<&mut [f32]>> {
    let samples = output.len() / columns.max(1);
    let mut stripes: Vec<Vec<&mut [f32]>> =
        (0..columns.div_ceil(WIDTH)).map(|_| Vec::with_capacity(samples)).collect();
    for row in output.chunks_exact_mut(columns.max(1)) {
        stripes.iter_mut().zip(row.chunks_mut(WIDTH)).for_each(|(stripes, stripe)| stripes.push(stripe));
    }
    stripes
}

/// The weights of a panel, a tile of inputs at a time.
pub(crate) trait Panel {
    /// Those of `inputs`, each to all columns of the panel.
    fn tile(&mut self, inputs: Range<usize>) -> &[Lanes];
}

impl Panel for &[Lanes] {
    fn tile(&mut self, inputs: Range<usize>) -> &[Lanes] {
        &self[inputs]
    }
}

/// Adds the product of a panel to its `stripes`, one per sample, none wider than a panel. Each sum runs over the inputs in
/// their order.
pub(crate) fn multiply(panel: impl Panel, rows: &SparseRows, mut stripes: Vec<&mut [f32]>) {
    if stripes.first().is_none_or(|stripe| stripe.len() == WIDTH) {
        return Arch::new().dispatch(Multiply { panel, rows, sums: &mut stripes });
    }
    let mut sums = vec![Lanes([0.0; WIDTH]); stripes.len()];
    let mut whole: Vec<&mut [f32]> = sums.iter_mut().map(|sums| &mut sums.0[..]).collect();
    Arch::new().dispatch(Multiply { panel, rows, sums: &mut whole });
    for (stripe, sums) in stripes.into_iter().zip(sums) {
        let sums = &sums.0[..stripe.len()];
        stripe.iter_mut().zip(sums).for_each(|(output, sum)| *output += sum);
    }
}

struct Multiply<'a, 'b, P> {
    panel: P,
    rows: &'a SparseRows,
    sums: &'a mut [&'b mut [f32]],
}

impl<P: Panel> WithSimd for Multiply<'_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut panel, rows, sums } = self;
        for tile in 0..rows.tiles() {
            let first = tile * TILE;
            let weights = panel.tile(first..(first + TILE).min(rows.dims().1));
            for (sample, sums) in sums.iter_mut().enumerate() {
                let (sums, _) = S::as_mut_simd_f32s(sums);
                let (sums, _) = sums.as_chunks_mut::<SUMS>();
                for (part, sums) in sums.iter_mut().enumerate() {
                    let mut partial = *sums;
                    for entry in rows.tile(sample, tile) {
                        let (weights, _) = S::as_simd_f32s(&weights[entry.input as usize - first].0);
                        let value = simd.splat_f32s(entry.value);
                        let weights = &weights[part * SUMS..][..SUMS];
                        partial.iter_mut().zip(weights).for_each(|(sum, &weight)| {
                            *sum = simd.mul_add_e_f32s(value, weight, *sum);
                        });
                    }
                    *sums = partial;
                }
            }
        }
    }
}
