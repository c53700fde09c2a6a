//! Which trained model a program works with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::Device;
use clap::Args;
use hebbian::Registry;
use hebbian_datasets::hub_cache;
use hebbian_model::Model;

/// Which layer to take: a published one by its name, or any checkpoint.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct TrainedFrom {
    /// A published layer by its name, from the folder that HEBBIAN_PRETRAINED names, from pretrained/ here or with the
    /// sources, or from the hub's cache
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

/// The file of the published layer `name`, in the first of the folders that has it.
fn pretrained(name: &str) -> Result<PathBuf> {
    let folders = folders();
    let file = format!("{name}.safetensors");
    if let Some(folder) = folders.iter().find(|folder| folder.join(&file).is_file()) {
        return Ok(folder.join(file));
    }
    let mut names: Vec<String> = folders.iter().flat_map(|folder| layers_in(folder)).collect();
    names.sort();
    names.dedup();
    let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    bail!(
        "--pretrained {name} is not among those that were found: {known} (looked in {}; HEBBIAN_PRETRAINED names \
         another folder)",
        looked.join(", ")
    )
}

/// Where published layers may lie: in the folder that HEBBIAN_PRETRAINED names, under the working directory, with the sources
/// that the program was built from, and in the hub's cache, where a repository of models is called `hebbian` or begins so.
fn folders() -> Vec<PathBuf> {
    let named = std::env::var_os("HEBBIAN_PRETRAINED").map(PathBuf::from);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pretrained");
    let sources = sources.canonicalize().unwrap_or(sources);
    let mut folders: Vec<PathBuf> =
        named.into_iter().chain([PathBuf::from("pretrained"), sources]).chain(in_hub_cache()).collect();
    let mut seen = BTreeSet::new();
    folders.retain(|folder| seen.insert(folder.canonicalize().unwrap_or_else(|_| folder.clone())));
    folders
}

/// The newest state of each repository of layers in the hub's cache.
fn in_hub_cache() -> Vec<PathBuf> {
    let repositories = entries(&hub_cache()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let parts: Vec<&str> = name.split("--").collect();
        matches!(parts.as_slice(), ["models", _, name] if name.starts_with("hebbian"))
    });
    let newest = repositories.filter_map(|path| {
        let revision = std::fs::read_to_string(path.join("refs/main")).ok()?;
        Some(path.join("snapshots").join(revision.trim()))
    });
    newest.collect()
}

fn layers_in(folder: &Path) -> Vec<String> {
    let files = entries(folder).filter(|path| path.extension().is_some_and(|end| end == "safetensors"));
    files.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}
