//! One's own arrays: four numpy files, or one safetensors file with four tensors.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use safetensors::{Dtype, SafeTensors};

use crate::{Dataset, Error, Examples, ImageShape, Result};

/// The arrays of a dataset. Training ones come first.
const ARRAYS: [&str; 4] = ["train_images", "train_labels", "test_images", "test_labels"];

impl Dataset {
    /// Reads the arrays `train_images`, `train_labels`, `test_images` and `test_labels` from `dir`: each a numpy file
    /// (`train_images.npy`), or all as tensors of the only safetensors file there.
    ///
    /// Images are bytes `(images, height, width)` or `(images, height, width, channels)`; labels are whole numbers from 0,
    /// of any integer type, `(images)`.
    ///
    /// # Errors
    /// If the directory or an array is missing, cannot be read, is of another type or shape, or if they do not agree.
    pub fn from_array_dir(name: &str, dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::MissingDirectory { dir: dir.to_owned() });
        }
        let [train_images, train_labels, test_images, test_labels] = match safetensors_file(dir) {
            Some(path) => from_safetensors(&path)?,
            None => from_npy(dir)?,
        };
        let ((shape, train), (test_shape, test)) = (train_images.images()?, test_images.images()?);
        if shape != test_shape {
            return Err(
                test_images.unfit(format!("images of {test_shape:?}"), format!("{shape:?}, as for training"))
            );
        }
        let (train_labels, test_labels) = (train_labels.labels()?, test_labels.labels()?);
        let highest = train_labels.iter().chain(&test_labels).max();
        let classes = highest.map_or(0, |&label| label as usize + 1);
        let examples = |images: Tensor, labels: Vec<u32>| {
            let count = labels.len();
            Examples::new(images, Tensor::from_vec(labels, count, &Device::Cpu)?, classes)
        };
        Ok(Self {
            name: name.to_owned(),
            shape,
            classes,
            train: examples(train, train_labels)?,
            test: examples(test, test_labels)?,
        })
    }
}

/// Whether `dir` looks as if [`Dataset::from_array_dir`] could read it.
pub(crate) fn is_array_dir(dir: &Path) -> bool {
    dir.join(format!("{}.npy", ARRAYS[0])).is_file() || safetensors_file(dir).is_some()
}

fn safetensors_file(dir: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    files.next().filter(|_| files.next().is_none())
}

/// An array as it lies in its file, little-endian, the last dimension varying fastest.
pub(crate) struct Array {
    file: String,
    /// `u1`, `i8`, ... as numpy calls it.
    dtype: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    fn unfit(&self, found: impl ToString, expected: impl ToString) -> Error {
        malformed(&self.file, 0, found, expected)
    }

    pub(crate) fn images(&self) -> Result<(ImageShape, Tensor)> {
        let shape = match self.shape[..] {
            [_, height, width] => ImageShape { height, width, channels: 1 },
            [_, height, width, channels @ 1..=4] => ImageShape { height, width, channels },
            _ => {
                return Err(
                    self.unfit(format!("shape {:?}", self.shape), "(images, height, width[, channels])")
                );
            }
        };
        if self.dtype != "u1" || self.bytes.is_empty() {
            return Err(
                self.unfit(format!("{:?} of type {}", self.shape, self.dtype), "bytes (u1), at least one")
            );
        }
        let images = Tensor::from_slice(&self.bytes, (self.shape[0], shape.inputs()), &Device::Cpu)?;
        Ok((shape, images))
    }

    fn labels(&self) -> Result<Vec<u32>> {
        let [_] = self.shape[..] else {
            return Err(self.unfit(format!("shape {:?}", self.shape), "one dimension"));
        };
        let whole = |bytes: &[u8]| {
            let mut wide = [0; 8];
            wide[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(wide)
        };
        let size = match self.dtype.as_str() {
            "u1" | "i1" => 1,
            "u2" | "i2" => 2,
            "u4" | "i4" => 4,
            "u8" | "i8" => 8,
            other => return Err(self.unfit(format!("type {other}"), "whole numbers")),
        };
        // Negative labels are large ones here, and refused with them.
        let label = |bytes: &[u8]| match whole(bytes) {
            label @ 0..=65_535 if !self.dtype.starts_with('i') || bytes[size - 1] < 128 => Ok(label as u32),
            label => Err(self.unfit(format!("label {label}"), "labels from 0 to 65535")),
        };
        self.bytes.chunks_exact(size).map(label).collect()
    }
}

fn malformed(file: &str, offset: u64, found: impl ToString, expected: impl ToString) -> Error {
    Error::Malformed {
        file: file.to_owned(),
        offset,
        found: found.to_string(),
        expected: expected.to_string(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|reason| Error::Read { file: path.display().to_string(), offset: 0, reason })
}

fn from_npy(dir: &Path) -> Result<[Array; 4]> {
    let array = |name: &str| {
        let name = format!("{name}.npy");
        match dir.join(&name) {
            path if path.is_file() => read_npy(&path),
            _ => Err(Error::MissingFile { dir: dir.to_owned(), names: vec![name] }),
        }
    };
    let [a, b, c, d] = ARRAYS;
    Ok([array(a)?, array(b)?, array(c)?, array(d)?])
}

/// The array of one numpy file.
pub(crate) fn read_npy(path: &Path) -> Result<Array> {
    npy(path.display().to_string(), &read(path)?)
}

/// The npy format: a magic number, a version, the length of a header, the header as a Python dict, the values.
fn npy(file: String, bytes: &[u8]) -> Result<Array> {
    let cut = || malformed(&file, bytes.len() as u64, "the end of the file", "the header of an npy file");
    let rest = bytes
        .strip_prefix(b"\x93NUMPY")
        .ok_or_else(|| malformed(&file, 0, "other bytes", "93 NUMPY, as an npy file begins"))?;
    let (length, rest) = match rest {
        [1, _, low, high, rest @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(cut()),
    };
    let (header, values) = rest.split_at_checked(length).ok_or_else(cut)?;
    let header = String::from_utf8_lossy(header);
    let unclear = || malformed(&file, 10, header.trim(), "a dict with descr, fortran_order and shape");
    let after = |key: &str| Some(header.split_once(&format!("'{key}':"))?.1.trim_start());
    let dtype = after("descr").and_then(|text| text.split('\'').nth(1)).ok_or_else(unclear)?;
    let dtype = dtype.strip_prefix(['<', '|']).ok_or_else(unclear)?.to_owned();
    if !after("fortran_order").is_some_and(|text| text.starts_with("False")) {
        return Err(malformed(&file, 10, "an array in Fortran's order", "one in C's order"));
    }
    let shape =
        after("shape").and_then(|text| text.strip_prefix('(')?.split_once(')')).ok_or_else(unclear)?.0;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape: Vec<usize> =
        sizes.map(str::parse).collect::<std::result::Result<_, _>>().map_err(|_| unclear())?;
    let size: usize = dtype.get(1..).and_then(|size| size.parse().ok()).ok_or_else(unclear)?;
    let expected = shape.iter().try_fold(size, |product, &size| product.checked_mul(size));
    if expected != Some(values.len()) {
        let (found, at) = (format!("{} bytes of values", values.len()), (bytes.len() - values.len()) as u64);
        return Err(malformed(&file, at, found, format!("{shape:?} of {size} bytes each")));
    }
    Ok(Array { dtype, shape, bytes: values.to_vec(), file })
}

fn from_safetensors(path: &Path) -> Result<[Array; 4]> {
    let (file, bytes) = (path.display().to_string(), read(path)?);
    let tensors =
        SafeTensors::deserialize(&bytes).map_err(|error| malformed(&file, 0, error, "a safetensors file"))?;
    let array = |name: &str| -> Result<Array> {
        let view = tensors
            .tensor(name)
            .map_err(|_| malformed(&file, 8, format!("no tensor `{name}`"), ARRAYS.join(", ")))?;
        let dtype = match view.dtype() {
            Dtype::U8 => "u1",
            Dtype::I8 => "i1",
            Dtype::U16 => "u2",
            Dtype::I16 => "i2",
            Dtype::U32 => "u4",
            Dtype::I32 => "i4",
            Dtype::U64 => "u8",
            Dtype::I64 => "i8",
            _ => "f",
        };
        let (dtype, file) = (dtype.to_owned(), format!("{file}, tensor `{name}`"));
        Ok(Array { file, dtype, shape: view.shape().to_vec(), bytes: view.data().to_vec() })
    };
    let [a, b, c, d] = ARRAYS;
    Ok([array(a)?, array(b)?, array(c)?, array(d)?])
}
