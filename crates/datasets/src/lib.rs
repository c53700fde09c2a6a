//! Where the inputs of local learning come from.
//!
//! A [`Dataset`] holds images, bytes or f32, and their labels in the order of the published files. MNIST is inside the crate;
//! [`Dataset::from_dir`] reads one's own from a directory, in any of several formats. [`Dataset::split`] gives the sets
//! that an experiment trains on, validates on and reports, the same ones for every seed. [`transforms`] turn bytes into
//! what a layer takes. [`gray`], [`random_patches`] and [`Zca`] make patches of natural images; a [`Tapestry`], a
//! [`Ribbon`] and [`RandomWindows`] make streams of frames; [`Bars`] are patterns whose causes are known.
//!
//! ```
//! use candle_core::Device;
//! use hebbian_datasets::{Dataset, SplitSizes, transforms};
//!
//! # fn main() -> hebbian_datasets::Result<()> {
//! let mnist = Dataset::mnist()?;
//! assert_eq!((mnist.shape.inputs(), mnist.classes()), (784, 10));
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
#![forbid(unsafe_code)]

mod array;
mod arrays;
mod bars;
mod cifar;
mod class_folders;
mod csv;
mod dataset;
mod directory;
mod error;
mod examples;
mod folders;
#[cfg(feature = "hub")]
pub mod hub;
mod hub_cache;
mod idx;
mod idx_dir;
mod image_file;
mod jpeg;
mod labels;
mod layout;
mod loose;
mod mnist;
mod npy;
mod npz;
mod patches;
mod raw;
mod role;
mod set_read;
mod split;
mod summary;
mod table_columns;
mod tensors;
pub mod transforms;
mod transparency;
mod video;
mod views;
mod whitening;

pub use bars::Bars;
pub use dataset::{Dataset, ImageShape};
pub use directory::{ReadOptions, Watcher};
pub use error::{Error, Result};
pub use examples::Examples;
#[cfg(feature = "hub")]
pub use hub::Hub;
pub use hub_cache::hub_cache;
pub use image_file::ImageFile;
pub use labels::sort_classes;
pub use layout::ExampleShape;
pub use loose::{Loose, read_labels, read_loose};
pub use patches::{center_patches, gray, random_patches};
pub use split::{Split, SplitSizes};
pub use summary::DatasetSummary;
pub use video::{Accelerations, Ribbon, Tapestry, Walk};
pub use views::{RandomWindows, Shift, every_shift, jitter, shifted};
pub use whitening::{Zca, one_over_f};
