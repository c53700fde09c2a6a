//! What learning of any kind needs, whether it follows a gradient or not: seeded draws and shuffles, minibatches,
//! schedules, observers, checkpoints.
//!
//! Everything here is deterministic. Draws come from a generator that is seeded by a number and a purpose, so that
//! adding one draw for one purpose never moves those of another:
//!
//! ```
//! use hebbian_training::{Batches, Generator};
//!
//! let mut shuffles = Generator::new(0, "shuffle");
//! let mut same = Generator::new(0, "shuffle");
//! assert_eq!(shuffles.permutation(1000), same.permutation(1000));
//!
//! let batches = Batches::shuffled(&mut shuffles, 1000, 300);
//! assert_eq!(batches.len(), 3); // the remainder of 100 waits for another epoch
//! ```
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod batches;
mod checkpoint;
mod durable;
mod finite;
mod format1;
mod invalid;
mod memory;
mod observer;
mod packed_bits;
mod parameters;
mod random;
mod schedule;
pub mod schema;
mod seal;
pub mod settings;

pub use batches::Batches;
pub use checkpoint::{
    Checkpoint, CheckpointError, FORMAT, Metadata, RunningMeasure, State, Training, UnderWay,
};
pub use durable::{replace_file, replace_files};
pub use finite::all_finite;
pub use invalid::Invalid;
pub use memory::{TooLarge, fits};
pub use observer::Observer;
pub use parameters::Parameters;
pub use random::{Generator, GeneratorState};
pub use schedule::{Progress, Schedule};
pub use seal::{check_sealed, sealed};
