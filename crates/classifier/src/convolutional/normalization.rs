//! Batch normalization (Ioffe and Szegedy 2015) without scale and shift.
//!
//! ```text
//! z = (x - m_c) / √(v_c + 1e-5)          m_c, v_c over the batch and all places; v_c with n below
//! mean_c ← 0.9 mean_c + 0.1 m_c          var_c ← 0.9 var_c + 0.1 v_c n / (n - 1)
//! dx = (dz - ⟨dz⟩_c - z ⟨dz z⟩_c) / √(v_c + 1e-5)
//! ```
//!
//! What a scale would add, the weights of the convolution above can; and what a shift would, its bias, since the image is
//! padded with itself.

use candle_core::{DType, Device, Result, Tensor, Var, bail};

use crate::input_layer::mean_rows;

/// Weight of the newest batch in the running means.
const MOMENTUM: f64 = 0.1;
/// Added to a variance before its root divides.
const FLOOR: f64 = 1e-5;

/// The running statistics of each channel, `(channels)`: no part of what a gradient trains.
#[derive(Debug)]
pub(super) struct Normalization {
    pub mean: Var,
    pub variance: Var,
}

/// A normalized batch.
#[derive(Debug)]
pub(super) struct Normalized {
    /// `(batch, height, width, channels)`.
    pub values: Tensor,
    /// What each channel was multiplied by, `(1, channels)`.
    scale: Tensor,
}

impl Normalization {
    /// Mean 0 and variance 1.
    pub fn new(channels: usize, device: &Device) -> Result<Self> {
        let (mean, variance) =
            (Var::zeros(channels, DType::F32, device)?, Var::ones(channels, DType::F32, device)?);
        Ok(Self { mean, variance })
    }

    /// Normalizes `images (batch, height, width, channels)` by the running statistics.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let scale = scale(&self.variance.as_detached_tensor())?;
        images.broadcast_sub(&self.mean.as_detached_tensor())?.broadcast_mul(&scale)
    }

    /// Normalizes them by their own, and moves the running ones.
    pub fn learn(&self, images: &Tensor) -> Result<Normalized> {
        let values = images.reshape(((), self.mean.elem_count()))?;
        let count = values.dim(0)?;
        if count < 2 {
            bail!("inputs: one value per channel has no variance; allowed: at least two in a batch");
        }
        let mean = mean_rows(&values)?;
        let centered = values.broadcast_sub(&mean.unsqueeze(0)?)?;
        let variance = mean_rows(&centered.sqr()?)?;
        let scale = scale(&variance)?.unsqueeze(0)?;
        follow(&self.mean, &mean)?;
        follow(&self.variance, &(variance * (count as f64 / (count - 1) as f64))?)?;
        Ok(Normalized { values: centered.broadcast_mul(&scale)?.reshape(images.shape())?, scale })
    }
}

impl Normalized {
    /// The gradient of the images from that of the normalized `values`.
    pub fn descend(&self, gradient: &Tensor) -> Result<Tensor> {
        let rows = |images: &Tensor| images.reshape(((), self.scale.dim(1)?));
        let (values, above) = (rows(&self.values)?, rows(gradient)?);
        let mean = mean_rows(&above)?.unsqueeze(0)?;
        let along = mean_rows(&(&above * &values)?)?.unsqueeze(0)?;
        let across = (above.broadcast_sub(&mean)? - values.broadcast_mul(&along)?)?;
        across.broadcast_mul(&self.scale)?.reshape(gradient.shape())
    }
}

fn scale(variance: &Tensor) -> Result<Tensor> {
    (variance + FLOOR)?.sqrt()?.recip()
}

fn follow(running: &Var, newest: &Tensor) -> Result<()> {
    running.set(&((running.as_detached_tensor() * (1.0 - MOMENTUM))? + (newest * MOMENTUM)?)?)
}
