//! Sanger's rule on any dataset: the command line of the example `train`, with the settings of this rule.

use std::process::ExitCode;

use external_rule::Sanger;
use hebbian_experiment::{Train, main as run};

fn main() -> ExitCode {
    run::<Train<Sanger>>()
}
