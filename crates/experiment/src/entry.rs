//! From the command line to the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use serde::Serialize;

use crate::{Common, Measure, config_file, trace};

/// One example: its arguments, and what it does with them.
pub trait Experiment: Parser + Serialize {
    /// The example's name, which is also its run folder's.
    const NAME: &'static str;

    /// What it measures beside accuracies and times.
    const MEASURES: &'static [Measure] = &[];

    /// The arguments that it shares with the others.
    fn common(&self) -> &Common;

    /// Every batch size by its field's name: none may be larger than the training set.
    fn batch_sizes(&self) -> Vec<(&'static str, usize)> {
        vec![("batch_size", self.common().batch_size)]
    }

    /// Does it all.
    fn run(self) -> Result<()>;
}

/// Reads the arguments, runs the experiment, and reports an error in one line: exit code 2 for arguments that make no
/// sense, 1 for a run that failed.
pub fn main<E: Experiment>() -> ExitCode {
    let experiment = match parse::<E>(std::env::args_os().collect()) {
        Ok(experiment) => experiment,
        Err(code) => return code,
    };
    join_threads();
    let traced = trace::start(experiment.common().trace.as_deref());
    match traced.and_then(|_guard| experiment.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// Makes this thread one of those that share the work: a step has several parallel parts of a few dozen microseconds, and
/// handing each to the pool from outside made it a tenth longer. Where a pool exists already, it stays.
fn join_threads() {
    let _ = rayon::ThreadPoolBuilder::new().use_current_thread().build_global();
}

/// Reads the arguments of a program that is no experiment, runs it, and reports an error in one line, as [`main`] does.
pub fn tool<A: Parser>(run: impl FnOnce(A) -> Result<ExitCode>) -> ExitCode {
    let arguments = match A::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse_flags("", &error),
    };
    join_threads();
    run(arguments).unwrap_or_else(|error| {
        eprintln!("error: {}", one_line(&error));
        ExitCode::FAILURE
    })
}

const USAGE: u8 = 2;

fn parse<E: Experiment>(arguments: Vec<OsString>) -> Result<E, ExitCode> {
    let first: E = from_flags(arguments.clone()).map_err(|error| refuse_flags("", &error))?;
    let Some(path) = &first.common().config else { return Ok(first) };
    let refused = |error: anyhow::Error| {
        eprintln!("error: {}", one_line(&error));
        ExitCode::from(USAGE)
    };
    let configured = config_file::flags(path, &E::command()).map_err(refused)?;
    let (program, given) = arguments.split_at(1);
    let place = format!("--config {}: ", path.display());
    from_flags::<E>([program, &configured].concat()).map_err(|error| refuse_flags(&place, &error))?;
    from_flags([program, &configured, given].concat()).map_err(|error| refuse_flags("", &error))
}

fn from_flags<E: Experiment>(flags: Vec<OsString>) -> Result<E, clap::Error> {
    let matches = E::command().args_override_self(true).try_get_matches_from(flags)?;
    E::from_arg_matches(&matches)
}

/// Prints what clap says, in one line unless it was asked for help.
fn refuse_flags(place: &str, error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let message: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    eprintln!("error: {place}{}", message.join(" ").trim_start_matches("error: "));
    ExitCode::from(USAGE)
}

/// The error and its causes, without the backtrace that candle's errors carry when one is asked for.
fn one_line(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let line = text.lines().next().unwrap_or_default().trim().to_owned();
        if !parts.iter().any(|part| part.ends_with(&line)) {
            parts.push(line);
        }
    }
    parts.join(": ")
}
