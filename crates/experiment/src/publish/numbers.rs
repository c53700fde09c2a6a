//! `results/NAME.json`: what a run measured, and what it was made of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use hebbian_training::replace_file;
use serde_json::{Value, json};
use toml::Table;

use super::Run;
use crate::run_folder::leaves;
use crate::say::print;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    run: Run,

    /// The commit that the run was made at; the one that is checked out if not given
    #[arg(long)]
    commit: Option<String>,

    /// Folder with the published configs
    #[arg(long, value_name = "DIR", default_value = "configs/published")]
    configs: PathBuf,

    /// Folder to write to
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

/// Copies the numbers, if the run's settings are those of the published config.
pub fn publish(arguments: &Arguments) -> Result<()> {
    let Run { run, name } = &arguments.run;
    let config = arguments.configs.join(format!("{name}.toml"));
    check_settings(&config, &run.join("config.toml"))?;
    let source = run.join("results.json");
    let mut results: Value =
        serde_json::from_str(&read(&source)?).with_context(|| source.display().to_string())?;
    let commit = arguments.commit.clone().map_or_else(checked_out, Ok)?;
    let fields = results.as_object_mut().with_context(|| format!("{}: no object", source.display()))?;
    fields.insert("config".to_owned(), json!(format!("configs/published/{name}.toml")));
    fields.insert("commit".to_owned(), json!(commit));
    fs::create_dir_all(&arguments.results).with_context(|| arguments.results.display().to_string())?;
    let path = arguments.results.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(&results)? + "\n";
    replace_file(&path, text.as_bytes()).with_context(|| path.display().to_string())?;
    print(path.display())
}

/// Every setting of the published config must have the same value in the run.
fn check_settings(config: &Path, of_run: &Path) -> Result<()> {
    let (published, run) = (leaves(&table(config)?), leaves(&table(of_run)?));
    for (key, value) in published {
        let theirs = run.get(&key).map_or("not set", String::as_str);
        if theirs != value {
            bail!("{key} is {value} in {} and {theirs} in {}", config.display(), of_run.display());
        }
    }
    Ok(())
}

fn table(path: &Path) -> Result<Table> {
    let parsed: std::result::Result<Table, toml::de::Error> = read(path)?.parse();
    parsed.map_err(|error| anyhow::anyhow!("{}: {}", path.display(), error.message()))
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// The commit that is checked out here, in short.
pub fn checked_out() -> Result<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().context("git")?;
    if !output.status.success() {
        bail!("git knows no commit here: give it with --commit");
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
