//! One's own data: a directory in whatever of the known forms it has.

use std::path::{Path, PathBuf};

use crate::layout::ExampleShape;
use crate::raw::Raw;
use crate::{Dataset, Error, Result, arrays, cifar, class_folders, csv, folders, idx_dir};

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
        let unknown = || Error::Unknown { dir: dir.to_owned(), found: found(dir), allowed: FORMS };
        let raw = read_unpacked(dir, options)?.ok_or_else(unknown)?;
        let own = || dir.canonicalize().ok()?.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = options.name.clone().or_else(own).unwrap_or_else(|| "data".to_owned());
        raw.dataset(&name)
    }
}

/// What lies in `dir` or, if that is nothing known, in the only folder there, as archives unpack.
fn read_unpacked(dir: &Path, options: &ReadOptions) -> Result<Option<Raw>> {
    const DEEPEST: usize = 4;
    let mut dir = dir.to_owned();
    for _ in 0..DEEPEST {
        if let Some(raw) = read_right_in(&dir, options)? {
            return Ok(Some(raw));
        }
        match class_folders::folders(&dir)?.into_iter().next() {
            Some(only) if class_folders::folders(&dir)?.len() == 1 => dir = only,
            _ => break,
        }
    }
    Ok(None)
}

/// What lies right in `dir`, read by the first reader that knows it. What this one does not know is counted.
fn read_right_in(dir: &Path, options: &ReadOptions) -> Result<Option<Raw>> {
    let entries = class_folders::entries(dir)?;
    let files: Vec<PathBuf> = entries.iter().filter(|path| path.is_file()).cloned().collect();
    type Reader<'a> = (&'a dyn Fn() -> Result<Option<Raw>>, fn(&Path) -> bool);
    let readers: [Reader; 5] = [
        (&|| cifar::read(dir), cifar::is_own),
        (&|| idx_dir::read(dir, &files), idx_dir::is_own),
        (&|| arrays::read(&files, options.image_shape), arrays::is_own),
        (&|| csv::read(&files, options.image_shape), csv::is_own),
        (&|| folders::read(dir, options), |_| true),
    ];
    for (read, is_own) in readers {
        let Some(mut raw) = read()? else { continue };
        let others: Vec<&PathBuf> = entries.iter().filter(|path| !is_own(path)).collect();
        if let Some(example) = others.first() {
            let (count, name) = (others.len(), example.display());
            raw.notes.push(format!("{count} other files and folders are passed over, such as {name}"));
        }
        return Ok(Some(raw));
    }
    Ok(None)
}

/// What lies in a directory, in a few words.
fn found(dir: &Path) -> String {
    let all = class_folders::entries(dir).unwrap_or_default();
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let some: Vec<String> = all.iter().take(5).map(name).collect();
    let more = if all.len() > some.len() { ", ..." } else { "" };
    let archives = ["zip", "tar", "gz", "tgz", "7z", "rar"];
    let is_archive = |path: &&PathBuf| path.extension().is_some_and(|end| archives.iter().any(|a| end == *a));
    match all.iter().find(is_archive) {
        _ if all.is_empty() => "found nothing".to_owned(),
        Some(archive) => format!("found {}, which is to be unpacked first", name(archive)),
        None => format!("found {}{more}", some.join(", ")),
    }
}
