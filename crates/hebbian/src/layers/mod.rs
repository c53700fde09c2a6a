//! What turns rules into networks.

pub mod stack;
