//! The rows of a run as a table in Markdown.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::statistics::mean_and_deviation;

/// A key of the rows, and how it is shown.
pub(super) struct Column {
    pub(super) key: String,
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
    pub(super) fn cell(&self, row: &Value) -> Option<String> {
        let value = &row[&self.key];
        let values: Option<Vec<f64>> =
            row["by_seed"][&self.key].as_array().and_then(|all| all.iter().map(Value::as_f64).collect());
        match (value, values) {
            (Value::String(text), _) => Some(text.clone()),
            (_, Some(values)) => Some(self.of(&values)),
            (Value::Number(number), None) => Some(number.to_string()),
            _ => None,
        }
    }

    /// What is said of the `values` of all seeds.
    pub(super) fn of(&self, values: &[f64]) -> String {
        mean_and_deviation(values, self.factor, self.digits)
    }

    /// One number, without a deviation, with as many digits as the column has or as are asked for.
    pub(super) fn number(&self, value: f64, digits: Option<usize>) -> String {
        format!("{:.*}", digits.unwrap_or(self.digits), self.factor * value)
    }
}

/// The columns that all runs share, with the run's own measures before the times.
pub(super) fn columns(run: &Value) -> Result<Vec<Column>> {
    let mut columns =
        vec![Column::text("model"), Column::new("units", "units", 1.0, 0), Column::text("readout")];
    columns.extend([Column::text("setting"), Column::text("chosen")]);
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

/// The column that `name` means: its key, or the first word of an accuracy's, `test`.
pub(super) fn column(run: &Value, name: &str) -> Result<Column> {
    let accuracy = format!("{name}_accuracy");
    match columns(run)?.into_iter().find(|column| column.key == name || column.key == accuracy) {
        Some(column) => Ok(column),
        None => bail!("there is no column `{name}`"),
    }
}

/// The `rows` under the titles of the `columns`; one that no row has is left out.
pub(super) fn table(columns: &[Column], rows: &[&Value]) -> String {
    let has_cells = |column: &&Column| rows.iter().any(|row| column.cell(row).is_some());
    let columns: Vec<&Column> = columns.iter().filter(has_cells).collect();
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let titles = line(columns.iter().map(|column| column.title.clone()).collect());
    let rules: Vec<&str> = columns.iter().map(|column| if column.is_text { "---" } else { "---:" }).collect();
    let cell = |column: &&Column, row: &Value| column.cell(row).unwrap_or_else(|| "-".to_owned());
    let rows = rows.iter().map(|row| line(columns.iter().map(|column| cell(column, row)).collect()));
    format!("{titles}|{}|\n{}", rules.join("|"), rows.collect::<String>())
}
