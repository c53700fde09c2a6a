//! Python's values as settings, and back.

use anyhow::{Result, bail};
use hebbian::Parameters;
use hebbian_training::settings::{Setting, Settings};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::{Map, Value};

/// What stands for the absence of a value.
const NONE: &str = "none";

/// Values within values: a network of networks has few, a list that holds itself has no end.
const DEEPEST: usize = 64;

/// `value` as JSON: None, booleans, numbers, text, sequences and dictionaries of them. What is not finite is null.
pub fn json(value: &Bound<'_, PyAny>) -> Result<Value> {
    nested(value, DEEPEST)
}

fn nested(value: &Bound<'_, PyAny>, deepest: usize) -> Result<Value> {
    let Some(deepest) = deepest.checked_sub(1) else {
        bail!("values lie within each other more than {DEEPEST} times")
    };
    if value.is_none() {
        return Ok(NONE.into());
    }
    if value.is_instance_of::<PyBool>() {
        return Ok(value.extract::<bool>()?.into());
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(match value.extract::<i64>() {
            Ok(whole) => whole.into(),
            Err(_) => value.extract::<f64>().unwrap_or(f64::INFINITY).into(),
        });
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(value.extract::<f64>()?.into());
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.to_string_lossy().into_owned().into());
    }
    if let Ok(table) = value.cast::<PyDict>() {
        let entries =
            table.iter().map(|(key, value)| Ok((key.extract::<String>()?, nested(&value, deepest)?)));
        return Ok(Value::Object(entries.collect::<Result<Map<_, _>>>()?));
    }
    if value.is_instance_of::<PyTuple>() || value.is_instance_of::<PyList>() {
        let items = value.try_iter()?.map(|item| nested(&item?, deepest));
        return Ok(Value::Array(items.collect::<Result<_>>()?));
    }
    bail!("{} is neither a number nor text, nor a sequence of them", value.repr()?)
}

/// What Python calls the setting.
pub fn keyword(setting: &Setting) -> String {
    setting.path.replace('.', "_")
}

/// The config whose settings are the `keywords`; what has its default is as good as not given.
pub fn config<P: Parameters + Default>(keywords: &Map<String, Value>) -> Result<P> {
    let mut settings = Settings::of::<P>(&[])?;
    let mut given = Vec::new();
    for (name, value) in keywords {
        let Some(setting) = settings.all().iter().find(|setting| keyword(setting) == *name) else {
            bail!("there is no parameter {name}")
        };
        let default = setting.default.as_ref().unwrap_or(&Value::Null);
        let absent = default.is_null() && value == NONE;
        let equal = value == default || value.is_number() && value.as_f64() == default.as_f64();
        if !equal && !absent {
            given.push((setting.path.clone(), value.clone()));
        }
    }
    let named = |mut invalid: hebbian_training::Invalid| {
        invalid.field = invalid.field.replace('.', "_");
        invalid
    };
    settings.set(&given).map_err(named)?;
    Ok(settings.build().map_err(named)?)
}

/// The keywords that make `config` again.
pub fn keywords<P: Parameters + Default>(config: Value) -> Result<Map<String, Value>> {
    let settings = Settings::of::<P>(&[])?;
    let flat = settings.flatten(config);
    let known = flat.into_iter().filter(|(path, _)| settings.get(path).is_some());
    Ok(known.map(|(path, value)| (path.replace('.', "_"), value)).collect())
}
