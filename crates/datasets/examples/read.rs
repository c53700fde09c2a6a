//! Reads a folder and says what it holds, what was passed over, and how long that took:
//!
//! ```sh
//! cargo run --release -p hebbian-datasets --example read -- DIR
//! ```
//!
//! The first line is the one with which every experiment begins. Whoever has made a folder sees here, before anything is
//! trained, whether it is read as it was meant; a folder that cannot be read is refused with the line that an experiment
//! would print.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use hebbian_datasets::{Dataset, ReadOptions, Result};

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("which folder? usage: read DIR");
        return ExitCode::from(2);
    };
    match read(dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn read(dir: PathBuf) -> Result<()> {
    let start = Instant::now();
    let dataset = Dataset::from_dir(&dir, &ReadOptions::default())?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{} ({})", dataset.summary()?, dataset.form);
    for note in &dataset.notes {
        println!("{note}");
    }
    let count = dataset.train.len() + dataset.test.len();
    println!("{seconds:.2} s, {:.0} examples per second", count as f64 / seconds);
    Ok(())
}
