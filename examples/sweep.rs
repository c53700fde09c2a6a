//! Runs an experiment over a grid of settings, and marks what validation chooses.

use std::process::ExitCode;

use clap::Parser;
use hebbian_experiment::{Sweep, tool};

/// Run an experiment over a grid of settings
///
/// What is finished is not done again, so that a sweep goes on after a kill.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    sweep: Sweep,
}

fn main() -> ExitCode {
    tool(|arguments: Arguments| {
        arguments.sweep.run()?;
        Ok(ExitCode::SUCCESS)
    })
}
