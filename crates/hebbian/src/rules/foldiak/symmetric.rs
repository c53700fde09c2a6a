//! Products with a symmetric matrix, of which only one half is read.

use std::hint::black_box;

use pulp::{Simd, WithSimd};

use super::lateral::{LANES, Lateral, Line};

/// Rows of a tile: units of a group.
const ROWS: usize = 8;
/// Columns of a tile.
const COLUMNS: usize = 4;

/// What four units do to the eight of a group.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Tile([[f64; ROWS]; COLUMNS]);

/// A symmetric matrix as the tiles on and above its diagonal, one column of tiles after the other.
///
/// A tile above the diagonal is used in both directions while it is in registers. So half as many weights come from the
/// cache, and they can be the f64 that a product needs: for a hundred units that is no more than the whole takes in f32.
#[derive(Debug)]
pub(super) struct Symmetric {
    tiles: Vec<Tile>,
    /// What units receive from the groups before their own.
    across: Vec<f64>,
}

impl Symmetric {
    /// Up to so many units the whole is as fast: hardly a sum in it waits for another.
    pub(super) const FEW: usize = 32;

    /// The matrix of so many units, all of it 0.
    pub(super) fn new(units: usize) -> Self {
        let columns = units.div_ceil(COLUMNS);
        let tiles = (0..columns).map(|column| groups_before(column) + 1).sum();
        Self { tiles: vec![Tile([[0.0; ROWS]; COLUMNS]); tiles], across: vec![0.0; columns * COLUMNS] }
    }

    /// Takes over the upper half of `lateral`, whose columns are the rows of its lower half.
    #[inline(always)]
    pub(super) fn copy(&mut self, lateral: &Lateral) {
        let mut tiles = self.tiles.iter_mut();
        for column in 0..self.across.len() / COLUMNS {
            let halves = lateral.blocks().flat_map(|block| (0..LANES / ROWS).map(move |half| (block, half)));
            for (Tile(to), (block, half)) in tiles.by_ref().zip(halves).take(groups_before(column) + 1) {
                for (to, Line(row)) in to.iter_mut().zip(&block[column * COLUMNS..]) {
                    // Four rows at a time, which the compiler would take, would be gathered.
                    let half = black_box(half);
                    *to = row.as_chunks::<ROWS>().0[half].map(f64::from);
                }
            }
        }
    }

    /// `received_u = Σ_v w_uv y_v`, with the same bits whatever the vector width.
    #[inline(always)]
    pub(super) fn multiply<S: Simd>(&mut self, simd: S, y: &[f64], received: &mut [f64]) {
        // On its own it has all registers to itself.
        simd.vectorize(Product { tiles: &self.tiles, across: &mut self.across, y, received })
    }
}

/// Groups whose tiles in this column of tiles are above the diagonal.
fn groups_before(column: usize) -> usize {
    column * COLUMNS / ROWS
}

struct Product<'a> {
    tiles: &'a [Tile],
    across: &'a mut [f64],
    y: &'a [f64],
    received: &'a mut [f64],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut tiles, across, y, received } = self;
        received.fill(0.0);
        let (groups, received_groups) = (y.as_chunks().0, received.as_chunks_mut().0);
        let columns = across.as_chunks_mut::<COLUMNS>().0.iter_mut().zip(y.as_chunks::<COLUMNS>().0);
        for (column, (across, own)) in columns.enumerate() {
            let before = groups_before(column);
            let Some((above, [on, rest @ ..])) = tiles.split_at_checked(before) else { return };
            tiles = rest;
            *across = both_ways(simd, above, own, groups, received_groups);
            one_way(simd, on, own, &mut received_groups[before]);
        }
        for (received, across) in received.iter_mut().zip(across) {
            *received += *across;
        }
    }
}

/// Adds up what four units give to the groups above them, and returns what those give to each of the four.
#[inline(always)]
fn both_ways<S: Simd>(
    simd: S,
    tiles: &[Tile],
    own: &[f64; COLUMNS],
    groups: &[[f64; ROWS]],
    received: &mut [[f64; ROWS]],
) -> [f64; COLUMNS] {
    let mut sums = [[simd.splat_f64s(0.0); ROWS]; COLUMNS];
    for ((Tile(weights), others), received) in tiles.iter().zip(groups).zip(received) {
        let (others, received) = (S::as_simd_f64s(others).0, S::as_mut_simd_f64s(received).0);
        for vector in 0..ROWS / S::F64_LANES {
            let (other, mut to) = (others[vector], received[vector]);
            for unit in 0..COLUMNS {
                let weights = S::as_simd_f64s(&weights[unit]).0[vector];
                to = simd.mul_add_f64s(weights, simd.splat_f64s(own[unit]), to);
                sums[unit][vector] = simd.mul_add_f64s(weights, other, sums[unit][vector]);
            }
            received[vector] = to;
        }
    }
    let mut across = [0.0; COLUMNS];
    for (across, sums) in across.iter_mut().zip(sums) {
        *across = total(simd, sums);
    }
    across
}

/// Adds up what four units give to the group that they are of.
#[inline(always)]
fn one_way<S: Simd>(simd: S, Tile(weights): &Tile, own: &[f64; COLUMNS], received: &mut [f64; ROWS]) {
    for (weights, &own) in weights.iter().zip(own) {
        let (weights, received) = (S::as_simd_f64s(weights).0, S::as_mut_simd_f64s(received).0);
        for (received, &weights) in received.iter_mut().zip(weights) {
            *received = simd.mul_add_f64s(weights, simd.splat_f64s(own), *received);
        }
    }
}

/// The sum of eight values, of which the upper half is added to the lower one until one is left.
#[inline(always)]
fn total<S: Simd>(simd: S, mut vectors: [S::f64s; ROWS]) -> f64 {
    let mut count = ROWS / S::F64_LANES;
    while count > 1 {
        count /= 2;
        for vector in 0..count {
            vectors[vector] = simd.add_f64s(vectors[vector], vectors[vector + count]);
        }
    }
    simd.reduce_sum_f64s(vectors[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use hebbian_training::Generator;
    use proptest::prelude::*;
    use pulp::{Arch, Scalar};

    struct Half<'a> {
        lateral: &'a Lateral,
        units: usize,
        y: &'a [f64],
    }

    impl WithSimd for Half<'_> {
        type Output = Vec<f64>;

        fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
            let mut half = Symmetric::new(self.units);
            half.copy(self.lateral);
            // Products leave nothing behind.
            let mut received = vec![f64::NAN; self.lateral.lanes()];
            half.multiply(simd, self.y, &mut received);
            half.multiply(simd, self.y, &mut received);
            received.truncate(self.units);
            received
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn half_a_matrix_gives_the_product_of_the_whole_and_the_same_bits_at_any_width(
            units in 1usize..70, seed in any::<u64>(),
        ) {
            let mut draws = Generator::new(seed, "symmetric");
            let mut values = |count| draws.uniform(count, -1.0, 1.0, &candle_core::Device::Cpu).unwrap().to_vec1::<f32>().unwrap();
            let drawn = values(units * units);
            let symmetric: Vec<f32> = (0..units * units)
                .map(|at| drawn[at] + drawn[at % units * units + at / units])
                .collect();
            let lateral = Lateral::new(&symmetric, units);
            prop_assert!(lateral.is_symmetric());
            let mut y: Vec<f64> = values(units).into_iter().map(f64::from).collect();
            y.resize(lateral.lanes(), 0.0);
            let mut whole = vec![0.0; lateral.lanes()];
            lateral.multiply(&y, &mut whole);
            let half = Arch::new().dispatch(Half { lateral: &lateral, units, y: &y });
            for (half, whole) in half.iter().zip(&whole) {
                prop_assert!((half - whole).abs() < 1e-12, "{half} and {whole}");
            }
            prop_assert_eq!(half, Half { lateral: &lateral, units, y: &y }.with_simd(Scalar));
        }
    }
}
