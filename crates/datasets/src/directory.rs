//! One's own data: a directory in whatever of the known forms it has.

use std::path::Path;

use crate::{Dataset, Error, Result, cifar10_dir};

impl Dataset {
    /// Reads the dataset in `dir`, whose form is told by what lies there:
    ///
    /// * `data_batch_1.bin`: CIFAR-10, [`from_cifar10_dir`](Self::from_cifar10_dir);
    /// * otherwise IDX files, [`from_idx_dir`](Self::from_idx_dir).
    ///
    /// # Errors
    /// As the function for its form.
    pub fn from_dir(name: &str, dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::MissingDirectory { dir: dir.to_owned() });
        }
        match dir.join(cifar10_dir::FIRST).is_file() {
            true => Self::from_cifar10_dir(name, dir),
            false => Self::from_idx_dir(name, dir),
        }
    }
}
