//! f32 matrices as the tiles of bf16 that the matrix unit multiplies.
//!
//! Each value has one or two parts: the nearest bf16, and the one nearest to what is left, which together hold 16 of its 24
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

/// A panel's share of `DEPTH` places of the sum: for each part its two tiles.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Slab<const PARTS: usize>(pub [[Tile; 2]; PARTS]);

impl<const PARTS: usize> Slab<PARTS> {
    pub const EMPTY: Self = Self([[ZERO; 2]; PARTS]);
}

/// The nearest bf16 in the upper half of the bits.
#[inline(always)]
fn nearest(value: f32) -> u32 {
    const NAN: u32 = 0x7fc0_0000;
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000;
    if value.is_nan() { NAN } else { rounded }
}

/// The parts of values, the larger first, each in the upper half of the bits.
#[inline(always)]
fn split<const N: usize, const PARTS: usize>(values: &[f32; N]) -> [[u32; N]; PARTS] {
    let mut rest = *values;
    let mut parts = [[0; N]; PARTS];
    for part in &mut parts {
        for place in 0..N {
            part[place] = nearest(rest[place]);
            rest[place] -= f32::from_bits(part[place]);
        }
    }
    parts
}

/// One row of a tile.
type Row = [u32; SIDE];

/// The parts of `DEPTH` values that follow one another, as pairs.
#[inline(always)]
fn split_row<const PARTS: usize>(values: &[f32; DEPTH]) -> [Row; PARTS] {
    let parts: [[u32; DEPTH]; PARTS] = split(values);
    parts.map(|part| array::from_fn(|pair| (part[2 * pair] >> 16) | part[2 * pair + 1]))
}

/// `split_row` of up to as many values; zeros follow.
#[inline(always)]
fn split_run<const PARTS: usize>(values: Option<&[f32]>) -> [Row; PARTS] {
    split_row(&whole(values))
}

/// The slabs of up to `PANEL` rows of a left factor: `rows` begins with the first of its values, and has `stride` from one row
/// to the next; `count` rows of `depth` values are taken.
#[multiversion(targets = "simd")]
pub(super) fn split_left<const PARTS: usize>(
    slabs: &mut [Slab<PARTS>],
    rows: &[f32],
    stride: usize,
    count: usize,
    depth: usize,
) {
    for row in 0..PANEL {
        let (tile, place) = (row / SIDE, row % SIDE);
        let values = if row < count { &rows[row * stride..][..depth] } else { &[] };
        let mut runs = values.chunks(DEPTH);
        for slab in slabs.iter_mut() {
            let parts: [Row; PARTS] = split_run(runs.next());
            slab.0.iter_mut().zip(parts).for_each(|(tiles, row)| tiles[tile].0[place] = row);
        }
    }
}

/// A right factor `(depth, columns)`: a slab for each panel of columns and each place along the sum.
pub(super) struct Right<const PARTS: usize> {
    slabs: Vec<Slab<PARTS>>,
    /// Slabs along the sum.
    pub along: usize,
    /// From a panel's slab to the same of the next panel.
    between_panels: usize,
    /// From a slab to the next along the sum.
    pub apart: usize,
}

impl<const PARTS: usize> Default for Right<PARTS> {
    fn default() -> Self {
        Self { slabs: Vec::new(), along: 0, between_panels: 0, apart: 0 }
    }
}

impl<const PARTS: usize> Right<PARTS> {
    /// The slabs of one panel from `first` along the sum on, each so many `apart` from the one before.
    pub fn panel(&self, panel: usize, first: usize) -> &[Slab<PARTS>] {
        &self.slabs[panel * self.between_panels + first * self.apart..]
    }

    fn resize(&mut self, depth: usize, columns: usize) -> usize {
        self.along = depth.div_ceil(DEPTH);
        let panels = columns.div_ceil(PANEL);
        self.slabs.resize(panels * self.along, Slab::EMPTY);
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
fn interleave<const PARTS: usize>(slabs: &mut [Slab<PARTS>], rows: &[f32], columns: usize) {
    let mut lines = rows.chunks(columns);
    for pair in 0..SIDE {
        let (upper, lower) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let (mut upper, mut lower) = (upper.chunks(PANEL), lower.chunks(PANEL));
        for slab in slabs.iter_mut() {
            let (upper, lower) = (whole(upper.next()), whole(lower.next()));
            let (upper, lower): ([_; PARTS], [_; PARTS]) = (split(&upper), split(&lower));
            for (tiles, (upper, lower)) in slab.0.iter_mut().zip(upper.iter().zip(&lower)) {
                let pairs: [u32; PANEL] = array::from_fn(|place| (upper[place] >> 16) | lower[place]);
                tiles[0].0[pair].copy_from_slice(&pairs[..SIDE]);
                tiles[1].0[pair].copy_from_slice(&pairs[SIDE..]);
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
fn transpose<const PARTS: usize>(slabs: &mut [Slab<PARTS>], rows: &[f32], depth: usize) {
    for (slab, first) in slabs.iter_mut().zip((0..).step_by(DEPTH)) {
        let width = DEPTH.min(depth - first);
        let mut lines = rows.chunks(depth).map(|row| &row[first..][..width]);
        for tile in 0..2 {
            let mut parts = [ZERO; PARTS];
            for place in 0..SIDE {
                let rows: [Row; PARTS] = split_run(lines.next());
                parts.iter_mut().zip(rows).for_each(|(part, row)| part.0[place] = row);
            }
            slab.0.iter_mut().zip(&parts).for_each(|(tiles, part)| transpose_tile(&mut tiles[tile], part));
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
            let parts: [_; 2] = split(&[value]);
            let sum: f64 = parts.iter().map(|part| f64::from(f32::from_bits(part[0]))).sum();
            prop_assert!((sum - f64::from(value)).abs() <= f64::from(value.abs()) * 2f64.powi(-17));
        }
    }

    #[test]
    fn no_value_that_is_not_a_number_becomes_one() {
        for bits in [0x7fff_ffff, 0x7fc0_0000, 0xffff_ffff, 0x7f80_0001] {
            assert!(f32::from_bits(nearest(f32::from_bits(bits))).is_nan());
        }
        let parts: [_; 2] = split(&[f32::INFINITY]);
        assert!(f32::from_bits(parts[1][0]).is_nan());
    }
}
