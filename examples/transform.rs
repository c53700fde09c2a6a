//! A trained layer as a feature extractor: what it makes of any images, in a file that numpy reads.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use hebbian_datasets::ReadOptions;
use hebbian_experiment::{
    DatasetName, DeviceChoice, FeatureFile, ImageSet, Precision, Takes, TrainedFrom, dataset_named, print,
    tool,
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
    #[arg(long, requires = "split", default_value_t = DatasetName::Mnist)]
    dataset: DatasetName,

    /// Folder with one's own dataset instead, in any form of docs/your_data.md
    #[arg(long, value_name = "DIR", requires = "split")]
    data_dir: Option<PathBuf>,

    /// Make negatives of the images
    #[arg(long)]
    invert: bool,

    /// The file to write: .npy for the features alone, .safetensors for `features (images, features)` and, where they are known,
    /// `labels (images)`; a .json beside it names the images and the classes
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
    let Seen { images, labels, class_names } = images(&arguments, &model, Takes::of(&model)?)?;
    if images.is_empty() {
        bail!("there is no image to transform");
    }
    file.write(&model, &images.images()?, labels.as_deref(), arguments.batch_size as usize)?;
    file.write_names(&images.names, labels.as_deref(), class_names.as_deref())?;
    print(format_args!("{}: {} images", arguments.out.display(), images.len()))?;
    Ok(if images.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The images, with what is known of their classes.
struct Seen {
    images: ImageSet,
    labels: Option<Vec<u32>>,
    class_names: Option<Vec<String>>,
}

fn images(arguments: &Arguments, model: &Model, takes: Takes) -> Result<Seen> {
    let Some(set) = arguments.split else {
        let images = ImageSet::read(&arguments.images, takes, arguments.invert);
        let (labels, class_names) = images.labels_and_names(model)?.unzip();
        return Ok(Seen { images, labels, class_names });
    };
    let options = ReadOptions::default();
    let dataset = dataset_named(&arguments.dataset, arguments.data_dir.as_deref(), &options, false)?;
    let examples = match set {
        Set::Train => &dataset.train,
        Set::Test => &dataset.test,
    };
    let images = ImageSet::of_dataset(&dataset, examples, takes, arguments.invert)?;
    let labels = examples.labels().map(|labels| labels.to_vec1()).transpose()?;
    let class_names = labels.is_some().then(|| dataset.class_names.clone());
    Ok(Seen { images, labels, class_names })
}

fn main() -> ExitCode {
    tool(run)
}
