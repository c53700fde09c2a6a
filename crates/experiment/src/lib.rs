//! What every experiment of this workspace shares: settings, device, data, run folder, progress, tracing, results.
//!
//! An example is then thin: a struct of tables, most of them the library's own configs, a function from it to a result,
//! and
//!
//! ```no_run
//! # use anyhow::Result;
//! # use hebbian::{FitConfig, KrotovHopfieldConfig, Parameters};
//! # use hebbian_experiment::{DataSettings, Experiment, RunSettings, Steering};
//! # use schemars::JsonSchema;
//! # use serde::{Deserialize, Serialize};
//! /// What the example is about.
//! #[derive(Default, Serialize, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields, default)]
//! struct Settings {
//!     /// Images.
//!     data: DataSettings,
//!     /// Krotov-Hopfield units.
//!     rule: KrotovHopfieldConfig,
//!     /// How they learn.
//!     fit: FitConfig,
//!     /// Device and seeds.
//!     run: RunSettings,
//! }
//!
//! impl Parameters for Settings {}
//!
//! impl Experiment for Settings {
//!     const NAME: &'static str = "my_experiment";
//!     fn run_settings(&self) -> &RunSettings { &self.run }
//!     fn run(self, steering: &Steering) -> Result<()> { Ok(()) }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     hebbian_experiment::main::<Settings>()
//! }
//! ```
//!
//! Every field of every table is a flag, a key of the TOML that `--config` reads, and a line of the `config.toml` that a
//! run leaves behind.
#![deny(missing_docs)]
#![forbid(unsafe_code)]
// A closed stream makes the macros panic: `print` and `tell` do not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod answer;
pub mod codes;
mod command_line;
mod config_file;
mod data;
mod dataset_name;
mod device;
mod diverged;
mod entry;
mod evaluation;
mod feature_file;
mod film;
mod finished;
mod fitted;
mod image_set;
mod learning;
mod linear_control;
mod metrics;
mod progress;
mod publish;
mod results;
mod run_folder;
mod run_key;
mod run_lock;
mod say;
mod session;
mod settings;
mod standardized;
mod steering;
mod stop;
mod sweep;
mod tensorboard;
mod trace;
mod train;
mod trained;
mod watcher;

pub use answer::Answer;
pub use data::{Data, Subject, dataset, dataset_named, from_0_to_1, inputs, split, summary_with};
pub use dataset_name::DatasetName;
pub use device::DeviceChoice;
pub use entry::{Experiment, main, tool};
pub use feature_file::{FeatureFile, Precision};
pub use film::receptive_fields;
pub use fitted::{Rate, comp_spec_rate};
pub use image_set::{ImageSet, Takes, class_numbers};
pub use linear_control::{LINEAR_CONTROL, LinearSettings, Solver, unconverged};
pub use metrics::{Metric, Metrics, Phase};
pub use progress::{LearningBar, Progress};
pub use publish::Publish;
pub use results::{Measure, Results, Row};
pub use run_folder::RunFolder;
pub use run_key::RunKey;
pub use say::{print, tell};
pub use session::Session;
pub use settings::{DataSettings, RunSettings, check_batches};
pub use standardized::Standardized;
pub use steering::Steering;
pub use sweep::Sweep;
pub use train::{Control, Learner, StackOfRules, Train, asked_for};
pub use trained::TrainedFrom;
pub use watcher::Watcher;
