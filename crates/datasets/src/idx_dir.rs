//! A dataset from a directory of IDX files, as MNIST, Fashion-MNIST, KMNIST and EMNIST are distributed.

use std::path::{Path, PathBuf};

use crate::dataset::IdxPair;
use crate::idx::Idx;
use crate::{Dataset, Error, Result};

impl Dataset {
    /// Reads `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    /// `t10k-labels-idx1-ubyte` from `dir`.
    ///
    /// Each may also be spelt with a dot (`train-images.idx3-ubyte`) and may be gzipped (`.gz`); where both are there,
    /// the plain file is read. Images may have any size, gray, one byte a pixel. The number of classes is the highest
    /// label of both sets plus one.
    ///
    /// # Errors
    /// If the directory or a file is missing, cannot be read, is not IDX, is shorter or longer than its header says,
    /// or if the files do not agree with each other. No file, whatever it holds, causes a panic or takes more memory
    /// than its own length (for gzip: than what it decompresses to, up to the size that its header declares) calls for.
    pub fn from_idx_dir(name: &str, dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::MissingDirectory { dir: dir.to_owned() });
        }
        Self::from_idx(name, pair(dir, "train")?, pair(dir, "t10k")?)
    }
}

fn pair(dir: &Path, set: &str) -> Result<IdxPair> {
    Ok(IdxPair {
        images: Idx::open(&find(dir, &format!("{set}-images"), "idx3-ubyte")?)?,
        labels: Idx::open(&find(dir, &format!("{set}-labels"), "idx1-ubyte")?)?,
    })
}

fn find(dir: &Path, stem: &str, format: &str) -> Result<PathBuf> {
    let names = ["", ".gz"]
        .map(|packed| ["-", "."].map(|separator| format!("{stem}{separator}{format}{packed}")))
        .concat();
    let file = names.iter().map(|name| dir.join(name)).find(|file| file.is_file());
    file.ok_or_else(|| Error::MissingFile { dir: dir.to_owned(), names })
}
