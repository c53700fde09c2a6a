//! What a pooler makes of images, and what its codes are like.

use std::time::Instant;

use anyhow::Result;
use candle_core::Tensor;
use hebbian::{LearningRule, SpatialPooler};
use hebbian_classifier::{Labeled, SparseBinary};
use hebbian_experiment::codes::{entropy_bits, idle, quantiles};
use hebbian_experiment::{Data, Row};
use serde_json::{Map, Value, json};

/// Images encoded at once.
const PORTION: usize = 1000;
const QUANTILES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

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

/// Mean share of an input's active columns that were active before too.
pub fn stability(before: &SparseBinary, now: &SparseBinary) -> f64 {
    let share = |(before, now): (&[u32], &[u32])| {
        let kept = now.iter().filter(|column| before.binary_search(column).is_ok()).count();
        kept as f64 / now.len().max(1) as f64
    };
    before.rows().zip(now.rows()).map(share).sum::<f64>() / now.len() as f64
}

/// Adds quantiles of the columns' duty cycles and boosts to the epoch's line of the metrics.
pub fn duty_cycles(pooler: &SpatialPooler, line: &mut Map<String, Value>) -> Result<()> {
    line.insert("activity_quantiles".to_owned(), json!(quantiles(&pooler.activity()?, &QUANTILES)?));
    line.insert("boost_quantiles".to_owned(), json!(quantiles(&pooler.boosts()?, &QUANTILES)?));
    Ok(())
}
