//! Faults by the thousand: runs are killed at random moments, started twice in one folder, given disks that fill up, and
//! resumed from files with a flipped bit. After each, the same bytes as without it, or a refusal in one line.
//!
//! It needs the examples beside it: `cargo build --release --examples`, then
//! `cargo run --release --example torture -- --minutes 5`.

mod faults;
mod files;
mod small_run;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Parser;
use hebbian_experiment::{print, tool};
use hebbian_training::Generator;

use faults::{Outcome, disk_fills_up, flipped_bit, kills, two_at_once};
use small_run::{Draw, RUNS, SmallRun};

/// Disturb small runs of all experiments and compare what they leave with what undisturbed ones do
#[derive(Parser)]
struct Arguments {
    /// How long; the trial that is under way then is the last
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    minutes: f64,

    /// Decides which faults come, and when
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// These experiments only
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
}

/// A kind of fault: what it is called, and one trial of it.
type Fault = (&'static str, fn(&SmallRun, &mut Draw) -> Result<Outcome>);

const FAULTS: [Fault; 4] = [
    ("kills", kills),
    ("two runs at once", two_at_once),
    ("flipped bits", flipped_bit),
    ("full disks", disk_fills_up),
];

/// What came of all trials of one kind.
#[derive(Default)]
struct Tally {
    trials: usize,
    faults: usize,
    skipped: Option<String>,
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let end = Instant::now() + Duration::from_secs_f64(60.0 * arguments.minutes);
    let mut draw = Draw(Generator::new(arguments.seed, "torture"));
    let named = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let runs = RUNS.iter().filter(|run| named(run.0)).map(|&(name, flags)| SmallRun::whole(name, flags));
    let runs = runs.collect::<Result<Vec<_>>>()?;
    if runs.is_empty() {
        bail!("--only {}; allowed: {}", arguments.only.join(","), RUNS.map(|run| run.0).join(", "));
    }
    let mut tallies: [Tally; FAULTS.len()] = Default::default();
    let mut failures = 0;
    for trial in 0.. {
        if Instant::now() > end {
            break;
        }
        let (run, place) = (&runs[draw.below(runs.len())], trial % FAULTS.len());
        let (name, fault) = FAULTS[place];
        match fault(run, &mut draw) {
            Ok(Outcome::Held(faults)) => {
                tallies[place].trials += 1;
                tallies[place].faults += faults;
            }
            Ok(Outcome::Skipped(why)) => tallies[place].skipped = Some(why),
            Err(error) => {
                failures += 1;
                print(format_args!("FAILED: trial {trial}, {name}, {}: {error:#}", run.name))?;
            }
        }
    }
    for ((name, _), Tally { trials, faults, skipped }) in FAULTS.iter().zip(&tallies) {
        let skipped = skipped.as_ref().map(|why| format!(", others skipped: {why}")).unwrap_or_default();
        print(format_args!("{name}: {faults} in {trials} trials{skipped}"))?;
    }
    print(format_args!("{failures} failures, seed {}", arguments.seed))?;
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn main() -> ExitCode {
    tool(run)
}
