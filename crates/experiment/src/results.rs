//! `results.json` and the table: one row per model, the mean over the seeds.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use candle_core::Device;
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::device::device_name;
use crate::{Experiment, RunKey};

/// What one model scored, with one seed or as the mean over several. Accuracies are fractions; what was not measured
/// is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The model's name.
    pub model: String,
    /// Hidden units, if it has any.
    pub units: Option<usize>,
    /// What was made of the hidden units, where an experiment compares several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readout: Option<String>,
    /// Share of the training images classified right, after training.
    pub train_accuracy: Option<f64>,
    /// Share of the validation images classified right.
    pub validation_accuracy: Option<f64>,
    /// Share of the test images classified right.
    pub test_accuracy: Option<f64>,
    /// Sample standard deviation of the test accuracy over the seeds.
    pub test_accuracy_std: Option<f64>,
    /// Wall time of learning the hidden layer, or of backprop.
    pub learn_seconds: Option<f64>,
    /// Epochs of it.
    pub learn_epochs: Option<usize>,
    /// Wall time of computing the features and training the readout.
    pub readout_seconds: Option<f64>,
    /// What only this experiment measures, by [`Measure::name`].
    #[serde(flatten)]
    pub measures: BTreeMap<String, f64>,
    /// What must be known of the numbers, such as that an optimizer was cut short.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Whether there are no numbers, since what was trained has left them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub diverged: bool,
    /// The test accuracy of each seed.
    #[serde(default)]
    pub test_accuracies: Vec<f64>,
    /// Everything else that was measured with each seed, by the name of its mean.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_seed: BTreeMap<String, Vec<f64>>,
}

impl Row {
    /// The row of what has diverged, and how.
    pub(crate) fn diverged(key: RunKey<'_>, how: &anyhow::Error) -> Self {
        let notes = vec![format!("seed {}: {how:#}", key.seed)];
        Self { model: key.name.to_owned(), notes, diverged: true, ..Self::default() }
    }

    /// The same row without the measures that are no numbers, which are then told.
    pub(crate) fn finite(mut self) -> Self {
        let not_finite = |(name, value): (&String, &f64)| (!value.is_finite()).then(|| name.clone());
        for name in self.measures.iter().filter_map(not_finite).collect::<Vec<_>>() {
            self.measures.remove(&name);
            self.notes.push(format!("{name} is not finite"));
        }
        self
    }

    /// One row from the rows of all seeds, which have one name.
    fn over_seeds(rows: &[&Row]) -> Option<Row> {
        let first = *rows.first()?;
        let mean_of = |field: fn(&Row) -> Option<f64>| {
            let values = rows.iter().map(|row| field(row)).collect::<Option<Vec<f64>>>()?;
            Some(mean(&values))
        };
        let mean_measure = |name: &String| {
            let values =
                rows.iter().map(|row| row.measures.get(name).copied()).collect::<Option<Vec<f64>>>()?;
            Some((name.clone(), mean(&values)))
        };
        let test: Vec<f64> = rows.iter().filter_map(|row| row.test_accuracy).collect();
        let notes: BTreeSet<&String> = rows.iter().flat_map(|row| &row.notes).collect();
        Some(Row {
            notes: notes.into_iter().cloned().collect(),
            diverged: rows.iter().any(|row| row.diverged),
            model: first.model.clone(),
            units: first.units,
            readout: first.readout.clone(),
            train_accuracy: mean_of(|row| row.train_accuracy),
            validation_accuracy: mean_of(|row| row.validation_accuracy),
            test_accuracy: mean_of(|row| row.test_accuracy),
            test_accuracy_std: sample_std(&test),
            learn_seconds: mean_of(|row| row.learn_seconds),
            learn_epochs: first.learn_epochs,
            readout_seconds: mean_of(|row| row.readout_seconds),
            measures: first.measures.keys().filter_map(mean_measure).collect(),
            test_accuracies: test,
            by_seed: Self::by_seed(rows),
        })
    }

    /// What every one of the rows has a number for.
    fn by_seed(rows: &[&Row]) -> BTreeMap<String, Vec<f64>> {
        let numbers = rows.iter().map(|row| {
            let own = [
                ("train_accuracy", row.train_accuracy),
                ("validation_accuracy", row.validation_accuracy),
                ("test_accuracy", row.test_accuracy),
                ("learn_seconds", row.learn_seconds),
                ("readout_seconds", row.readout_seconds),
            ];
            let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            own.chain(row.measures.clone()).collect::<BTreeMap<String, f64>>()
        });
        let numbers: Vec<_> = numbers.collect();
        let names = numbers.first().into_iter().flat_map(BTreeMap::keys);
        let of_all = names.filter_map(|name| {
            let values = numbers.iter().map(|row| row.get(name).copied()).collect::<Option<Vec<f64>>>()?;
            Some((name.clone(), values))
        });
        of_all.collect()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation with n - 1 below; one value has none.
fn sample_std(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

/// A number that an experiment adds to every row.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measure {
    /// The key in `results.json`; null in the rows that lack it.
    pub name: &'static str,
    /// The head of its column; without one the table does not show it.
    pub title: &'static str,
    /// Digits after the point in the table.
    pub digits: usize,
}

/// All that a run found out.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    measures: &'static [Measure],
    example: &'static str,
    version: &'static str,
    device: String,
    seeds: Vec<u64>,
    dataset: Value,
    /// Wall time of all epochs of all rows and seeds.
    training_seconds: f64,
    /// One row per model.
    pub rows: Vec<Row>,
}

impl Results {
    /// Gathers the named rows of all seeds; names keep the order in which they first appear.
    pub fn new<E: Experiment>(
        experiment: &E,
        device: &Device,
        dataset: Value,
        training_seconds: f64,
        rows: &[(String, Row)],
    ) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in rows {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let of = |name: &str| rows.iter().filter(|row| row.0 == name).map(|row| &row.1).collect::<Vec<_>>();
        Self {
            measures: E::MEASURES,
            example: E::NAME,
            version: env!("CARGO_PKG_VERSION"),
            device: device_name(device),
            seeds: experiment.run_settings().all_seeds(),
            dataset,
            training_seconds,
            rows: names.iter().filter_map(|name| Row::over_seeds(&of(name))).collect(),
        }
    }

    /// The content of `results.json`.
    pub fn json(&self) -> Result<String> {
        let mut all = json!(self);
        for row in all["rows"].as_array_mut().into_iter().flatten() {
            for measure in self.measures {
                if row.get(measure.name).is_none() {
                    row[measure.name] = Value::Null;
                }
            }
        }
        Ok(serde_json::to_string_pretty(&all)? + "\n")
    }

    /// The table that ends a run, without the columns that would be empty.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let filled = |cells: &Vec<Option<String>>| cells.iter().any(Option::is_some);
        let columns: Vec<(&str, Vec<Option<String>>)> =
            self.columns().into_iter().filter(|(_, cells)| filled(cells)).collect();
        table.set_header(columns.iter().map(|(title, _)| *title));
        for row in 0..self.rows.len() {
            table.add_row(
                columns.iter().map(|(_, cells)| cells[row].clone().unwrap_or_else(|| "-".to_owned())),
            );
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let notes = self
            .rows
            .iter()
            .flat_map(|row| row.notes.iter().map(|note| format!("\nnote: {}: {note}", row.model)));
        table.to_string() + &notes.collect::<String>()
    }

    /// Title and cells of every column, the experiment's own ones between accuracies and times.
    fn columns(&self) -> Vec<(&'static str, Vec<Option<String>>)> {
        let shared = |(title, show): &Column| (*title, self.rows.iter().map(show).collect());
        let own = |measure: &Measure| {
            let show = |row: &Row| Some(format!("{:.*}", measure.digits, row.measures.get(measure.name)?));
            (measure.title, self.rows.iter().map(show).collect())
        };
        let (scores, times) = (SCORES.iter().map(shared), TIMES.iter().map(shared));
        let shown = self.measures.iter().filter(|measure| !measure.title.is_empty());
        scores.chain(shown.map(own)).chain(times).collect()
    }
}

type Column = (&'static str, fn(&Row) -> Option<String>);

const SCORES: [Column; 6] = [
    ("model", |row| Some(row.model.clone())),
    ("units", |row| row.units.map(|units| units.to_string())),
    ("readout", |row| row.readout.clone()),
    ("train %", |row| row.train_accuracy.map(percent)),
    ("validation %", |row| row.validation_accuracy.map(percent)),
    ("test %", |row| {
        let std = row.test_accuracy_std.map(|std| format!(" ± {}", percent(std))).unwrap_or_default();
        row.test_accuracy.map(|accuracy| percent(accuracy) + &std)
    }),
];

const TIMES: [Column; 2] = [
    ("learn s", |row| row.learn_seconds.map(seconds)),
    ("readout s", |row| row.readout_seconds.map(seconds)),
];

fn percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(test_accuracy: f64, validation_accuracy: Option<f64>) -> Row {
        Row { model: "m".into(), test_accuracy: Some(test_accuracy), validation_accuracy, ..Row::default() }
    }

    #[test]
    fn several_seeds_give_mean_and_sample_standard_deviation() {
        let rows = [row(0.97, None), row(0.98, None), row(0.99, None)];
        let row = Row::over_seeds(&rows.iter().collect::<Vec<_>>()).unwrap();
        assert!((row.test_accuracy.unwrap() - 0.98).abs() < 1e-12);
        assert!((row.test_accuracy_std.unwrap() - 0.01).abs() < 1e-12);
        assert_eq!(row.test_accuracies, [0.97, 0.98, 0.99]);
        assert_eq!(row.by_seed, BTreeMap::from([("test_accuracy".to_owned(), vec![0.97, 0.98, 0.99])]));
    }

    #[test]
    fn what_is_not_finite_is_a_note_and_no_number() {
        let measures = [("norm", f64::NAN), ("length", f64::INFINITY), ("idle_units", 3.0)];
        let measures = measures.map(|(name, value)| (name.to_owned(), value)).into();
        let row = Row { measures, ..Row::default() }.finite();
        assert_eq!(row.measures, BTreeMap::from([("idle_units".to_owned(), 3.0)]));
        assert_eq!(row.notes, ["length is not finite", "norm is not finite"]);
        let written = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&written).unwrap(), row);
    }

    #[test]
    fn a_seed_that_diverged_leaves_no_mean() {
        let gone = Row::diverged(RunKey { seed: 1, name: "m" }, &anyhow::anyhow!("diverged in epoch 1"));
        let both = Row::over_seeds(&[&row(0.9, None), &gone]).unwrap();
        assert_eq!((both.test_accuracy, both.diverged), (None, true));
        assert_eq!(both.notes, ["seed 1: diverged in epoch 1"]);
    }

    #[test]
    fn one_seed_has_no_deviation_and_what_one_seed_lacks_is_null() {
        assert_eq!(Row::over_seeds(&[&row(0.9, Some(0.8))]).unwrap().test_accuracy_std, None);
        let rows = [row(0.9, Some(0.8)), row(0.9, None)];
        assert_eq!(Row::over_seeds(&[&rows[0], &rows[1]]).unwrap().validation_accuracy, None);
    }
}
