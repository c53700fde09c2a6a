//! `docs/results.md`, from the numbers in `results/` and nothing else.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use hebbian_training::replace_file;
use serde::Deserialize;
use serde_json::Value;

use super::numbers::read;

#[derive(Args)]
pub struct Arguments {
    /// Folder with the published numbers, and tried.toml
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,

    /// The page to write
    #[arg(long, value_name = "FILE", default_value = "docs/results.md")]
    page: PathBuf,

    /// Write nothing; fail unless the page is what would be written
    #[arg(long)]
    check: bool,
}

/// Writes the page, or checks it.
pub fn publish(arguments: &Arguments) -> Result<()> {
    let text = page(&arguments.results)?;
    let place = arguments.page.display();
    if arguments.check {
        if read(&arguments.page)? != text {
            bail!("{place} is not what {} gives; write it with `publish page`", arguments.results.display());
        }
        println!("{place} is what {} gives", arguments.results.display());
        return Ok(());
    }
    replace_file(&arguments.page, text.as_bytes()).with_context(|| place.to_string())?;
    println!("{place}");
    Ok(())
}

const HEAD: &str = "\
# Results

<!-- Written by `cargo run --release --example publish -- page`. Edit results/ instead. -->

Every number here comes from the `results.json` of a run, which lies in `results/` with the value of each seed. Figures are
means over the seeds and, behind ±, sample standard deviations; times are wall times for one seed on the machine at hand.
Nothing was chosen by test images. Controls stand in the same tables as what was learned.
";

fn page(results: &Path) -> Result<String> {
    let mut page = HEAD.to_owned();
    let entries = fs::read_dir(results).with_context(|| results.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    for path in paths {
        let run: Value = serde_json::from_str(&read(&path)?).with_context(|| path.display().to_string())?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        section(&mut page, &name, &run).with_context(|| path.display().to_string())?;
    }
    tried(&mut page, &results.join("tried.toml"))?;
    Ok(page)
}

/// Datasets that are not in the repository.
const ON_THE_HUB: [&str; 2] = ["fashion-mnist", "cifar10"];

fn section(page: &mut String, name: &str, run: &Value) -> Result<()> {
    let text = |key: &str| run[key].as_str().with_context(|| format!("no `{key}`"));
    let (example, config, commit) = (text("example")?, text("config")?, text("commit")?);
    let seeds: Vec<String> =
        run["seeds"].as_array().context("no `seeds`")?.iter().map(Value::to_string).collect();
    let minutes = run["training_seconds"].as_f64().context("no `training_seconds`")? / 60.0;
    let sizes = run["dataset"].as_object().context("no `dataset`")?.iter().filter(|(key, _)| *key != "name");
    let sizes: Vec<String> = sizes.map(|(key, size)| format!("{key} {size}")).collect();
    let dataset = run["dataset"]["name"].as_str().unwrap_or("data");
    let features = if ON_THE_HUB.contains(&dataset) { "--features hub " } else { "" };
    writeln!(
        page,
        "\n## {name}\n\n```sh\ncargo run --release {features}--example {example} -- --config {config}\n```\n"
    )?;
    writeln!(
        page,
        "{}: {}. Seeds {}; {}; commit {commit}. All training took {minutes:.1} minutes.\n",
        dataset,
        sizes.join(", "),
        seeds.join(", "),
        text("device")?,
    )?;
    let rows = run["rows"].as_array().context("no `rows`")?;
    let columns = columns(run)?;
    let columns: Vec<&Column> =
        columns.iter().filter(|column| rows.iter().any(|row| column.cell(row).is_some())).collect();
    let titles: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
    let rules: Vec<&str> = columns.iter().map(|column| if column.is_text { "---" } else { "---:" }).collect();
    writeln!(page, "| {} |\n|{}|", titles.join(" | "), rules.join("|"))?;
    for row in rows {
        let cells: Vec<String> =
            columns.iter().map(|column| column.cell(row).unwrap_or_else(|| "-".to_owned())).collect();
        writeln!(page, "| {} |", cells.join(" | "))?;
    }
    Ok(())
}

/// A key of the rows, and how it is shown.
struct Column {
    key: String,
    title: String,
    is_text: bool,
    factor: f64,
    digits: usize,
}

impl Column {
    fn new(key: &str, title: &str, factor: f64, digits: usize) -> Self {
        Self { key: key.to_owned(), title: title.to_owned(), is_text: false, factor, digits }
    }

    fn text(key: &str) -> Self {
        Self { key: key.to_owned(), title: key.to_owned(), is_text: true, factor: 1.0, digits: 0 }
    }

    /// Mean and deviation of the values of all seeds; a row has them for all or for none.
    fn cell(&self, row: &Value) -> Option<String> {
        let value = &row[&self.key];
        let values: Option<Vec<f64>> =
            row["by_seed"][&self.key].as_array().and_then(|all| all.iter().map(Value::as_f64).collect());
        match (value, values) {
            (Value::String(text), _) => Some(text.clone()),
            (_, Some(values)) => Some(mean_and_deviation(&values, self.factor, self.digits)),
            (Value::Number(number), None) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// With as many digits as the first of the deviation needs, where that is at most three more than are asked for.
fn mean_and_deviation(values: &[f64], factor: f64, digits: usize) -> String {
    let count = values.len() as f64;
    let mean = factor * values.iter().sum::<f64>() / count;
    if values.len() < 2 {
        return format!("{mean:.digits$}");
    }
    let squares: f64 = values.iter().map(|value| (factor * value - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    let first = (-deviation.log10()).ceil().max(0.0) as usize;
    let digits = if first <= digits + 3 { digits.max(first) } else { digits };
    format!("{mean:.digits$} ± {deviation:.digits$}")
}

/// The columns that all runs share, with the run's own measures before the times.
fn columns(run: &Value) -> Result<Vec<Column>> {
    let mut columns =
        vec![Column::text("model"), Column::new("units", "units", 1.0, 0), Column::text("readout")];
    columns.push(Column::new("train_accuracy", "train %", 100.0, 2));
    columns.push(Column::new("validation_accuracy", "validation %", 100.0, 2));
    columns.push(Column::new("test_accuracy", "test %", 100.0, 2));
    for measure in run["measures"].as_array().into_iter().flatten() {
        let (name, title) =
            (measure["name"].as_str().context("a measure's name")?, measure["title"].as_str());
        let digits = measure["digits"].as_u64().context("a measure's digits")? as usize;
        if let Some(title) = title.filter(|title| !title.is_empty()) {
            columns.push(Column::new(name, &title.replace('|', "\\|"), 1.0, digits));
        }
    }
    columns.push(Column::new("learn_epochs", "epochs", 1.0, 0));
    columns.push(Column::new("learn_seconds", "learn s", 1.0, 1));
    columns.push(Column::new("readout_seconds", "readout s", 1.0, 1));
    Ok(columns)
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
        "\n## What was tried\n\nChoices were made on the 10 000 validation images; failures are here too.\n"
    )?;
    writeln!(page, "| what | setting | validation % | verdict |\n|---|---|---:|---|")?;
    for Trial { what, setting, validation, verdict } in tried.trial {
        let validation = validation.map_or("-".to_owned(), |percent| format!("{percent:.2}"));
        writeln!(page, "| {what} | {setting} | {validation} | {verdict} |")?;
    }
    Ok(())
}
