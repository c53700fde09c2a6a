//! MNIST itself, so that every example runs without a download.

use std::io;

use ruzstd::decoding::StreamingDecoder;

use crate::idx::Idx;
use crate::idx_dir::raw;
use crate::raw::Raw;
use crate::{Dataset, Error, Result};

macro_rules! embedded {
    ($name:literal) => {
        decode($name, include_bytes!(concat!("../data/mnist/", $name, ".zst")))
    };
}

impl Dataset {
    /// The 60 000 training and 10 000 test images of MNIST, 28 x 28 gray pixels, ten classes.
    ///
    /// They are part of the crate: the four published files, compressed. Decoding takes some tenths of a second and
    /// leaves 55 MB in memory. The authors and the license are named in `data/mnist/README.md`.
    ///
    /// # Errors
    /// Only if there is not enough memory.
    pub fn mnist() -> Result<Self> {
        let train = raw(embedded!("train-images-idx3-ubyte")?, Some(embedded!("train-labels-idx1-ubyte")?));
        let test = raw(embedded!("t10k-images-idx3-ubyte")?, Some(embedded!("t10k-labels-idx1-ubyte")?));
        Raw { form: "embedded", train, test: Some(test), class_names: None, notes: vec![] }.dataset("mnist")
    }
}

fn decode<const N: usize>(name: &str, compressed: &[u8]) -> Result<Idx<N>> {
    let file = format!("embedded {name}");
    match StreamingDecoder::new(compressed) {
        Ok(decoder) => {
            let length = decoder.decoder.content_size();
            Idx::read(file, decoder, Some(length))
        }
        Err(reason) => Err(Error::Read { file, offset: 0, reason: io::Error::other(reason) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Examples;

    /// FNV-1a. The values below were computed from the published files, after their SHA-256 sums were checked.
    fn fnv(bytes: &[u8]) -> u64 {
        let mix = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
    }

    fn pixels(examples: &Examples) -> Vec<u8> {
        examples.images().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn labels(examples: &Examples) -> Vec<u8> {
        let labels = examples.labels().unwrap().to_vec1::<u32>().unwrap();
        labels.into_iter().map(|label| u8::try_from(label).unwrap()).collect()
    }

    fn count_by_class(labels: &[u8]) -> [usize; 10] {
        let mut counts = [0; 10];
        labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        counts
    }

    #[test]
    fn mnist_is_the_published_mnist_in_its_published_order() {
        let mnist = Dataset::mnist().unwrap();
        assert_eq!((mnist.name.as_str(), mnist.classes(), mnist.shape.inputs()), ("mnist", 10, 784));
        assert_eq!(mnist.train.images().dims(), [60_000, 784]);
        assert_eq!(mnist.test.images().dims(), [10_000, 784]);

        let (train, test) = (labels(&mnist.train), labels(&mnist.test));
        assert_eq!(train[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
        assert_eq!(test[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
        let train_counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949];
        assert_eq!(count_by_class(&train), train_counts);
        assert_eq!(count_by_class(&test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);

        assert_eq!(fnv(&pixels(&mnist.train)), 0xb6e6_1966_0867_1562);
        assert_eq!(fnv(&pixels(&mnist.test)), 0x8614_c3e5_5764_d65f);
        assert_eq!(fnv(&train), 0xe3a3_5dee_6624_74a5);
        assert_eq!(fnv(&test), 0xfca1_a11d_31bd_96bb);
    }
}
