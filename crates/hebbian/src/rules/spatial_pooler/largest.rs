//! Which k of many values are the largest, as a set: cheaper than [`top_k`](super::top_k), which also ranks them.

use multiversion::multiversion;

/// Appends the indices of the `k` largest of `values` to `chosen`, in ascending order; of equal values the lower
/// indices are taken. The search begins at `near`, which becomes the value that it ends at: wherever it begins, it finds
/// the same.
///
/// The values must be at least 0: the bits of such f32 are ordered as the numbers are.
pub(crate) fn largest(values: &[f32], k: usize, near: &mut f32, chosen: &mut Vec<u32>) {
    if k == 0 {
        return;
    }
    chosen.reserve(k);
    let Bound { least, ties } = kth_largest(values, k, *near);
    match ties {
        None => at_least(values, least, chosen),
        Some(ties) => with_ties(values, least, ties, chosen),
    }
    *near = least;
}

/// Appends the indices of the `k` smallest of `values`, as [`largest`] does; `reversed` is overwritten.
pub(crate) fn smallest(values: &[f32], k: usize, reversed: &mut [f32], chosen: &mut Vec<u32>) {
    for (reversed, value) in reversed.iter_mut().zip(values) {
        *reversed = f32::from_bits(f32::MAX.to_bits() - value.to_bits());
    }
    largest(reversed, k, &mut 0.0, chosen);
}

/// What parts the `k` largest from the others.
struct Bound {
    /// The value from which on they are.
    least: f32,
    /// How many of those that equal it are among them, the first; `None` for all.
    ties: Option<usize>,
}

/// The bound is searched for between two others, of which the lower is reached by more than `k` values and the upper is
/// passed by fewer. A pass is one vectorized comparison of all values with a guess, and one that counts exactly `k` is
/// the last. The first guesses are `near` and, as long as all miss on the same side, ever further from it. Then the guess
/// is where the counts at the bounds suggest it, which is soon near; every fourth is halfway between the bits of the
/// bounds, which limits the passes whatever the values.
#[multiversion(targets = "simd")]
fn kth_largest(values: &[f32], k: usize, near: f32) -> Bound {
    let (mut low, mut high) = range(values);
    let (mut from_low, mut above, mut pass) = (values.len(), 0, 0);
    let (mut too_many, mut too_few) = (false, false);
    while low < high {
        let guess = if near > 0.0 && pass < NEARBY && !(too_many && too_few) {
            let away = if pass == 0 { 0.0 } else { 0.02 * (1 << (2 * pass)) as f32 };
            (if too_many { near * (1.0 + away) } else { near * (1.0 - away).max(0.0) }).to_bits()
        } else if pass % 4 == 3 {
            high - (high - low) / 2
        } else {
            between(low, high, (from_low - k) as f32 / (from_low - above) as f32)
        };
        let guess = guess.clamp(low + 1, high);
        let found = count_from(values, guess);
        if found == k {
            return Bound { least: f32::from_bits(guess), ties: None };
        } else if found > k {
            (low, from_low, too_many) = (guess, found, true);
        } else {
            (high, above, too_few) = (guess - 1, found, true);
        }
        pass += 1;
    }
    Bound { least: f32::from_bits(low), ties: Some(k - above) }
}

/// Guesses that may be near the one to begin with.
const NEARBY: u32 = 3;

/// The bits of the number at `share` of the way from `low` to `high`.
#[inline(always)]
fn between(low: u32, high: u32, share: f32) -> u32 {
    let [from, to] = [low, high].map(f32::from_bits);
    (from + share * (to - from)).to_bits()
}

#[inline(always)]
fn range(values: &[f32]) -> (u32, u32) {
    let bits = values.iter().map(|value| value.to_bits());
    bits.fold((u32::MAX, 0), |(low, high), bits| (low.min(bits), high.max(bits)))
}

#[inline(always)]
fn count_from(values: &[f32], least: u32) -> usize {
    values.iter().map(|value| u32::from(value.to_bits() >= least)).sum::<u32>() as usize
}

/// Appends the indices of all `values` from `least` on.
#[multiversion(targets = "simd")]
fn at_least(values: &[f32], least: f32, chosen: &mut Vec<u32>) {
    where_true(values, |value| value >= least, |index| chosen.push(index as u32));
}

/// Appends the indices of all `values` above `least`, and of the first `equal` that equal it.
#[multiversion(targets = "simd")]
fn with_ties(values: &[f32], least: f32, mut equal: usize, chosen: &mut Vec<u32>) {
    where_true(
        values,
        |value| value >= least,
        |index| {
            let above = values[index] > least;
            if above || equal > 0 {
                equal -= usize::from(!above);
                chosen.push(index as u32);
            }
        },
    );
}

/// Appends the indices of all `values` less than `bound`, but for those that are `left_out`.
#[multiversion(targets = "simd")]
pub(crate) fn below(values: &[f32], bound: f32, left_out: &[bool], chosen: &mut Vec<u32>) {
    for (block, (values, left_out)) in values.chunks(64).zip(left_out.chunks(64)).enumerate() {
        let (mut low, mut out) = (0, 0);
        for (bit, (&value, &left_out)) in values.iter().zip(left_out).enumerate() {
            low |= u64::from(value < bound) << bit;
            out |= u64::from(left_out) << bit;
        }
        each_bit(low & !out, |bit| chosen.push((64 * block + bit) as u32));
    }
}

/// Calls `found` with the index of each value that passes `test`, which is asked for 64 values at a time.
#[inline(always)]
fn where_true(values: &[f32], test: impl Fn(f32) -> bool, mut found: impl FnMut(usize)) {
    for (block, values) in values.chunks(64).enumerate() {
        let mut passed = 0u64;
        for (bit, &value) in values.iter().enumerate() {
            passed |= u64::from(test(value)) << bit;
        }
        each_bit(passed, |bit| found(64 * block + bit));
    }
}

/// Calls `found` with the place of each bit that is set.
#[inline(always)]
fn each_bit(mut bits: u64, mut found: impl FnMut(usize)) {
    while bits != 0 {
        found(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::top_k;
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;

    #[test]
    fn ties_go_to_the_lowest_index() {
        let mut chosen = Vec::new();
        largest(&[3.0, 1.0, 3.0, 2.0, 3.0], 2, &mut 0.0, &mut chosen);
        largest(&[3.0, 1.0, 3.0, 2.0, 3.0], 4, &mut 0.0, &mut chosen);
        assert_eq!(chosen, [0, 2, 0, 2, 3, 4]);
        chosen.clear();
        smallest(&[5.0, 1.0, 1.0, 0.0, 1.0], 2, &mut [0.0; 5], &mut chosen);
        assert_eq!(chosen, [1, 3]);
    }

    #[test]
    fn what_is_left_out_is_not_below() {
        let values: Vec<f32> = (0..70).map(|value| value as f32).collect();
        let left_out: Vec<bool> = (0..70).map(|value| value % 2 == 0).collect();
        let mut chosen = Vec::new();
        below(&values, 67.0, &left_out, &mut chosen);
        assert_eq!(chosen, (1..67).step_by(2).collect::<Vec<u32>>());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_set_is_the_one_that_ranking_finds_wherever_the_search_begins(
            near in prop_oneof![Just(0f32), 0f32..20.0],
            values in prop::collection::vec(prop_oneof![0f32..9.0, (0u8..6).prop_map(f32::from)], 1..300),
            k in 1usize..300,
        ) {
            let k = k.min(values.len());
            let mut chosen = Vec::new();
            largest(&values, k, &mut { near }, &mut chosen);
            let row = Tensor::from_slice(&values, (1, values.len()), &Device::Cpu).unwrap();
            let mut ranked = top_k(&row, k).unwrap().to_vec2::<u32>().unwrap().remove(0);
            ranked.sort_unstable();
            prop_assert_eq!(chosen, ranked);
        }
    }
}
