//! The rules: one file each, or one folder where a rule has kernels of its own, whose `mod.rs` is the definition.

pub mod comp_spec;
pub mod foldiak;
pub mod invariance;
pub mod krotov_hopfield;
pub mod multi_winner;
pub mod soft_hebb;
pub mod spatial_pooler;
