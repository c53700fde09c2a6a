#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod fit;
pub mod krotov_hopfield;
pub mod ops;
pub mod rule;

pub use fit::{Epoch, Fit, FitConfig, Report, SaveCheckpoint};
pub use krotov_hopfield::{KrotovHopfield, KrotovHopfieldConfig};
pub use rule::{Learned, LearningRule};
