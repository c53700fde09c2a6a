//! The rows that a run has finished, with what made them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use hebbian_datasets::DatasetSummary;
use hebbian_training::{check_sealed, replace_file, sealed};
use serde::{Deserialize, Serialize};

use crate::{Row, RunKey};

/// What a row follows from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MadeBy {
    /// The version of the program.
    pub(crate) version: String,
    /// The data, where they are of a dataset.
    pub(crate) dataset: Option<DatasetSummary>,
    /// The TOML of `config.toml`.
    pub(crate) settings: String,
}

/// Rows in memory and in a file, which holds what made them too: a row is never without it. The file has a checksum.
#[derive(Debug)]
pub(crate) struct Finished {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    made_by: MadeBy,
    rows: Vec<FinishedRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FinishedRow {
    seed: u64,
    name: String,
    row: Row,
}

impl Finished {
    /// Replaces the file by one without rows.
    pub(crate) fn none(path: PathBuf, made_by: MadeBy) -> Result<Self> {
        let finished = Self { path, content: Content { made_by, rows: Vec::new() } };
        finished.write()?;
        Ok(finished)
    }

    /// What the file holds.
    pub(crate) fn read(path: PathBuf) -> Result<Self> {
        let bytes = fs::read(&path)?;
        check_sealed("", &bytes).map_err(|reason| anyhow!(reason))?;
        let content = serde_json::from_slice(&bytes)?;
        Ok(Self { path, content })
    }

    pub(crate) fn made_by(&self) -> &MadeBy {
        &self.content.made_by
    }

    pub(crate) fn has(&self, key: RunKey<'_>) -> bool {
        self.content.rows.iter().any(|row| row.seed == key.seed && row.name == key.name)
    }

    /// All rows with their names.
    pub(crate) fn rows(&self) -> Vec<(String, Row)> {
        self.content.rows.iter().map(|finished| (finished.name.clone(), finished.row.clone())).collect()
    }

    pub(crate) fn add(&mut self, key: RunKey<'_>, row: Row) -> Result<()> {
        self.content.rows.push(FinishedRow { seed: key.seed, name: key.name.to_owned(), row });
        self.write()
    }

    fn write(&self) -> Result<()> {
        let text = sealed("", &serde_json::to_string_pretty(&self.content)?);
        replace_file(&self.path, text.as_bytes()).with_context(|| self.path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_anywhere_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.json");
        let made_by = MadeBy { version: "1".to_owned(), dataset: None, settings: "epochs = 2\n".to_owned() };
        let mut finished = Finished::none(path.clone(), made_by).unwrap();
        let row = Row { model: "rule".to_owned(), test_accuracy: Some(0.5), ..Row::default() };
        finished.add(RunKey { seed: 3, name: "rule" }, row).unwrap();
        assert_eq!(Finished::read(path.clone()).unwrap().rows(), finished.rows());
        let whole = fs::read(&path).unwrap();
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, flipped).unwrap();
            assert!(Finished::read(path.clone()).is_err(), "bit {bit}");
        }
    }
}
