//! What a dataset is, in a few numbers and a hash by which it is known again.

use std::fmt;

use candle_core::{CpuStorage, DType, Storage, Tensor};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Dataset, Examples, Result};

/// What a dataset is: sizes, form, range and content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSummary {
    /// What it is called.
    pub name: String,
    /// Training examples.
    pub train: usize,
    /// Test examples.
    pub test: usize,
    /// Height, width and values per pixel.
    pub shape: [usize; 3],
    /// `u8` for bytes, `f32` for numbers that are taken as they are.
    pub dtype: String,
    /// The least and the largest value of all images.
    pub range: [f32; 2],
    /// Number of classes; 0 without labels.
    pub classes: usize,
    /// SHA-256 of the shape, the type, the values and the labels of both sets and the names of the classes, in hexadecimal.
    /// It does not depend on the form of the files.
    pub sha256: String,
}

impl Dataset {
    /// What it is. Reads all of it.
    ///
    /// # Errors
    /// Only if candle has no memory.
    pub fn summary(&self) -> Result<DatasetSummary> {
        let dtype = if self.is_bytes() { "u8" } else { "f32" };
        let shape = [self.shape.height, self.shape.width, self.shape.channels];
        Ok(DatasetSummary {
            name: self.name.clone(),
            train: self.train.len(),
            test: self.test.len(),
            shape,
            dtype: dtype.to_owned(),
            range: self.range()?,
            classes: self.classes(),
            sha256: self.sha256(&format!("{shape:?} {dtype}"))?,
        })
    }

    /// The least and the largest value of all images.
    ///
    /// # Errors
    /// Only if candle has no memory.
    pub fn range(&self) -> Result<[f32; 2]> {
        let (train, test) = (range(&self.train)?, range(&self.test)?);
        Ok([train[0].min(test[0]), train[1].max(test[1])])
    }

    /// Whether images are bytes, and not numbers that are taken as they are.
    pub fn is_bytes(&self) -> bool {
        self.train.images().dtype() == DType::U8
    }

    fn sha256(&self, form: &str) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(form);
        for name in &self.class_names {
            hash.update([name.as_bytes(), &[0]].concat());
        }
        for examples in [&self.train, &self.test] {
            hash.update((examples.len() as u64).to_le_bytes());
            with_values(examples.images(), |values| match values {
                Slice::Bytes(all) => hash.update(all),
                Slice::Floats(all) => {
                    for portion in all.chunks(1024) {
                        hash.update(
                            portion.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>(),
                        );
                    }
                }
            })?;
            for label in examples.labels().map(Tensor::to_vec1::<u32>).transpose()?.unwrap_or_default() {
                hash.update(label.to_le_bytes());
            }
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The values of images, in place.
enum Slice<'a> {
    Bytes(&'a [u8]),
    Floats(&'a [f32]),
}

/// Lets `look` see the values of `images`.
fn with_values<T>(images: &Tensor, look: impl FnOnce(Slice<'_>) -> T) -> Result<T> {
    let images = images.contiguous()?;
    let (storage, layout) = images.storage_and_layout();
    let range = layout.start_offset()..layout.start_offset() + layout.shape().elem_count();
    match &*storage {
        Storage::Cpu(CpuStorage::U8(all)) => Ok(look(Slice::Bytes(&all[range]))),
        Storage::Cpu(CpuStorage::F32(all)) => Ok(look(Slice::Floats(&all[range]))),
        _ => Err(candle_core::Error::Msg("examples are bytes or f32 on the CPU".to_owned()).into()),
    }
}

fn range(examples: &Examples) -> Result<[f32; 2]> {
    fn ends(values: impl Iterator<Item = f32>) -> [f32; 2] {
        let none = [f32::INFINITY, f32::NEG_INFINITY];
        values.fold(none, |[least, most], value| [least.min(value), most.max(value)])
    }
    with_values(examples.images(), |values| match values {
        Slice::Bytes(all) => ends(all.iter().map(|&value| value.into())),
        Slice::Floats(all) => ends(all.iter().copied()),
    })
}

/// `digits: 1501 training and 296 test examples, 8 x 8 gray, f32 from 0 to 16, 10 classes (d169fc90)`
impl fmt::Display for DatasetSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, train, test, shape: [height, width, channels], dtype, range, classes, sha256 } =
            self;
        let shape = crate::ImageShape { height: *height, width: *width, channels: *channels };
        let classes = match classes {
            0 => "no labels".to_owned(),
            count => format!("{count} classes"),
        };
        let [least, most] = range;
        let hash = sha256.get(..8).unwrap_or(sha256);
        write!(
            f,
            "{name}: {train} training and {test} test examples, {shape}, {dtype} from {least} to {most}, {classes} ({hash})"
        )
    }
}
