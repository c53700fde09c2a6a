//! The published numbers: what `results/` holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::numbers::read;

/// All published runs, by their names.
pub(super) struct Runs(BTreeMap<String, Value>);

impl Runs {
    /// Those in the folder `results`.
    pub(super) fn read(results: &Path) -> Result<Self> {
        let entries = fs::read_dir(results).with_context(|| results.display().to_string())?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let runs = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let runs = runs.map(|path| {
            let run = serde_json::from_str(&read(&path)?).with_context(|| path.display().to_string())?;
            Ok((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), run))
        });
        Ok(Self(runs.collect::<Result<_>>()?))
    }

    /// Each with its name, in the order of the names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, run)| (name.as_str(), run))
    }

    /// The run of this name.
    pub(super) fn get(&self, name: &str) -> Result<&Value> {
        let known = || self.0.keys().cloned().collect::<Vec<_>>().join(", ");
        self.0.get(name).ok_or_else(|| anyhow!("there is no run `{name}`; there are {}", known()))
    }
}

/// The rows of a run.
pub(super) fn rows(run: &Value) -> Result<&[Value]> {
    Ok(run["rows"].as_array().context("no `rows`")?)
}

/// The rows that `selector` names: their model or `*` and, behind slashes, units and readout, the latter as `-` where there is
/// none.
pub(super) fn selected<'r>(run: &'r Value, selector: &str) -> Result<Vec<&'r Value>> {
    let mut parts = selector.split('/').map(str::trim);
    let model = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let has = |row: &Value, part: &str| {
        let is_number = row["units"].as_u64().is_some_and(|units| part.parse() == Ok(units));
        is_number || row["readout"] == part || part == "-" && row["readout"].is_null()
    };
    let is_meant =
        |row: &&Value| (model == "*" || row["model"] == model) && rest.iter().all(|part| has(row, part));
    let meant: Vec<&Value> = rows(run)?.iter().filter(is_meant).collect();
    if meant.is_empty() {
        bail!("there is no row `{selector}`");
    }
    Ok(meant)
}

/// The one row that `selector` names.
pub(super) fn row<'r>(run: &'r Value, selector: &str) -> Result<&'r Value> {
    match selected(run, selector)?[..] {
        [one] => Ok(one),
        _ => bail!("several rows are `{selector}`: add units or readout, as in MODEL/UNITS/READOUT"),
    }
}

/// What a row measured with each seed.
pub(super) fn values(row: &Value, key: &str) -> Result<Vec<f64>> {
    let all =
        row["by_seed"][key].as_array().map(|all| all.iter().map(Value::as_f64).collect::<Option<Vec<_>>>());
    let one = || row[key].as_f64().map(|value| vec![value]);
    all.flatten().or_else(one).with_context(|| format!("the row {} has no `{key}`", row["model"]))
}
