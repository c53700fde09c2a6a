//! A run folder belongs to one process, as long as it lives.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use indicatif::HumanDuration;

/// An advisory lock of the file `lock`, which the system takes back when the process ends, however it ends. The file says which
/// process has it and since when, and stays.
///
/// On a file system without locks there is none, and two runs in one folder are not noticed.
#[derive(Debug)]
pub(crate) struct RunLock {
    path: PathBuf,
    file: File,
}

/// How often the folder may be moved away between the moments at which the file is opened and locked.
const ATTEMPTS: usize = 100;

impl RunLock {
    /// Takes the lock in the folder `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// If another process has it, which is then named.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join("lock");
        for _ in 0..ATTEMPTS {
            fs::create_dir_all(folder)?;
            let file = match OpenOptions::new().read(true).append(true).create(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                file => file?,
            };
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => bail!(holder(&path)),
                Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => {
                    return Err(error).context("its lock");
                }
                _ => {}
            }
            let lock = Self { path: path.clone(), file };
            if lock.is_in_place() {
                lock.sign()?;
                return Ok(lock);
            }
        }
        bail!("it is being moved by others")
    }

    /// # Errors
    /// If the folder is no longer the one in which the lock was taken: then another process may work there.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.is_in_place() {
            let folder = self.path.ancestors().nth(2).unwrap_or(&self.path);
            bail!("{}: the folder was moved or deleted while the run was in it", folder.display());
        }
        Ok(())
    }

    #[cfg(unix)]
    fn is_in_place(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let number = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let (here, there) = (self.file.metadata().map(number), fs::metadata(&self.path).map(number));
        here.is_ok_and(|here| there.is_ok_and(|there| here == there))
    }

    #[cfg(not(unix))]
    fn is_in_place(&self) -> bool {
        self.path.exists()
    }

    fn sign(&self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.file.set_len(0)?;
        Ok((&self.file).write_all(format!("{} {now}\n", std::process::id()).as_bytes())?)
    }
}

/// Who has the lock, as far as its file tells.
fn holder(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut words = text.split_whitespace().map(str::parse::<u64>);
    let (Some(Ok(process)), Some(Ok(since))) = (words.next(), words.next()) else {
        return "another process is running in it".to_owned();
    };
    let since = UNIX_EPOCH.checked_add(Duration::from_secs(since)).unwrap_or(UNIX_EPOCH);
    let ago = HumanDuration(SystemTime::now().duration_since(since).unwrap_or_default());
    format!(
        "process {process} is running in it, started {ago} ago; allowed: another --out, or wait until it ends"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_takes_it_and_the_other_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let lock = RunLock::take(folder.path()).unwrap();
        let refused = RunLock::take(folder.path()).unwrap_err().to_string();
        assert!(
            refused.starts_with(&format!("process {} is running in it", std::process::id())),
            "{refused}"
        );
        drop(lock);
        RunLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_that_was_moved_is_no_longer_the_runs() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, other) = (parent.path().join("run/progress"), parent.path().join("other"));
        let lock = RunLock::take(&folder).unwrap();
        lock.check().unwrap();
        fs::rename(parent.path().join("run"), &other).unwrap();
        assert!(lock.check().unwrap_err().to_string().contains("moved or deleted"));
        RunLock::take(&folder).unwrap();
        lock.check().unwrap_err();
        RunLock::take(&other.join("progress")).unwrap_err();
    }
}
