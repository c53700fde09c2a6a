//! Datasets of images from the Hugging Face hub, or from its cache on disk.
//!
//! The hub's client trusts whatever lies in its cache, and the loaders of candle-datasets leave out the rows that they
//! cannot read. Here a file counts only once all of its rows are decoded: one that is broken is taken out of the cache and
//! fetched again, so that no later run can trust it.

mod cache;
mod candle;
mod columns;
mod environment;
mod find;
mod names;
mod rows;
mod shards;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use hf_hub::{HFClient, HFClientSync, HFError};

use crate::set_read::{SetRead, raw_of};
use crate::{Dataset, Error, Result, Watcher};
use environment::Environment;
use find::Found;
use names::{Repository, Wanted};
use rows::Trouble;
use shards::Sets;

/// How often a file that did not arrive whole is asked for.
const ATTEMPTS: usize = 2;

/// A server, and the folder that keeps what it gave.
pub struct Hub {
    client: HFClientSync,
    endpoint: String,
    cache: PathBuf,
    /// Why there is no network access.
    offline: Option<String>,
}

/// Why an attempt to load a dataset failed.
enum Failure {
    /// The server did not give a file.
    NotFetched {
        file: String,
        error: HFError,
    },
    /// The file at `path` is damaged; `first` is the first of the training set.
    Broken {
        file: String,
        path: PathBuf,
        first: PathBuf,
        reason: String,
    },
    Other(Error),
}

type Attempt<T> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Hub {
    /// The hub and the cache that the environment names, as Python's huggingface_hub reads it: the server `HF_ENDPOINT`; the
    /// folder `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE` or `hub` in `HF_HOME`, which is `huggingface` in `XDG_CACHE_HOME` or
    /// `~/.cache` if not given. `HF_HUB_OFFLINE` and `HF_DATASETS_OFFLINE` forbid network access if they are 1, true, yes or on.
    ///
    /// # Errors
    /// If the endpoint is no URL.
    pub fn from_env() -> Result<Self> {
        let Environment { endpoint, cache, offline } = Environment::read(|name| std::env::var_os(name));
        let hub = Self::new(&endpoint, &cache)?;
        Ok(match offline {
            Some(variable) => hub.offline(&format!("{variable} is set")),
            None => hub,
        })
    }

    /// The hub at the URL `endpoint`, with the cache in the folder `cache`.
    ///
    /// # Errors
    /// If the endpoint is no URL.
    pub fn new(endpoint: &str, cache: &Path) -> Result<Self> {
        let client = HFClient::builder()
            .endpoint(endpoint)
            .cache_dir(cache)
            .retry_max_attempts(3)
            .retry_base_delay(Duration::from_millis(10));
        let client = client.build().and_then(HFClientSync::from_inner);
        let (endpoint, cache) = (endpoint.to_owned(), cache.to_owned());
        match client {
            Ok(client) => Ok(Self { client, endpoint, cache, offline: None }),
            Err(error) => {
                Err(Error::Hub { file: "the hub".to_owned(), endpoint, cache, reason: error.to_string() })
            }
        }
    }

    /// The cache alone: nothing is asked for over the network, and errors say why, such as `HF_HUB_OFFLINE is set`.
    pub fn offline(self, why: &str) -> Self {
        Self { offline: Some(why.to_owned()), ..self }
    }

    /// Loads the dataset `id`: `mnist`, `fashion-mnist`, `cifar10`, or any `OWNER/NAME` of the hub, followed by `:CONFIG` where
    /// the repository has several configs and none is called `default`. From the cache if it is there whole, in the files of the
    /// revision `main` or of those that the hub converted, else from the server; `watcher` is told about downloads.
    ///
    /// Images are the column called `image`, `img` or the like, or the only one with encoded images; labels the column called
    /// `label`, `labels`, `fine_label` or the like, with numbers or names. Without such a column the examples have no labels.
    /// Numbers are those of the classes that the file names. A set is gray if none of its images has a pixel of unequal values.
    ///
    /// Without a test set, every sixth training example of each class is a test example; a validation set is passed over.
    ///
    /// # Errors
    /// If `id` is none of these, a file is neither in the cache nor to be had whole from the server, it has no column of images,
    /// or its images are of several sizes or none of PNG, JPEG and BMP.
    pub fn load(&self, id: &str, watcher: Watcher) -> Result<Dataset> {
        let wanted = Wanted::of(id)?;
        let mut found = self.find(&wanted)?;
        let mut failed: HashMap<String, usize> = HashMap::new();
        loop {
            let (file, reason, is_final) = match self.read(&wanted, &found, watcher) {
                Ok(dataset) => return Ok(dataset),
                Err(Failure::Other(error)) => return Err(error),
                Err(Failure::NotFetched { file, error }) => (file, one_line(&error), is_final(&error)),
                Err(Failure::Broken { file, path, first, reason }) => {
                    if self.offline.is_some() {
                        let file = found.repository.place_of(&file);
                        return Err(self.not_asked(file, format!("broken ({})", one_line(&reason))));
                    }
                    let advice = cache::forget(&path, &first);
                    (file, format!("the file is broken ({}){advice}", one_line(&reason)), false)
                }
            };
            let place = found.repository.place_of(&file);
            let attempts = failed.entry(file).or_default();
            *attempts += 1;
            if is_final || *attempts >= ATTEMPTS {
                return Err(self.not_given(place, reason));
            }
            let listed = self.listed(&wanted, found.revision);
            found = listed.map_err(|error| match error {
                Error::Hub { reason: also, .. } => self.not_given(place, format!("{reason}; {also}")),
                error => error,
            })?;
        }
    }

    fn read(&self, wanted: &Wanted, found: &Found, watcher: Watcher) -> Attempt<Dataset> {
        let (train, test) = (&found.sets.train, &found.sets.test);
        let mut paths = Vec::new();
        // The first training file comes last: see `cache::forget`.
        for file in train.iter().chain(test).rev() {
            paths.push(self.path(found, file, watcher)?);
        }
        paths.reverse();
        let (train_paths, test_paths) = paths.split_at(train.len());
        let first = paths.first().cloned().unwrap_or_default();
        let set =
            |files: &[String], paths: &[PathBuf]| read_set(wanted, &found.repository, files, paths, &first);
        let test = set(test, test_paths)?;
        let train = set(train, train_paths)?;
        let train = train.ok_or_else(|| Error::unfit(&wanted.id, "no training set", "one"))?;
        Ok(raw_of("parquet files", train, test, notes(&found.sets))?.dataset(&wanted.name)?)
    }

    /// Where a file lies in the cache, after a download if need be. Of a downloaded one the columns are checked, before more is
    /// downloaded for nothing.
    fn path(&self, found: &Found, file: &str, watcher: Watcher) -> Attempt<PathBuf> {
        let Found { repository, revision, snapshot, .. } = found;
        if let Some(snapshot) = snapshot {
            return Ok(snapshot.join(file));
        }
        let client = self.client.dataset(&repository.owner, &repository.name);
        let download = client.download_file().filename(file).revision(*revision).progress(Watch(watcher));
        let path = download.send().map_err(|error| Failure::NotFetched { file: file.to_owned(), error })?;
        let checked = rows::check(&path, &repository.place_of(file));
        checked.map_err(|trouble| failure(trouble, file, &path, &path))?;
        Ok(path)
    }

    fn not_given(&self, file: String, reason: String) -> Error {
        Error::Hub { file, endpoint: self.endpoint.clone(), cache: self.cache.clone(), reason }
    }

    fn not_asked(&self, file: String, state: String) -> Error {
        let why = self.offline.clone().unwrap_or_default();
        Error::HubOffline { file, state, cache: self.cache.clone(), why }
    }
}

fn failure(trouble: Trouble, file: &str, path: &Path, first: &Path) -> Failure {
    match trouble {
        Trouble::Refused(error) => Failure::Other(error),
        Trouble::Broken(reason) => {
            Failure::Broken { file: file.to_owned(), path: path.to_owned(), first: first.to_owned(), reason }
        }
    }
}

/// The set in `files`, which lie at `paths`; none if there are none.
fn read_set(
    wanted: &Wanted,
    repository: &Repository,
    files: &[String],
    paths: &[PathBuf],
    first: &Path,
) -> Attempt<Option<SetRead>> {
    let classes = wanted.known.map(|known| &known.classes[..]);
    let mut all: Option<SetRead> = None;
    for (file, path) in files.iter().zip(paths) {
        let read = rows::read(path, &repository.place_of(file), classes)
            .map_err(|trouble| failure(trouble, file, path, first))?;
        match &mut all {
            Some(all) => all.append(read)?,
            None => all = Some(read),
        }
    }
    Ok(all)
}

fn notes(sets: &Sets) -> Vec<String> {
    let note = |split: &String| match split.to_lowercase().starts_with("val") {
        true => {
            format!("the split {split} is passed over: validation images are drawn from those for training")
        }
        false => format!("the split {split} is passed over"),
    };
    sets.passed_over.iter().map(note).collect()
}

/// Whether asking again would bring the same.
fn is_final(error: &HFError) -> bool {
    use HFError::{AuthRequired, EntryNotFound, Forbidden, RepoNotFound, RevisionNotFound};
    matches!(
        error,
        AuthRequired { .. }
            | EntryNotFound { .. }
            | Forbidden { .. }
            | RepoNotFound { .. }
            | RevisionNotFound { .. }
    )
}

fn one_line(reason: &impl ToString) -> String {
    reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Watch(Watcher);

impl ProgressHandler for Watch {
    fn on_progress(&self, event: &ProgressEvent) {
        if let ProgressEvent::Download(DownloadEvent::Progress { files }) = event {
            for file in files {
                (self.0)(&file.filename, file.bytes_completed, file.total_bytes);
            }
        }
    }
}
