//! The rows that a run has finished, with the settings that made them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use hebbian_training::replace_file;
use serde::{Deserialize, Serialize};

use crate::{Row, RunKey};

/// Rows in memory and in a file, which holds the settings too: a row is never without what made it.
#[derive(Debug)]
pub(crate) struct Finished {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    /// The TOML of `config.toml`.
    settings: String,
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
    pub(crate) fn none(path: PathBuf, settings: String) -> Result<Self> {
        let finished = Self { path, content: Content { settings, rows: Vec::new() } };
        finished.write()?;
        Ok(finished)
    }

    /// What the file holds.
    pub(crate) fn read(path: PathBuf) -> Result<Self> {
        let content = serde_json::from_slice(&fs::read(&path)?)?;
        Ok(Self { path, content })
    }

    pub(crate) fn settings(&self) -> &str {
        &self.content.settings
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
        let bytes = serde_json::to_vec_pretty(&self.content)?;
        replace_file(&self.path, &bytes).with_context(|| self.path.display().to_string())
    }
}
