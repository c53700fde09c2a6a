//! What turns rules into networks.

pub mod convolution;
pub mod fixed;
pub mod images;
pub mod interleaved;
pub mod mirrored;
pub mod patches;
mod planes;
pub mod pooling;
pub mod power;
mod raise;
pub mod stack;
pub mod standardize;
pub mod triangle;
