//! Examples that nobody has labeled.

use anyhow::Result;
use candle_core::Tensor;
use hebbian::Parameters;
use hebbian_datasets::{Dataset, DatasetSummary, ImageShape};
use serde_json::Value;

use crate::{DataSettings, Subject, check_batches, summary_with};

/// What a rule learns from where there are no labels: all training examples.
pub(super) struct Unlabeled {
    inputs: Tensor,
    shape: ImageShape,
    dataset: DatasetSummary,
}

impl Unlabeled {
    /// The training examples of `raw`, as many as the settings say, made inputs by `prepare`.
    pub(super) fn load<P: Parameters>(
        settings: &P,
        data: &DataSettings,
        raw: &Dataset,
        prepare: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        let all = raw.train.len();
        let examples = raw.train.first(data.train_size.unwrap_or(all).min(all))?;
        check_batches(settings, "training examples", examples.len())?;
        Ok(Self { inputs: prepare(examples.images())?, shape: raw.shape, dataset: raw.summary()? })
    }
}

impl Subject for Unlabeled {
    fn inputs(&self) -> &Tensor {
        &self.inputs
    }

    fn image(&self) -> (usize, usize) {
        (self.shape.height, self.shape.width)
    }

    fn summary(&self) -> Value {
        summary_with(&self.dataset, [self.inputs.dims()[0], 0, 0])
    }

    fn dataset(&self) -> Option<&DatasetSummary> {
        Some(&self.dataset)
    }
}
