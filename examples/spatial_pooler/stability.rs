//! How far codes stay the same from epoch to epoch, and how the columns share the work.

use anyhow::{Context, Result};
use candle_core::Tensor;
use hebbian::{Event, LearningRule, SpatialPooler};
use hebbian_classifier::SparseBinary;
use hebbian_experiment::Watcher;
use hebbian_experiment::codes::quantiles;
use hebbian_training::State;
use serde_json::{Map, Value, json};

const QUANTILES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Under which a checkpoint in the middle of an epoch holds the codes from its beginning.
const BEFORE: &str = "before";

/// Compares the codes of a few inputs at the end of each epoch to those at its beginning.
pub struct Stability {
    /// The inputs, `(probes, inputs)`.
    probes: Tensor,
    /// The active columns of each at the beginning of the epoch, `(probes, most)` u32.
    before: Tensor,
}

impl Stability {
    /// Begins with the codes that `pooler` has for `probes` now.
    pub fn new(pooler: &SpatialPooler, probes: Tensor) -> Result<Self> {
        let before = pooler.encode_indices(&probes)?;
        Ok(Self { probes, before })
    }
}

/// Adds the stability, and quantiles of the columns' duty cycles and boosts.
impl Watcher<SpatialPooler> for Stability {
    fn observe(&mut self, event: &Event<'_, SpatialPooler>, line: &mut Map<String, Value>) -> Result<()> {
        if event.epoch_report().is_none() {
            return Ok(());
        }
        let now = event.rule.encode_indices(&self.probes)?;
        let units = event.rule.units();
        let stability = stability(&codes(&self.before, units)?, &codes(&now, units)?);
        line.insert("stability".to_owned(), json!(stability));
        line.insert("activity_quantiles".to_owned(), json!(quantiles(&event.rule.activity()?, &QUANTILES)?));
        line.insert("boost_quantiles".to_owned(), json!(quantiles(&event.rule.boosts()?, &QUANTILES)?));
        self.before = now;
        Ok(())
    }

    fn state(&self) -> Result<State> {
        Ok([(BEFORE.to_owned(), self.before.clone())].into())
    }

    fn restore(&mut self, mut state: State) -> Result<()> {
        self.before = state.remove(BEFORE).with_context(|| format!("there is no `{BEFORE}`"))?;
        Ok(())
    }
}

fn codes(indices: &Tensor, units: usize) -> Result<SparseBinary> {
    let mut codes = SparseBinary::new(units);
    codes.push_indices(indices)?;
    Ok(codes)
}

/// Mean share of an input's active columns that were active before too.
fn stability(before: &SparseBinary, now: &SparseBinary) -> f64 {
    let share = |(before, now): (&[u32], &[u32])| {
        let kept = now.iter().filter(|column| before.binary_search(column).is_ok()).count();
        kept as f64 / now.len().max(1) as f64
    };
    before.rows().zip(now.rows()).map(share).sum::<f64>() / now.len() as f64
}
