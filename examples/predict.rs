//! Which class? A trained layer and its readout on PNG files, IDX files, numpy files and folders of PNG files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use hebbian_datasets::read_idx_labels;
use hebbian_experiment::{Answer, DeviceChoice, ImageSet, TrainedFrom, tool};

/// Classify images with a trained layer
///
/// Images of another size are resized, color becomes gray where the layer sees gray, and a note says so. Pixels are prepared
/// as in training. A file that cannot be read is reported and stops no other; the exit code is then 1.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// PNG files, IDX files (plain or gzipped), npy files of bytes, folders of PNG files or of a folder a class
    #[arg(required = true, value_name = "IMAGES")]
    images: Vec<PathBuf>,

    #[command(flatten)]
    from: TrainedFrom,

    /// The IDX file with the right answers, where they are not told by folders
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
    let shape = model.image().context("the checkpoint's layer takes no images that it names")?;
    let images = ImageSet::read(&arguments.images, shape, arguments.invert);
    let labels = match &arguments.labels {
        Some(path) => Some(labels_of(path, &images)?),
        None => images.labels(classes)?,
    };
    if let Some(folder) = &arguments.explain {
        std::fs::create_dir_all(folder).with_context(|| format!("--explain {}", folder.display()))?;
    }

    let pixels = images.pixels()?;
    let mut right = 0;
    for start in (0..images.len()).step_by(PORTION) {
        let portion = pixels.narrow(0, start, PORTION.min(images.len() - start))?;
        let answers = Answer::all(&model, &portion)?;
        for (image, answer) in (start..).zip(&answers) {
            right += usize::from(labels.as_ref().is_some_and(|labels| labels[image] == answer.class()));
            if !arguments.quiet {
                println!("{}  {}", images.names[image], answer.text(arguments.top.into()));
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
        println!("accuracy: {right} of {} ({percent:.2} %)", images.len());
    }
    Ok(if images.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn labels_of(path: &Path, images: &ImageSet) -> Result<Vec<u32>> {
    let labels = read_idx_labels(path).with_context(|| format!("--labels {}", path.display()))?;
    if labels.len() != images.len() {
        bail!("--labels {}: {} labels for {} images", path.display(), labels.len(), images.len());
    }
    Ok(labels)
}

fn main() -> ExitCode {
    tool(run)
}
