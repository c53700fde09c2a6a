#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod comp_spec;
pub mod fit;
pub mod krotov_hopfield;
pub mod ops;
pub mod rule;
pub mod spatial_pooler;

pub use comp_spec::{Charge, CompSpec, CompSpecConfig};
pub use fit::{Ended, Event, Fit, FitConfig, Observers, Report, SaveCheckpoint};
pub use krotov_hopfield::{KrotovHopfield, KrotovHopfieldConfig};
pub use rule::{Learned, LearningRule};
pub use spatial_pooler::{BoostToward, PotentialPool, SpatialPooler, SpatialPoolerConfig, Starved};
