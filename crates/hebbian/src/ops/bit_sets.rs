//! Sets of inputs as bits: how many members a set shares with an input is a count of `and`ed words.

use multiversion::multiversion;

/// Words whose bits are counted side by side: one AVX-512 register, whose population count LLVM then uses.
const LANES: usize = 8;

/// Many sets over the same elements, eight of them interleaved word by word, so that a kernel counts eight at a time.
#[derive(Clone, Debug)]
pub(crate) struct BitSets {
    /// Words a set.
    words: usize,
    /// `blocks x words x LANES`.
    bits: Vec<[u64; LANES]>,
}

/// Words that hold one bit for each of `elements`.
pub(crate) fn words(elements: usize) -> usize {
    elements.div_ceil(64)
}

impl BitSets {
    /// `sets` empty sets.
    pub(crate) fn empty(sets: usize, elements: usize) -> Self {
        let words = words(elements);
        Self { words, bits: vec![[0; LANES]; sets.div_ceil(LANES) * words] }
    }

    /// Puts `element` into `set`, or takes it out if it is there.
    pub(crate) fn flip(&mut self, set: usize, element: usize) {
        let word = set / LANES * self.words + element / 64;
        self.bits[word][set % LANES] ^= 1 << (element % 64);
    }

    /// How many elements each set shares with an input, `(sets)`, which comes as its words that are not 0, each behind
    /// its place.
    pub(crate) fn overlaps(&self, input: &[(usize, u64)], counts: &mut [u32]) {
        count(&self.bits, self.words, input, counts);
    }
}

#[multiversion(targets = "simd")]
fn count(bits: &[[u64; LANES]], words: usize, input: &[(usize, u64)], counts: &mut [u32]) {
    for (block, counts) in bits.chunks_exact(words).zip(counts.chunks_mut(LANES)) {
        let mut shared = [0u64; LANES];
        for &(place, input) in input {
            let words = &block[place];
            for lane in 0..LANES {
                shared[lane] += u64::from((words[lane] & input).count_ones());
            }
        }
        for (count, shared) in counts.iter_mut().zip(shared) {
            *count = shared as u32;
        }
    }
}

/// The words of `input` that are not 0, each behind its place, into `on`.
pub(crate) fn words_on(input: &[u64], on: &mut Vec<(usize, u64)>) {
    on.clear();
    on.extend(input.iter().copied().enumerate().filter(|(_, word)| *word != 0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            let mut bits = vec![0; words(elements)];
            input.iter().for_each(|element| bits[element / 64] |= 1 << (element % 64));
            let (mut on, mut counts) = (Vec::new(), vec![0; members.len()]);
            words_on(&bits, &mut on);
            sets.overlaps(&on, &mut counts);
            let expected: Vec<u32> = members.iter().map(|set| set.intersection(&input).count() as u32).collect();
            prop_assert_eq!(&counts, &expected);
        }
    }

    #[test]
    fn what_is_flipped_twice_is_out_again() {
        let mut sets = BitSets::empty(3, 70);
        sets.flip(1, 65);
        sets.flip(1, 65);
        sets.flip(2, 65);
        let mut counts = [0; 3];
        sets.overlaps(&[(1, 1 << 1)], &mut counts);
        assert_eq!(counts, [0, 0, 1]);
    }
}
