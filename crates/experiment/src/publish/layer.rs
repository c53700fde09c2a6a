//! `pretrained/NAME.safetensors`: a trained layer small enough to be handed around, and what that very file is worth.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use hebbian::Registry;
use hebbian_datasets::{Examples, ReadOptions};
use hebbian_model::Model;
use hebbian_training::replace_files;
use serde_json::Value;
use toml::Table;

use super::Run;
use super::card::{Judged, LayerNumbers, card, checksum};
use super::numbers::read;
use crate::say::print;
use crate::{DatasetName, DeviceChoice, dataset_named};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    run: Run,

    /// The layer's checkpoint in the run's folder
    #[arg(long, value_name = "FILE", default_value = "checkpoint.safetensors")]
    checkpoint: PathBuf,

    /// Folder with the dataset, where it is not the one that the run's config names
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// The commit that the run was made at
    #[arg(long)]
    commit: Option<String>,

    /// Folder to write to
    #[arg(long, value_name = "DIR", default_value = "pretrained")]
    pretrained: PathBuf,

    /// Folder for what was measured of the layer, from which its card is written
    #[arg(long, value_name = "DIR", default_value = "results/layers")]
    layers: PathBuf,

    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
}

/// Images judged at once.
const PORTION: usize = 1000;

/// Writes the file in a folder of its own, loads it back, judges what was loaded, and puts it, what was measured and the card in
/// their places together.
pub fn publish(arguments: &Arguments) -> Result<()> {
    let Run { run, name } = &arguments.run;
    let device = arguments.device.open()?;
    let registry = Registry::builtin();
    let whole = Model::load(&run.join(&arguments.checkpoint), &registry, &device)?;
    let small = whole.shrunk()?;
    let folder = &arguments.pretrained;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let fresh = tempfile::tempdir_in(folder).with_context(|| folder.display().to_string())?;
    let file = fresh.path().join(format!("{name}.safetensors"));
    small.save(&file)?;

    let settings = run.join("config.toml");
    let settings: Table = read(&settings)?.parse().with_context(|| settings.display().to_string())?;
    let data = |name: &str| settings.get("data")?.get(name)?.as_str();
    let dataset = data("dataset").unwrap_or("mnist");
    let judged = match whole.readout() {
        None => None,
        Some(_) => {
            let name: DatasetName = dataset.parse().map_err(anyhow::Error::msg)?;
            let dir = arguments.data_dir.clone();
            let dir = dir.or_else(|| data("data_dir").map(PathBuf::from));
            let test = dataset_named(&name, dir.as_deref(), &ReadOptions::default(), false)?.test;
            let written = Model::load(&file, &registry, &device)?;
            Some(Judged { right: judge(&written, &test)?, whole: judge(&whole, &test)?, of: test.len() })
        }
    };
    let results: Value = serde_json::from_str(&read(&run.join("results.json"))?)?;
    let layer = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let numbers = LayerNumbers {
        dataset: results["dataset"]["name"].as_str().unwrap_or(dataset).to_owned(),
        train: results["dataset"]["train"].as_u64(),
        commit: arguments.commit.clone(),
        judged,
        checksum: Some(checksum(&layer)),
    };
    let layers = &arguments.layers;
    std::fs::create_dir_all(layers).with_context(|| layers.display().to_string())?;
    let json = serde_json::to_string_pretty(&numbers)? + "\n";
    let path = folder.join(format!("{name}.safetensors"));
    replace_files(&[
        (&path, &layer),
        (&layers.join(format!("{name}.json")), json.as_bytes()),
        (&folder.join(format!("{name}.md")), card(name, &file, &numbers)?.as_bytes()),
    ])
    .with_context(|| path.display().to_string())?;
    match judged {
        Some(Judged { right, whole, of }) => print(format_args!(
            "{}: {right} of {of} test images right, {whole} before it was made small",
            path.display()
        )),
        None => print(format_args!("{}: no readout, every value as it was", path.display())),
    }
}

/// How many of the examples it classifies right.
fn judge(model: &Model, examples: &Examples) -> Result<usize> {
    let labels = examples.labels().context("labels of the test images")?.to_vec1::<u32>()?;
    let mut right = 0;
    for start in (0..examples.len()).step_by(PORTION) {
        let size = PORTION.min(examples.len() - start);
        let answers = model.predict(&examples.images().narrow(0, start, size)?)?;
        right += answers.iter().zip(&labels[start..]).filter(|(answer, label)| answer == label).count();
    }
    Ok(right)
}
