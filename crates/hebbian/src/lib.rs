#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod examples;
pub mod fit;
pub mod golden;
mod layers;
pub mod ops;
pub mod registry;
mod report;
pub mod rule;
mod rules;
mod save_checkpoint;

pub use hebbian_training::Parameters;
pub use layers::{convolution, fixed, interleaved, mirrored, pooling, power, stack, standardize, triangle};
pub use rules::{comp_spec, foldiak, invariance, krotov_hopfield, multi_winner, soft_hebb, spatial_pooler};

pub use comp_spec::{Charge, CompSpec, CompSpecConfig};
pub use convolution::{Convolution, ConvolutionConfig, PatchNorm};
pub use examples::Examples;
pub use fit::{Ended, Event, Fit, FitConfig, Observers};
pub use fixed::{Fixed, FixedLayer};
pub use foldiak::{Foldiak, FoldiakConfig, Init, Settling};
pub use interleaved::{Interleaved, InterleavedConfig};
pub use invariance::{Invariance, InvarianceConfig, Normalization, RowSize};
pub use krotov_hopfield::{KrotovHopfield, KrotovHopfieldConfig};
pub use layers::images::ImageSize;
pub use layers::patches::Padding;
pub use mirrored::{Mirrored, MirroredConfig};
pub use multi_winner::{MultiWinner, MultiWinnerConfig};
pub use pooling::{Pool, Pooling, PoolingConfig};
pub use power::{Power, PowerConfig};
pub use registry::{LEARNING_RULES, Registry, WithRule, with_rule};
pub use report::{Measured, Report};
pub use rule::{Composite, Learned, LearningRule, Rule, check_finite, check_state};
pub use save_checkpoint::SaveCheckpoint;
pub use soft_hebb::{SoftHebb, SoftHebbConfig, SoftHebbInit};
pub use spatial_pooler::{BoostToward, PotentialPool, SpatialPooler, SpatialPoolerConfig, Starved};
pub use stack::{Learning, Stack, StackConfig, StackedRule};
pub use standardize::{Standardize, StandardizeConfig};
pub use triangle::{Triangle, TriangleConfig};
