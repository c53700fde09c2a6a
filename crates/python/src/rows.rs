//! Rows of a NumPy array, read where they lie: a batch at a time is copied, never all of them.

use anyhow::Result;
use candle_core::{Device, Tensor, bail};
use hebbian::Examples;
use numpy::PyReadonlyArray2;
use numpy::PyUntypedArrayMethods;
use pyo3::PyResult;
use rayon::prelude::*;

use crate::failure::exception;

/// Samples `(samples, inputs)` f32.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    values: &'a [f32],
    samples: usize,
    inputs: usize,
    device: &'a Device,
    bits: Option<Bits>,
}

/// Which values become 1, the others 0.
#[derive(Clone, Copy, Debug)]
pub enum Bits {
    /// Those of at least the mean of their own sample.
    AboveMean,
    /// Those of at least this.
    Above(f32),
}

/// Samples from which a layer prepares, as many as a stack takes for its upper layers.
const PREPARED: usize = 1000;

impl<'a> Rows<'a> {
    /// The rows of `array`, which is C-contiguous, for a layer on `device`.
    pub fn of(
        array: &'a PyReadonlyArray2<'_, f32>,
        device: &'a Device,
        bits: Option<Bits>,
    ) -> PyResult<Self> {
        let contiguous = array.as_slice().map_err(|error| exception(anyhow::anyhow!("X: {error}")))?;
        let &[samples, inputs] = array.shape() else {
            return Err(exception(anyhow::anyhow!("X has shape {:?}", array.shape())));
        };
        Ok(Self { values: contiguous, samples, inputs, device, bits })
    }

    /// How many there are.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Values per sample.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// So many rows from `start` on, as the layer takes them.
    pub fn range(&self, start: usize, rows: usize) -> candle_core::Result<Tensor> {
        let values = &self.values[start * self.inputs..(start + rows) * self.inputs];
        self.tensor(values.to_vec(), rows)
    }

    fn tensor(&self, values: Vec<f32>, rows: usize) -> candle_core::Result<Tensor> {
        let shape = (rows, self.inputs);
        match self.bits {
            None => Tensor::from_vec(values, shape, self.device),
            Some(bits) => {
                let bits = values.chunks(self.inputs.max(1)).flat_map(|row| bits.of(row));
                Tensor::from_vec(bits.collect::<Vec<u8>>(), shape, self.device)
            }
        }
    }

    /// What `respond` makes of all rows, `portion` of them at a time, and how many values it gives per row.
    pub fn map(
        &self,
        portion: usize,
        mut respond: impl FnMut(&Tensor) -> Result<Tensor>,
    ) -> Result<(Vec<f32>, usize)> {
        let (mut all, mut columns) = (Vec::new(), 0);
        for start in (0..self.samples).step_by(portion.max(1)) {
            let rows = portion.min(self.samples - start);
            let response = respond(&self.range(start, rows)?)?;
            columns = response.dim(1)?;
            if start == 0 {
                all.try_reserve_exact(self.samples.saturating_mul(columns))?;
            }
            all.extend(response.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok((all, columns))
    }
}

impl Bits {
    fn of(self, row: &[f32]) -> impl Iterator<Item = u8> + '_ {
        let least = match self {
            Self::AboveMean => (row.iter().copied().map(f64::from).sum::<f64>() / row.len() as f64) as f32,
            Self::Above(least) => least,
        };
        row.iter().map(move |&value| u8::from(value >= least))
    }
}

impl Examples for Rows<'_> {
    fn examples(&self) -> candle_core::Result<usize> {
        Ok(self.samples)
    }

    fn check(&self) -> candle_core::Result<()> {
        match self.values.par_iter().position_any(|value| !value.is_finite()) {
            Some(place) => {
                bail!("X holds a value that is not finite, in sample {}", place / self.inputs.max(1))
            }
            None => Ok(()),
        }
    }

    /// At most [`PREPARED`] of them.
    fn first(&self) -> candle_core::Result<Tensor> {
        self.range(0, self.samples.min(PREPARED))
    }

    fn batch(&self, indices: &Tensor) -> candle_core::Result<Tensor> {
        let indices = indices.to_vec1::<u32>()?;
        let mut values = Vec::with_capacity(indices.len() * self.inputs);
        for &index in &indices {
            let start = index as usize * self.inputs;
            values.extend_from_slice(&self.values[start..start + self.inputs]);
        }
        self.tensor(values, indices.len())
    }
}
