//! f32 matrices as the tiles of bf16 that the matrix unit multiplies.
//!
//! Each value is the sum of two bf16: the nearest one, and the one nearest to what is left, which together hold 16 of its 24
//! bits. A tile holds 16 rows of 16 pairs of values; the pairs follow one another along the sum of the product.

use std::array;

use multiversion::multiversion;
use rayon::prelude::*;

/// Rows and pairs of a tile.
pub(super) const SIDE: usize = 16;
/// Values along the sum that one tile holds.
pub(super) const DEPTH: usize = 2 * SIDE;
/// Rows or columns that a panel holds: two tiles side by side.
pub(super) const PANEL: usize = 2 * SIDE;

/// 16 rows of 16 pairs of bf16, the first of a pair in the lower half.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Tile(pub [[u32; SIDE]; SIDE]);

const ZERO: Tile = Tile([[0; SIDE]; SIDE]);

/// A panel's share of `DEPTH` places of the sum: the upper parts of its two tiles, then what is left of them.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Slab {
    pub high: [Tile; 2],
    pub low: [Tile; 2],
}

pub(super) const EMPTY: Slab = Slab { high: [ZERO; 2], low: [ZERO; 2] };

/// The nearest bf16 in the upper half of the bits.
#[inline(always)]
fn nearest(value: f32) -> u32 {
    const NAN: u32 = 0x7fc0_0000;
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000;
    if value.is_nan() { NAN } else { rounded }
}

/// The upper parts of values and what is left of them, each in the upper half of the bits.
#[inline(always)]
fn split<const N: usize>(values: &[f32; N]) -> ([u32; N], [u32; N]) {
    let (mut high, mut low) = ([0; N], [0; N]);
    for place in 0..N {
        high[place] = nearest(values[place]);
        low[place] = nearest(values[place] - f32::from_bits(high[place]));
    }
    (high, low)
}

/// One row of a tile, and what is left of it.
type Row = [u32; SIDE];

/// `DEPTH` values that follow one another, as pairs.
#[inline(always)]
fn split_row(values: &[f32; DEPTH]) -> (Row, Row) {
    let (high, low) = split(values);
    let pair = |parts: &[u32; DEPTH]| array::from_fn(|pair| (parts[2 * pair] >> 16) | parts[2 * pair + 1]);
    (pair(&high), pair(&low))
}

/// `split_row` of up to as many values; zeros follow.
#[inline(always)]
fn split_run(values: Option<&[f32]>) -> (Row, Row) {
    split_row(&whole(values))
}

/// The slabs of up to `PANEL` rows of a left factor: `rows` begins with the first of its values, and has `stride` from one row
/// to the next; `count` rows of `depth` values are taken.
#[multiversion(targets = "simd")]
pub(super) fn split_left(slabs: &mut [Slab], rows: &[f32], stride: usize, count: usize, depth: usize) {
    for row in 0..PANEL {
        let (tile, place) = (row / SIDE, row % SIDE);
        let values = if row < count { &rows[row * stride..][..depth] } else { &[] };
        let mut runs = values.chunks(DEPTH);
        for slab in slabs.iter_mut() {
            let (high, low) = split_run(runs.next());
            (slab.high[tile].0[place], slab.low[tile].0[place]) = (high, low);
        }
    }
}

/// A right factor `(depth, columns)`: a slab for each panel of columns and each place along the sum.
#[derive(Default)]
pub(super) struct Right {
    slabs: Vec<Slab>,
    /// Slabs along the sum.
    pub along: usize,
    /// From a panel's slab to the same of the next panel.
    between_panels: usize,
    /// From a slab to the next along the sum.
    pub apart: usize,
}

impl Right {
    /// The slabs of one panel from `first` along the sum on, each so many `apart` from the one before.
    pub fn panel(&self, panel: usize, first: usize) -> &[Slab] {
        &self.slabs[panel * self.between_panels + first * self.apart..]
    }

    fn resize(&mut self, depth: usize, columns: usize) -> usize {
        self.along = depth.div_ceil(DEPTH);
        let panels = columns.div_ceil(PANEL);
        self.slabs.resize(panels * self.along, EMPTY);
        panels
    }

    /// Takes `values (depth, columns)`.
    pub fn fill(&mut self, values: &[f32], depth: usize, columns: usize) {
        let panels = self.resize(depth, columns);
        (self.between_panels, self.apart) = (1, panels);
        let bands = self.slabs.par_chunks_mut(panels).zip(values.par_chunks(DEPTH * columns));
        bands.for_each(|(slabs, rows)| interleave(slabs, rows, columns));
    }

    /// Takes `values (columns, depth)`.
    pub fn fill_transposed(&mut self, values: &[f32], depth: usize, columns: usize) {
        self.resize(depth, columns);
        (self.between_panels, self.apart) = (self.along, 1);
        let panels = self.slabs.par_chunks_mut(self.along).zip(values.par_chunks(PANEL * depth));
        panels.for_each(|(slabs, rows)| transpose(slabs, rows, depth));
    }
}

/// Pairs of up to `DEPTH` `rows` of so many `columns` side by side: a place of a tile holds two values of the same column.
#[multiversion(targets = "simd")]
fn interleave(slabs: &mut [Slab], rows: &[f32], columns: usize) {
    let mut lines = rows.chunks(columns);
    for pair in 0..SIDE {
        let (upper, lower) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let (mut upper, mut lower) = (upper.chunks(PANEL), lower.chunks(PANEL));
        for slab in slabs.iter_mut() {
            let (upper, lower) = (whole(upper.next()), whole(lower.next()));
            let ((upper, upper_rest), (lower, lower_rest)) = (split(&upper), split(&lower));
            let (mut high, mut low) = ([0; PANEL], [0; PANEL]);
            for place in 0..PANEL {
                high[place] = (upper[place] >> 16) | lower[place];
                low[place] = (upper_rest[place] >> 16) | lower_rest[place];
            }
            for tile in 0..2 {
                slab.high[tile].0[pair].copy_from_slice(&high[tile * SIDE..][..SIDE]);
                slab.low[tile].0[pair].copy_from_slice(&low[tile * SIDE..][..SIDE]);
            }
        }
    }
}

/// As many values as a panel is wide, zeros after those that there are.
#[inline(always)]
fn whole(values: Option<&[f32]>) -> [f32; PANEL] {
    let values = values.unwrap_or_default();
    values.as_array().copied().unwrap_or_else(|| {
        let mut padded = [0f32; PANEL];
        padded[..values.len()].copy_from_slice(values);
        padded
    })
}

/// Up to `PANEL` `rows` of `depth` values become columns, pair by pair.
#[multiversion(targets = "simd")]
fn transpose(slabs: &mut [Slab], rows: &[f32], depth: usize) {
    for (slab, first) in slabs.iter_mut().zip((0..).step_by(DEPTH)) {
        let width = DEPTH.min(depth - first);
        let mut lines = rows.chunks(depth).map(|row| &row[first..][..width]);
        for tile in 0..2 {
            let (mut high, mut low) = (ZERO, ZERO);
            for place in 0..SIDE {
                (high.0[place], low.0[place]) = split_run(lines.next());
            }
            transpose_tile(&mut slab.high[tile], &high);
            transpose_tile(&mut slab.low[tile], &low);
        }
    }
}

#[inline(always)]
fn transpose_tile(to: &mut Tile, from: &Tile) {
    for row in 0..SIDE {
        for column in 0..SIDE {
            to.0[row][column] = from.0[column][row];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_two_parts_hold_sixteen_bits_of_a_value(value in -1e30f32..1e30) {
            let (high, low) = split(&[value]);
            let sum = f64::from(f32::from_bits(high[0])) + f64::from(f32::from_bits(low[0]));
            prop_assert!((sum - f64::from(value)).abs() <= f64::from(value.abs()) * 2f64.powi(-17));
        }
    }

    #[test]
    fn no_value_that_is_not_a_number_becomes_one() {
        for bits in [0x7fff_ffff, 0x7fc0_0000, 0xffff_ffff, 0x7f80_0001] {
            assert!(f32::from_bits(nearest(f32::from_bits(bits))).is_nan());
        }
        assert!(f32::from_bits(split(&[f32::INFINITY]).1[0]).is_nan());
    }
}
