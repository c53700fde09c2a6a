//! Where the inputs of local learning come from.
//!
//! A [`Dataset`] holds u8 images and their labels in the order of the published files. MNIST is inside the crate;
//! [`Dataset::from_idx_dir`] reads any dataset of the same format. [`Dataset::split`] gives the sets that an experiment
//! trains on, validates on and reports, the same ones for every seed. A [`Tapestry`] and a [`Ribbon`] make streams of
//! frames out of images. [`transforms`] turn bytes into what a layer takes.
//!
//! ```
//! use candle_core::Device;
//! use hebbian_datasets::{Dataset, SplitSizes, transforms};
//!
//! # fn main() -> hebbian_datasets::Result<()> {
//! let mnist = Dataset::mnist()?;
//! assert_eq!((mnist.shape.inputs(), mnist.classes), (784, 10));
//!
//! let split = mnist.split(SplitSizes { train: Some(1_000), ..SplitSizes::default() })?;
//! assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (1_000, 10_000, 10_000));
//!
//! let inputs = transforms::scale(split.train.images(), &Device::Cpu)?;
//! assert_eq!(inputs.dims(), [1_000, 784]);
//! assert_eq!(inputs.max_all()?.to_scalar::<f32>()?, 1.0);
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

mod dataset;
mod error;
mod examples;
mod idx;
mod idx_dir;
mod mnist;
mod split;
pub mod transforms;
mod video;

pub use dataset::{Dataset, ImageShape};
pub use error::{Error, Result};
pub use examples::Examples;
pub use split::{Split, SplitSizes};
pub use video::{Accelerations, Ribbon, Tapestry, Walk};
