//! One's own data: a directory in whatever of the known forms it has.

use std::path::Path;

use crate::{Dataset, Error, Result, array_dir, cifar10_dir, png_dir};

impl Dataset {
    /// Reads the dataset in `dir`, whose form is told by what lies there:
    ///
    /// * `data_batch_1.bin`: CIFAR-10, [`from_cifar10_dir`](Self::from_cifar10_dir);
    /// * `train_images.npy` or one safetensors file: arrays, [`from_array_dir`](Self::from_array_dir);
    /// * folders with PNG files: a class each, [`from_png_dir`](Self::from_png_dir);
    /// * otherwise IDX files, [`from_idx_dir`](Self::from_idx_dir).
    ///
    /// # Errors
    /// As the function for its form.
    pub fn from_dir(name: &str, dir: &Path) -> Result<Self> {
        match dir {
            _ if !dir.is_dir() => Err(Error::MissingDirectory { dir: dir.to_owned() }),
            _ if dir.join(cifar10_dir::FIRST).is_file() => Self::from_cifar10_dir(name, dir),
            _ if array_dir::is_array_dir(dir) => Self::from_array_dir(name, dir),
            _ if png_dir::is_png_dir(dir) => Self::from_png_dir(name, dir),
            _ => Self::from_idx_dir(name, dir),
        }
    }
}
