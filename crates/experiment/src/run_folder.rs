//! The folder that a run leaves behind, and goes on from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hebbian_training::replace_file;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::{Experiment, Metrics, Progress, Row};

/// `config.toml`, `metrics.jsonl`, `results.json`, checkpoints and pictures of one run.
///
/// Every file is there whole or not at all, whenever the run is killed. Finished rows are kept in `progress/`, so that
/// a resumed run does only what is left.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    finished: Vec<Finished>,
}

/// A row that is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Finished {
    seed: u64,
    name: String,
    row: Row,
}

const CONFIG: &str = "config.toml";
const PROGRESS: &str = "progress";

impl RunFolder {
    /// The folder for `experiment`: fresh, or with `--resume` the one that is there if its settings are the same.
    ///
    /// An earlier run is never lost: without `--resume` its folder gets another name. A folder that holds something
    /// else is refused.
    pub fn open<E: Experiment>(experiment: &E, progress: Progress) -> Result<Self> {
        let common = experiment.common();
        let path = common.out.clone().unwrap_or_else(|| Path::new("runs").join(E::NAME));
        let place = || format!("--out {}: expected a folder that can be written", path.display());
        let settings = Table::try_from(experiment)?;
        let occupied = path.exists() && fs::read_dir(&path).with_context(place)?.next().is_some();
        let earlier = if occupied { settings_of(&path)? } else { None };
        match earlier {
            Some(earlier) if common.resume => check_same(&path, &earlier, &settings)?,
            Some(_) => {
                let kept = set_aside(&path)?;
                progress.say(format!("the earlier run in {} is now {}", path.display(), kept.display()));
            }
            None => {}
        }
        fs::create_dir_all(path.join(PROGRESS)).with_context(place)?;
        replace_file(&path.join(CONFIG), toml::to_string(&settings)?.as_bytes()).with_context(place)?;
        let finished = read_finished(&path.join(PROGRESS).join("rows.json"))?;
        Ok(Self { path, finished })
    }

    /// Where the run lives.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The path of a file that a resumed run needs and nobody else.
    pub fn progress_file(&self, name: &str) -> PathBuf {
        self.path.join(PROGRESS).join(name)
    }

    /// Writes a file of the folder, whole or not at all.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        let path = self.file(name);
        replace_file(&path, bytes.as_ref()).with_context(|| path.display().to_string())
    }

    /// The metrics so far; `tensorboard` keeps them for TensorBoard too.
    pub fn metrics(&self, tensorboard: bool) -> Result<Metrics> {
        Metrics::open(self.file("metrics.jsonl"), tensorboard.then(|| self.file("tensorboard")))
    }

    /// Whether the row of a name and seed is finished.
    pub fn has(&self, seed: u64, name: &str) -> bool {
        self.finished.iter().any(|finished| finished.seed == seed && finished.name == name)
    }

    /// All finished rows with their names.
    pub fn rows(&self) -> Vec<(String, Row)> {
        self.finished.iter().map(|finished| (finished.name.clone(), finished.row.clone())).collect()
    }

    /// Records that a row is done.
    pub fn finish(&mut self, seed: u64, name: &str, row: Row) -> Result<()> {
        self.finished.push(Finished { seed, name: name.to_owned(), row });
        let path = self.progress_file("rows.json");
        replace_file(&path, &serde_json::to_vec_pretty(&self.finished)?)
            .with_context(|| path.display().to_string())
    }
}

/// The settings of the run that the folder holds; none if it was killed before it wrote them.
fn settings_of(path: &Path) -> Result<Option<Table>> {
    if !path.join(PROGRESS).is_dir() {
        bail!(
            "--out {}: not empty, and not a run; allowed: a new folder, an empty one or an earlier run's",
            path.display()
        );
    }
    let config = path.join(CONFIG);
    if !config.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&config).with_context(|| config.display().to_string())?;
    let settings = text
        .parse()
        .map_err(|error: toml::de::Error| anyhow::anyhow!("{}: {}", config.display(), error.message()));
    settings.map(Some)
}

/// The device may change between two parts of a run; what the results depend on may not.
fn check_same(path: &Path, earlier: &Table, now: &Table) -> Result<()> {
    let keys = earlier.keys().chain(now.keys()).filter(|key| *key != "device");
    let show = |table: &Table, key: &str| table.get(key).map_or("not given".to_owned(), ToString::to_string);
    for key in keys {
        if earlier.get(key) != now.get(key) {
            bail!(
                "--resume: {key} is {} in {} and {} now; allowed: the same settings, or another --out",
                show(earlier, key),
                path.join(CONFIG).display(),
                show(now, key)
            );
        }
    }
    Ok(())
}

/// Renames the folder to the first free `NAME-1`, `NAME-2`, ...
fn set_aside(path: &Path) -> Result<PathBuf> {
    let path = path.canonicalize().with_context(|| path.display().to_string())?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let numbered = |number: usize| path.with_file_name(format!("{name}-{number}"));
    let free = (1..).map(numbered).find(|candidate| !candidate.exists());
    let free = free.context("no free name for the earlier run")?;
    fs::rename(&path, &free).with_context(|| format!("--out {}", path.display()))?;
    Ok(free)
}

fn read_finished(path: &Path) -> Result<Vec<Finished>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
}
