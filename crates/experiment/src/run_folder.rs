//! The folder that a run leaves behind, and goes on from.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hebbian_datasets::DatasetSummary;
use hebbian_training::replace_file;
use sha2::{Digest, Sha256};
use toml::Table;

use crate::finished::{Finished, MadeBy};
use crate::run_lock::RunLock;
use crate::{Metrics, Progress, Row, RunKey};

/// `config.toml`, `metrics.jsonl`, `results.json`, checkpoints and pictures of one run.
///
/// Every file is there whole or not at all, whenever the run is killed. Finished rows are kept in `progress/` together
/// with what made them, so that a resumed run does only what is left and reports nothing else. As long as the run lives, the
/// folder is its alone.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    finished: Finished,
    identity: String,
    lock: RunLock,
}

const CONFIG: &str = "config.toml";
const PROGRESS: &str = "progress";
const ROWS: &str = "rows.json";
const LOCK: &str = "lock";
/// Settings that say where to compute and where the data lies, and not what is computed.
const PLACES: [&str; 2] = ["device", "data_dir"];

impl RunFolder {
    /// The folder `path` for a run with `settings`: fresh, or with `resume` the one that is there if its settings are the
    /// same.
    ///
    /// An earlier run is never lost: without `resume` it is moved to another folder.
    ///
    /// # Errors
    /// If the folder holds something else than a run, if another process has it, or if `resume` is asked for and what made
    /// the earlier run differs or is not known any more.
    pub fn open(
        path: PathBuf,
        settings: &Table,
        dataset: Option<&DatasetSummary>,
        resume: bool,
        progress: Progress,
    ) -> Result<Self> {
        let place = || format!("--out {}: expected a folder that can be written", path.display());
        let occupied = path.exists() && !is_empty(&path).with_context(place)?;
        if occupied && !path.join(PROGRESS).is_dir() {
            bail!(
                "--out {}: not empty, and not a run; allowed: a new folder, an empty one or an earlier run's",
                path.display()
            );
        }
        let made_by = MadeBy {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            dataset: dataset.cloned(),
            settings: toml::to_string(settings)?,
        };
        let mut lock = RunLock::take(&path.join(PROGRESS)).with_context(place)?;
        let rows = path.join(PROGRESS).join(ROWS);
        let mut finished = None;
        if occupied && has_begun(&path)? {
            match resume {
                true => finished = Some(resumed(&path, settings, &made_by)?),
                false => {
                    let kept = set_aside(&path)?;
                    lock = RunLock::take(&path.join(PROGRESS)).with_context(place)?;
                    progress.say(format!("the earlier run in {} is now {}", path.display(), kept.display()));
                }
            }
        }
        let identity = identity(settings, &made_by);
        let settings_text = made_by.settings.clone();
        let finished = match finished {
            Some(finished) => finished,
            None => Finished::none(rows, made_by).with_context(place)?,
        };
        replace_file(&path.join(CONFIG), settings_text.as_bytes()).with_context(place)?;
        Ok(Self { path, finished, identity, lock })
    }

    /// What tells this run from those of other settings, data or versions: its checkpoints and metrics are no other's.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// What makes the folder this run's.
    pub(crate) fn lock(&self) -> &RunLock {
        &self.lock
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
        self.lock.check()?;
        let path = self.file(name);
        replace_file(&path, bytes.as_ref()).with_context(|| path.display().to_string())
    }

    /// The metrics so far; `tensorboard` keeps them for TensorBoard too.
    pub fn metrics(&self, tensorboard: bool) -> Result<Metrics> {
        let events = tensorboard.then(|| self.file("tensorboard"));
        Metrics::open(self.file("metrics.jsonl"), &self.identity, events)
    }

    /// Whether a row is finished.
    pub fn has(&self, key: RunKey<'_>) -> bool {
        self.finished.has(key)
    }

    /// All finished rows with their names.
    pub fn rows(&self) -> Vec<(String, Row)> {
        self.finished.rows()
    }

    /// Records that a row is done.
    pub fn finish(&mut self, key: RunKey<'_>, row: Row) -> Result<()> {
        self.lock.check()?;
        self.finished.add(key, row)
    }
}

/// The rows of the run in the folder, if they are `made_by` the same.
fn resumed(path: &Path, settings: &Table, made_by: &MadeBy) -> Result<Finished> {
    let (config, rows) = (path.join(CONFIG), path.join(PROGRESS).join(ROWS));
    if let Some(missing) = [&config, &rows].into_iter().find(|file| !file.exists()) {
        bail!(
            "--resume: {} is missing, so the settings of the run are not known; allowed: put it back, or leave out \
             --resume, which keeps the earlier run under another name",
            missing.display()
        );
    }
    let text = fs::read_to_string(&config).with_context(|| config.display().to_string())?;
    check_same(&config, &text, settings)?;
    let finished = Finished::read(rows.clone()).with_context(|| {
        format!(
            "--resume: {} (leave out --resume to keep the earlier run under another name)",
            rows.display()
        )
    })?;
    let earlier = finished.made_by();
    check_same(&rows, &earlier.settings, settings)?;
    if earlier.version != made_by.version {
        let (earlier, now) = (&earlier.version, &made_by.version);
        bail!(
            "--resume: the run has begun with version {earlier}, and this is {now}; allowed: the same, or another --out"
        );
    }
    check_same_data(earlier.dataset.as_ref(), made_by.dataset.as_ref())?;
    Ok(finished)
}

/// Refuses other data than the run has begun with, wherever it lies.
fn check_same_data(earlier: Option<&DatasetSummary>, now: Option<&DatasetSummary>) -> Result<()> {
    let content = |summary: Option<&DatasetSummary>| summary.map(|summary| summary.sha256.clone());
    if content(earlier) != content(now) {
        let name = |summary: Option<&DatasetSummary>| summary.map_or("none".to_owned(), ToString::to_string);
        bail!(
            "--resume: the run has begun with {}, and the data is {} now; allowed: the same, or another --out",
            name(earlier),
            name(now)
        );
    }
    Ok(())
}

/// A hash of the settings, the content of the data and the version of the program.
fn identity(settings: &Table, made_by: &MadeBy) -> String {
    let mut hash = Sha256::new();
    for (key, value) in leaves(settings).iter().filter(|(key, _)| !is_place(key)) {
        hash.update(format!("{key} = {value}\n"));
    }
    let content = made_by.dataset.as_ref().map_or("none", |dataset| &dataset.sha256);
    hash.update(format!("data {content}\nversion {}\n", made_by.version));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_place(key: &str) -> bool {
    PLACES.contains(&key.rsplit('.').next().unwrap_or_default())
}

/// The device and the folder of the data may change between two parts of a run; what the results depend on may not.
fn check_same(path: &Path, earlier: &str, now: &Table) -> Result<()> {
    let earlier: Table = earlier
        .parse()
        .map_err(|error: toml::de::Error| anyhow::anyhow!("{}: {}", path.display(), error.message()))?;
    let (earlier, now) = (leaves(&earlier), leaves(now));
    for key in earlier.keys().chain(now.keys()).filter(|key| !is_place(key)) {
        let of = |leaves: &BTreeMap<String, String>| {
            leaves.get(key).map_or("not given", String::as_str).to_owned()
        };
        let (earlier, now) = (of(&earlier), of(&now));
        if earlier != now {
            bail!(
                "--resume: {key} is {earlier} in {} and {now} now; allowed: the same settings, or another --out",
                path.display(),
            );
        }
    }
    Ok(())
}

/// Every value of a table of tables by its dotted key.
pub(crate) fn leaves(table: &Table) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(below) => {
                all.extend(leaves(below).into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            value => drop(all.insert(key.clone(), value.to_string())),
        }
    }
    all
}

/// Whether the run in the folder came further than its settings, so that there is something to keep.
fn has_begun(path: &Path) -> Result<bool> {
    let progress = path.join(PROGRESS);
    let more = |folder: &Path, begun_with: &[&str]| -> Result<bool> {
        let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
        let temporary = |name: &OsStr| Path::new(name).extension() == Some(OsStr::new("tmp"));
        Ok(names.iter().any(|name| !temporary(name) && !begun_with.iter().any(|known| name == known)))
    };
    let rows = progress.join(ROWS);
    let no_rows = !rows.exists() || Finished::read(rows).is_ok_and(|finished| finished.rows().is_empty());
    Ok(more(path, &[CONFIG, PROGRESS])? || more(&progress, &[ROWS, LOCK])? || !no_rows)
}

fn is_empty(path: &Path) -> std::io::Result<bool> {
    Ok(fs::read_dir(path)?.next().is_none())
}

/// Moves what the folder holds to the first free `NAME-1`, `NAME-2`, ... beside it. The folder itself is moved and made
/// again, unless this process is in it: then what is in it moves, the settings first, without which nothing is resumed, and
/// last what makes the rest a run.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let place = || format!("--out {}", path.display());
    let path = path.canonicalize().with_context(place)?;
    let numbered = |number: usize| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!("-{number}"));
        path.with_file_name(name)
    };
    let free = (1..).map(numbered).find(|candidate| !candidate.exists());
    let free = free.context("no free name for the earlier run")?;
    let inside = std::env::current_dir().and_then(|here| here.canonicalize());
    if !inside.is_ok_and(|here| here.starts_with(&path)) {
        fs::rename(&path, &free).and_then(|()| fs::create_dir(&path)).with_context(place)?;
        fs::remove_file(free.join(PROGRESS).join(LOCK)).with_context(place)?;
        return Ok(free);
    }
    fs::create_dir(&free).with_context(place)?;
    let mut names = fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    names.sort_by_key(|name| (name != CONFIG, name == PROGRESS));
    names.iter().try_for_each(|name| fs::rename(path.join(name), free.join(name))).with_context(place)?;
    fs::remove_file(free.join(PROGRESS).join(LOCK)).with_context(place)?;
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Table {
        text.parse().unwrap()
    }

    fn open(path: &Path, text: &str, resume: bool) -> Result<RunFolder> {
        RunFolder::open(path.to_owned(), &settings(text), None, resume, Progress::new(true))
    }

    const KEY: RunKey<'_> = RunKey { seed: 0, name: "rule" };

    /// A run of `epochs = 2` with one row.
    fn run() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let mut folder = open(&path, "epochs = 2\n[rule]\nk = 7\n", false).unwrap();
        folder.metrics(false).unwrap();
        folder.finish(KEY, Row { model: "rule".to_owned(), ..Row::default() }).unwrap();
        (parent, path)
    }

    #[test]
    fn rows_are_there_under_resume_with_the_same_settings_and_never_without_it() {
        let (parent, path) = run();
        assert!(open(&path, "epochs = 2\n[rule]\nk = 7\n", true).unwrap().has(KEY));
        assert!(!open(&path, "epochs = 2\n[rule]\nk = 7\n", false).unwrap().has(KEY));
        assert!(fs::read_to_string(parent.path().join("run-1/progress/rows.json")).unwrap().contains("rule"));
    }

    #[test]
    fn the_device_alone_may_change() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        open(&path, "device = \"cpu\"\n", false).unwrap().metrics(false).unwrap();
        open(&path, "device = \"cuda\"\n", true).unwrap();
        let refused = open(&path, "device = \"cpu\"\nseed = 1\n", true).unwrap_err().to_string();
        assert!(refused.contains("seed is not given in") && refused.contains("and 1 now"), "{refused}");
    }

    #[test]
    fn a_setting_in_a_table_is_named_with_it() {
        let (_parent, path) = run();
        let refused = open(&path, "epochs = 2\n[rule]\nk = 3\n", true).unwrap_err().to_string();
        assert!(refused.contains("rule.k is 7 in") && refused.contains("and 3 now"), "{refused}");
    }

    #[test]
    fn whatever_was_deleted_from_the_folder_rows_of_other_settings_are_not_reported() {
        for deleted in ["config.toml", "progress/rows.json", "metrics.jsonl"] {
            let (parent, path) = run();
            fs::remove_file(path.join(deleted)).unwrap();
            let refused = open(&path, "epochs = 9\n[rule]\nk = 7\n", true).unwrap_err().to_string();
            let expected = if deleted == "metrics.jsonl" { "epochs is 2" } else { "is missing" };
            assert!(refused.contains(expected), "{deleted}: {refused}");
            let fresh = open(&path, "epochs = 9\n[rule]\nk = 7\n", false).unwrap();
            assert!(fresh.rows().is_empty(), "{deleted}");
            let kept = parent.path().join("run-1");
            assert!(kept.join("metrics.jsonl").exists() || kept.join(CONFIG).exists(), "{deleted}");
        }
    }

    #[test]
    fn an_edited_config_does_not_pass_for_the_settings_that_made_the_rows() {
        let (_parent, path) = run();
        fs::write(path.join(CONFIG), "epochs = 9\n[rule]\nk = 7\n").unwrap();
        let refused = open(&path, "epochs = 9\n[rule]\nk = 7\n", true).unwrap_err().to_string();
        assert!(refused.contains("epochs is 2 in") && refused.contains(ROWS), "{refused}");
    }

    #[test]
    fn rows_without_settings_are_refused_with_what_to_do() {
        let (_parent, path) = run();
        fs::write(path.join(PROGRESS).join(ROWS), "[]").unwrap();
        let refused = open(&path, "epochs = 2\n[rule]\nk = 7\n", true).unwrap_err().to_string();
        assert!(refused.contains(ROWS) && refused.contains("leave out --resume"), "{refused}");
    }

    #[test]
    fn a_broken_config_stops_no_run_that_does_not_go_on_with_it() {
        let (parent, path) = run();
        fs::write(path.join(CONFIG), b"\xff = [").unwrap();
        open(&path, "epochs = 2\n[rule]\nk = 7\n", true).unwrap_err();
        assert!(open(&path, "epochs = 2\n[rule]\nk = 7\n", false).unwrap().rows().is_empty());
        assert!(parent.path().join("run-1").join(PROGRESS).join(ROWS).exists());
    }

    #[test]
    fn an_edited_row_is_refused() {
        let (_parent, path) = run();
        let rows = path.join(PROGRESS).join(ROWS);
        let text = fs::read_to_string(&rows).unwrap();
        fs::write(&rows, text.replace("\"train_accuracy\": null", "\"train_accuracy\": 0.99")).unwrap();
        let refused = format!("{:#}", open(&path, "epochs = 2\n[rule]\nk = 7\n", true).unwrap_err());
        assert!(refused.contains("its checksum is"), "{refused}");
    }

    #[test]
    fn a_folder_in_which_a_run_lives_is_refused_by_its_process_whatever_is_asked_for() {
        let (parent, path) = run();
        let settings = "epochs = 2\n[rule]\nk = 7\n";
        let living = open(&path, settings, true).unwrap();
        for resume in [false, true] {
            let refused = format!("{:#}", open(&path, settings, resume).unwrap_err());
            assert!(
                refused.contains(&format!("process {} is running in it", std::process::id())),
                "{refused}"
            );
        }
        assert!(!parent.path().join("run-1").exists());
        drop(living);
        assert!(open(&path, settings, true).unwrap().has(KEY));
    }

    #[test]
    fn a_folder_that_is_deleted_while_the_run_is_in_it_ends_the_run() {
        let (_parent, path) = run();
        let mut living = open(&path, "epochs = 3\n", false).unwrap();
        fs::remove_dir_all(&path).unwrap();
        let other = open(&path, "epochs = 4\n", false).unwrap();
        let refused = living.finish(KEY, Row::default()).unwrap_err().to_string();
        assert!(refused.contains("moved or deleted while the run was in it"), "{refused}");
        living.write("weights.png", b"png").unwrap_err();
        assert!(other.rows().is_empty() && !path.join("weights.png").exists());
    }

    #[test]
    fn other_data_and_another_version_are_not_gone_on_with() {
        let made_by = |version: &str, content: &str| MadeBy {
            version: version.to_owned(),
            dataset: Some(DatasetSummary {
                name: "digits".to_owned(),
                train: 1,
                test: 1,
                shape: [1, 1, 1],
                dtype: "u8".to_owned(),
                range: [0.0, 1.0],
                classes: 2,
                sha256: content.to_owned(),
            }),
            settings: "epochs = 2\n".to_owned(),
        };
        let (parent, now) = (tempfile::tempdir().unwrap(), settings("epochs = 2\n"));
        fs::create_dir(parent.path().join(PROGRESS)).unwrap();
        fs::write(parent.path().join(CONFIG), "epochs = 2\n").unwrap();
        Finished::none(parent.path().join(PROGRESS).join(ROWS), made_by("1", "a")).unwrap();
        let mut identities = vec![identity(&settings("epochs = 3\n"), &made_by("1", "a"))];
        for (version, content, expected) in
            [("1", "b", "and the data is digits"), ("2", "a", "begun with version 1, and this is 2")]
        {
            let refused = resumed(parent.path(), &now, &made_by(version, content)).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
            identities.push(identity(&now, &made_by(version, content)));
        }
        resumed(parent.path(), &now, &made_by("1", "a")).unwrap();
        assert!(!identities.contains(&identity(&now, &made_by("1", "a"))));
    }

    #[test]
    fn a_run_that_was_killed_before_it_learned_anything_begins_anew() {
        for written in [&[][..], &["config.toml"][..], &["progress/rows.json"][..]] {
            let (_parent, path) = run();
            let file = |name| path.join(name);
            for name in ["metrics.jsonl", "config.toml", "progress/rows.json"] {
                fs::remove_file(file(name)).unwrap();
            }
            if written.contains(&"progress/rows.json") {
                let settings = "epochs = 2\n".to_owned();
                let made_by = MadeBy { version: "0".to_owned(), dataset: None, settings };
                Finished::none(file("progress/rows.json"), made_by).unwrap();
            } else if !written.is_empty() {
                fs::write(file("config.toml"), "epochs = 2\n").unwrap();
            }
            assert!(open(&path, "epochs = 5\n", true).unwrap().rows().is_empty());
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_earlier_run_behind_a_symbolic_link_is_kept_too() {
        let (parent, path) = run();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(open(&link, "epochs = 9\n", false).unwrap().rows().is_empty());
        assert!(parent.path().join("run-1").join(CONFIG).exists());
        assert!(path.join(CONFIG).exists());
    }
}
