//! Features of which few are 1 and all others 0.

use candle_core::{DType, Result, Tensor, bail};

/// Many examples of 0/1 features, each as the indices of those that are 1.
///
/// A code of 1254 active columns among 12 544 takes a tenth of the room that it would as f32, and the rest is never
/// read.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hebbian_classifier::SparseBinary;
///
/// let mut codes = SparseBinary::new(5);
/// codes.push_indices(&Tensor::new(&[[0u32, 3], [4, u32::MAX]], &Device::Cpu)?)?;
/// codes.push_dense(&Tensor::new(&[[0u8, 1, 1, 0, 0]], &Device::Cpu)?)?;
/// assert_eq!(codes.rows().collect::<Vec<_>>(), [&[0, 3][..], &[4], &[1, 2]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SparseBinary {
    features: usize,
    /// Where the indices of each example end.
    ends: Vec<usize>,
    active: Vec<u32>,
}

impl SparseBinary {
    /// No examples yet, of `features` features.
    pub fn new(features: usize) -> Self {
        Self { features, ends: Vec::new(), active: Vec::new() }
    }

    /// Adds examples by the indices `(examples, most)` u32 of their features that are 1; `u32::MAX` stands for none.
    pub fn push_indices(&mut self, indices: &Tensor) -> Result<()> {
        let rows = indices.to_vec2::<u32>()?;
        if let Some(beyond) = rows.iter().flatten().find(|&&i| i != u32::MAX && i as usize >= self.features) {
            bail!("feature {beyond} is not among the {} features", self.features);
        }
        for row in rows {
            self.push(row.into_iter().filter(|&index| index != u32::MAX));
        }
        Ok(())
    }

    /// Adds examples `(examples, features)` of zeros and ones.
    pub fn push_dense(&mut self, examples: &Tensor) -> Result<()> {
        let (_, features) = examples.dims2()?;
        if features != self.features {
            bail!("the examples have {features} features, expected {}", self.features);
        }
        let rows = examples.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        if let Some(value) = rows.iter().flatten().find(|&&value| value != 0.0 && value != 1.0) {
            bail!("a feature is {value}, expected 0 or 1");
        }
        for row in rows {
            self.push(row.into_iter().zip(0..).filter(|(value, _)| *value == 1.0).map(|(_, index)| index));
        }
        Ok(())
    }

    fn push(&mut self, active: impl Iterator<Item = u32>) {
        self.active.extend(active);
        self.ends.push(self.active.len());
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The features of one example that are 1.
    pub fn row(&self, example: usize) -> &[u32] {
        let start = if example == 0 { 0 } else { self.ends[example - 1] };
        &self.active[start..self.ends[example]]
    }

    /// The features of each example that are 1.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        (0..self.len()).map(|example| self.row(example))
    }

    /// In how many examples each feature is 1, `(features)`.
    pub fn counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.features];
        self.active.iter().for_each(|&feature| counts[feature as usize] += 1);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_feature_beyond_the_last_and_a_value_between_are_refused() -> Result<()> {
        let mut codes = SparseBinary::new(3);
        let message = |error: candle_core::Error| error.to_string().lines().next().unwrap_or("").to_owned();
        let beyond = codes.push_indices(&Tensor::new(&[[0u32, 3]], &Device::Cpu)?).unwrap_err();
        assert_eq!(message(beyond), "feature 3 is not among the 3 features");
        let between = codes.push_dense(&Tensor::new(&[[0f32, 0.5, 1.0]], &Device::Cpu)?).unwrap_err();
        assert_eq!(message(between), "a feature is 0.5, expected 0 or 1");
        let wide = codes.push_dense(&Tensor::new(&[[0f32; 4]], &Device::Cpu)?).unwrap_err();
        assert_eq!(message(wide), "the examples have 4 features, expected 3");
        assert!(codes.is_empty());
        Ok(())
    }

    #[test]
    fn counts_say_how_often_each_feature_is_on() -> Result<()> {
        let mut codes = SparseBinary::new(4);
        codes.push_dense(&Tensor::new(&[[1u8, 0, 1, 0], [1, 1, 0, 0]], &Device::Cpu)?)?;
        assert_eq!((codes.counts(), codes.len(), codes.features()), (vec![2, 1, 1, 0], 2, 4));
        Ok(())
    }
}
