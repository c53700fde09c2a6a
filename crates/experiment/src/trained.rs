//! Which trained model a program works with.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use candle_core::Device;
use clap::Args;
use hebbian::Registry;
use hebbian_model::Model;

/// Which layer to take: a published one by its name, or any checkpoint.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct TrainedFrom {
    /// A published layer by its name; they lie in pretrained/, or in the folder that HEBBIAN_PRETRAINED names
    #[arg(long, value_name = "NAME")]
    pub pretrained: Option<String>,

    /// The checkpoint of a run
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
}

impl TrainedFrom {
    /// Loads it onto `device`.
    pub fn load(&self, device: &Device) -> Result<Model> {
        let (flag, path) = match (&self.pretrained, &self.checkpoint) {
            (Some(name), _) => (format!("--pretrained {name}"), pretrained(name)?),
            (None, Some(path)) => ("--checkpoint".to_owned(), path.clone()),
            (None, None) => bail!("neither --pretrained nor --checkpoint is given"),
        };
        Model::load(&path, &Registry::builtin(), device).context(flag)
    }
}

/// The file of the published layer `name`.
fn pretrained(name: &str) -> Result<PathBuf> {
    let folder =
        std::env::var_os("HEBBIAN_PRETRAINED").map_or_else(|| PathBuf::from("pretrained"), PathBuf::from);
    let entries =
        std::fs::read_dir(&folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    let mut names: Vec<String> =
        files.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    if !names.iter().any(|known| known == name) {
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        bail!("--pretrained {name} is not among those in {}: {known}", folder.display());
    }
    Ok(folder.join(format!("{name}.safetensors")))
}
