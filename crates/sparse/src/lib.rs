//! The product `x wᵀ` of inputs that are mostly zeros, on the CPU.
//!
//! Four of five pixels of MNIST are off, and a weight that meets a zero need not be read. [`SparseRows`] lists what is
//! on in a batch, if that is little enough to be worth it; [`Panels`] hold weights in the order in which such a product
//! reads them. What is not sparse is left to candle's matmul:
//!
//! ```
//! use candle_core::{Device, Result, Tensor};
//! use hebbian_sparse::{Panels, SparseRows};
//!
//! fn product(inputs: &Tensor, weights: &Tensor) -> Result<Tensor> {
//!     match SparseRows::of(inputs)? {
//!         Some(rows) => Panels::of(weights)?.product(&rows),
//!         None => inputs.matmul(&weights.t()?),
//!     }
//! }
//!
//! let inputs = Tensor::new(&[[0f32, 0.0, 2.0, 0.0]], &Device::Cpu)?;
//! let weights = Tensor::new(&[[1f32, 2.0, 3.0, 4.0], [0.0, 0.0, -1.0, 0.0]], &Device::Cpu)?;
//! assert_eq!(product(&inputs, &weights)?.to_vec2::<f32>()?, [[6.0, -2.0]]);
//! # Result::Ok(())
//! ```
//!
//! The choice is made by counting, never by timing, and each sum runs over the inputs in their order: the same numbers
//! give the same bits, whatever the number of threads.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod kernel;
mod matmul;
mod panels;
mod rows;

pub use panels::{Panels, RowMap};
pub use rows::SparseRows;
