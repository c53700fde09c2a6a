//! From a finished run to what is published of it: its numbers, its trained layer, and the page of all results.

mod card;
mod layer;
mod numbers;
mod page;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use hebbian_experiment::tool;

/// Publish what a run found
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Copy a run's results.json to results/NAME.json, with the commit that it was made at
    Numbers(numbers::Arguments),
    /// Make a small file of a run's trained layer, measure that file, and write its card
    Layer(layer::Arguments),
    /// Write docs/results.md from all that lies in results/
    Page(page::Arguments),
}

/// Which run, and what it is published as.
#[derive(Args)]
struct Run {
    /// The run's folder
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    /// What it is published as: the name of its config in configs/published
    #[arg(long)]
    name: String,
}

fn main() -> ExitCode {
    tool(|arguments: Arguments| {
        match &arguments.what {
            What::Numbers(arguments) => numbers::publish(arguments)?,
            What::Layer(arguments) => layer::publish(arguments)?,
            What::Page(arguments) => page::publish(arguments)?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
