//! Which k of many values are the largest, as a set: cheaper than [`top_k`](super::top_k), which also ranks them.

use multiversion::multiversion;

/// Appends the indices of the `k` largest of `values` to `chosen`, in ascending order; of equal values the lower
/// indices are taken.
///
/// The values must be at least 0: the bits of such f32 are ordered as the numbers are.
pub(crate) fn largest(values: &[f32], k: usize, chosen: &mut Vec<u32>) {
    if k > 0 {
        let (least, above) = kth_largest(values, k);
        collect(values, least, k - above, chosen);
    }
}

/// Appends the indices of the `k` smallest of `values`, as [`largest`] does; `reversed` is overwritten.
pub(crate) fn smallest(values: &[f32], k: usize, reversed: &mut [f32], chosen: &mut Vec<u32>) {
    for (reversed, value) in reversed.iter_mut().zip(values) {
        *reversed = f32::from_bits(f32::MAX.to_bits() - value.to_bits());
    }
    largest(reversed, k, chosen);
}

/// The smallest value still among the `k` largest, and how many values are above it.
///
/// It is searched for between bounds, of which the lower is reached by more than `k` values and the upper is passed by
/// fewer. A pass is one vectorised comparison of all values with a guess, and one that counts exactly `k` is the last.
/// The guess is where the counts at the bounds suggest it, which is soon near; every fourth is halfway between the bits
/// of the bounds, which limits the passes whatever the values.
#[multiversion(targets = "simd")]
fn kth_largest(values: &[f32], k: usize) -> (f32, usize) {
    let (mut low, mut high) = range(values);
    let (mut from_low, mut above, mut pass) = (values.len(), 0, 0);
    while low < high {
        pass += 1;
        let guess = if pass % 4 == 0 {
            high - (high - low) / 2
        } else {
            between(low, high, (from_low - k) as f32 / (from_low - above) as f32)
        };
        let found = count_from(values, guess);
        if found == k {
            return (f32::from_bits(guess), 0);
        } else if found > k {
            (low, from_low) = (guess, found);
        } else {
            (high, above) = (guess - 1, found);
        }
    }
    (f32::from_bits(low), above)
}

/// The bits of the number at `share` of the way from `low` to `high`, above the former and at most the latter.
#[inline(always)]
fn between(low: u32, high: u32, share: f32) -> u32 {
    let [from, to] = [low, high].map(f32::from_bits);
    (from + share * (to - from)).to_bits().clamp(low + 1, high)
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

/// The indices of all values above `least`, and of the first `equal` that equal it.
#[multiversion(targets = "simd")]
fn collect(values: &[f32], least: f32, mut equal: usize, chosen: &mut Vec<u32>) {
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

/// Appends the indices of all `values` less than `bound`.
#[multiversion(targets = "simd")]
pub(crate) fn below(values: &[f32], bound: f32, chosen: &mut Vec<u32>) {
    where_true(values, |value| value < bound, |index| chosen.push(index as u32));
}

/// Calls `found` with the index of each value that passes `test`, which is asked for 64 values at a time.
#[inline(always)]
fn where_true(values: &[f32], test: impl Fn(f32) -> bool, mut found: impl FnMut(usize)) {
    for (block, values) in values.chunks(64).enumerate() {
        let mut passed = 0u64;
        for (bit, &value) in values.iter().enumerate() {
            passed |= u64::from(test(value)) << bit;
        }
        while passed != 0 {
            found(64 * block + passed.trailing_zeros() as usize);
            passed &= passed - 1;
        }
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
        largest(&[3.0, 1.0, 3.0, 2.0, 3.0], 2, &mut chosen);
        largest(&[3.0, 1.0, 3.0, 2.0, 3.0], 4, &mut chosen);
        assert_eq!(chosen, [0, 2, 0, 2, 3, 4]);
        chosen.clear();
        smallest(&[5.0, 1.0, 1.0, 0.0, 1.0], 2, &mut [0.0; 5], &mut chosen);
        assert_eq!(chosen, [1, 3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_set_is_the_one_that_ranking_finds(
            values in prop::collection::vec(prop_oneof![0f32..9.0, (0u8..6).prop_map(f32::from)], 1..300),
            k in 1usize..300,
        ) {
            let k = k.min(values.len());
            let mut chosen = Vec::new();
            largest(&values, k, &mut chosen);
            let row = Tensor::from_slice(&values, (1, values.len()), &Device::Cpu).unwrap();
            let mut ranked = top_k(&row, k).unwrap().to_vec2::<u32>().unwrap().remove(0);
            ranked.sort_unstable();
            prop_assert_eq!(chosen, ranked);
        }
    }
}
