//! What a pooler makes of images, and what its codes are like.

use std::time::Instant;

use anyhow::Result;
use candle_core::Tensor;
use hebbian::{LearningRule, SpatialPooler};
use hebbian_classifier::{Labeled, SparseBinary};
use hebbian_experiment::codes::{entropy_bits, idle};
use hebbian_experiment::{Data, Row};

/// Images encoded at once.
const PORTION: usize = 1000;

/// The codes of all three sets.
pub struct Codes {
    pub train: SparseBinary,
    pub validation: Option<SparseBinary>,
    pub test: SparseBinary,
    seconds: f64,
}

impl Codes {
    pub fn of(data: &Data, encode: impl Fn(&Labeled) -> Result<SparseBinary>) -> Result<Self> {
        let begin = Instant::now();
        let (train, test) = (encode(&data.train)?, encode(&data.test)?);
        let validation = data.validation.as_ref().map(&encode).transpose()?;
        Ok(Self { train, validation, test, seconds: begin.elapsed().as_secs_f64() })
    }

    /// Adds what the codes of the test images are like.
    pub fn measure(&self, row: Row) -> Row {
        let counts: Vec<usize> = self.test.counts().iter().map(|&count| count as usize).collect();
        let total = counts.iter().sum::<usize>() as f64;
        let encoded =
            self.train.len() + self.test.len() + self.validation.as_ref().map_or(0, SparseBinary::len);
        let measures = [
            ("columns", self.test.features() as f64),
            ("active_columns", total / self.test.len() as f64),
            ("never_active", idle(&counts) as f64),
            ("entropy_bits", entropy_bits(&counts)),
            ("encode_samples_per_second", encoded as f64 / self.seconds),
        ];
        let measures = measures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Row { units: Some(self.test.features()), measures, ..row }
    }
}

pub fn encode(pooler: &SpatialPooler, inputs: &Tensor) -> Result<SparseBinary> {
    let mut codes = SparseBinary::new(pooler.units());
    for start in (0..inputs.dim(0)?).step_by(PORTION) {
        let portion = inputs.narrow(0, start, PORTION.min(inputs.dim(0)? - start))?;
        codes.push_indices(&pooler.encode_indices(&portion)?)?;
    }
    Ok(codes)
}

/// The codes of one more pass, in order, each taken while the pooler learns from it.
pub fn record(pooler: &mut SpatialPooler, inputs: &Tensor) -> Result<SparseBinary> {
    let mut codes = SparseBinary::new(pooler.units());
    for start in (0..inputs.dim(0)?).step_by(PORTION) {
        let portion = inputs.narrow(0, start, PORTION.min(inputs.dim(0)? - start))?;
        codes.push_indices(&pooler.learn(&portion)?.winners()?.clone())?;
    }
    Ok(codes)
}
