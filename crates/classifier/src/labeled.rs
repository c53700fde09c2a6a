//! Inputs with the classes that they belong to.

use candle_core::{DType, Result, Tensor, bail};

use crate::rows;

/// Examples `(examples, inputs)` f32 and their labels `(examples)` u32, on one device.
///
/// The inputs may be f16 to take half the room, as those of [`encode_half`](crate::encode_half). Batches and portions of
/// them are f32 wherever they are computed with.
#[derive(Clone, Debug)]
pub struct Labeled {
    inputs: Tensor,
    labels: Tensor,
}

impl Labeled {
    /// Refuses inputs and labels that do not belong together.
    pub fn new(inputs: Tensor, labels: Tensor) -> Result<Self> {
        if inputs.rank() != 2 || labels.rank() != 1 || inputs.dim(0)? != labels.dim(0)? {
            bail!(
                "inputs have shape {:?} and labels {:?}, expected (examples, inputs) and (examples)",
                inputs.dims(),
                labels.dims()
            );
        }
        if labels.dtype() != DType::U32 {
            bail!("labels are {:?}, expected U32", labels.dtype());
        }
        Ok(Self { inputs, labels })
    }

    /// The inputs `(examples, inputs)`, as they are held.
    pub fn inputs(&self) -> &Tensor {
        &self.inputs
    }

    /// The classes `(examples)` u32.
    pub fn labels(&self) -> &Tensor {
        &self.labels
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.elem_count()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same labels with other inputs, such as the features of these.
    pub fn with_inputs(&self, inputs: Tensor) -> Result<Self> {
        Self::new(inputs, self.labels.clone())
    }

    /// The examples cut into portions of at most `size`, and of f16 inputs at most [`WIDENED_BYTES`], as f32.
    pub(crate) fn portions(&self, size: usize) -> impl Iterator<Item = Result<Self>> + '_ {
        let size = match self.inputs.dtype() {
            DType::F16 => size.min(rows::within(WIDENED_BYTES, self.inputs.elem_count() / self.len().max(1))),
            _ => size,
        };
        (0..self.len()).step_by(size).map(move |start| {
            let size = size.min(self.len() - start);
            let inputs = rows::widened(&self.inputs.narrow(0, start, size)?)?;
            Self::new(inputs, self.labels.narrow(0, start, size)?)
        })
    }
}

/// Bytes of f32 that a portion of f16 inputs may become.
const WIDENED_BYTES: usize = 16 << 20;
