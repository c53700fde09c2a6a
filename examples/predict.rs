//! Which class? A trained layer and its readout on images in any form that a dataset can have.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use hebbian_datasets::read_labels;
use hebbian_experiment::{Answer, DeviceChoice, ImageSet, Takes, TrainedFrom, class_numbers, print, tool};
use hebbian_model::Model;

/// Classify images with a trained layer
///
/// Images of another size are resized, color becomes gray where the layer sees gray, and a note says so. Pixels are prepared
/// as in training. A file that cannot be read is reported and stops no other; the exit code is then 1.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Images: PNG, JPEG, BMP, npy, npz, safetensors, CSV and IDX files, and folders of images or of a folder per class
    #[arg(required = true, value_name = "IMAGES")]
    images: Vec<PathBuf>,

    #[command(flatten)]
    from: TrainedFrom,

    /// The right answers, where files and folders do not tell them: a npy, npz, safetensors, CSV or IDX file
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,

    /// Classes to name for each image, the most probable first
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,

    /// Make negatives of the images: for dark strokes on paper, where the layer has seen bright ones on black
    #[arg(long)]
    invert: bool,

    /// Draw the first 50 images there, each beside the hidden units that won and their votes
    #[arg(long, value_name = "DIR")]
    explain: Option<PathBuf>,

    /// Print the accuracy only
    #[arg(long)]
    quiet: bool,

    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
}

/// Images answered at once.
const PORTION: usize = 1000;
const MOST_EXPLAINED: usize = 50;

fn run(arguments: Arguments) -> Result<ExitCode> {
    let device = arguments.device.open()?;
    let model = arguments.from.load(&device)?;
    let classes = model.classes()?.context("the checkpoint has no readout, so it knows no classes")?;
    let images = ImageSet::read(&arguments.images, Takes::of(&model)?, arguments.invert);
    let labels = match &arguments.labels {
        Some(path) => Some(labels_of(path, &images, &model, classes)?),
        None => images.labels(&model)?,
    };
    if let Some(folder) = &arguments.explain {
        std::fs::create_dir_all(folder).with_context(|| format!("--explain {}", folder.display()))?;
    }

    let pixels = images.images()?;
    let mut right = 0;
    for start in (0..images.len()).step_by(PORTION) {
        let portion = pixels.narrow(0, start, PORTION.min(images.len() - start))?;
        let answers = Answer::all(&model, &portion)?;
        for (image, answer) in (start..).zip(&answers) {
            right += usize::from(labels.as_ref().is_some_and(|labels| labels[image] == answer.class()));
            if !arguments.quiet {
                print(format_args!("{}  {}", images.names[image], answer.text(arguments.top.into())))?;
            }
        }
        if let Some(folder) = &arguments.explain {
            for image in start..images.len().min(MOST_EXPLAINED).min(start + PORTION) {
                let row = image - start;
                let name = Path::new(&images.names[image]).file_name().unwrap_or_default().to_string_lossy();
                let picture = answers[row].explain(&name, &portion.narrow(0, row, 1)?)?;
                picture.save(folder.join(format!("{image:03}-{}.png", name.trim_end_matches(".png"))))?;
            }
        }
    }
    if labels.is_some() && !images.is_empty() {
        let percent = 100.0 * right as f64 / images.len() as f64;
        print(format_args!("accuracy: {right} of {} ({percent:.2} %)", images.len()))?;
    }
    Ok(if images.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn labels_of(path: &Path, images: &ImageSet, model: &Model, classes: usize) -> Result<Vec<u32>> {
    let place = || format!("--labels {}", path.display());
    let labels = read_labels(path).with_context(place)?;
    if labels.len() != images.len() {
        bail!("--labels {}: {} labels for {} images", path.display(), labels.len(), images.len());
    }
    class_numbers(&labels, model.class_names(), classes).with_context(place)
}

fn main() -> ExitCode {
    tool(run)
}
