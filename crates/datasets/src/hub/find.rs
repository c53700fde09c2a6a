//! Where the files of a dataset are: in the cache or at the server, and in which revision.

use std::path::PathBuf;

use hf_hub::repository::RepoTreeEntry;

use super::names::{Repository, Wanted};
use super::shards::{self, Sets};
use super::{Hub, cache, one_line};
use crate::{Error, Result};

/// What the hub makes of the files of every dataset: parquet files.
const CONVERTED: &str = "refs/convert/parquet";
/// The files as their authors gave them, which may be parquet files, too.
const MAIN: &str = "main";

/// Where a dataset was found.
pub(super) struct Found {
    pub(super) repository: Repository,
    pub(super) revision: &'static str,
    /// The folder that has all of its files; none if they have to be fetched.
    pub(super) snapshot: Option<PathBuf>,
    pub(super) sets: Sets,
}

impl Hub {
    /// Where the dataset is: in the cache, or at the server.
    pub(super) fn find(&self, wanted: &Wanted) -> Result<Found> {
        let mut cached = Vec::new();
        for repository in &wanted.repositories {
            for revision in [CONVERTED, MAIN] {
                let Some((snapshot, files)) = cache::snapshot(&self.cache, repository, revision) else {
                    continue;
                };
                let sets = sets_of(&files, wanted)?;
                if !sets.train.is_empty() {
                    cached.push(Found {
                        repository: repository.clone(),
                        revision,
                        snapshot: Some(snapshot),
                        sets,
                    });
                }
            }
        }
        let is_whole = |found: &Found| found.sets.missing.is_empty();
        if let Some(place) = cached.iter().position(|found| is_whole(found) && !found.sets.test.is_empty()) {
            return Ok(cached.swap_remove(place));
        }
        // What was being downloaded may be missing its test set; the hub knows whether there is one.
        let without_test = cached.iter().position(is_whole);
        let listed = match &self.offline {
            Some(_) => Err(self.not_cached(wanted, &cached)),
            None => self.listed(wanted, cached.first().map_or(CONVERTED, |found| found.revision)),
        };
        match (listed, without_test) {
            (Ok(listed), Some(place)) if listed.sets != cached[place].sets => Ok(listed),
            (_, Some(place)) => Ok(cached.swap_remove(place)),
            (listed, None) => listed,
        }
    }

    /// What the server has, in the revision `first` or else in the other one.
    pub(super) fn listed(&self, wanted: &Wanted, first: &'static str) -> Result<Found> {
        let Some(repository) = wanted.repositories.first() else { return Err(self.not_cached(wanted, &[])) };
        let other = if first == MAIN { CONVERTED } else { MAIN };
        let mut reasons = Vec::new();
        let client = self.client.dataset(&repository.owner, &repository.name);
        for revision in [first, other] {
            let files = match client.list_tree().revision(revision).recursive(true).send() {
                Ok(files) => files,
                Err(error) => {
                    reasons.push(one_line(&error));
                    continue;
                }
            };
            let files = files.into_iter().filter_map(|entry| match entry {
                RepoTreeEntry::File { path, .. } => Some(path),
                _ => None,
            });
            let sets = sets_of(&files.collect::<Vec<_>>(), wanted)?;
            if !sets.train.is_empty() && sets.missing.is_empty() {
                return Ok(Found { repository: repository.clone(), revision, snapshot: None, sets });
            }
            let lacks = sets.missing.first().map_or("a training set as parquet files", String::as_str);
            reasons.push(format!("its revision {revision} does not have {lacks}"));
        }
        reasons.dedup();
        Err(self.not_given(format!("the dataset {}", repository.id()), reasons.join("; ")))
    }

    /// What the cache lacks; `cached` is what it has.
    fn not_cached(&self, wanted: &Wanted, cached: &[Found]) -> Error {
        let missing =
            cached.iter().find_map(|found| Some(found.repository.place_of(found.sets.missing.first()?)));
        if let Some(file) = missing {
            return self.not_asked(file, "not".to_owned());
        }
        let arrow =
            wanted.repositories.iter().find_map(|repository| cache::arrow_folder(&self.cache, repository));
        let arrow = arrow
            .map(|folder| format!(" (there are Arrow files in {}, which are not read)", folder.display()));
        let id = wanted.repositories.first().map_or(wanted.id.clone(), Repository::id);
        self.not_asked(format!("the dataset {id}{}", arrow.unwrap_or_default()), "not".to_owned())
    }
}

/// The sets among the files of a repository.
fn sets_of(files: &[String], wanted: &Wanted) -> Result<Sets> {
    let mut sets = shards::sets_of(files, wanted.config.as_deref()).map_err(|configs| {
        let id = wanted.id.split(':').next().unwrap_or_default();
        let allowed: Vec<String> = configs.iter().map(|config| format!("{id}:{config}")).collect();
        Error::setting("dataset", &wanted.id, allowed.join(", "))
    })?;
    if wanted.known.is_some() && !sets.train.is_empty() && sets.test.is_empty() {
        sets.missing.push("the test set".to_owned());
    }
    Ok(sets)
}
