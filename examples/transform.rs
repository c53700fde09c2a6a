//! A trained layer as a feature extractor: what it makes of any images, in a file that numpy reads.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use hebbian_datasets::ReadOptions;
use hebbian_experiment::{
    DatasetName, DeviceChoice, FeatureFile, ImageSet, Precision, Takes, TrainedFrom, dataset_named, tool,
};
use hebbian_model::Model;

/// Write the features that a trained layer gives to images
///
/// A layer with a readout gives what its readout sees; any other what the rule's forward gives. Images come from files and
/// folders, as for the example predict, or from a dataset.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Images: PNG, JPEG, BMP, npy, npz, safetensors, CSV and IDX files, and folders of images or of a folder per class
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

    /// Folder with one's own dataset instead, in any form of docs/your_data.md
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

fn run(arguments: Arguments) -> Result<ExitCode> {
    let file = FeatureFile::new(&arguments.out, arguments.precision)?;
    let model = arguments.from.load(&arguments.device.open()?)?;
    let (images, labels) = images(&arguments, &model, Takes::of(&model)?)?;
    if images.is_empty() {
        bail!("there is no image to transform");
    }
    file.write(&model, &images.images()?, labels.as_deref(), arguments.batch_size as usize)?;
    println!("{}: {} images", arguments.out.display(), images.len());
    Ok(if images.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The images, and their classes where they are known.
fn images(arguments: &Arguments, model: &Model, takes: Takes) -> Result<(ImageSet, Option<Vec<u32>>)> {
    let Some(set) = arguments.split else {
        let images = ImageSet::read(&arguments.images, takes, arguments.invert);
        let labels = images.labels(model)?;
        return Ok((images, labels));
    };
    let dataset =
        dataset_named(arguments.dataset, arguments.data_dir.as_deref(), &ReadOptions::default(), false)?;
    let examples = match set {
        Set::Train => &dataset.train,
        Set::Test => &dataset.test,
    };
    let images = ImageSet::of_dataset(&dataset, examples, takes, arguments.invert)?;
    Ok((images, examples.labels().map(|labels| labels.to_vec1()).transpose()?))
}

fn main() -> ExitCode {
    tool(run)
}
