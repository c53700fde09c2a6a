//! A trained layer as a feature extractor: what it makes of any images, in a file that numpy reads.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use clap::{Parser, ValueEnum};
use hebbian_datasets::{ImageFile, ImageShape};
use hebbian_experiment::{DatasetName, DeviceChoice, ImageSet, TrainedFrom, dataset_named, tool};
use hebbian_model::Model;

/// Write the features that a trained layer gives to images
///
/// A layer with a readout gives what its readout sees; any other what the rule's forward gives. Images come from files and
/// folders, as for the example predict, or from a dataset.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// PNG files, IDX files (plain or gzipped), npy files of bytes, folders of PNG files or of a folder a class
    #[arg(value_name = "IMAGES")]
    images: Vec<PathBuf>,

    #[command(flatten)]
    from: TrainedFrom,

    /// The images of a dataset instead, in their published order
    #[arg(long, value_enum, conflicts_with = "images", required_unless_present = "images")]
    split: Option<Set>,

    /// The dataset that --split is of
    #[arg(long, value_enum, requires = "split", default_value_t = DatasetName::Mnist)]
    dataset: DatasetName,

    /// Folder with it: IDX files, CIFAR-10's binary files, PNG files by class, npy or safetensors arrays
    #[arg(long, value_name = "DIR", requires = "split")]
    data_dir: Option<PathBuf>,

    /// Make negatives of the images
    #[arg(long)]
    invert: bool,

    /// The file to write: .npy for the features alone, .safetensors for `features (images, features)` and, where they are known,
    /// `labels (images)`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// How the features are stored
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,

    /// Images transformed at once; a layer that looks at images as a stretch of time gets all of them whatever it is
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,

    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
}

#[derive(Clone, Copy, ValueEnum)]
enum Set {
    Train,
    Test,
}

#[derive(Clone, Copy, ValueEnum)]
enum Precision {
    F32,
    F16,
}

impl Precision {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
        }
    }
}

/// What is transformed.
struct Images {
    /// u8 `(images, inputs)`.
    pixels: Tensor,
    labels: Option<Vec<u32>>,
    failures: usize,
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let write = writer_of(&arguments.out)?;
    let model = arguments.from.load(&arguments.device.open()?)?;
    let shape = model.image().context("the checkpoint's layer takes no images that it names")?;
    let images = match arguments.split {
        Some(set) => of_dataset(&arguments, set, shape)?,
        None => of_files(&arguments, &model, shape)?,
    };
    if images.pixels.dim(0)? == 0 {
        bail!("there is no image to transform");
    }
    write(&arguments, &model, &images)?;
    println!("{}: {} images", arguments.out.display(), images.pixels.dim(0)?);
    Ok(if images.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Writer = fn(&Arguments, &Model, &Images) -> Result<()>;

fn writer_of(out: &Path) -> Result<Writer> {
    match out.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => Ok(write_npy),
        Some("safetensors") => Ok(write_safetensors),
        _ => bail!("--out {}; allowed: a name that ends in .npy or .safetensors", out.display()),
    }
}

fn of_files(arguments: &Arguments, model: &Model, shape: ImageShape) -> Result<Images> {
    let set = ImageSet::read(&arguments.images, shape, arguments.invert);
    let labels = model.classes()?.map(|classes| set.labels(classes)).transpose()?.flatten();
    Ok(Images { pixels: set.pixels()?, labels, failures: set.failures() })
}

fn of_dataset(arguments: &Arguments, set: Set, shape: ImageShape) -> Result<Images> {
    let dataset = dataset_named(arguments.dataset, arguments.data_dir.as_deref(), false)?;
    let examples = match set {
        Set::Train => &dataset.train,
        Set::Test => &dataset.test,
    };
    let mut pixels = Vec::new();
    let mut noted = false;
    for row in examples.images().to_vec2::<u8>()? {
        let image = ImageFile { shape: dataset.shape, pixels: row };
        let (image, done) = image.fitted(shape)?;
        if !done.is_empty() && !noted {
            noted = true;
            eprintln!("note: {}: {}", dataset.name, done.join(", "));
        }
        pixels.extend(if arguments.invert { image.inverted().pixels } else { image.pixels });
    }
    let pixels = Tensor::from_vec(pixels, (examples.len(), shape.inputs()), &Device::Cpu)?;
    Ok(Images { pixels, labels: Some(examples.labels().to_vec1()?), failures: 0 })
}

/// Hands the features of all images to `take`, a batch after the other, on the CPU.
fn transform(
    arguments: &Arguments,
    model: &Model,
    pixels: &Tensor,
    mut take: impl FnMut(&Tensor) -> Result<()>,
) -> Result<()> {
    let images = pixels.dim(0)?;
    let batch = if model.rule().is_sequential() { images } else { arguments.batch_size as usize };
    for start in (0..images).step_by(batch) {
        let features = model.transform(&pixels.narrow(0, start, batch.min(images - start))?)?;
        take(&features.to_dtype(arguments.precision.dtype())?.to_device(&Device::Cpu)?)?;
    }
    Ok(())
}

/// A batch at a time, so that features may be larger than memory.
fn write_npy(arguments: &Arguments, model: &Model, images: &Images) -> Result<()> {
    let (out, count) = (&arguments.out, images.pixels.dim(0)?);
    let place = || format!("--out {}", out.display());
    let partial = out.with_extension("npy.tmp");
    let mut file = BufWriter::new(File::create(&partial).with_context(place)?);
    let mut begun = false;
    transform(arguments, model, &images.pixels, |features| {
        if !begun {
            begun = true;
            file.write_all(&npy_header(arguments.precision, (count, features.dim(1)?)))
                .with_context(place)?;
        }
        let mut bytes = Vec::new();
        features.write_bytes(&mut bytes)?;
        file.write_all(&bytes).with_context(place)
    })?;
    file.into_inner()
        .map_err(|error| error.into_error())
        .and_then(|file| file.sync_all())
        .with_context(place)?;
    std::fs::rename(&partial, out).with_context(place)
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

fn write_safetensors(arguments: &Arguments, model: &Model, images: &Images) -> Result<()> {
    let mut batches = Vec::new();
    transform(arguments, model, &images.pixels, |features| {
        batches.push(features.clone());
        Ok(())
    })?;
    let mut tensors = vec![("features", Tensor::cat(&batches, 0)?)];
    if let Some(labels) = &images.labels {
        tensors.push(("labels", Tensor::new(labels.as_slice(), &Device::Cpu)?));
    }
    let bytes = safetensors::serialize(tensors, None)?;
    hebbian_training::replace_file(&arguments.out, &bytes)
        .with_context(|| format!("--out {}", arguments.out.display()))
}

fn main() -> ExitCode {
    tool(run)
}
