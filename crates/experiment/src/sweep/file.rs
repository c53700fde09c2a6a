//! A sweep as a file says it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use toml::{Table, Value};

/// Which experiment, from which config, and what varies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SweepFile {
    /// The example that is run at each point.
    pub(super) example: String,
    /// The config that all points begin with; the example's defaults if not given.
    base: Option<PathBuf>,
    /// What was measured on validation that a choice is made by, a `-` before it where less is better.
    #[serde(default = "validation_accuracy")]
    pub(super) by: String,
    /// Seeds of each point, from the base's first on.
    #[serde(default = "one")]
    seeds: i64,
    /// Settings of all points, by their paths.
    #[serde(default)]
    set: BTreeMap<String, Value>,
    /// Rows, and what varies for them.
    group: Vec<Group>,
}

/// Rows that see the same grid.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    /// The rows that are made; those of other groups are not.
    rows: Vec<String>,
    /// Settings with their values, by their paths: every value of one with every value of the others.
    vary: BTreeMap<String, Vec<Value>>,
}

fn validation_accuracy() -> String {
    "validation_accuracy".to_owned()
}

fn one() -> i64 {
    1
}

/// One run of a sweep.
pub(super) struct Point {
    /// The rows that it makes.
    pub(super) rows: Vec<String>,
    /// What is particular to it, by the last names of the settings: `power 1, learning_rate 0.003`.
    pub(super) setting: String,
    /// The whole config.
    pub(super) config: Table,
}

impl SweepFile {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        toml::from_str(&text)
            .map_err(|error: toml::de::Error| anyhow!("{}: {}", path.display(), error.message()))
    }

    /// All points, group by group, the last setting varying fastest.
    pub(super) fn points(&self) -> Result<Vec<Point>> {
        let mut base = match &self.base {
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).with_context(|| format!("base = {}", path.display()))?;
                text.parse::<Table>().map_err(|error| anyhow!("{}: {}", path.display(), error.message()))?
            }
            None => Table::new(),
        };
        insert(&mut base, "run.seeds", Value::Integer(self.seeds))?;
        for (path, value) in &self.set {
            insert(&mut base, path, value.clone())?;
        }
        let mut points = Vec::new();
        for Group { rows, vary } in &self.group {
            ensure!(!rows.is_empty(), "a group names no rows");
            let mut grid: Vec<Vec<(&str, &Value)>> = vec![vec![]];
            for (path, values) in vary {
                grid = grid
                    .iter()
                    .flat_map(|point| {
                        values.iter().map(move |value| [&point[..], &[(path.as_str(), value)]].concat())
                    })
                    .collect();
            }
            for point in grid {
                let mut config = base.clone();
                for (path, value) in &point {
                    insert(&mut config, path, (*value).clone())?;
                }
                let setting: Vec<String> = point.iter().map(|(path, value)| shown(path, value)).collect();
                points.push(Point { rows: rows.clone(), setting: setting.join(", "), config });
            }
        }
        Ok(points)
    }
}

fn shown(path: &str, value: &Value) -> String {
    format!("{path} {}", value.to_string().trim_matches('"'))
}

/// Sets `config` to have `value` at the dotted `path`.
fn insert(config: &mut Table, path: &str, value: Value) -> Result<()> {
    let mut names: Vec<&str> = path.split('.').collect();
    let last = names.pop().unwrap_or_default();
    let mut table = config;
    for name in names {
        let below = table.entry(name).or_insert_with(|| Table::new().into());
        table = below.as_table_mut().with_context(|| format!("{path}: `{name}` is no table"))?;
    }
    table.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_every_value_with_every_other_and_each_group_its_own() -> Result<()> {
        let file: SweepFile = toml::from_str(
            r#"
            example = "kh_vs_backprop"
            seeds = 2
            set = { "data.validation_size" = 10000 }

            [[group]]
            rows = ["random-projection"]
            vary = { "features.power" = [1.0, 2.0], "readout.loss" = ["cross-entropy", "cross-entropy:0.03"] }

            [[group]]
            rows = ["backprop"]
            vary = { "backprop.epochs" = [10] }
            "#,
        )?;
        let points = file.points()?;
        let settings: Vec<&str> = points.iter().map(|point| point.setting.as_str()).collect();
        assert_eq!(
            settings,
            [
                "features.power 1.0, readout.loss cross-entropy",
                "features.power 1.0, readout.loss cross-entropy:0.03",
                "features.power 2.0, readout.loss cross-entropy",
                "features.power 2.0, readout.loss cross-entropy:0.03",
                "backprop.epochs 10",
            ]
        );
        assert_eq!(points[4].rows, ["backprop"]);
        assert_eq!(points[1].config["features"]["power"].as_float(), Some(1.0));
        assert_eq!(points[1].config["data"]["validation_size"].as_integer(), Some(10_000));
        assert_eq!(points[4].config["run"]["seeds"].as_integer(), Some(2));
        assert!(points[4].config.get("features").is_none());
        Ok(())
    }
}
