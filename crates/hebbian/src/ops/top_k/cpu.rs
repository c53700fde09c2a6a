//! The ranks of a row on the CPU: of few ranks a sorted list is kept, for many the row is sorted.

use multiversion::multiversion;
use rayon::prelude::*;

/// The indices of the `k` largest values of each row.
pub(super) fn top_k(values: &[f32], rows: usize, columns: usize, k: usize) -> Vec<u32> {
    let mut ranked = vec![0; rows * k];
    ranked
        .par_chunks_mut(k)
        .zip(values.par_chunks(columns))
        .with_min_len(ROWS_PER_TASK)
        .for_each(|(ranked, row)| rank_row(row, ranked));
    ranked
}

/// Below this, handing rows to another thread costs more than it saves.
const ROWS_PER_TASK: usize = 8;

/// Up to this rank a sorted list of the best so far is cheaper than sorting the row.
const LONGEST_LIST: usize = 64;

/// Fills `ranked` with the indices of the largest values of `row`; up to [`LONGEST_LIST`] of them, nothing is allocated.
pub(crate) fn rank_row(row: &[f32], ranked: &mut [u32]) {
    if ranked.len() <= LONGEST_LIST {
        scan_row(row, ranked);
    } else {
        sort_row(row, ranked);
    }
}

/// Keeps the best so far in order, of the few values that can be among them; equal values come in index order, so a later
/// one never displaces an earlier one.
#[multiversion(targets = "simd")]
fn scan_row(row: &[f32], ranked: &mut [u32]) {
    let least = bound(row, ranked.len());
    let mut best = [f32::NEG_INFINITY; LONGEST_LIST];
    let mut found = 0;
    for (block, values) in row.chunks(BLOCK).enumerate() {
        if all_below(values, least) {
            continue;
        }
        for (part, values) in values.chunks(PART).enumerate() {
            if all_below(values, least) {
                continue;
            }
            for (offset, &value) in values.iter().enumerate() {
                let value = if value.is_nan() { f32::NEG_INFINITY } else { value };
                if value < least || (found == ranked.len() && value <= best[found - 1]) {
                    continue;
                }
                found = (found + 1).min(ranked.len());
                let rank = best[..found - 1].partition_point(|&better| better >= value);
                best.copy_within(rank..found - 1, rank + 1);
                ranked.copy_within(rank..found - 1, rank + 1);
                best[rank] = value;
                ranked[rank] = (block * BLOCK + part * PART + offset) as u32;
            }
        }
    }
}

/// Values that are compared before any of them is looked at.
const BLOCK: usize = 64;
const PART: usize = 16;

/// What the `k` largest values of a row are not below: that is the k-th largest of the maxima of any k or more of its
/// parts. Here a part is each 64th value, so that all maxima come from one pass of vector comparisons.
#[inline(always)]
fn bound(row: &[f32], k: usize) -> f32 {
    let larger = |most: f32, value: f32| if value > most { value } else { most };
    let mut maxima = [f32::NEG_INFINITY; LONGEST_LIST];
    let (chunks, rest) = row.as_chunks::<LONGEST_LIST>();
    for chunk in chunks {
        maxima.iter_mut().zip(chunk).for_each(|(most, &value)| *most = larger(*most, value));
    }
    maxima.iter_mut().zip(rest).for_each(|(most, &value)| *most = larger(*most, value));
    if k == 1 {
        return maxima.into_iter().fold(f32::NEG_INFINITY, larger);
    }
    let (_, bound, _) = maxima.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    *bound
}

/// A NaN is not below anything.
#[inline(always)]
fn all_below(values: &[f32], bound: f32) -> bool {
    values.iter().fold(true, |all, &value| all & (value < bound))
}

fn sort_row(row: &[f32], ranked: &mut [u32]) {
    let mut order: Vec<(u32, u32)> =
        row.iter().zip(0..).map(|(&value, index)| (descending(value), index)).collect();
    if ranked.len() < order.len() {
        order.select_nth_unstable(ranked.len() - 1);
        order.truncate(ranked.len());
    }
    order.sort_unstable();
    for (rank, (_, index)) in ranked.iter_mut().zip(order) {
        *rank = index;
    }
}

/// A key that sorts f32 from the largest to the smallest, with -0 equal to 0 and NaN at the end with -infinity.
fn descending(value: f32) -> u32 {
    let value = if value.is_nan() { f32::NEG_INFINITY } else { value + 0.0 };
    let bits = value.to_bits();
    if value.is_sign_negative() { bits } else { !bits & (u32::MAX >> 1) }
}
