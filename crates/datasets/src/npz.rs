//! The npz format: a zip archive of npy files.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;

use crate::array::Array;
use crate::{Error, Result, npy};

/// The names of the arrays in a file.
pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
    let names =
        archive(path)?.file_names().map(|name| name.map(|name| name.into_owned())).collect::<Vec<_>>();
    let names = names.into_iter().collect::<std::result::Result<Vec<_>, _>>();
    let names = names.map_err(|error| Error::unreadable(path, error.into()))?;
    Ok(names.iter().filter_map(|name| Some(name.strip_suffix(".npy")?.to_owned())).collect())
}

/// One of its arrays. Memory grows with the bytes that arrive, not with those that the archive promises.
pub(crate) fn open(path: &Path, name: &str) -> Result<Array> {
    let mut archive = archive(path)?;
    let place = format!("{}, array {name}", path.display());
    let broken = |reason: std::io::Error| Error::Read { file: place.clone(), offset: 0, reason };
    let mut entry = archive.by_name(&format!("{name}.npy")).map_err(|error| broken(error.into()))?;
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(broken)?;
    npy::read(place, bytes)
}

fn archive(path: &Path) -> Result<ZipArchive<BufReader<File>>> {
    let file = File::open(path).map_err(|reason| Error::unreadable(path, reason))?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| Error::unreadable(path, error.into()))
}
