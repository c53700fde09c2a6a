//! What the keywords of a class are, told from the config struct that declares them.

use anyhow::{Context, Result};
use hebbian::{
    ConvolutionConfig, FitConfig, ImageSize, Parameters, PoolingConfig, PowerConfig, Rule, StandardizeConfig,
    TriangleConfig, WithRule, with_rule,
};
use hebbian_classifier::{DescentConfig, FeaturesConfig};
use hebbian_training::schema::{allowed, alternatives, fields, may_be, schema};
use hebbian_training::settings::Settings;
use pyo3::prelude::*;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use crate::failure::exception;
use crate::values::{keyword, keywords};

/// The keywords of a rule, of `fit`, `readout` or `features`, or of a layer without anything to learn, in JSON: a list of
/// objects with `name`, `type`, `default`, `description`, `allowed` and `only`, the choices that give it a meaning.
#[pyfunction]
pub fn parameters(of: &str) -> PyResult<String> {
    let described = match of {
        "fit" => settings::<FitConfig>(),
        "readout" => settings::<DescentConfig>(),
        "features" => settings::<FeaturesConfig>(),
        "convolution" => {
            let config = ConvolutionConfig::new(ImageSize::new(1, 1, 1), 1);
            Ok(plain::<ConvolutionConfig>(&json!(config), &["stride", "padding", "patches"]))
        }
        "pooling" => Ok(plain::<PoolingConfig>(&json!({"kind": "max", "padding": 0}), &["kind", "padding"])),
        "triangle" => Ok(plain::<TriangleConfig>(&Value::Null, &[])),
        "power" => Ok(plain::<PowerConfig>(&json!({"rectified": false}), &["rectified"])),
        "standardize" => Ok(plain::<StandardizeConfig>(&Value::Null, &[])),
        rule => with_rule(rule, Describe).context(format!("there is no rule {rule}")).flatten(),
    };
    Ok(Value::Array(described.map_err(exception)?).to_string())
}

/// The keywords that make a rule of this config, in JSON.
#[pyfunction]
pub fn keywords_of(rule: &str, config: &str) -> PyResult<String> {
    let read = || -> Result<String> {
        let config = serde_json::from_str(config)?;
        let keywords = match rule {
            "features" => keywords::<FeaturesConfig>(config)?,
            _ => with_rule(rule, Flatten(config)).context(format!("there is no rule {rule}"))??,
        };
        Ok(Value::Object(keywords).to_string())
    };
    read().map_err(exception)
}

struct Describe;

impl WithRule for Describe {
    type Output = Result<Vec<Value>>;

    fn with<R: Rule<Config: Clone + Default>>(self) -> Self::Output {
        settings::<R::Config>()
    }
}

struct Flatten(Value);

impl WithRule for Flatten {
    type Output = Result<Map<String, Value>>;

    fn with<R: Rule<Config: Clone + Default>>(self) -> Self::Output {
        keywords::<R::Config>(self.0)
    }
}

fn settings<P: Parameters + Default>() -> Result<Vec<Value>> {
    let settings = Settings::of::<P>(&[])?;
    let described = settings.all().iter().map(|setting| {
        let only = setting.conditions.iter();
        let only =
            only.map(|one| format!("{} is {}", one.choice.replace('.', "_"), one.alternatives.join(" or ")));
        let only: Vec<String> = only.collect();
        let default = setting.default.clone().unwrap_or_default();
        described(&keyword(setting), &setting.schema, default, true, &only)
    });
    Ok(described.collect())
}

/// The fields of a config without defaults of its own; those in `optional` have the values of `defaults`.
fn plain<P: JsonSchema>(defaults: &Value, optional: &[&str]) -> Vec<Value> {
    let schema = schema::<P>();
    let own = fields(&schema).filter(|(name, _)| *name != "input");
    own.map(|(name, field)| described(name, field, defaults[name].clone(), optional.contains(&name), &[]))
        .collect()
}

fn described(name: &str, schema: &Value, default: Value, optional: bool, only: &[String]) -> Value {
    json!({
        "name": name,
        "type": python_type(schema),
        "default": default,
        "optional": optional,
        "description": schema["description"],
        "allowed": allowed(schema),
        "only": only,
    })
}

fn python_type(schema: &Value) -> &'static str {
    let names = !alternatives(schema).is_empty() || schema["enum"].is_array();
    let kinds = [("boolean", "bool"), ("integer", "int"), ("number", "float"), ("array", "tuple")];
    let kind = kinds.into_iter().find(|(kind, _)| may_be(schema, kind));
    match kind {
        Some((_, python)) if !names => python,
        _ => "str",
    }
}
