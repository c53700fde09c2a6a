#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod comp_spec;
pub mod fit;
pub mod foldiak;
pub mod invariance;
pub mod krotov_hopfield;
pub mod multi_winner;
pub mod ops;
pub mod registry;
pub mod rule;
pub mod spatial_pooler;
pub mod stack;

pub use comp_spec::{Charge, CompSpec, CompSpecConfig};
pub use fit::{Ended, Event, Fit, FitConfig, Measured, Observers, Report, SaveCheckpoint};
pub use foldiak::{Foldiak, FoldiakConfig, Init};
pub use invariance::{Invariance, InvarianceConfig, Normalization, RowSize};
pub use krotov_hopfield::{KrotovHopfield, KrotovHopfieldConfig};
pub use multi_winner::{MultiWinner, MultiWinnerConfig};
pub use ops::Settling;
pub use registry::Registry;
pub use rule::{Learned, LearningRule, Rule, check_finite, check_state};
pub use spatial_pooler::{BoostToward, PotentialPool, SpatialPooler, SpatialPoolerConfig, Starved};
pub use stack::{Learning, Stack, StackConfig, StackedRule};
