//! Sets of inputs as bits, counted by addition: how many members a set shares with an input is a sum of bits over the
//! members of the input.
//!
//! The bits of one element lie together, one for each set, so that an input touches only the elements that it holds.
//! They are summed as binary numbers whose digits lie in words apart: a word holds the same digit of 64 counts, and a few
//! logical operations add to all of them at once.

use multiversion::multiversion;

/// Words of a register: AVX-512's.
const LANES: usize = 8;
/// Sets whose bits fill a register.
const STRIP: usize = 64 * LANES;
/// A count has eight digits, of which the lowest three are held back until eight elements have been added.
const DIGITS: usize = 8;
/// Elements that are added before the digits are made numbers; more could overflow them.
const PORTION: usize = 31 * 8;

type Words = [u64; LANES];

/// Many sets over the same elements.
#[derive(Clone, Debug)]
pub(crate) struct BitSets {
    elements: usize,
    /// `strips x (elements + 1)`: of each element, one bit for each of 512 sets. The last one is in no set.
    bits: Vec<Words>,
}

impl BitSets {
    /// `sets` empty sets.
    pub(crate) fn empty(sets: usize, elements: usize) -> Self {
        Self { elements, bits: vec![[0; LANES]; sets.div_ceil(STRIP) * (elements + 1)] }
    }

    /// Puts `element` into `set`, or takes it out if it is there.
    pub(crate) fn flip(&mut self, set: usize, element: usize) {
        // Set 64 d + b of a strip is bit d of byte b: this order is the one in which `numbers` leaves the counts.
        let (byte, digit) = (set % 64, set % STRIP / 64);
        self.bits[set / STRIP * (self.elements + 1) + element][byte / 8] ^= 1 << (byte % 8 * 8 + digit);
    }

    /// How many elements each set shares with an input, `(sets)`, which comes as [`elements_on`] lists it.
    pub(crate) fn overlaps(&self, input: &[u32], counts: &mut [u32]) {
        count(&self.bits, self.elements + 1, input, counts);
    }
}

/// The elements whose bit is set in the words of `input`, into `on`, filled up with `elements`, which is in no set, to a
/// multiple of eight.
pub(crate) fn elements_on(input: &[u64], elements: usize, on: &mut Vec<u32>) {
    on.clear();
    for (place, &word) in input.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            on.push(64 * place as u32 + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
    on.resize(on.len().next_multiple_of(8), elements as u32);
}

/// Words that hold one bit for each of `elements`.
pub(crate) fn words(elements: usize) -> usize {
    elements.div_ceil(64)
}

#[multiversion(targets = "simd")]
fn count(bits: &[Words], a_strip: usize, input: &[u32], counts: &mut [u32]) {
    counts.fill(0);
    for (strip, counts) in bits.chunks_exact(a_strip).zip(counts.chunks_mut(STRIP)) {
        for portion in input.chunks(PORTION) {
            let numbers = numbers(sum(strip, portion));
            for (counts, number) in counts.chunks_mut(64).zip(&numbers) {
                let mut bytes = [0; 64];
                for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(number) {
                    *bytes = word.to_le_bytes();
                }
                for (count, &byte) in counts.iter_mut().zip(&bytes) {
                    *count += u32::from(byte);
                }
            }
        }
    }
}

/// The digits of how many of `elements` each set holds.
#[inline(always)]
fn sum(strip: &[Words], elements: &[u32]) -> [Words; DIGITS] {
    let [mut ones, mut twos, mut fours] = [[0; LANES]; 3];
    let mut higher = [[0; LANES]; DIGITS - 3];
    for &[a, b, c, d, e, f, g, h] in elements.as_chunks::<8>().0 {
        let two_a = add(&mut ones, &strip[a as usize], &strip[b as usize]);
        let two_b = add(&mut ones, &strip[c as usize], &strip[d as usize]);
        let four_a = add(&mut twos, &two_a, &two_b);
        let two_a = add(&mut ones, &strip[e as usize], &strip[f as usize]);
        let two_b = add(&mut ones, &strip[g as usize], &strip[h as usize]);
        let four_b = add(&mut twos, &two_a, &two_b);
        let mut carry = add(&mut fours, &four_a, &four_b);
        for digit in &mut higher {
            for lane in 0..LANES {
                let both = digit[lane] & carry[lane];
                digit[lane] ^= carry[lane];
                carry[lane] = both;
            }
        }
    }
    let [d3, d4, d5, d6, d7] = higher;
    [ones, twos, fours, d3, d4, d5, d6, d7]
}

/// Adds `a` and `b` to a digit, and returns what is carried to the next.
#[inline(always)]
fn add(digit: &mut Words, a: &Words, b: &Words) -> Words {
    let mut carry = [0; LANES];
    for lane in 0..LANES {
        let (a, b, c) = (a[lane], b[lane], digit[lane]);
        carry[lane] = (a & b) | (c & (a ^ b));
        digit[lane] = a ^ b ^ c;
    }
    carry
}

/// Turns eight digits of a word's bits into bytes: byte b of word d becomes the number whose digits were bit d of the
/// bytes b. It is the transposition of 8 x 8 bits, of 64 such squares at a time.
#[inline(always)]
fn numbers([mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h]: [Words; DIGITS]) -> [Words; DIGITS] {
    swap(&mut a, &mut e, 4, 0x0f0f_0f0f_0f0f_0f0f);
    swap(&mut b, &mut f, 4, 0x0f0f_0f0f_0f0f_0f0f);
    swap(&mut c, &mut g, 4, 0x0f0f_0f0f_0f0f_0f0f);
    swap(&mut d, &mut h, 4, 0x0f0f_0f0f_0f0f_0f0f);
    swap(&mut a, &mut c, 2, 0x3333_3333_3333_3333);
    swap(&mut b, &mut d, 2, 0x3333_3333_3333_3333);
    swap(&mut e, &mut g, 2, 0x3333_3333_3333_3333);
    swap(&mut f, &mut h, 2, 0x3333_3333_3333_3333);
    swap(&mut a, &mut b, 1, 0x5555_5555_5555_5555);
    swap(&mut c, &mut d, 1, 0x5555_5555_5555_5555);
    swap(&mut e, &mut f, 1, 0x5555_5555_5555_5555);
    swap(&mut g, &mut h, 1, 0x5555_5555_5555_5555);
    [a, b, c, d, e, f, g, h]
}

/// Swaps the bits of `low` that are `step` above those of `mask` with the bits of `high` that are at `mask`.
#[inline(always)]
fn swap(low: &mut Words, high: &mut Words, step: u32, mask: u64) {
    for lane in 0..LANES {
        let swapped = (low[lane] >> step ^ high[lane]) & mask;
        high[lane] ^= swapped;
        low[lane] ^= swapped << step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn overlaps(sets: &BitSets, elements: usize, input: &[usize], count: usize) -> Vec<u32> {
        let mut bits = vec![0; words(elements)];
        input.iter().for_each(|element| bits[element / 64] |= 1 << (element % 64));
        let (mut on, mut counts) = (Vec::new(), vec![0; count]);
        elements_on(&bits, elements, &mut on);
        sets.overlaps(&on, &mut counts);
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_count_is_the_size_of_the_intersection(
            (elements, members, input) in (1usize..200).prop_flat_map(|elements| {
                let set = prop::collection::btree_set(0..elements, 0..=elements);
                (Just(elements), prop::collection::vec(set.clone(), 1..20), set)
            }),
        ) {
            let mut sets = BitSets::empty(members.len(), elements);
            for (set, members) in members.iter().enumerate() {
                members.iter().for_each(|&element| sets.flip(set, element));
            }
            let input: Vec<usize> = input.into_iter().collect();
            let counts = overlaps(&sets, elements, &input, members.len());
            let shared = |set: &std::collections::BTreeSet<usize>| input.iter().filter(|&e| set.contains(e)).count();
            let expected: Vec<u32> = members.iter().map(|set| shared(set) as u32).collect();
            prop_assert_eq!(&counts, &expected);
        }
    }

    #[test]
    fn sets_of_every_strip_are_counted_past_what_eight_digits_hold() {
        let (count, elements) = (STRIP + 70, 1000);
        let mut sets = BitSets::empty(count, elements);
        for set in 0..count {
            (0..elements).step_by(1 + set % 7).for_each(|element| sets.flip(set, element));
        }
        let all: Vec<usize> = (0..elements).collect();
        let expected: Vec<u32> = (0..count).map(|set| elements.div_ceil(1 + set % 7) as u32).collect();
        assert_eq!(overlaps(&sets, elements, &all, count), expected);
    }

    #[test]
    fn what_is_flipped_twice_is_out_again() {
        let mut sets = BitSets::empty(3, 70);
        sets.flip(1, 65);
        sets.flip(1, 65);
        sets.flip(2, 65);
        assert_eq!(overlaps(&sets, 70, &[65], 3), [0, 0, 1]);
    }
}
