//! What a run leaves, but for times: file by file, to be compared and to be looked through.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use hebbian_training::Checkpoint;
use serde_json::Value;

/// Every file by its path in the folder: its bytes, or what it says without times.
pub type Content = BTreeMap<PathBuf, Vec<u8>>;

/// Pictures that draw seconds, and what is no result.
const TIMED: [&str; 3] = ["time.png", "time_to_accuracy.png", "lock"];

pub fn content(out: &Path) -> Result<Content> {
    let mut content = Content::new();
    for path in files(out)? {
        let name = path.strip_prefix(out)?.to_owned();
        let is_timed = TIMED.iter().any(|timed| name.ends_with(timed));
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        let lines =
            |bytes: &[u8]| bytes.split(|&byte| byte == b'\n').map(without_times).collect::<Result<Vec<_>>>();
        let kept = match path.extension().and_then(|extension| extension.to_str()) {
            _ if is_timed => continue,
            Some("json") => without_times(&bytes)?,
            Some("jsonl") => lines(&bytes)?.concat(),
            _ => bytes,
        };
        content.insert(name, kept);
    }
    Ok(content)
}

/// All files in the folder and below it.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() { files.extend(self::files(&path)?) } else { files.push(path) }
    }
    files.sort();
    Ok(files)
}

fn without_times(json: &[u8]) -> Result<Vec<u8>> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let is_time =
                    |name: &str| ["second", "per_step", "checksum"].iter().any(|part| name.contains(part));
                fields.retain(|name, _| !is_time(name));
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    if json.is_empty() {
        return Ok(Vec::new());
    }
    let mut value: Value = serde_json::from_slice(json)?;
    strip(&mut value);
    Ok(serde_json::to_vec(&value)?)
}

/// Checks that every file in a folder whose run has just died is whole; those that were being written end in `.tmp`.
pub fn check_whole(out: &Path) -> Result<()> {
    for path in if out.exists() { files(out)? } else { vec![] } {
        let bytes = fs::read(&path)?;
        let place = || format!("after a kill: {}", path.display());
        let is_whole = match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => Checkpoint::load(&path, &Device::Cpu).map(|_| true).with_context(place)?,
            Some("json") => serde_json::from_slice::<Value>(&bytes).map(|_| true).with_context(place)?,
            Some("gif") => bytes.starts_with(b"GIF89a") && bytes.ends_with(b";"),
            Some("png") => bytes.starts_with(b"\x89PNG") && bytes.ends_with(b"IEND\xaeB`\x82"),
            Some("toml") => !bytes.is_empty(),
            _ => true,
        };
        ensure!(is_whole, "{} is not whole", place());
    }
    Ok(())
}
