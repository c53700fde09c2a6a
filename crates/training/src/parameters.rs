//! Settings that are declared once: a config struct with a doc comment, a range and a default for each field.
//!
//! ```
//! use hebbian_training::Parameters;
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields, default)]
//! struct Pace {
//!     /// Step size.
//!     #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
//!     rate: f64,
//! }
//!
//! impl Default for Pace {
//!     fn default() -> Self {
//!         Self { rate: 0.1 }
//!     }
//! }
//!
//! impl Parameters for Pace {}
//!
//! let refused = Pace { rate: 2.0 }.validate().unwrap_err();
//! assert_eq!(refused.to_string(), "rate = 2 is not allowed: a number above 0, at most 1");
//! ```

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Invalid;

/// A config struct that says itself what its fields mean and what is allowed.
///
/// Its JSON schema holds the doc comment and the range of every field. Errors, command lines and documentation are made
/// of it.
pub trait Parameters: Serialize + DeserializeOwned + JsonSchema {
    /// Checks what several fields must satisfy together; each is within its own range by then.
    ///
    /// # Errors
    /// Names the first field that is outside.
    fn check_together(&self) -> Result<(), Invalid> {
        Ok(())
    }

    /// Checks every field against the range that it declares, then [`check_together`](Self::check_together).
    ///
    /// # Errors
    /// Names the first field that is outside, `charge.k` for the field of a field.
    fn validate(&self) -> Result<(), Invalid> {
        let value = serde_json::to_value(self).map_err(|error| Invalid {
            field: Self::schema_name().into_owned(),
            value: error.to_string(),
            allowed: "what can be written as JSON".to_owned(),
        })?;
        check(&schema::<Self>(), &value, "")?;
        self.check_together()
    }
}

/// The JSON schema of `P`, without references.
pub fn schema<P: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    Schema::to_value(settings.into_generator().into_root_schema_for::<P>())
}

/// Checks `value` against the ranges in `schema`; `path` is the name that the value has in an error.
///
/// # Errors
/// Names the first field that is outside.
fn check(schema: &Value, value: &Value, path: &str) -> Result<(), Invalid> {
    let refuse = |value: String| Err(Invalid { field: path.to_owned(), value, allowed: allowed(schema) });
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if let Some(branches) = branches(schema) {
        let Some(branch) = branches.iter().find(|branch| fits(branch, value)) else {
            return refuse(shown(value));
        };
        return match variant(branch) {
            Some((name, fields)) => check(fields, &value[name], path),
            None => check(branch, value, path),
        };
    }
    match value {
        Value::Null if may_be(schema, "null") => Ok(()),
        Value::Null => refuse("NaN or infinity".to_owned()),
        Value::Number(number) if !within(schema, number.as_f64().unwrap_or(f64::NAN)) => refuse(shown(value)),
        Value::Number(number) if number.is_f64() && !may_be(schema, "number") => refuse(shown(value)),
        Value::Number(_) if may_be(schema, "integer") || may_be(schema, "number") => Ok(()),
        Value::Bool(_) if may_be(schema, "boolean") => Ok(()),
        Value::String(text) if may_be(schema, "string") => match schema["enum"].as_array() {
            Some(all) if !all.contains(value) => refuse(text.clone()),
            _ => Ok(()),
        },
        Value::Array(items) if may_be(schema, "array") => {
            let least = schema["minItems"].as_u64().unwrap_or(0);
            let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
            if !(least..=most).contains(&(items.len() as u64)) {
                return refuse(shown(value));
            }
            items.iter().try_for_each(|item| check(&schema["items"], item, path))
        }
        Value::Object(fields) if may_be(schema, "object") => {
            let known = |(name, value): (&String, &Value)| match schema["properties"].get(name) {
                Some(schema) => check(schema, value, &below(name)),
                None => Ok(()),
            };
            fields.iter().try_for_each(known)
        }
        _ => refuse(shown(value)),
    }
}

/// What `schema` allows, in words: `at least 2`, `a number above 0, at most 1`, `one of sum, maximum`.
fn allowed(schema: &Value) -> String {
    if let Some(choices) = choices(schema) {
        return format!("one of {}", choices.join(", "));
    }
    if let Some(inner) = branches(schema).and_then(|all| all.iter().find(|branch| !is_null(branch))) {
        return allowed(inner);
    }
    if let Some(words) = schema["x-allowed"].as_str() {
        return words.to_owned();
    }
    if may_be(schema, "boolean") {
        return "true or false".to_owned();
    }
    if may_be(schema, "array") {
        return format!("{} for each of several, with commas between", allowed(&schema["items"]));
    }
    let bound = |key: &str| schema[key].as_f64().map(number);
    let whole = may_be(schema, "integer");
    let (a_number, of) = if whole { ("a whole number", "") } else { ("a number", "a number of ") };
    let upper = match (bound("maximum"), bound("exclusiveMaximum")) {
        (Some(most), _) => Some(format!("at most {most}")),
        (None, Some(above)) => Some(format!("below {above}")),
        (None, None) => None,
    };
    match (bound("minimum"), bound("exclusiveMinimum"), upper) {
        (Some(least), _, Some(_)) if bound("maximum").is_some() => {
            format!("{least} to {}", bound("maximum").unwrap_or_default())
        }
        (Some(least), _, Some(upper)) => format!("{of}at least {least}, {upper}"),
        (Some(least), _, None) if whole && least == "0" => a_number.to_owned(),
        (Some(least), _, None) => format!("{of}at least {least}"),
        (None, Some(above), Some(upper)) => format!("{a_number} above {above}, {upper}"),
        (None, Some(above), None) => format!("{a_number} above {above}"),
        (None, None, Some(upper)) => format!("{of}{upper}"),
        (None, None, None) if whole || may_be(schema, "number") => a_number.to_owned(),
        (None, None, None) => "text".to_owned(),
    }
}

/// The names that an enum may take.
fn choices(schema: &Value) -> Option<Vec<&str>> {
    if let Some(all) = schema["enum"].as_array() {
        return all.iter().map(Value::as_str).collect();
    }
    let name = |branch| match (variant(branch), tag(branch)) {
        (Some((name, _)), _) => Some(name),
        (None, Some((_, name))) => name.as_str(),
        (None, None) => branch["const"].as_str(),
    };
    let names = branches(schema)?.iter().flat_map(|branch| match branch["enum"].as_array() {
        Some(all) => all.iter().map(Value::as_str).collect(),
        None => vec![name(branch)],
    });
    names.collect()
}

/// Whether `branch` is the alternative that `value` has taken.
fn fits(branch: &Value, value: &Value) -> bool {
    if let Some((name, _)) = variant(branch) {
        return value.get(name).is_some();
    }
    if let Some((key, name)) = tag(branch) {
        return value.get(key) == Some(name);
    }
    match (branch.get("const"), branch["enum"].as_array()) {
        (Some(constant), _) => constant == value,
        (None, Some(all)) => all.contains(value),
        (None, None) => is_null(branch) == value.is_null(),
    }
}

/// Key and value of the tag that tells a variant from the others, for an enum that serde writes with one.
fn tag(branch: &Value) -> Option<(&str, &Value)> {
    let properties = branch["properties"].as_object()?;
    properties.iter().find_map(|(key, schema)| Some((key.as_str(), schema.get("const")?)))
}

/// Name and fields of an enum's variant that has fields: an object of this one key.
fn variant(branch: &Value) -> Option<(&str, &Value)> {
    let [name] = branch["required"].as_array()?.as_slice() else { return None };
    let properties: &Map<String, Value> = branch["properties"].as_object()?;
    let only = properties.len() == 1 && branch["additionalProperties"] == false;
    let fields = properties.get(name.as_str()?)?;
    (only && may_be(fields, "object")).then_some((name.as_str()?, fields))
}

/// The alternatives of an enum or of an optional struct.
fn branches(schema: &Value) -> Option<&Vec<Value>> {
    schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array())
}

/// Whether `kind` is among the types of `schema`.
fn may_be(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::String(only) => only == kind,
        Value::Array(all) => all.iter().any(|one| one == kind),
        _ => false,
    }
}

/// The fields of `schema` that have no doc comment, those of tables in it too, by their paths: none, if all is well.
pub fn undescribed(schema: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    if let Some(fields) = schema["properties"].as_object() {
        for (name, field) in fields.iter().filter(|(_, field)| field.get("const").is_none()) {
            let described = field["description"].is_string()
                || (schema["description"].is_string() && variant(schema).is_some());
            if !described {
                missing.push(name.clone());
            }
            missing.extend(undescribed(field).into_iter().map(|below| format!("{name}.{below}")));
        }
    }
    missing.extend(branches(schema).into_iter().flatten().flat_map(undescribed));
    missing
}

fn is_null(schema: &Value) -> bool {
    schema["type"] == "null"
}

fn within(schema: &Value, number: f64) -> bool {
    let holds = |key: &str, test: fn(&f64, &f64) -> bool| {
        schema[key].as_f64().is_none_or(|bound| test(&number, &bound))
    };
    number.is_finite()
        && holds("minimum", f64::ge)
        && holds("exclusiveMinimum", f64::gt)
        && holds("maximum", f64::le)
        && holds("exclusiveMaximum", f64::lt)
}

fn number(number: f64) -> String {
    if number != 0.0 && number.abs() < 1e-6 { format!("{number:e}") } else { number.to_string() }
}

/// The value as a person would write it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(small) if small.is_f64() => number(small.as_f64().unwrap_or(f64::NAN)),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    enum Kind {
        /// Nothing to set.
        Plain,
        /// One thing to set.
        Curved {
            /// How much.
            #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
            bend: f64,
        },
    }

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        /// A rank.
        #[schemars(range(min = 2, max = 9))]
        k: usize,
    }

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        /// A number.
        mean: f64,
        /// A list.
        #[schemars(length(min = 1), inner(range(min = 1)))]
        sizes: Vec<usize>,
        /// A kind.
        kind: Kind,
        /// Another table.
        inner: Option<Inner>,
        /// Nothing, or a count.
        #[schemars(range(min = 1))]
        most: Option<usize>,
        /// A kind with a tag.
        tagged: Tagged,
    }

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields, tag = "kind")]
    enum Tagged {
        /// Nothing to set.
        Once,
        /// One thing to set.
        Often {
            /// How often.
            #[schemars(range(min = 2))]
            times: usize,
        },
    }

    impl Default for Inner {
        fn default() -> Self {
            Self { k: 3 }
        }
    }

    impl Default for Outer {
        fn default() -> Self {
            Self {
                mean: 0.0,
                sizes: vec![2],
                kind: Kind::Plain,
                inner: None,
                most: None,
                tagged: Tagged::Once,
            }
        }
    }

    impl Parameters for Outer {
        fn check_together(&self) -> Result<(), Invalid> {
            Invalid::unless(self.most != Some(13), "most", 13, "anything else")
        }
    }

    fn refusal(change: impl FnOnce(&mut Outer)) -> String {
        let mut outer = Outer::default();
        change(&mut outer);
        outer.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_is_within_its_ranges_is_taken() {
        Outer::default().validate().unwrap();
        let all = Outer {
            kind: Kind::Curved { bend: 0.5 },
            inner: Some(Inner { k: 9 }),
            most: Some(1),
            tagged: Tagged::Often { times: 2 },
            ..Outer::default()
        };
        all.validate().unwrap();
    }

    #[test]
    fn the_field_outside_its_range_is_named_wherever_it_lies() {
        let k = "inner.k = 1 is not allowed: 2 to 9";
        assert_eq!(refusal(|outer| outer.inner = Some(Inner { k: 1 })), k);
        let bend = "kind.bend = 1 is not allowed: a number above 0, below 1";
        assert_eq!(refusal(|outer| outer.kind = Kind::Curved { bend: 1.0 }), bend);
        let times = "tagged.times = 1 is not allowed: at least 2";
        assert_eq!(refusal(|outer| outer.tagged = Tagged::Often { times: 1 }), times);
        assert!(refusal(|outer| outer.sizes = vec![]).starts_with("sizes = "));
        assert!(
            refusal(|outer| outer.sizes = vec![3, 0]).starts_with("sizes = 0 is not allowed: at least 1")
        );
        assert_eq!(refusal(|outer| outer.most = Some(0)), "most = 0 is not allowed: at least 1");
    }

    #[test]
    fn what_is_not_finite_is_refused_as_that() {
        for mean in [f64::NAN, f64::INFINITY] {
            let expected = "mean = NaN or infinity is not allowed: a number";
            assert_eq!(refusal(|outer| outer.mean = mean), expected);
        }
    }

    #[test]
    fn a_field_without_a_doc_comment_is_found_wherever_it_lies() {
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Bare {
            /// Said.
            told: usize,
            untold: Option<Kind>,
            /// Said.
            below: Nested,
        }
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Nested {
            untold: f64,
        }
        assert_eq!(undescribed(&schema::<Bare>()), ["below.untold", "untold"]);
        assert_eq!(undescribed(&schema::<Outer>()), [""; 0]);
    }

    #[test]
    fn fields_are_checked_together_last() {
        assert_eq!(refusal(|outer| outer.most = Some(13)), "most = 13 is not allowed: anything else");
    }
}
