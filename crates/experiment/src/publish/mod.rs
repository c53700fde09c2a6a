//! From a finished run to what is published of it: its numbers, its trained layer, and what all pages say of them.

mod card;
mod layer;
mod numbers;
mod page;
mod pages;
mod passages;
mod runs;
mod statistics;
mod table;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

pub(crate) use numbers::{checked_out, read};

/// What to publish of a run.
#[derive(Subcommand)]
pub enum Publish {
    /// Copy a run's results.json to results/NAME.json, with the commit that it was made at
    Numbers(numbers::Arguments),
    /// Make a small file of a run's trained layer, measure that file, and write its card
    Layer(layer::Arguments),
    /// Write docs/results.md, the cards, and the passages between markers in README.md, docs and the heads of configs from all
    /// that lies in results/
    Pages(pages::Arguments),
}

impl Publish {
    /// Does it, and says which files it wrote.
    pub fn run(&self) -> Result<()> {
        match self {
            Publish::Numbers(arguments) => numbers::publish(arguments),
            Publish::Layer(arguments) => layer::publish(arguments),
            Publish::Pages(arguments) => pages::publish(arguments),
        }
    }
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
