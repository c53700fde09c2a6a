#![doc = include_str!("../../../docs/own_rule.md")]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod sanger;

pub use sanger::{Sanger, SangerConfig};
