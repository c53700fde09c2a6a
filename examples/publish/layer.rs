//! `pretrained/NAME.safetensors`: a trained layer small enough to be handed around, and what that very file is worth.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device};
use clap::{Args, ValueEnum};
use hebbian::{Rule as _, SpatialPooler};
use hebbian_datasets::Examples;
use hebbian_experiment::{DatasetName, DeviceChoice, Trained, dataset_named};
use hebbian_training::{Checkpoint, replace_file};
use serde_json::Value;
use toml::Table;

use crate::Run;
use crate::card::Card;
use crate::numbers::read;

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

    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
}

/// Images judged at once.
const PORTION: usize = 1000;

/// Writes the file, loads it back, judges what was loaded, and says so on the card.
pub fn publish(arguments: &Arguments) -> Result<()> {
    let Run { run, name } = &arguments.run;
    let device = arguments.device.open()?;
    let whole = Checkpoint::load(&run.join(&arguments.checkpoint), &Device::Cpu)?;
    let small = shrunk(&whole)?;
    let folder = &arguments.pretrained;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let path = folder.join(format!("{name}.safetensors"));
    small.save(&path)?;

    let settings = run.join("config.toml");
    let settings: Table = read(&settings)?.parse().with_context(|| settings.display().to_string())?;
    let dataset = settings.get("dataset").and_then(toml::Value::as_str).unwrap_or("mnist");
    let judged = match whole.part("readout").is_empty() {
        true => None,
        false => {
            let name = DatasetName::from_str(dataset, false).map_err(anyhow::Error::msg)?;
            let dir = arguments.data_dir.clone();
            let dir = dir.or_else(|| Some(PathBuf::from(settings.get("data_dir")?.as_str()?)));
            let test = dataset_named(name, dir.as_deref(), false)?.test;
            let full = judge(&Trained::from_checkpoint(&on(&whole, &device)?, &device)?, &test)?;
            Some((judge(&Trained::load(&path, &device)?, &test)?, full, test.len()))
        }
    };
    let results: Value = serde_json::from_str(&read(&run.join("results.json"))?)?;
    let card = Card {
        name,
        checkpoint: &small,
        dataset: results["dataset"]["name"].as_str().unwrap_or(dataset),
        judged,
        results: &results,
        commit: arguments.commit.as_deref(),
    };
    let card = card.text(&file_tensors(&path)?, std::fs::metadata(&path)?.len())?;
    let place = folder.join(format!("{name}.md"));
    replace_file(&place, card.as_bytes()).with_context(|| place.display().to_string())?;
    match judged {
        Some((right, full, of)) => {
            println!(
                "{}: {right} of {of} test images right, {full} before it was made small",
                path.display()
            );
        }
        None => println!("{}: no readout, every value as it was", path.display()),
    }
    Ok(())
}

/// Weights as halves, and those of a pooler, of which only what is connected counts, as bits. A layer without a readout, which
/// nothing could be judged by, keeps all its bits.
fn shrunk(whole: &Checkpoint) -> Result<Checkpoint> {
    let mut small = whole.clone();
    if whole.part("readout").is_empty() {
        return Ok(small);
    }
    if whole.metadata.rule == SpatialPooler::NAME {
        let connected = whole.metadata.config.get("connected").and_then(Value::as_f64);
        let connected = connected.context("the pooler's config has no `connected`")? as f32;
        let Some(permanences) = small.tensors.get_mut("rule.weights") else {
            bail!("the pooler's checkpoint has no `rule.weights`")
        };
        let inputs = permanences.dim(1)?;
        *permanences = permanences.ge(connected)?.to_dtype(DType::F32)?;
        small.tensors.remove("rule.pool");
        small.metadata.bits.insert("rule.weights".to_owned(), inputs);
    }
    for (name, tensor) in &mut small.tensors {
        let is_matrix = tensor.rank() == 2 && tensor.dtype() == DType::F32;
        if is_matrix && !small.metadata.bits.contains_key(name) {
            *tensor = tensor.to_dtype(DType::F16)?;
        }
    }
    Ok(small)
}

fn on(checkpoint: &Checkpoint, device: &Device) -> Result<Checkpoint> {
    let mut moved = checkpoint.clone();
    for tensor in moved.tensors.values_mut() {
        *tensor = tensor.to_device(device)?;
    }
    Ok(moved)
}

/// How many of the examples it classifies right.
fn judge(trained: &Trained, examples: &Examples) -> Result<usize> {
    let labels = examples.labels().to_vec1::<u32>()?;
    let mut right = 0;
    for start in (0..examples.len()).step_by(PORTION) {
        let size = PORTION.min(examples.len() - start);
        let answers = trained.classes(&examples.images().narrow(0, start, size)?)?;
        right += answers.iter().zip(&labels[start..]).filter(|(answer, label)| answer == label).count();
    }
    Ok(right)
}

/// Name, type and shape of every tensor as it lies in the file.
fn file_tensors(path: &Path) -> Result<Vec<(String, String, Vec<usize>)>> {
    let bytes = std::fs::read(path)?;
    let file = safetensors::SafeTensors::deserialize(&bytes)?;
    let mut tensors: Vec<_> = file
        .iter()
        .map(|(name, view)| {
            (name.to_owned(), format!("{:?}", view.dtype()).to_lowercase(), view.shape().to_vec())
        })
        .collect();
    tensors.sort();
    Ok(tensors)
}
