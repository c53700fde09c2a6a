//! Batches of images, as the layers of a network take them.

use candle_core::{Result, Tensor, bail};
use hebbian_training::Invalid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops::check_batch;

/// The size of each image of a batch: whole planes, one per channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSize {
    /// Planes: 1 of gray, 3 of color, or the units of the layer below.
    #[schemars(range(min = 1))]
    pub channels: usize,
    /// Rows of a plane.
    #[schemars(range(min = 1))]
    pub height: usize,
    /// Columns of a plane.
    #[schemars(range(min = 1))]
    pub width: usize,
}

impl ImageSize {
    /// The size `channels` x `height` x `width`.
    pub fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    /// Values per image.
    pub fn values(&self) -> usize {
        self.channels.saturating_mul(self.positions())
    }

    /// Values per plane.
    pub fn positions(&self) -> usize {
        self.height.saturating_mul(self.width)
    }

    /// The `inputs (batch, values)` or `(batch, channels, height, width)` as the latter, contiguous.
    ///
    /// # Errors
    /// If they are not f32 images of this size, at least one.
    pub(crate) fn images(&self, inputs: &Tensor) -> Result<Tensor> {
        let Self { channels, height, width } = *self;
        if inputs.rank() == 4 && inputs.dims()[1..] != [channels, height, width] {
            bail!("inputs: shape {:?}; allowed: (batch, {channels}, {height}, {width})", inputs.dims());
        }
        let flat = if inputs.rank() == 4 { inputs.flatten_from(1)? } else { inputs.clone() };
        let (batch, _) = check_batch(&flat, self.values())?;
        flat.contiguous()?.reshape((batch, channels, height, width))
    }

    /// Checks that a window of `kernel` by `kernel`, moved by `stride`, fits into planes with `padding` on all sides, and
    /// gives the size of what it leaves of them.
    pub(crate) fn windows(
        &self,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> std::result::Result<Self, Invalid> {
        let along = |side: usize| side + 2 * padding;
        let smallest = along(self.height.min(self.width));
        Invalid::unless(
            kernel <= smallest,
            "kernel",
            kernel,
            format!("1 to {smallest}, a padded plane's side"),
        )?;
        let count = |side: usize| (along(side) - kernel) / stride.max(1) + 1;
        Ok(Self { height: count(self.height), width: count(self.width), ..*self })
    }
}
