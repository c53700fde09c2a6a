//! Examples that nobody has labeled.

use anyhow::Result;
use candle_core::{Device, Tensor};
use hebbian::Parameters;
use hebbian_datasets::{Dataset, DatasetSummary, ImageShape};
use hebbian_model::Preprocess;
use serde_json::Value;

use crate::{DataSettings, Subject, check_batches, summary_with};

/// What a rule learns from where there are no labels: all training examples.
pub(super) struct Unlabeled {
    inputs: Tensor,
    shape: ImageShape,
    dataset: DatasetSummary,
    preprocess: Preprocess,
}

impl Unlabeled {
    /// The training examples of `raw`, as many as the settings say, made inputs by `preprocess`.
    pub(super) fn load<P: Parameters>(
        settings: &P,
        data: &DataSettings,
        raw: &Dataset,
        preprocess: Preprocess,
        device: &Device,
    ) -> Result<Self> {
        let all = raw.train.len();
        let examples = raw.train.first(data.train_size.unwrap_or(all).min(all))?;
        check_batches(settings, "training examples", examples.len())?;
        let inputs = preprocess.apply(examples.images(), device)?;
        Ok(Self { inputs, shape: raw.shape, dataset: raw.summary()?, preprocess })
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

    fn preprocess(&self) -> Option<Preprocess> {
        Some(self.preprocess)
    }
}
