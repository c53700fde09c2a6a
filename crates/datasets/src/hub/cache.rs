//! The hub's folder on disk, in the layout of `huggingface_hub`.

use std::fs;
use std::path::{Path, PathBuf};

use super::names::Repository;

/// Folders below a snapshot that are looked into.
const DEEPEST: usize = 8;

/// The folder of what `revision` of a repository was when it was last fetched, and its files.
pub(super) fn snapshot(
    cache: &Path,
    repository: &Repository,
    revision: &str,
) -> Option<(PathBuf, Vec<String>)> {
    let repository = cache.join(repository.folder());
    let commit = fs::read_to_string(repository.join("refs").join(revision)).ok()?;
    let commit = commit.trim();
    let is_one = !commit.is_empty() && commit.bytes().all(|sign| sign.is_ascii_alphanumeric());
    let folder = is_one.then(|| repository.join("snapshots").join(commit))?;
    let mut files = Vec::new();
    collect(&folder, "", 0, &mut files);
    Some((folder, files))
}

/// The files below a folder, with `/` between the parts of their names. A link to a file that is gone is none.
fn collect(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), format!("{prefix}{}", entry.file_name().to_string_lossy()));
        if path.is_file() {
            files.push(name);
        } else if path.is_dir() && depth < DEEPEST {
            collect(&path, &format!("{name}/"), depth + 1, files);
        }
    }
}

/// Takes a file out of the cache, and what it links to; if that fails, says what to do.
///
/// `first`, the first file of the training set, goes with it, but not what it links to. A download fetches it last, so that a
/// cache in which it is has the others, too, whatever happens between.
pub(super) fn forget(path: &Path, first: &Path) -> String {
    let linked = fs::canonicalize(path);
    let removed = fs::remove_file(path).and(linked).map(|linked| match linked.exists() {
        true => fs::remove_file(linked),
        false => Ok(()),
    });
    let removed = removed.is_ok_and(|linked| linked.is_ok());
    match removed && (!first.exists() || fs::remove_file(first).is_ok()) {
        true => String::new(),
        false => format!("; remove {} yourself", path.display()),
    }
}

/// Where Python's `datasets` would have what it made of a repository: Arrow files, which are not read here.
pub(super) fn arrow_folder(cache: &Path, repository: &Repository) -> Option<PathBuf> {
    let folder = cache.parent()?.join("datasets").join(repository.id().replace('/', "___"));
    folder.is_dir().then_some(folder)
}
