//! Training, validation and test sets.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::{Dataset, Error, Examples, Result};

/// Whatever seed an experiment has, its validation images are these: results of different seeds, rules and years can
/// then be compared, and no run has validated on what another trained on.
const SPLIT_SEED: [u8; 32] = *b"hebbian: one split for all seeds";

/// How many examples each set has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitSizes {
    /// Training examples; `None` takes all that validation leaves.
    pub train: Option<usize>,
    /// Validation examples, taken out of the training set; 0 trains on all of it.
    pub validation: usize,
    /// Test examples; `None` takes all.
    pub test: Option<usize>,
}

/// 10 000 examples for validation and all others in use: 50 000, 10 000 and 10 000 for MNIST.
impl Default for SplitSizes {
    fn default() -> Self {
        Self { train: None, validation: 10_000, test: None }
    }
}

/// What an experiment trains on, chooses by, and reports.
#[derive(Clone, Debug)]
pub struct Split {
    /// What is trained on.
    pub train: Examples,
    /// What choices are made by, such as an epoch or a learning rate. Empty if its size is 0.
    pub validation: Examples,
    /// What is reported, and never chosen by.
    pub test: Examples,
}

impl Dataset {
    /// Splits the training set in two and cuts the test set to size.
    ///
    /// The training set is put into one fixed random order. Validation takes the end of it and training the start, so
    /// the validation set does not depend on any seed or on the training size, and a smaller training set is the start
    /// of a larger one. Test images are the first in their raw order.
    ///
    /// # Errors
    /// If a size is more than there is, or if training or test would be empty; the message names `train_size`,
    /// `validation_size` or `test_size`.
    pub fn split(&self, sizes: SplitSizes) -> Result<Split> {
        let (available, name) = (self.train.len(), &self.name);
        let images = format!("{name} has {available} training images");
        check("validation_size", sizes.validation, 0, available.saturating_sub(1), &images)?;

        let rest = available - sizes.validation;
        let train = sizes.train.unwrap_or(rest);
        let images = format!("{images}, {} of them for validation", sizes.validation);
        check("train_size", train, 1, rest, &images)?;

        let available = self.test.len();
        let test = sizes.test.unwrap_or(available);
        check("test_size", test, 1, available, &format!("{name} has {available} test images"))?;

        let order = permutation(self.train.len());
        Ok(Split {
            train: self.train.select(&order[..train])?,
            validation: self.train.select(&order[rest..])?,
            test: self.test.first(test)?,
        })
    }
}

fn check(field: &'static str, value: usize, min: usize, max: usize, reason: &str) -> Result<()> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::Size { field, value, min, max, reason: reason.to_owned() })
}

/// A shuffle (Fisher-Yates) of `0..count`. Written out, because a library is free to draw differently in its next
/// version and the split must not change with it.
fn permutation(count: usize) -> Vec<u32> {
    let mut generator = ChaCha8Rng::from_seed(SPLIT_SEED);
    let mut order: Vec<u32> = (0..count as u32).collect();
    for last in (1..count).rev() {
        let draw = u128::from(generator.next_u64());
        let chosen = (draw * (last as u128 + 1)) >> 64;
        order.swap(last, chosen as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::ImageShape;

    /// Each training image is one pixel that tells its place in the raw order.
    fn dataset(train: usize, test: usize) -> Dataset {
        let examples = |count: usize| {
            let images = Tensor::from_iter(0..count as u8, &Device::Cpu).unwrap();
            let labels = Tensor::zeros(count, candle_core::DType::U32, &Device::Cpu).unwrap();
            Examples::new(images.reshape((count, 1)).unwrap(), labels, 1).unwrap()
        };
        Dataset {
            name: "counting".into(),
            shape: ImageShape { height: 1, width: 1, channels: 1 },
            class_names: vec!["0".to_owned()],
            form: "numbers",
            notes: vec![],
            train: examples(train),
            test: examples(test),
        }
    }

    fn sizes(train: Option<usize>, validation: usize, test: Option<usize>) -> SplitSizes {
        SplitSizes { train, validation, test }
    }

    fn places(examples: &Examples) -> Vec<u8> {
        examples.images().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn mnist_splits_into_50_000_10_000_and_10_000() {
        let split = Dataset::mnist().unwrap().split(SplitSizes::default()).unwrap();
        assert_eq!(split.train.images().dims(), [50_000, 784]);
        assert_eq!(split.validation.images().dims(), [10_000, 784]);
        assert_eq!(split.test.images().dims(), [10_000, 784]);
    }

    #[test]
    fn the_permutation_of_mnist_never_changes() {
        let order = permutation(60_000);
        assert_eq!(order[..5], [20093, 3339, 27267, 12080, 39215]);
        assert_eq!(order[59_995..], [29974, 13169, 2023, 43832, 46512]);
    }

    #[test]
    fn every_training_image_is_in_one_set_and_only_one() {
        let split = dataset(100, 10).split(sizes(None, 30, None)).unwrap();
        assert_eq!((split.train.len(), split.validation.len()), (70, 30));
        let mut all = [places(&split.train), places(&split.validation)].concat();
        assert!(!all.is_sorted());
        all.sort_unstable();
        assert_eq!(all, Vec::from_iter(0..100));
    }

    #[test]
    fn a_smaller_training_set_is_the_start_of_a_larger_one() {
        let dataset = dataset(100, 10);
        let all = dataset.split(sizes(None, 30, None)).unwrap();
        let some = dataset.split(sizes(Some(20), 30, None)).unwrap();
        assert_eq!(places(&some.train), places(&all.train)[..20]);
        assert_eq!(places(&some.validation), places(&all.validation));
    }

    #[test]
    fn a_smaller_validation_set_is_the_end_of_a_larger_one() {
        let dataset = dataset(100, 10);
        let large = dataset.split(sizes(None, 30, None)).unwrap();
        let small = dataset.split(sizes(None, 10, None)).unwrap();
        assert_eq!(places(&small.validation), places(&large.validation)[20..]);
        assert!(places(&small.train).starts_with(&places(&large.train)));
    }

    #[test]
    fn no_validation_trains_on_everything() {
        let split = dataset(100, 10).split(sizes(None, 0, None)).unwrap();
        assert_eq!(split.train.len(), 100);
        assert!(split.validation.is_empty());
    }

    #[test]
    fn test_images_are_the_first_in_their_raw_order() {
        let split = dataset(100, 10).split(sizes(None, 30, Some(4))).unwrap();
        assert_eq!(places(&split.test), [0, 1, 2, 3]);
    }

    #[test]
    fn impossible_sizes_name_the_field_the_value_and_what_is_allowed() {
        let validation = "counting has 100 training images";
        let train = "counting has 100 training images, 30 of them for validation";
        let test = "counting has 10 test images";
        for (sizes, message) in [
            (sizes(None, 100, None), format!("validation_size is 100, expected 0 to 99: {validation}")),
            (sizes(None, usize::MAX, None), {
                format!("validation_size is {}, expected 0 to 99: {validation}", usize::MAX)
            }),
            (sizes(Some(0), 30, None), format!("train_size is 0, expected 1 to 70: {train}")),
            (sizes(Some(71), 30, None), format!("train_size is 71, expected 1 to 70: {train}")),
            (sizes(None, 30, Some(0)), format!("test_size is 0, expected 1 to 10: {test}")),
            (sizes(None, 30, Some(11)), format!("test_size is 11, expected 1 to 10: {test}")),
        ] {
            assert_eq!(dataset(100, 10).split(sizes).unwrap_err().to_string(), message);
        }
    }
}
