//! Many runs of one experiment over a grid of settings, and the choice that validation makes among them.

mod file;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use hebbian_training::replace_file;
use serde_json::{Map, Value, json};

use crate::publish::{checked_out, read};
use crate::say::print;
use file::{Point, SweepFile};

/// Run an experiment over a grid of settings
#[derive(Args)]
pub struct Sweep {
    /// What varies: a file of configs/sweeps
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Folder with a run folder per point; what is finished there is not done again
    #[arg(long, value_name = "DIR", default_value = "runs/sweeps")]
    out: PathBuf,

    /// Folder for the results
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,

    /// The commit that the results are of; the one that is checked out if not given
    #[arg(long)]
    commit: Option<String>,
}

/// How the names of those measures begin that are taken where nothing may be chosen.
const REPORTED: [&str; 3] = ["test_", "held_out_", "unseen_"];

impl Sweep {
    /// Runs what is left of it, and writes `results/sweep_NAME.json`.
    ///
    /// Each point makes its own rows only. Rows hold what was measured on training and validation images; the best of each model
    /// by validation is marked, and of it alone what was measured on test images is kept.
    ///
    /// # Errors
    /// If the file makes no sense, or a run fails.
    pub fn run(&self) -> Result<()> {
        let sweep = SweepFile::read(&self.file)?;
        let name = self.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let points = sweep.points().with_context(|| self.file.display().to_string())?;
        let mut all: Option<Value> = None;
        let mut rows = Vec::new();
        let mut seconds = 0.0;
        for (number, point) in points.iter().enumerate() {
            let (number, of, made) = (number + 1, points.len(), point.rows.join(", "));
            print(format_args!("point {number} of {of}: {made}: {}", point.setting))?;
            let folder = self.out.join(&name).join(folder_name(point));
            let results = run_point(&sweep.example, point, &folder)?;
            seconds += results["training_seconds"].as_f64().unwrap_or_default();
            for row in results["rows"].as_array().into_iter().flatten() {
                let mut row = row.as_object().cloned().unwrap_or_default();
                row.insert("setting".to_owned(), json!(point.setting));
                rows.push(row);
            }
            all.get_or_insert(results);
        }
        choose(&mut rows, &sweep.by);
        let mut all = all.context("the sweep has no points")?;
        all["rows"] = json!(rows);
        all["training_seconds"] = json!(seconds);
        all["sweep"] = json!(self.file);
        all["commit"] = json!(self.commit.clone().map_or_else(checked_out, Ok)?);
        fs::create_dir_all(&self.results).with_context(|| self.results.display().to_string())?;
        let path = self.results.join(format!("sweep_{name}.json"));
        replace_file(&path, (serde_json::to_string_pretty(&all)? + "\n").as_bytes())
            .with_context(|| path.display().to_string())?;
        print(path.display())?;
        Ok(())
    }
}

fn folder_name(point: &Point) -> String {
    let name = format!("{} {}", point.rows.join(" "), point.setting);
    name.chars().map(|sign| if sign.is_alphanumeric() || "._-".contains(sign) { sign } else { '-' }).collect()
}

/// The results of one point, which is run as far as it is not finished.
fn run_point(example: &str, point: &Point, folder: &Path) -> Result<Value> {
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    let config = folder.with_extension("toml");
    fs::write(&config, toml::to_string(&point.config)?).with_context(|| config.display().to_string())?;
    let mut command = program(example);
    command.arg("--quiet").arg("--config").arg(&config).arg("--out").arg(folder);
    command.arg("--rows").arg(point.rows.join(","));
    if folder.exists() {
        command.arg("--resume");
    }
    let status = command.stdout(Stdio::null()).status().with_context(|| example.to_owned())?;
    if !status.success() {
        bail!("{example} failed at {}", point.setting);
    }
    let results = folder.join("results.json");
    serde_json::from_str(&read(&results)?).with_context(|| results.display().to_string())
}

/// The example, built by the cargo that runs this program or, without one, as it lies beside it.
fn program(example: &str) -> Command {
    match std::env::var_os("CARGO") {
        Some(cargo) => {
            let mut command = Command::new(cargo);
            command.args(["run", "--quiet", "--release", "--example", example, "--"]);
            command
        }
        None => {
            let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join(example)));
            Command::new(beside.unwrap_or_else(|| PathBuf::from(example)))
        }
    }
}

/// Marks the row of each model that is best in `by`, where less is better behind a `-`, the first of equals, and takes from all
/// others what was measured on test images.
fn choose(rows: &mut [Map<String, Value>], by: &str) {
    let (name, sign) = by.strip_prefix('-').map_or((by, 1.0), |name| (name, -1.0));
    let merit = |row: &Map<String, Value>| row.get(name)?.as_f64().map(|value| sign * value);
    let models: Vec<Value> = rows.iter().map(|row| row.get("model").cloned().unwrap_or_default()).collect();
    let best = |model: &Value| {
        let of_model = rows.iter().enumerate().filter(|(_, row)| row.get("model") == Some(model));
        let judged = of_model.filter_map(|(place, row)| Some((place, merit(row)?)));
        judged.reduce(|best, other| if other.1 > best.1 { other } else { best }).map(|(place, _)| place)
    };
    let chosen: Vec<bool> =
        models.iter().enumerate().map(|(place, model)| best(model) == Some(place)).collect();
    let is_reported = |key: &str| REPORTED.iter().any(|start| key.starts_with(start));
    for (row, is_chosen) in rows.iter_mut().zip(chosen) {
        if is_chosen {
            row.insert("chosen".to_owned(), json!("chosen"));
            continue;
        }
        row.retain(|key, _| !is_reported(key));
        if let Some(by_seed) = row.get_mut("by_seed").and_then(Value::as_object_mut) {
            by_seed.retain(|key, _| !is_reported(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_each_model_on_validation_is_chosen_and_keeps_its_test_accuracy() {
        let row = |model: &str, validation: f64| {
            let row = json!({"model": model, "validation_accuracy": validation, "test_accuracy": 0.5, "by_seed": {"test_accuracy": [0.5]}});
            row.as_object().cloned().unwrap()
        };
        let mut rows = [row("oja", 0.7), row("oja", 0.9), row("oja", 0.9), row("random", 0.1)];
        choose(&mut rows, "validation_accuracy");
        let chosen: Vec<bool> = rows.iter().map(|row| row.get("chosen").is_some()).collect();
        assert_eq!(chosen, [false, true, false, true]);
        assert!(rows[1].contains_key("test_accuracy") && !rows[0].contains_key("test_accuracy"));
        assert_eq!(rows[2]["by_seed"], json!({}));
        let mut rows = [row("oja", 0.7), row("oja", 0.9)];
        choose(&mut rows, "-validation_accuracy");
        assert!(rows[0].contains_key("chosen") && !rows[1].contains_key("chosen"));
    }
}
