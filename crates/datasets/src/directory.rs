//! One's own data: a directory in whatever of the known forms it has.

use std::path::{Path, PathBuf};

use crate::layout::ExampleShape;
use crate::raw::Raw;
use crate::{Dataset, Error, Result, arrays, cifar, csv, folders, idx_dir};

/// How a directory is read, where its files leave that open.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// What the dataset is called; the directory's name if not given.
    pub name: Option<String>,
    /// How the values of an array's examples lie, where its own shape does not tell or tells it wrong.
    pub image_shape: Option<ExampleShape>,
    /// The height and width to which all image files are brought; if not given, they must be of one size.
    pub image_size: Option<(usize, usize)>,
    /// Who is told how many files have been read.
    pub watcher: Option<Watcher>,
}

/// Who is told how far reading or a download has come: what it is of, what has come, and all (0 if unknown).
pub type Watcher = fn(what: &str, done: u64, of: u64);

/// What is said of a directory in which nothing is known.
const FORMS: &str = "IDX files, CIFAR's binary files, npy, npz or safetensors arrays with names like x_train and y_train, CSV \
                     tables, or a folder of images per class; docs/your_data.md describes each";

impl Dataset {
    /// Reads the dataset in `dir`, whose form is told by what lies there. In this order:
    ///
    /// * CIFAR-10's and CIFAR-100's binary files;
    /// * IDX files, gzipped or plain;
    /// * numpy, npz and safetensors arrays with names like `x_train`, `train_images`, `y_test`;
    /// * CSV tables;
    /// * folders of PNG, JPEG and BMP files, a class each, in `train` and `test` or not.
    ///
    /// Of the examples of a directory without a test set, every sixth of each class is a test example. Labels may be missing.
    /// [`Dataset::notes`] say what was passed over.
    ///
    /// # Errors
    /// If the directory is missing or of none of these forms, or a file is missing, cannot be read or holds something else
    /// than it should; the message names it.
    pub fn from_dir(dir: &Path, options: &ReadOptions) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::MissingDirectory { dir: dir.to_owned() });
        }
        let files = files_in(dir)?;
        let readers: [&dyn Fn() -> Result<Option<Raw>>; 5] = [
            &|| cifar::read(dir),
            &|| idx_dir::read(dir, &files),
            &|| arrays::read(&files, options.image_shape),
            &|| csv::read(&files, options.image_shape),
            &|| folders::read(dir, options),
        ];
        let raw = readers.iter().find_map(|read| read().transpose());
        let unknown = || Error::Unknown { dir: dir.to_owned(), found: found(dir), allowed: FORMS };
        let raw = raw.unwrap_or_else(|| Err(unknown()))?;
        let own = || dir.canonicalize().ok()?.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = options.name.clone().or_else(own).unwrap_or_else(|| "data".to_owned());
        raw.dataset(&name)
    }
}

/// The files right in `dir`, in the order of their names, without what systems leave there.
fn files_in(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(folders::entries(dir)?.into_iter().filter(|path| path.is_file()).collect())
}

/// What lies in a directory, in a few words.
fn found(dir: &Path) -> String {
    let all = folders::entries(dir).unwrap_or_default();
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let some: Vec<String> = all.iter().take(5).map(name).collect();
    let more = if all.len() > some.len() { ", ..." } else { "" };
    match all.is_empty() {
        true => "found nothing".to_owned(),
        false => format!("found {}{more}", some.join(", ")),
    }
}
