//! The size of an image or of a layer's maps, and how windows fit into it.

use candle_core::{Result, Storage, Tensor, bail};
use hebbian_training::Invalid;

use crate::rows::place;

/// Each image of a batch `(batch, height, width, channels)`: the channels of a place lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Size {
    pub fn places(self) -> usize {
        self.height * self.width
    }

    pub fn values(self) -> usize {
        self.places() * self.channels
    }

    /// The shape of a batch.
    pub fn batch(self, images: usize) -> (usize, usize, usize, usize) {
        (images, self.height, self.width, self.channels)
    }

    /// What windows of `kernel` by `kernel` leave, moved by `stride` over the image with `padding` on all sides; errors call
    /// the sizes fields of `field`.
    pub fn windows(
        self,
        field: &str,
        (kernel, stride, padding): (usize, usize, usize),
    ) -> std::result::Result<Self, Invalid> {
        let side = self.height.min(self.width) + 2 * padding;
        let allowed = format!("1 to {side}, the side of the padded image");
        Invalid::unless((1..=side).contains(&kernel), &format!("{field}.kernel"), kernel, allowed)?;
        Invalid::unless(stride > 0, &format!("{field}.stride"), stride, "at least 1")?;
        let count = |side: usize| (side + 2 * padding - kernel) / stride + 1;
        Ok(Self { height: count(self.height), width: count(self.width), ..self })
    }
}

/// Whether a kernel of the CPU computes from `maps`. It has no gradient: maps that track one take candle's operations.
pub(super) fn has_kernel(maps: &Tensor) -> bool {
    maps.device().is_cpu() && !maps.track_op()
}

/// What `read` makes of the values of contiguous f32 tensors on the CPU.
pub(super) fn with_values<T, const N: usize>(
    tensors: [&Tensor; N],
    read: impl FnOnce([&[f32]; N]) -> Result<T>,
) -> Result<T> {
    let stored = tensors.map(Tensor::storage_and_layout);
    let mut all: [&[f32]; N] = [&[]; N];
    for (all, (storage, layout)) in all.iter_mut().zip(&stored) {
        let Storage::Cpu(storage) = &**storage else { bail!("the tensor must be on the CPU") };
        *all = &storage.as_slice::<f32>()?[place(layout)?];
    }
    read(all)
}
