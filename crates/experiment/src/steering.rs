//! The flags that say how to run, not what: no result depends on them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;

/// How to run an experiment.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "How to run")]
pub struct Steering {
    /// TOML file with settings, in the tables that stand in brackets here; flags win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Run folder [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Go on with the run in the folder, exactly as if it had not stopped
    #[arg(long)]
    pub resume: bool,

    /// Seconds from one checkpoint to the next within an epoch, which ends with one too; 0: one after every step
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub checkpoint_seconds: u64,

    /// Make these rows only, each by its model's name; no row depends on another
    #[arg(long, value_name = "ROW,...", value_delimiter = ',')]
    pub rows: Vec<String>,

    /// Print the table only
    #[arg(long)]
    pub quiet: bool,

    /// Write event files for TensorBoard into the run folder
    #[arg(long)]
    pub tensorboard: bool,

    /// Write a timeline for chrome://tracing or Perfetto
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// The paths of the settings that a config or a flag gave: the others follow the data.
    #[arg(skip)]
    pub given: BTreeSet<String>,
}

impl Default for Steering {
    fn default() -> Self {
        Self {
            config: None,
            out: None,
            resume: false,
            checkpoint_seconds: 60,
            rows: Vec::new(),
            quiet: false,
            tensorboard: false,
            trace: None,
            given: BTreeSet::new(),
        }
    }
}
