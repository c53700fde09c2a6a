//! Settings from a TOML file: each key is a flag's name, each value what would stand behind it.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Command;
use toml::{Table, Value};

/// Flags that say how to run, not what to run; a config does not set them.
const NOT_SETTINGS: [&str; 8] =
    ["config", "out", "resume", "quiet", "trace", "tensorboard", "help", "version"];

/// The flags that the file at `path` stands for. A key that `command` has no flag for is refused.
pub(crate) fn flags(path: &Path, command: &Command) -> Result<Vec<OsString>> {
    let place = || format!("--config {}", path.display());
    let text = std::fs::read_to_string(path).with_context(place)?;
    let table: Table =
        text.parse().map_err(|error: toml::de::Error| syntax(&text, &error)).with_context(place)?;
    let known = settings(command);
    let mut flags = Vec::new();
    for (key, value) in &table {
        if !known.contains(key) {
            bail!("{}: unknown key `{key}`; allowed: {}", place(), known.join(", "));
        }
        let value = plain(value).with_context(|| format!("{}: `{key}` must be a single value", place()))?;
        flags.push(format!("--{}={value}", key.replace('_', "-")).into());
    }
    Ok(flags)
}

fn settings(command: &Command) -> Vec<String> {
    let flags = command.get_arguments().filter_map(|argument| argument.get_long());
    flags.filter(|flag| !NOT_SETTINGS.contains(flag)).map(|flag| flag.replace('-', "_")).collect()
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Some(value.to_string()),
        _ => None,
    }
}

fn syntax(text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = &text[..error.span().map_or(0, |span| span.start)];
    anyhow::anyhow!("line {}: {}", before.lines().count().max(1), error.message())
}
