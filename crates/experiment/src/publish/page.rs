//! `docs/results.md`, from the numbers in `results/` and nothing else.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::numbers::read;
use super::runs::{Runs, rows};
use super::table::{columns, table};

const HEAD: &str = "\
# Results

<!-- Written by `cargo run --release --example publish -- pages`. Edit results/ instead. -->

Every number here comes from the `results.json` of a run, which lies in `results/` with the value of each seed. Figures are
means over the seeds and, behind ±, sample standard deviations; times are wall times for one seed on the machine at hand.
Choices were made on validation images, but for two early ones that the list at the end names. Controls stand in the same tables
as what was learned.
";

/// The page of what lies in the folder `results`.
pub fn page(results: &Path) -> Result<String> {
    let mut page = HEAD.to_owned();
    for (name, run) in Runs::read(results)?.iter() {
        section(&mut page, name, run)
            .with_context(|| results.join(format!("{name}.json")).display().to_string())?;
    }
    tried(&mut page, &results.join("tried.toml"))?;
    Ok(page)
}

/// Datasets that are not in the repository.
const ON_THE_HUB: [&str; 2] = ["fashion-mnist", "cifar10"];

fn section(page: &mut String, name: &str, run: &Value) -> Result<()> {
    let text = |key: &str| run[key].as_str().with_context(|| format!("no `{key}`"));
    let commit = text("commit")?;
    let command = match run["sweep"].as_str() {
        Some(file) => format!("--example sweep -- {file}"),
        None => format!("--example {} -- --config {}", text("example")?, text("config")?),
    };
    let seeds: Vec<String> =
        run["seeds"].as_array().context("no `seeds`")?.iter().map(Value::to_string).collect();
    let minutes = run["training_seconds"].as_f64().context("no `training_seconds`")? / 60.0;
    let sizes = run["dataset"].as_object().context("no `dataset`")?.iter().filter(|(key, _)| *key != "name");
    let sizes: Vec<String> = sizes.map(|(key, size)| format!("{key} {size}")).collect();
    let dataset = run["dataset"]["name"].as_str().unwrap_or("data");
    let features = if ON_THE_HUB.contains(&dataset) { "--features hub " } else { "" };
    writeln!(page, "\n## {name}\n\n```sh\ncargo run --release {features}{command}\n```\n")?;
    writeln!(
        page,
        "{}: {}. Seeds {}; {}; commit {commit}. All training took {minutes:.1} minutes.\n",
        dataset,
        sizes.join(", "),
        seeds.join(", "),
        text("device")?,
    )?;
    page.push_str(&table(&columns(run)?, &rows(run)?.iter().collect::<Vec<_>>()));
    Ok(())
}

/// What was tried on the way, in the order in which it was.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tried {
    #[serde(default)]
    trial: Vec<Trial>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trial {
    /// What was changed, and against what.
    what: String,
    /// Settings of it in short.
    #[serde(default)]
    setting: String,
    /// What it gave on validation images, in percent.
    validation: Option<f64>,
    /// What to make of it.
    #[serde(default)]
    verdict: String,
}

fn tried(page: &mut String, path: &Path) -> Result<()> {
    let tried: Tried = match path.exists() {
        true => toml::from_str(&read(path)?)
            .map_err(|error: toml::de::Error| anyhow::anyhow!("{}: {}", path.display(), error.message()))?,
        false => return Ok(()),
    };
    if tried.trial.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "\n## What was tried\n\nPercent of the 10 000 validation images, where they were looked at; failures are here too.\n"
    )?;
    writeln!(page, "| what | setting | validation % | verdict |\n|---|---|---:|---|")?;
    for Trial { what, setting, validation, verdict } in tried.trial {
        let validation = validation.map_or("-".to_owned(), |percent| format!("{percent:.2}"));
        writeln!(page, "| {what} | {setting} | {validation} | {verdict} |")?;
    }
    Ok(())
}
