//! Which class? A trained layer and its readout on PNG files, IDX files, numpy files and folders of PNG files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use clap::Parser;
use hebbian_datasets::read_idx_labels;
use hebbian_experiment::{DeviceChoice, ImageSet, TrainedFrom, tool};
use hebbian_model::Model;
use hebbian_plots::{Explanation, VotingUnit};

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
/// Units that an explanation shows.
const UNITS: usize = 6;

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
        let probabilities = model.probabilities(&portion)?.to_vec2::<f32>()?;
        for (place, probabilities) in probabilities.iter().enumerate() {
            let (image, ranking) = (start + place, ranking(probabilities));
            right += usize::from(labels.as_ref().is_some_and(|labels| labels[image] == ranking[0] as u32));
            if !arguments.quiet {
                let answer = answer(&model, probabilities, arguments.top);
                println!("{}  {answer}", images.names[image]);
            }
        }
        if let Some(folder) = &arguments.explain {
            for image in start..images.len().min(MOST_EXPLAINED).min(start + PORTION) {
                let row = image - start;
                let name = Path::new(&images.names[image]).file_name().unwrap_or_default().to_string_lossy();
                let picture = explain(&model, &name, &portion.narrow(0, row, 1)?, &probabilities[row])?;
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

/// All classes, the most probable first, the lowest of equals.
fn ranking(probabilities: &[f32]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..probabilities.len()).collect();
    classes.sort_by(|&one, &other| probabilities[other].total_cmp(&probabilities[one]));
    classes
}

fn answer(model: &Model, probabilities: &[f32], top: u16) -> String {
    let class = |&class: &usize| format!("{} {:.1} %", model.class_name(class), 100.0 * probabilities[class]);
    ranking(probabilities).iter().take(top.into()).map(class).collect::<Vec<_>>().join("  ")
}

/// The units with the largest features, those of equal ones that say most about the winning class, and what each adds to the
/// scores. Only differences between scores count, so that each unit's votes are told from their mean.
fn explain(
    model: &Model,
    name: &str,
    pixels: &Tensor,
    probabilities: &[f32],
) -> Result<hebbian_plots::Picture> {
    let features = model.transform(pixels)?.flatten_all()?.to_vec1::<f32>()?;
    let readout = model.readout_weight()?.context("a readout")?.to_device(&Device::Cpu)?;
    let readout = readout.t()?.contiguous()?.to_vec2::<f32>()?;
    let class = ranking(probabilities)[0];
    let votes = |unit: usize| {
        let mean = readout[unit].iter().sum::<f32>() / readout[unit].len() as f32;
        readout[unit].iter().map(|weight| features[unit] * (weight - mean)).collect::<Vec<f32>>()
    };
    let mut order: Vec<usize> = (0..features.len()).collect();
    let say = |unit: usize| features[unit] * readout[unit][class];
    order.sort_by(|&one, &other| {
        features[other].total_cmp(&features[one]).then(say(other).total_cmp(&say(one)))
    });
    let winners: Vec<usize> = order.into_iter().take(UNITS).collect();
    let weights = model.rule().weights()?.to_device(&Device::Cpu)?;
    let weights = winners.iter().map(|&unit| weights.get(unit)?.to_vec1::<f32>());
    let weights = weights.collect::<candle_core::Result<Vec<_>>>()?;
    let votes: Vec<Vec<f32>> = winners.iter().map(|&unit| votes(unit)).collect();
    let units = winners.iter().zip(&weights).zip(&votes).map(|((unit, weights), votes)| VotingUnit {
        name: format!("unit {unit}, response {:.2}", features[*unit]),
        weights,
        votes,
    });
    let input = hebbian_datasets::transforms::scale(pixels, &Device::Cpu)?.flatten_all()?.to_vec1()?;
    let shape = model.image().context("images")?;
    let explanation = Explanation {
        title: format!("{name}: {}", answer(model, probabilities, 3)),
        input: &input,
        image: (shape.height, shape.width),
        probabilities,
        units: units.collect(),
    };
    Ok(explanation.draw()?)
}

fn main() -> ExitCode {
    tool(run)
}
