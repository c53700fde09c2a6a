//! Features in a file that numpy reads, written batch by batch.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use clap::ValueEnum;
use hebbian_model::Model;
use hebbian_training::replace_file;
use serde_json::json;

/// How features are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// Four bytes each.
    F32,
    /// Two bytes each.
    F16,
}

/// A file of features: `.npy` for the features alone, `.safetensors` for `features (images, features)` and, where they are
/// known, `labels (images)`. Beside it a `.json` of the same name says what each row is of.
#[derive(Clone, Debug)]
pub struct FeatureFile {
    path: PathBuf,
    precision: Precision,
    format: Format,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Npy,
    Safetensors,
}

impl FeatureFile {
    /// The file at `path`, in the format that its name says.
    ///
    /// # Errors
    /// If the name ends otherwise.
    pub fn new(path: &Path, precision: Precision) -> Result<Self> {
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => Format::Npy,
            Some("safetensors") => Format::Safetensors,
            _ => bail!("--out {}; allowed: a name that ends in .npy or .safetensors", path.display()),
        };
        Ok(Self { path: path.to_owned(), precision, format })
    }

    /// Writes which image each row is of, what it is labeled with and what the classes are called: `images` and, where they are
    /// known, `labels` and `class_names`.
    pub fn write_names(
        &self,
        images: &[String],
        labels: Option<&[u32]>,
        class_names: Option<&[String]>,
    ) -> Result<()> {
        let path = self.path.with_extension("json");
        let mut names = json!({"images": images});
        if let Some(labels) = labels {
            names["labels"] = json!(labels);
        }
        if let Some(class_names) = class_names {
            names["class_names"] = json!(class_names);
        }
        replace_file(&path, &serde_json::to_vec(&names)?).with_context(|| path.display().to_string())
    }

    /// Writes what `model` makes of the u8 `pixels (images, inputs)`, `batch_size` images at once; a layer that takes images
    /// as a stretch of time gets all of them whatever it is. The file is there whole or not at all.
    ///
    /// # Errors
    /// If the model does not take the images, or if the file cannot be written.
    pub fn write(
        &self,
        model: &Model,
        pixels: &Tensor,
        labels: Option<&[u32]>,
        batch_size: usize,
    ) -> Result<()> {
        let images = pixels.dim(0)?;
        let batch = if model.rule().is_sequential() { images } else { batch_size };
        let portions = (0..images).step_by(batch.max(1)).map(|start| {
            let features = model.transform(&pixels.narrow(0, start, batch.min(images - start))?)?;
            let dtype = match self.precision {
                Precision::F32 => DType::F32,
                Precision::F16 => DType::F16,
            };
            anyhow::Ok(features.to_dtype(dtype)?.to_device(&Device::Cpu)?)
        });
        let written = match self.format {
            Format::Npy => self.write_npy(images, portions),
            Format::Safetensors => self.write_safetensors(labels, portions),
        };
        written.with_context(|| format!("--out {}", self.path.display()))
    }

    /// A batch at a time, so that features may be larger than memory.
    fn write_npy(&self, images: usize, portions: impl Iterator<Item = Result<Tensor>>) -> Result<()> {
        let partial = self.path.with_extension("npy.tmp");
        let written = self.write_partial(&partial, images, portions);
        if written.is_err() {
            let _ = std::fs::remove_file(&partial);
        }
        written?;
        Ok(std::fs::rename(&partial, &self.path)?)
    }

    fn write_partial(
        &self,
        partial: &Path,
        images: usize,
        portions: impl Iterator<Item = Result<Tensor>>,
    ) -> Result<()> {
        let mut file = BufWriter::new(File::create(partial)?);
        let mut portions = portions.peekable();
        if let Some(Ok(features)) = portions.peek() {
            file.write_all(&npy_header(self.precision, (images, features.dim(1)?)))?;
        }
        for features in portions {
            let mut bytes = Vec::new();
            features?.write_bytes(&mut bytes)?;
            file.write_all(&bytes)?;
        }
        Ok(file.into_inner().map_err(|error| error.into_error())?.sync_all()?)
    }

    fn write_safetensors(
        &self,
        labels: Option<&[u32]>,
        portions: impl Iterator<Item = Result<Tensor>>,
    ) -> Result<()> {
        let mut tensors = vec![("features", Tensor::cat(&portions.collect::<Result<Vec<_>>>()?, 0)?)];
        if let Some(labels) = labels {
            tensors.push(("labels", Tensor::new(labels, &Device::Cpu)?));
        }
        Ok(replace_file(&self.path, &safetensors::serialize(tensors, None)?)?)
    }
}

/// Version 1 of the format: a magic number, the header's length, the header, padded so that values begin at a multiple of 64.
fn npy_header(precision: Precision, (rows, columns): (usize, usize)) -> Vec<u8> {
    let descr = match precision {
        Precision::F32 => "<f4",
        Precision::F16 => "<f2",
    };
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let length = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    let dict = format!("{dict:<width$}\n", width = length - 1);
    let length = (length as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], dict.as_bytes()].concat()
}
