//! The batches that a network is trained on.

use candle_core::{DType, Result, Tensor};

use crate::Labeled;
use crate::dropout::Dropout;
use crate::rows::Rows;

/// Batches of one size, as f32 and with dropout.
///
/// On the CPU one kernel takes the rows, widens f16 and applies the mask, into the memory of the batch before: a batch is
/// done with when the next one is taken. Elsewhere it is a graph, with masks drawn on the host, and a test holds the two
/// equal.
pub(crate) struct Minibatches<'a> {
    examples: &'a Labeled,
    dropout: Option<Dropout>,
    batch: Option<Tensor>,
}

impl<'a> Minibatches<'a> {
    pub(crate) fn new(examples: &'a Labeled, dropout: Option<Dropout>) -> Self {
        Self { examples, dropout, batch: None }
    }

    /// The examples of the rows `indices (batch)` u32 for step `step` of the training. It replaces the batch before.
    pub(crate) fn take(&mut self, indices: &Tensor, step: usize) -> Result<Labeled> {
        let inputs = self.examples.inputs();
        let numbers = [DType::F32, DType::F16].contains(&inputs.dtype());
        let kernel = inputs.device().is_cpu() && inputs.is_contiguous() && numbers;
        let inputs = match self.dropout {
            None if inputs.dtype() == DType::F32 => inputs.index_select(indices, 0)?,
            _ if kernel => self.by_kernel(indices, step)?,
            _ => self.by_graph(indices, step)?,
        };
        Labeled::new(inputs, self.examples.labels().index_select(indices, 0)?)
    }

    fn masks(&self, step: usize, batch: usize) -> Option<(&Dropout, u64)> {
        self.dropout.as_ref().map(|dropout| (dropout, step as u64 * batch as u64))
    }

    fn by_kernel(&mut self, indices: &Tensor, step: usize) -> Result<Tensor> {
        let indices = indices.to_vec1::<u32>()?;
        let inputs = self.examples.inputs();
        let shape = (indices.len(), inputs.dim(1)?);
        let batch = match self.batch.take() {
            Some(batch) if batch.dims() == [shape.0, shape.1] => batch,
            _ => Tensor::zeros(shape, DType::F32, inputs.device())?,
        };
        batch.inplace_op2(inputs, &Rows { indices: &indices, masks: self.masks(step, indices.len()) })?;
        self.batch = Some(batch.clone());
        Ok(batch)
    }

    fn by_graph(&self, indices: &Tensor, step: usize) -> Result<Tensor> {
        let rows = self.examples.inputs().index_select(indices, 0)?.to_dtype(DType::F32)?;
        match self.masks(step, rows.dim(0)?) {
            Some((dropout, first)) => &rows * dropout.factors(first, rows.dims2()?, rows.device())?,
            None => Ok(rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;

    fn examples(dtype: DType) -> Result<Labeled> {
        let inputs = Generator::new(0, "minibatches").normal((50, 1501), 0.0, 1.0, &Device::Cpu)?;
        Labeled::new(inputs.to_dtype(dtype)?, Tensor::arange(0u32, 50, &Device::Cpu)?)
    }

    fn indices() -> Result<Tensor> {
        Tensor::new(&[7u32, 0, 49, 7, 20, 3, 11, 12, 13], &Device::Cpu)
    }

    #[test]
    fn kernel_and_graph_take_the_same_batches() -> Result<()> {
        for dtype in [DType::F32, DType::F16] {
            for dropout in [None, Dropout::of(0.3, 5)] {
                let examples = examples(dtype)?;
                let mut batches = Minibatches::new(&examples, dropout);
                for step in [0, 1, 1000] {
                    let graph = batches.by_graph(&indices()?, step)?.to_vec2::<f32>()?;
                    assert_eq!(batches.by_kernel(&indices()?, step)?.to_vec2::<f32>()?, graph);
                }
            }
        }
        Ok(())
    }

    #[test]
    fn masks_are_the_same_whatever_the_number_of_threads_and_follow_seed_and_step() -> Result<()> {
        let examples = examples(DType::F16)?;
        let batch = |threads: usize, seed, step| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let taken = pool
                .map_err(candle_core::Error::wrap)?
                .install(|| Minibatches::new(&examples, Dropout::of(0.5, seed)).take(&indices()?, step));
            taken?.inputs().to_vec2::<f32>()
        };
        let one = batch(1, 0, 4)?;
        for threads in [2, 3, 8] {
            assert_eq!(batch(threads, 0, 4)?, one, "{threads} threads");
        }
        assert_ne!(batch(1, 1, 4)?, one);
        assert_ne!(batch(1, 0, 5)?, one);
        Ok(())
    }

    #[test]
    fn what_is_no_row_is_refused() -> Result<()> {
        let examples = examples(DType::F16)?;
        let beyond = Tensor::new(&[3u32, 50], &Device::Cpu)?;
        let refused = Minibatches::new(&examples, None).take(&beyond, 0).unwrap_err().to_string();
        assert!(refused.starts_with("rows: 2 of a matrix (50, 1501)"), "{refused}");
        Ok(())
    }
}
