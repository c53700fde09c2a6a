//! From a finished run to what is published of it: its numbers, its trained layer, and the page of all results.

use std::process::ExitCode;

use clap::Parser;
use hebbian_experiment::{Publish, tool};

/// Publish what a run found
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: Publish,
}

fn main() -> ExitCode {
    tool(|arguments: Arguments| {
        arguments.what.run()?;
        Ok(ExitCode::SUCCESS)
    })
}
