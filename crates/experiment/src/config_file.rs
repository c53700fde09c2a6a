//! Settings from a TOML file, and settings written as one.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use hebbian_training::settings::Settings;
use hebbian_training::{Invalid, Parameters};
use serde_json::{Map, Value};
use toml::Table;
use toml::de::DeTable;

/// Gives the settings of `P` the values that the file at `path` holds.
pub(crate) fn apply<P: Parameters>(path: &Path, settings: &mut Settings) -> Result<()> {
    let place = || format!("--config {}", path.display());
    let text = std::fs::read_to_string(path).with_context(place)?;
    set::<P>(&text, settings).with_context(place)
}

fn set<P: Parameters>(text: &str, settings: &mut Settings) -> Result<()> {
    let table: Table = text.parse().map_err(|error| syntax(text, &error))?;
    let given = settings.flatten(Value::Object(object(table)));
    if let Some((path, value)) = given.iter().find(|(path, _)| settings.get(path).is_none()) {
        let line = line_of(text, path);
        let inside = format!("{path}.");
        if settings.all().iter().any(|setting| setting.path.starts_with(&inside)) {
            bail!("{line}{path} is {value}; allowed: a table, [{path}]");
        }
        bail!("{line}unknown key `{path}`; the nearest that is known: {}", nearest(path, settings));
    }
    let set = settings.set(&given).and_then(|()| settings.read::<P>());
    set.map(drop).map_err(|Invalid { field, value, allowed }| {
        anyhow!("{}{field} is {value}; allowed: {allowed}", line_of(text, &field))
    })
}

/// The `config` as TOML: a table per table, in the order of the settings.
pub(crate) fn written<P: Parameters>(config: &P, settings: &Settings) -> Result<Table> {
    let mut table = Table::new();
    for (key, value) in settings.written(config)? {
        let (mut inside, mut names) = (&mut table, key.split('.').peekable());
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                let as_toml = toml::Value::try_from(&value).map_err(|_| Invalid {
                    field: key.clone(),
                    value: value.to_string(),
                    allowed: format!("at most {}", i64::MAX),
                })?;
                inside.insert(name.to_owned(), as_toml);
                break;
            }
            let below = inside.entry(name).or_insert_with(|| Table::new().into());
            inside =
                below.as_table_mut().with_context(|| format!("{key}: `{name}` is a setting and a table"))?;
        }
    }
    Ok(table)
}

/// A number that is not finite becomes text, which no number's setting takes.
fn object(table: Table) -> Map<String, Value> {
    table.into_iter().map(|(key, value)| (key, json(value))).collect()
}

fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) if number.is_finite() => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => Value::Object(object(table)),
        other => other.to_string().into(),
    }
}

/// The setting whose path, or else whose name, is most like that of `path`.
fn nearest(path: &str, settings: &Settings) -> String {
    let name = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |known: &str| {
        strsim::jaro_winkler(known, path) + 2.0 * strsim::jaro_winkler(&name(known), &name(path))
    };
    let paths = settings.all().iter().map(|setting| setting.path.as_str());
    let nearest = paths.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    nearest.map_or_else(
        || "none".to_owned(),
        |path| match path.rsplit_once('.') {
            Some((table, name)) => format!("`{name}` in [{table}]"),
            None => format!("`{path}`"),
        },
    )
}

/// `line 3: `, where the setting at `path` or the choice at it is given; nothing if it cannot be told.
fn line_of(text: &str, path: &str) -> String {
    let Ok(table) = DeTable::parse(text) else { return String::new() };
    let mut at = None;
    let mut inside = table.get_ref();
    for name in path.split('.') {
        let variant = || inside.iter().find_map(|(_, value)| value.get_ref().as_table()?.get_key_value(name));
        let Some((key, value)) = inside.get_key_value(name).or_else(variant) else { break };
        at = Some(key.span().start);
        let Some(below) = value.get_ref().as_table() else { break };
        inside = below;
    }
    at.map_or_else(String::new, |start| format!("line {}: ", line(text, start)))
}

fn line(text: &str, position: usize) -> usize {
    text[..position].matches('\n').count() + 1
}

fn syntax(text: &str, error: &toml::de::Error) -> anyhow::Error {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    anyhow!("line {}: {}", line(text, start), error.message())
}
