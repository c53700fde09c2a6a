//! One epoch cut into minibatches.

use candle_core::{Device, Result, Tensor};

use crate::Generator;

/// The minibatches of one epoch, as rows to take from a tensor of examples.
///
/// All batches are full: what is left over at the end is dropped, as all five notebooks do, and returns with the next
/// shuffle.
#[derive(Clone, Debug)]
pub struct Batches {
    order: Vec<u32>,
    size: usize,
}

impl Batches {
    /// `examples` rows in a fresh random order, `size` at a time.
    pub fn shuffled(generator: &mut Generator, examples: usize, size: usize) -> Self {
        Self { order: generator.permutation(examples), size: size.max(1) }
    }

    /// `examples` rows in the order that they have, `size` at a time: a stream, in which one follows from the other.
    pub fn in_order(examples: usize, size: usize) -> Self {
        Self { order: (0..examples as u32).collect(), size: size.max(1) }
    }

    /// How many batches there are.
    pub fn len(&self) -> usize {
        self.order.len() / self.size
    }

    /// Whether there are fewer examples than one batch takes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row numbers of each batch, `(size)` u32 on `device`. The whole order is moved there once.
    pub fn indices(&self, device: &Device) -> Result<impl Iterator<Item = Result<Tensor>> + use<>> {
        let size = self.size;
        let order = Tensor::from_slice(&self.order, self.order.len(), device)?;
        Ok((0..self.len()).map(move |batch| order.narrow(0, batch * size, size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_takes_each_example_at_most_once() -> Result<()> {
        let batches = Batches::shuffled(&mut Generator::new(0, "test"), 103, 10);
        let mut seen = Vec::new();
        for indices in batches.indices(&Device::Cpu)? {
            seen.extend(indices?.to_vec1::<u32>()?);
        }
        assert_eq!(seen.len(), 100);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 100);
        assert!(seen.iter().all(|&example| example < 103));
        Ok(())
    }

    #[test]
    fn a_stream_keeps_its_order() -> Result<()> {
        let batches = Batches::in_order(7, 3).indices(&Device::Cpu)?.map(|indices| indices?.to_vec1::<u32>());
        assert_eq!(batches.collect::<Result<Vec<_>>>()?, [[0, 1, 2], [3, 4, 5]]);
        Ok(())
    }

    #[test]
    fn fewer_examples_than_a_batch_make_no_batch() {
        assert!(Batches::shuffled(&mut Generator::new(0, "test"), 9, 10).is_empty());
    }
}
