//! All pages that are written from the published numbers, whole or in passages: README, docs, cards, and the heads of configs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use hebbian_training::replace_files;

use super::card::{LayerNumbers, card};
use super::numbers::read;
use super::page::page;
use super::passages::{filled, unsourced};
use super::runs::Runs;
use crate::say::print;

#[derive(Args)]
pub struct Arguments {
    /// Folder with README.md, docs, pretrained, configs and results
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,

    /// Write nothing; fail unless every page is what would be written, and every number of a page of results has a source
    #[arg(long)]
    check: bool,
}

/// The page that holds all tables and nothing else.
const RESULTS_PAGE: &str = "docs/results.md";
/// Pages on which each number with a point in it must have a source.
const RESULTS: [&str; 3] = ["README.md", "docs/comp_spec.md", "docs/krotov_hopfield.md"];

/// Writes all pages together, or checks them.
pub fn publish(arguments: &Arguments) -> Result<()> {
    let Arguments { root, check } = arguments;
    let runs = Runs::read(&root.join("results"))?;
    let pages = pages(root);
    let mut changed = Vec::new();
    for path in &pages {
        let place = || path.display().to_string();
        let text = if path.exists() { read(path)? } else { String::new() };
        let written = written(path, &text, root, &runs).with_context(place)?;
        if written != text && *check {
            bail!("{}: {}; write it with `publish pages`", place(), first_difference(&text, &written));
        }
        let is_of_results = RESULTS.iter().any(|page| root.join(page) == *path);
        if let Some(number) = unsourced(&written).with_context(place)?.filter(|_| is_of_results && *check) {
            bail!("{}: {number} has no source: write it from a run, or say <!-- source: ... -->", place());
        }
        if written != text {
            changed.push((path.as_path(), written));
        }
    }
    let files: Vec<(&Path, &[u8])> = changed.iter().map(|(path, text)| (*path, text.as_bytes())).collect();
    replace_files(&files).with_context(|| root.display().to_string())?;
    changed.iter().try_for_each(|(path, _)| print(path.display()))?;
    if *check {
        print(format_args!("{} pages are what results/ gives", pages.len()))?;
    }
    Ok(())
}

/// What the page at `path`, which has this `text`, should be.
fn written(path: &Path, text: &str, root: &Path, runs: &Runs) -> Result<String> {
    if *path == root.join(RESULTS_PAGE) {
        return page(&root.join("results"));
    }
    match numbers_of(path, root)? {
        Some((name, numbers)) => card(&name, &path.with_extension("safetensors"), &numbers),
        None => filled(text, runs),
    }
}

/// Of the card of a published layer, its name and what was measured of it.
fn numbers_of(page: &Path, root: &Path) -> Result<Option<(String, LayerNumbers)>> {
    let name = page.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if page.parent() != Some(&root.join("pretrained")) {
        return Ok(None);
    }
    let path = root.join("results/layers").join(format!("{name}.json"));
    let numbers = serde_json::from_str(&read(&path)?).with_context(|| path.display().to_string())?;
    Ok(Some((name, numbers)))
}

fn pages(root: &Path) -> Vec<PathBuf> {
    let mut pages = vec![root.join("README.md")];
    for (folder, extension) in
        [("docs", "md"), ("pretrained", "md"), ("configs", "toml"), ("configs/published", "toml")]
    {
        let entries = fs::read_dir(root.join(folder)).into_iter().flatten();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        pages.extend(paths.filter(|path| path.extension().is_some_and(|end| end == extension)));
    }
    pages.retain(|path| path.exists());
    pages.push(root.join(RESULTS_PAGE));
    pages.sort();
    pages.dedup();
    pages
}

fn first_difference(text: &str, filled: &str) -> String {
    let lines = text.lines().zip(filled.lines()).enumerate();
    let mut different = lines.filter(|(_, (one, other))| one != other);
    match different.next() {
        Some((at, (one, other))) => format!("line {} says `{one}`, and results/ gives `{other}`", at + 1),
        None => "it has other lines than results/ gives".to_owned(),
    }
}
