//! What a linear model is fitted to: examples as rows of features.

use candle_core::{DType, Result, Tensor};

use crate::SparseBinary;

/// Many examples of as many features each.
pub trait Design: Sync {
    /// Number of features.
    fn features(&self) -> usize;

    /// Number of examples.
    fn examples(&self) -> usize;

    /// The features of one example that may be other than 0, and their values.
    fn row(&self, example: usize) -> (&[u32], Values<'_>);
}

/// The values of some features.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// Each is 1.
    Ones,
    /// One for each.
    Numbers(&'a [f32]),
}

impl Design for SparseBinary {
    fn features(&self) -> usize {
        self.features()
    }

    fn examples(&self) -> usize {
        self.len()
    }

    fn row(&self, example: usize) -> (&[u32], Values<'_>) {
        (self.row(example), Values::Ones)
    }
}

/// Examples `(examples, features)` of any numbers.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hebbian_classifier::{Dense, LogisticRegression, LogisticRegressionConfig};
///
/// let examples = Dense::of(&Tensor::new(&[[0.5f32, -3.0], [1.5, -2.0], [4.0, 7.0]], &Device::Cpu)?)?;
/// let labels = Tensor::new(&[0u32, 0, 1], &Device::Cpu)?;
/// let model = LogisticRegression::fit(&examples, &labels, 2, LogisticRegressionConfig::default())?;
/// assert_eq!(model.predict(&examples)?, [0, 0, 1]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dense {
    /// All features, for every row the same.
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl Dense {
    /// The rows of `examples (examples, features)`.
    pub fn of(examples: &Tensor) -> Result<Self> {
        let (_, features) = examples.dims2()?;
        let values = examples.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        Ok(Self { indices: (0..features as u32).collect(), values })
    }
}

impl Design for Dense {
    fn features(&self) -> usize {
        self.indices.len()
    }

    fn examples(&self) -> usize {
        self.values.len() / self.indices.len().max(1)
    }

    fn row(&self, example: usize) -> (&[u32], Values<'_>) {
        let features = self.features();
        let values = &self.values[example * features..(example + 1) * features];
        (&self.indices, Values::Numbers(values))
    }
}
