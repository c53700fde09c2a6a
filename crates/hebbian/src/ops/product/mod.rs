//! The product of two f32 matrices, on the processor's matrix unit where it has one.
//!
//! The unit multiplies bf16 and sums in f32. Each value is taken for the sum of [`PARTS`](product) bf16. Two hold 16 of its
//! 24 bits, and with `(a₁ + a₂)(b₁ + b₂) ≈ a₁b₁ + a₁b₂ + a₂b₁` a sum is off by about 3e-6 of the root of its terms' squares;
//! one holds 8 bits, and a sum is off by some 2e-3 of that root. Where there is no such unit, or where it does not pay, `gemm`
//! multiplies in f32. The bits of a result depend on which of the two it was, and not on the number of threads.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[path = "no_unit.rs"]
mod amx;
mod tiles;

use std::fmt;

use gemm::Parallelism;
use rayon::prelude::*;

use super::blocks::{Block, blocks_mut};
use amx::Unit;
use tiles::{DEPTH, PANEL, Slab, split_left};

/// The right factor of a product, row-major.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a> {
    /// `(depth, columns)`.
    Plain(&'a [f32]),
    /// `(columns, depth)`.
    Transposed(&'a [f32]),
}

/// Rows of the left factor and of the product, places of the sum, columns of the right factor and of the product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub rows: usize,
    pub depth: usize,
    pub columns: usize,
}

/// Room for the right factor as the unit takes it, which is kept from one product to the next.
#[derive(Default)]
pub(crate) struct Room<const PARTS: usize>(tiles::Right<PARTS>);

impl<const PARTS: usize> fmt::Debug for Room<PARTS> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Room")
    }
}

/// Slabs of the sum that a block of the right factor has: with `WIDTH` columns it stays in a core's second cache.
const BLOCK: usize = 12;
/// Columns of a block.
const WIDTH: usize = 20 * PANEL;
/// Where a side of the factors is shorter, splitting their values takes as long as the unit saves.
const LEAST_SIDE: usize = 256;

/// Writes the product of `left (rows, depth)` and `right` to `to (rows, columns)`, and returns what `finish` says of each
/// finished block; it may change the block.
pub(crate) fn product<const PARTS: usize, T: Send>(
    left: &[f32],
    right: Right<'_>,
    sizes: Sizes,
    to: &mut [f32],
    room: &mut Room<PARTS>,
    finish: impl Fn(&mut Block<'_>) -> T + Sync,
) -> Vec<T> {
    let Sizes { rows, depth, columns } = sizes;
    let (Right::Plain(values) | Right::Transposed(values)) = right;
    assert!(left.len() == rows * depth && values.len() == depth * columns && to.len() == rows * columns);
    match amx::is_here() && rows.min(depth).min(columns) >= LEAST_SIDE {
        true => split_product(left, right, sizes, to, room, finish),
        false => {
            plain_product(left, right, sizes, to);
            let blocks = blocks_mut(to, columns, PANEL, WIDTH);
            blocks.into_par_iter().map(|mut block| finish(&mut block)).collect()
        }
    }
}

/// Places of the sum that one thread takes where the sums are long and few.
const PART: usize = 1024;

/// The product in f32. Long sums of few values are cut into parts, which are added in their order.
fn plain_product(left: &[f32], right: Right<'_>, sizes: Sizes, to: &mut [f32]) {
    let Sizes { rows, depth, columns } = sizes;
    if depth < 4 * PART || rows * columns > PART * PART / 16 {
        return multiply_part(
            left,
            right,
            sizes,
            (0, depth),
            to,
            Parallelism::Rayon(rayon::current_num_threads()),
        );
    }
    let parts = (0..depth).into_par_iter().step_by(PART).map(|first| {
        let mut part = vec![0f32; rows * columns];
        multiply_part(left, right, sizes, (first, PART.min(depth - first)), &mut part, Parallelism::None);
        part
    });
    let parts: Vec<Vec<f32>> = parts.collect();
    to.fill(0.0);
    for part in parts {
        to.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
}

/// Writes the sums over `count` places from `first` on.
fn multiply_part(
    left: &[f32],
    right: Right<'_>,
    Sizes { rows, depth, columns }: Sizes,
    (first, count): (usize, usize),
    to: &mut [f32],
    parallelism: Parallelism,
) {
    let (right, to_next_row, to_next_column) = match right {
        Right::Plain(values) => (&values[first * columns..], columns as isize, 1),
        Right::Transposed(values) => (&values[first..], 1, depth as isize),
    };
    assert!(left.len() == rows * depth && first + count <= depth && to.len() == rows * columns);
    // SAFETY: `product` has checked that the factors have the sizes, and the places of the sum are among theirs; these strides
    // lead to nothing else.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            count,
            to.as_mut_ptr(),
            1,
            columns as isize,
            false,
            left[first..].as_ptr(),
            1,
            depth as isize,
            right.as_ptr(),
            to_next_column,
            to_next_row,
            0f32,
            1f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}

fn split_product<const PARTS: usize, T: Send>(
    left: &[f32],
    right: Right<'_>,
    sizes: Sizes,
    to: &mut [f32],
    Room(room): &mut Room<PARTS>,
    finish: impl Fn(&mut Block<'_>) -> T + Sync,
) -> Vec<T> {
    let Sizes { rows, depth, columns } = sizes;
    match right {
        Right::Plain(values) => room.fill(values, depth, columns),
        Right::Transposed(values) => room.fill_transposed(values, depth, columns),
    }
    let tasks = 2 * rayon::current_num_threads();
    let height = rows.div_ceil(PANEL).div_ceil(tasks).max(1) * PANEL;
    let blocks = blocks_mut(to, columns, height, WIDTH).into_par_iter();
    let multiplied = blocks.map(|mut block| {
        multiply_block(&left[block.first_row * depth..], room, depth, &mut block);
        finish(&mut block)
    });
    multiplied.collect()
}

/// `left` begins with the rows of the block.
fn multiply_block<const PARTS: usize>(
    left: &[f32],
    right: &tiles::Right<PARTS>,
    depth: usize,
    block: &mut Block<'_>,
) {
    // `split_product` is called only where there is a unit.
    let Some(unit) = Unit::of_this_thread() else { return };
    let mut slabs = [Slab::EMPTY; BLOCK];
    for first in (0..right.along).step_by(BLOCK) {
        let slabs = &mut slabs[..BLOCK.min(right.along - first)];
        let (start, width) = (first * DEPTH, (slabs.len() * DEPTH).min(depth - first * DEPTH));
        for row in (0..block.rows).step_by(PANEL) {
            split_left(slabs, &left[row * depth + start..], depth, PANEL.min(block.rows - row), width);
            for column in (0..block.columns).step_by(PANEL) {
                let panel = right.panel((block.first_column + column) / PANEL, first);
                multiply_tile(&unit, slabs, (panel, right.apart), block, (row, column), first > 0);
            }
        }
    }
}

/// Adds to, or writes, the 32 rows of 32 values of the block at `place`, or as many as it has there.
fn multiply_tile<const PARTS: usize>(
    unit: &Unit,
    left: &[Slab<PARTS>],
    right: (&[Slab<PARTS>], usize),
    block: &mut Block<'_>,
    (row, column): (usize, usize),
    add: bool,
) {
    let (rows, columns) = (PANEL.min(block.rows - row), PANEL.min(block.columns - column));
    if rows == PANEL && columns == PANEL {
        let (to, stride) = (block.place(row, column), block.stride);
        // SAFETY: these rows and columns belong to the block.
        unsafe { unit.multiply(left, right, to, stride, add) };
        return;
    }
    let mut whole = [0f32; PANEL * PANEL];
    for (line, whole) in whole.chunks_mut(PANEL).take(rows).enumerate() {
        whole[..columns].copy_from_slice(&block.row(row + line)[column..][..columns]);
    }
    // SAFETY: the rows lie in `whole`.
    unsafe { unit.multiply(left, right, whole.as_mut_ptr(), PANEL, add) };
    for (line, whole) in whole.chunks(PANEL).take(rows).enumerate() {
        block.row(row + line)[column..][..columns].copy_from_slice(&whole[..columns]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    fn draw(name: &str, count: usize) -> Vec<f32> {
        let values = Generator::new(count as u64, name).normal((1, count), 0.0, 1.0, &Device::Cpu).unwrap();
        values.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        (0..rows * columns).map(|place| values[place % rows * columns + place / rows]).collect()
    }

    /// The products in f64 and the sums of their terms' magnitudes.
    fn exact(left: &[f32], right: &[f32], Sizes { rows, depth, columns }: Sizes) -> Vec<(f64, f64)> {
        let mut sums = vec![(0.0, 0.0); rows * columns];
        for (place, (sum, size)) in sums.iter_mut().enumerate() {
            for step in 0..depth {
                let term = f64::from(left[place / columns * depth + step])
                    * f64::from(right[step * columns + place % columns]);
                *sum += term;
                *size += term.abs();
            }
        }
        sums
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 40, ..ProptestConfig::default() })]

        #[test]
        fn the_unit_and_f32_give_the_exact_product_to_rounding(
            rows in 1usize..70, depth in 1usize..500, columns in 1usize..700,
        ) {
            let sizes = Sizes { rows, depth, columns };
            let (left, right) = (draw("left", rows * depth), draw("right", depth * columns));
            let (exact, turned) = (exact(&left, &right, sizes), transposed(&right, depth, columns));
            for factor in [Right::Plain(&right), Right::Transposed(&turned)] {
                let check = |to: &[f32], share: f64| {
                    to.iter().zip(&exact).all(|(&sum, (exact, size))| (f64::from(sum) - exact).abs() <= size * share)
                };
                let mut to = vec![f32::NAN; rows * columns];
                plain_product(&left, factor, sizes, &mut to);
                prop_assert!(check(&to, 1e-5));
                if amx::is_here() {
                    let mut to = vec![f32::NAN; rows * columns];
                    split_product(&left, factor, sizes, &mut to, &mut Room::<2>::default(), |_| ());
                    prop_assert!(check(&to, 2f64.powi(-14)));
                    let mut to = vec![f32::NAN; rows * columns];
                    split_product(&left, factor, sizes, &mut to, &mut Room::<1>::default(), |_| ());
                    prop_assert!(check(&to, 2f64.powi(-6)));
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let sizes = Sizes { rows: 260, depth: 300, columns: 270 };
        for bad in [f32::NAN, f32::INFINITY, f32::from_bits(0xffff_ffff)] {
            let (mut left, right) = (draw("left", 260 * 300), draw("right", 300 * 270));
            left[299] = bad;
            let mut to = vec![0f32; 260 * 270];
            product(&left, Right::Plain(&right), sizes, &mut to, &mut Room::<1>::default(), |_| ());
            assert!(
                to[..270].iter().all(|value| !value.is_finite())
                    && to[270..].iter().all(|value| value.is_finite())
            );
        }
    }
}
