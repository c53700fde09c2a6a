//! CIFAR-10 from the files of its binary version: each record is a label and the 1024 red, then green, then blue bytes of
//! an image of 32 by 32. Source: the CIFAR page of Krizhevsky, "CIFAR-10 binary version".

use std::path::Path;

use candle_core::{Device, Tensor};

use crate::{Dataset, Error, Examples, ImageShape, Result};

const SHAPE: ImageShape = ImageShape { height: 32, width: 32, channels: 3 };
const RECORD: usize = 1 + 3 * 1024;
const CLASSES: usize = 10;

/// The training file that tells such a directory from others.
pub(crate) const FIRST: &str = "data_batch_1.bin";

impl Dataset {
    /// Reads `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin` from `dir`: 32 by 32 pixels of three values
    /// each, ten classes. Of the training files the first must be there; the others are read while their numbers go on.
    ///
    /// # Errors
    /// If the directory or a file is missing, cannot be read, is not a whole number of records, or holds a label above 9.
    pub fn from_cifar10_dir(name: &str, dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::MissingDirectory { dir: dir.to_owned() });
        }
        let mut train = read(dir, FIRST)?;
        for file in (2..=5).map(|number| format!("data_batch_{number}.bin")) {
            if !dir.join(&file).is_file() {
                break;
            }
            train.extend(read(dir, &file)?);
        }
        let test = read(dir, "test_batch.bin")?;
        let (train, test) = (examples(&train)?, examples(&test)?);
        Ok(Self { name: name.to_owned(), shape: SHAPE, classes: CLASSES, train, test })
    }
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>> {
    let path = dir.join(name);
    let file = path.display().to_string();
    if !path.is_file() {
        return Err(Error::MissingFile { dir: dir.to_owned(), names: vec![name.to_owned()] });
    }
    let bytes =
        std::fs::read(&path).map_err(|reason| Error::Read { file: file.clone(), offset: 0, reason })?;
    if bytes.is_empty() || bytes.len() % RECORD != 0 {
        return Err(Error::Malformed {
            file,
            offset: bytes.len() as u64,
            found: "the end of the file".into(),
            expected: format!("whole records of {RECORD} bytes, at least one"),
        });
    }
    let labels = bytes.iter().step_by(RECORD);
    match labels.enumerate().find(|(_, label)| usize::from(**label) >= CLASSES) {
        None => Ok(bytes),
        Some((record, label)) => Err(Error::Malformed {
            file,
            offset: (record * RECORD) as u64,
            found: format!("label {label}"),
            expected: "a label from 0 to 9".into(),
        }),
    }
}

fn examples(records: &[u8]) -> Result<Examples> {
    let mut images = Vec::with_capacity(records.len());
    for record in records.chunks_exact(RECORD) {
        images.extend((0..1024).flat_map(|pixel| [0, 1, 2].map(|color| record[1 + 1024 * color + pixel])));
    }
    let labels: Vec<u32> = records.iter().step_by(RECORD).map(|&label| label.into()).collect();
    let count = labels.len();
    Examples::new(
        Tensor::from_vec(images, (count, SHAPE.inputs()), &Device::Cpu)?,
        Tensor::from_vec(labels, count, &Device::Cpu)?,
        CLASSES,
    )
}
