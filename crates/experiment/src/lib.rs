//! What every experiment of this workspace shares: arguments, device, data, run folder, progress, tracing, results.
//!
//! An example is then thin: a clap struct with its own fields beside [`Common`], a function from it to a table, and
//!
//! ```no_run
//! # use clap::Parser;
//! # use hebbian_experiment::{Common, Experiment};
//! # use serde::Serialize;
//! /// What the example is about.
//! #[derive(Parser, Serialize)]
//! struct Arguments {
//!     #[command(flatten)]
//!     #[serde(flatten)]
//!     common: Common,
//!     /// Lebesgue norm of the weights.
//!     #[arg(long, default_value_t = 3.0)]
//!     p: f64,
//! }
//!
//! impl Experiment for Arguments {
//!     const NAME: &'static str = "my_experiment";
//!     fn common(&self) -> &Common { &self.common }
//!     fn run(self) -> anyhow::Result<()> { Ok(()) }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     hebbian_experiment::main::<Arguments>()
//! }
//! ```
//!
//! Every flag is also a key of the TOML that `--config` reads and of the `config.toml` that a run leaves behind.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod arguments;
mod config_file;
mod data;
mod device;
mod entry;
mod evaluation;
mod film;
mod finished;
mod image_set;
mod learning;
mod metrics;
mod progress;
mod results;
mod run_folder;
mod run_key;
mod session;
mod tensorboard;
mod trace;
mod trained;

pub use arguments::{Common, DatasetName, Units, flagged};
pub use data::{Data, Subject, dataset, dataset_named, split};
pub use device::DeviceChoice;
pub use entry::{Experiment, main, tool};
pub use image_set::ImageSet;
pub use metrics::{Metric, Metrics, Phase};
pub use progress::{LearningBar, Progress};
pub use results::{Measure, Results, Row};
pub use run_folder::RunFolder;
pub use run_key::RunKey;
pub use session::Session;
pub use trained::TrainedFrom;
