//! What can go wrong between a file and a tensor.

use std::io;
use std::path::PathBuf;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a dataset could not be read, checked or split. Each message is one line and complete in itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory that should hold the files does not exist, or is none.
    #[error("there is no directory {}", .dir.display())]
    MissingDirectory {
        /// The directory as it was given.
        dir: PathBuf,
    },

    /// The directory lacks one of the four files.
    #[error("{}: found no file named {}", .dir.display(), .names.join(" or "))]
    MissingFile {
        /// The directory that was searched.
        dir: PathBuf,
        /// Every name that would have been accepted.
        names: Vec<String>,
    },

    /// A file could not be opened, read or decompressed.
    #[error("{file}: cannot be read beyond byte {offset}: {reason}")]
    Read {
        /// The file.
        file: String,
        /// How many bytes had arrived; in a compressed file, counted after decompression.
        offset: u64,
        /// What the system or the decoder said.
        reason: io::Error,
    },

    /// A file was read but is not the IDX file that it should be.
    #[error("{file}: at byte {offset}: found {found}, expected {expected}")]
    Malformed {
        /// The file.
        file: String,
        /// Where it goes wrong; in a compressed file, counted after decompression.
        offset: u64,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },

    /// A file, or an array in it, that was read and holds something else than it should.
    #[error("{place}: found {found}, expected {expected}")]
    Unfit {
        /// The file, and the array where the file has several.
        place: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },

    /// A directory in which none of the forms of a dataset was recognized.
    #[error("{}: {found}; allowed: {allowed}", .dir.display())]
    Unknown {
        /// The directory.
        dir: PathBuf,
        /// What lies in it.
        found: String,
        /// The forms, and where they are described.
        allowed: &'static str,
    },

    /// Images, labels or indices that do not belong together.
    #[error("examples: found {found}, expected {expected}")]
    Examples {
        /// What was given.
        found: String,
        /// What is allowed.
        expected: String,
    },

    /// A split that the dataset is too small for, or that would leave nothing to train or test on.
    #[error("{field} is {value}, expected {min} to {max}: {reason}")]
    Size {
        /// `train_size`, `validation_size` or `test_size`.
        field: &'static str,
        /// The size that was asked for.
        value: usize,
        /// The smallest size allowed.
        min: usize,
        /// The largest size allowed.
        max: usize,
        /// Where the largest size comes from.
        reason: String,
    },

    /// A file that is neither in the hub's cache nor to be had from the hub.
    #[cfg(feature = "hub")]
    #[error("{file} is not in the cache {}, and {endpoint} did not give it: {reason}", .cache.display())]
    Hub {
        /// The file and its dataset.
        file: String,
        /// The server that was asked.
        endpoint: String,
        /// The folder that was searched.
        cache: PathBuf,
        /// What the client said, or what was wrong with the file.
        reason: String,
    },

    /// A file that is not in the hub's cache, or not whole there, when the hub may not be asked.
    #[cfg(feature = "hub")]
    #[error("{file} is {state} in the cache {}, and the hub cannot be asked: {why}", .cache.display())]
    HubOffline {
        /// The file and its dataset, or the dataset.
        file: String,
        /// `not`, or what is wrong with it.
        state: String,
        /// The folder that was searched.
        cache: PathBuf,
        /// What forbids network access, such as `HF_HUB_OFFLINE is set`.
        why: String,
    },

    /// A setting that makes no sense.
    #[error("{setting} is {value}, allowed: {allowed}")]
    Setting {
        /// What it is called.
        setting: &'static str,
        /// What it was.
        value: String,
        /// What is allowed.
        allowed: String,
    },

    /// candle could not make or move a tensor.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    pub(crate) fn unfit(place: &str, found: impl ToString, expected: impl ToString) -> Self {
        let found = shortened(found.to_string());
        Self::Unfit { place: place.to_owned(), found, expected: expected.to_string() }
    }

    pub(crate) fn unreadable(place: &std::path::Path, reason: io::Error) -> Self {
        Self::Read { file: place.display().to_string(), offset: 0, reason }
    }

    pub(crate) fn setting(setting: &'static str, value: impl ToString, allowed: impl Into<String>) -> Self {
        Self::Setting { setting, value: value.to_string(), allowed: allowed.into() }
    }
}

/// The beginning of what may be a whole file.
fn shortened(found: String) -> String {
    const LONGEST: usize = 300;
    match found.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ... ({} bytes)", &found[..end], found.len()),
        None => found,
    }
}
