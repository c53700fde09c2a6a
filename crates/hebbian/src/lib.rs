#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod comp_spec;
pub mod fit;
pub mod foldiak;
pub mod krotov_hopfield;
pub mod ops;
pub mod rule;

pub use comp_spec::{Charge, CompSpec, CompSpecConfig};
pub use fit::{Ended, Event, Fit, FitConfig, Observers, Report, SaveCheckpoint};
pub use foldiak::{Foldiak, FoldiakConfig, Init};
pub use krotov_hopfield::{KrotovHopfield, KrotovHopfieldConfig};
pub use ops::Settling;
pub use rule::{Learned, LearningRule};
