//! `metrics.jsonl`: a line for each epoch of each model and seed.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use hebbian_training::{check_sealed, replace_file, sealed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::RunKey;
use crate::tensorboard::EventFiles;

/// What a model was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Learning by its rule, or by backprop.
    Learn,
    /// Training a readout on what it learned.
    Readout,
}

/// One epoch of one model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Metric {
    /// The run's seed.
    pub seed: u64,
    /// The model, or the name of the row that the epoch belongs to.
    pub model: String,
    /// What the model was doing.
    pub phase: Phase,
    /// Epochs finished.
    pub epoch: usize,
    /// Wall time of the epoch's steps.
    pub seconds: f64,
    /// What was measured: `train_loss`, `validation_accuracy`, `idle_units`, ...
    #[serde(flatten)]
    pub values: Map<String, Value>,
}

/// All metrics of a run, in memory and on disk.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    /// Of which run they are: it is in the checksum of each line.
    run: String,
    all: Vec<Metric>,
    file: File,
    events: Option<EventFiles>,
}

impl Metrics {
    /// Goes on with the lines of an earlier part of the run; a last one that a kill cut short is dropped.
    /// With `events` they are written there for TensorBoard too.
    ///
    /// # Errors
    /// If the file cannot be read or written, or any other line is no metric of this `run`.
    pub(crate) fn open(path: PathBuf, run: &str, events: Option<PathBuf>) -> Result<Self> {
        let all = if path.exists() { read(&path, run)? } else { Vec::new() };
        let file = rewrite(&path, run, &all)?;
        let events = events.map(|folder| EventFiles::begin(folder, &all)).transpose()?;
        Ok(Self { path, run: run.to_owned(), all, file, events })
    }

    /// Forgets all lines but those to be `kept`: the epochs that a resumed run goes through again.
    pub(crate) fn retain(&mut self, kept: impl Fn(&Metric) -> bool) -> Result<()> {
        let before = self.all.len();
        self.all.retain(kept);
        if self.all.len() == before {
            return Ok(());
        }
        self.file = rewrite(&self.path, &self.run, &self.all)?;
        if let Some(events) = &mut self.events {
            events.begin_again(&self.all)?;
        }
        Ok(())
    }

    /// Adds one line.
    pub fn push(&mut self, metric: Metric) -> Result<()> {
        self.file
            .write_all(line(&metric, &self.run)?.as_bytes())
            .with_context(|| self.path.display().to_string())?;
        if let Some(events) = &mut self.events {
            events.push(&metric)?;
        }
        self.all.push(metric);
        Ok(())
    }

    /// Waits until all lines are where not even a power cut takes them: what is written after them may rely on them.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().with_context(|| self.path.display().to_string())
    }

    /// The epochs of one model in one phase, in order.
    pub fn of(&self, key: RunKey<'_>, phase: Phase) -> impl Iterator<Item = &Metric> {
        self.all.iter().filter(move |metric| metric.is_of(key, phase))
    }

    /// Wall time of all epochs of one model in one phase.
    pub fn seconds(&self, key: RunKey<'_>, phase: Phase) -> f64 {
        self.of(key, phase).map(|metric| metric.seconds).sum()
    }

    /// Wall time of all epochs of all models and seeds.
    pub fn all_seconds(&self) -> f64 {
        self.all.iter().map(|metric| metric.seconds).sum()
    }

    /// What was measured under `name` in the last epoch.
    pub fn last(&self, key: RunKey<'_>, phase: Phase, name: &str) -> Option<f64> {
        self.of(key, phase).last()?.value(name)
    }

    /// Points `(epoch, value)` of what was measured under `name`.
    pub fn curve(&self, key: RunKey<'_>, phase: Phase, name: &str) -> Vec<(f64, f64)> {
        let point = |metric: &Metric| Some((metric.epoch as f64, metric.value(name)?));
        self.of(key, phase).filter_map(point).collect()
    }
}

impl Metric {
    pub(crate) fn of(
        key: RunKey<'_>,
        phase: Phase,
        epoch: usize,
        seconds: f64,
        values: Map<String, Value>,
    ) -> Self {
        Self { seed: key.seed, model: key.name.to_owned(), phase, epoch, seconds, values }
    }

    pub(crate) fn is_of(&self, key: RunKey<'_>, phase: Phase) -> bool {
        (self.seed, self.model.as_str(), self.phase) == (key.seed, key.name, phase)
    }

    /// What was measured under `name`.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.values.get(name)?.as_f64()
    }
}

fn read(path: &Path, run: &str) -> Result<Vec<Metric>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    // What stands after the last end of a line was cut by a kill, or is nothing, unless only its end is damaged.
    let last = lines.pop().unwrap_or_default();
    let whole = last.iter().rposition(|&byte| byte == b'}').map_or(&[][..], |end| &last[..=end]);
    if check_sealed(run, whole).is_ok() {
        lines.push(whole);
    }
    let metric = |(at, line): (usize, &&[u8])| {
        let place = || format!("{}, line {}", path.display(), at + 1);
        check_sealed(run, line).map_err(|reason| anyhow!(reason)).with_context(place)?;
        let mut metric: Metric = serde_json::from_slice(line).with_context(place)?;
        metric.values.remove("checksum");
        Ok(metric)
    };
    lines.iter().enumerate().map(metric).collect()
}

/// Replaces the file and opens it for more.
fn rewrite(path: &Path, run: &str, all: &[Metric]) -> Result<File> {
    let place = || path.display().to_string();
    let text = all.iter().map(|metric| line(metric, run)).collect::<Result<String>>()?;
    replace_file(path, text.as_bytes()).with_context(place)?;
    OpenOptions::new().append(true).open(path).with_context(place)
}

/// A line, with a checksum of it and of the run.
fn line(metric: &Metric, run: &str) -> Result<String> {
    Ok(sealed(run, &serde_json::to_string(metric)?) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "of these settings";

    fn written() -> String {
        let plain = r#"{"seed":0,"model":"rule","phase":"learn","epoch":1,"seconds":0.5}"#;
        sealed(RUN, plain)
    }

    fn reopened(text: &[u8]) -> Result<(usize, String)> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, text)?;
        let metrics = Metrics::open(path.clone(), RUN, None)?;
        Ok((metrics.all.len(), std::fs::read_to_string(&path)?))
    }

    #[test]
    fn a_last_line_that_was_cut_is_dropped() {
        let line = written();
        for cut in ["", "{\"seed\":0,\"mod", "{\"seed\":0,\"model\":\"Fo\u{e4}"] {
            let text = format!("{line}\n{cut}");
            let text = &text.as_bytes()[..text.len() - usize::from(cut.ends_with('\u{e4}'))];
            assert_eq!(reopened(text).unwrap(), (1, format!("{line}\n")), "{cut}");
        }
    }

    #[test]
    fn any_other_damaged_line_is_named() {
        let line = written();
        let damaged: [&[u8]; 4] = [b"{\"seed\":0,", b"", b"\xff\xfe", b"{}"];
        for other in damaged {
            let text = [line.as_bytes(), b"\n", other, b"\n", line.as_bytes(), b"\n"].concat();
            let refused = reopened(&text).unwrap_err().to_string();
            assert!(refused.ends_with("metrics.jsonl, line 2"), "{refused}");
        }
    }

    #[test]
    fn a_flipped_bit_is_refused_or_makes_no_difference() {
        let whole = format!("{}\n", written()).repeat(2);
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = reopened(&flipped) {
                assert_eq!(read, (2, whole.clone()), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_line_of_another_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, written() + "\n").unwrap();
        Metrics::open(path.clone(), RUN, None).unwrap();
        Metrics::open(path, "of others", None).unwrap_err();
    }
}
