//! Files that are there whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Puts `bytes` in the place of the file at `path`: after a kill at any moment the old file is there or the new one,
/// whole.
///
/// The bytes go to a temporary file in the same folder, are synced, and the file is renamed.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_files(&[(path, bytes)])
}

/// As [`replace_file`] for files that belong together. All are written before the first is renamed: a disk that is full leaves
/// the old ones, and a kill that leaves files of two versions must come between two renames.
pub fn replace_files(files: &[(&Path, &[u8])]) -> io::Result<()> {
    let written = files.iter().try_for_each(|(path, bytes)| write(&temporary(path), bytes));
    let replaced =
        written.and_then(|()| files.iter().try_for_each(|(path, _)| fs::rename(temporary(path), path)));
    if replaced.is_err() {
        files.iter().for_each(|(path, _)| drop(fs::remove_file(temporary(path))));
    }
    replaced?;
    files.iter().try_for_each(|(path, _)| sync_folder(path))
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".tmp");
    name.into()
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the rename itself survive a power cut, where a folder can be synced.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) && folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_all_be_written_stay_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let (layer, card) = (folder.path().join("layer"), folder.path().join("no such folder").join("card"));
        fs::write(&layer, "old").unwrap();
        replace_files(&[(&layer, b"new"), (&card, b"new")]).unwrap_err();
        assert_eq!(fs::read_to_string(&layer).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::create_dir(card.parent().unwrap()).unwrap();
        replace_files(&[(&layer, b"new"), (&card, b"new")]).unwrap();
        assert_eq!(fs::read_to_string(&layer).unwrap() + &fs::read_to_string(&card).unwrap(), "newnew");
    }
}
