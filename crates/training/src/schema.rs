//! What the JSON schema of a config struct says: its fields, and the alternatives that an enum has.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// The JSON schema of `P`, without references.
pub fn schema<P: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    Schema::to_value(settings.into_generator().into_root_schema_for::<P>())
}

/// The first sentence of a schema's doc comment, without the marks of rustdoc.
pub fn summary(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let paragraph = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let sentence = paragraph.split(". ").next().unwrap_or_default().trim_end_matches('.');
    sentence.replace(['`', '[', ']'], "")
}

/// One of the alternatives that an enum has, or a field that may be absent.
#[derive(Clone, Debug)]
pub struct Alternative<'s> {
    /// Its name, in kebab case as serde writes it; `none` for what is absent.
    pub name: &'s str,
    /// How serde writes it.
    pub form: Form<'s>,
    /// The schema of its fields.
    pub fields: &'s Value,
}

/// How serde writes an alternative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'s> {
    /// `"name"`
    Name,
    /// `{"name": {fields}}`
    Keyed,
    /// `{"key": "name", fields}`
    Tagged(&'s str),
    /// `{fields}`
    Fields,
    /// `null`
    Absent,
}

impl<'s> Form<'s> {
    /// The key of the tag, where there is one.
    pub(crate) fn tag(self) -> Option<&'s str> {
        if let Form::Tagged(key) = self { Some(key) } else { None }
    }
}

impl Alternative<'_> {
    /// The fields in `value`, if it is this alternative.
    pub fn fields_of<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match self.form {
            Form::Name => (value == self.name).then_some(&Value::Null),
            Form::Keyed => value.get(self.name),
            Form::Tagged(key) => (value.get(key)? == self.name).then_some(value),
            Form::Fields => value.is_object().then_some(value),
            Form::Absent => (value.is_null() || value == self.name).then_some(&Value::Null),
        }
    }

    /// The value that serde reads as this alternative with these `fields`.
    pub fn with(&self, fields: Value) -> Value {
        match self.form {
            Form::Name => Value::from(self.name),
            Form::Keyed => Value::Object([(self.name.to_owned(), fields)].into_iter().collect()),
            Form::Tagged(key) => {
                let mut fields = fields;
                fields[key] = Value::from(self.name);
                fields
            }
            Form::Fields => fields,
            Form::Absent => Value::Null,
        }
    }
}

/// The alternatives that `schema` has; none, unless it is of an enum or of a table that may be absent.
pub fn alternatives(schema: &Value) -> Vec<Alternative<'_>> {
    if schema["properties"].is_object() && may_be(schema, "null") {
        let set = Alternative { name: "set", form: Form::Fields, fields: schema };
        return vec![set, ABSENT];
    }
    let branches = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
    branches.into_iter().flatten().flat_map(of_branch).collect()
}

const ABSENT: Alternative<'_> = Alternative { name: "none", form: Form::Absent, fields: &Value::Null };

fn of_branch(branch: &Value) -> Vec<Alternative<'_>> {
    let alternative = |name, form, fields| vec![Alternative { name, form, fields }];
    if branch["type"] == "null" {
        return vec![ABSENT];
    }
    let names = branch["enum"].as_array().map_or_else(|| vec![&branch["const"]], |all| all.iter().collect());
    let names: Vec<&str> = names.into_iter().filter_map(Value::as_str).collect();
    if !names.is_empty() {
        let name = |name| Alternative { name, form: Form::Name, fields: &Value::Null };
        return names.into_iter().map(name).collect();
    }
    match (keyed(branch), tag(branch)) {
        (Some((name, fields)), _) => alternative(name, Form::Keyed, fields),
        (None, Some((key, name))) => alternative(name, Form::Tagged(key), branch),
        (None, None) if branch["properties"].is_object() => alternative("set", Form::Fields, branch),
        (None, None) => alternatives(branch),
    }
}

/// Name and fields of a variant that is an object of this one key.
fn keyed(branch: &Value) -> Option<(&str, &Value)> {
    let [name] = branch["required"].as_array()?.as_slice() else { return None };
    let properties = branch["properties"].as_object()?;
    let fields = properties.get(name.as_str()?)?;
    let only = properties.len() == 1 && branch["additionalProperties"] == false;
    (only && may_be(fields, "object")).then_some((name.as_str()?, fields))
}

/// Key and value of the tag that tells a variant from the others.
fn tag(branch: &Value) -> Option<(&str, &str)> {
    let properties = branch["properties"].as_object()?;
    properties.iter().find_map(|(key, schema)| Some((key.as_str(), schema["const"].as_str()?)))
}

/// The fields of a table, without the tag that names a variant.
pub fn fields(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = schema["properties"].as_object().into_iter().flatten();
    all.filter(|(_, field)| field.get("const").is_none()).map(|(name, field)| (name.as_str(), field))
}

/// Whether `kind` is among the types of `schema`.
pub fn may_be(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::String(only) => only == kind,
        Value::Array(all) => all.iter().any(|one| one == kind),
        _ => false,
    }
}

/// What `schema` allows, in words: `at least 2`, `a number above 0, at most 1`, `one of sum, maximum`.
pub fn allowed(schema: &Value) -> String {
    let names: Vec<&str> = alternatives(schema).into_iter().map(|alternative| alternative.name).collect();
    if !names.is_empty() {
        return format!("one of {}", names.join(", "));
    }
    if let Some(names) = schema["enum"].as_array() {
        let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        return format!("one of {}", names.join(", "));
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
    if may_be(schema, "object") {
        return "a table".to_owned();
    }
    range(schema)
}

fn range(schema: &Value) -> String {
    let bound = |key: &str| schema.get(key).map(shown);
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

fn number(number: f64) -> String {
    if number != 0.0 && number.abs() < 1e-6 { format!("{number:e}") } else { number.to_string() }
}

/// The value as a person would write it.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(small) if small.is_f64() => number(small.as_f64().unwrap_or(f64::NAN)),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// The fields of `schema` that have no doc comment, those of tables in it too, by their paths: none, if all is well.
pub fn undescribed(schema: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, field) in fields(schema) {
        if !field["description"].is_string() {
            missing.push(name.to_owned());
        }
        let alternatives = alternatives(field);
        let tables = alternatives.iter().map(|alternative| alternative.fields);
        let tables = tables.chain(alternatives.is_empty().then_some(field));
        missing.extend(tables.flat_map(undescribed).map(|below| format!("{name}.{below}")));
    }
    missing
}
