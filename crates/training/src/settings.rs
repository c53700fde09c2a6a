//! A config struct as a flat list of settings, each with a path: what command lines, files and comparisons work with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::parameters::check;
use crate::schema::{Alternative, Form, allowed, alternatives, fields, may_be, schema, shown};
use crate::{Invalid, Parameters};

/// One setting: a field that is no table, or the choice between the alternatives of an enum.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The names of the tables that it is in and its own: `rule.pool.fraction`.
    pub path: String,
    /// Its doc comment and its range.
    pub schema: Value,
    /// What it is where nothing else is said.
    pub default: Option<Value>,
    /// For a choice, the key that names it in a table of its fields.
    tag: Option<String>,
    /// The choices that must have been made for it to mean anything.
    pub conditions: Vec<Condition>,
}

/// A choice, and which of its alternatives a setting belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The path of the choice.
    pub choice: String,
    /// The names of the alternatives.
    pub alternatives: Vec<String>,
}

impl Setting {
    /// Whether `none` is the absence of a value, and no name or text.
    fn may_be_absent(&self) -> bool {
        let absent = alternatives(&self.schema).iter().any(|alternative| alternative.form == Form::Absent);
        absent || may_be(&self.schema, "null") && !may_be(&self.schema, "string")
    }
}

impl Condition {
    fn holds(&self, values: &BTreeMap<String, Value>) -> bool {
        values.get(&self.choice).is_some_and(|made| self.alternatives.iter().any(|one| made == one))
    }
}

/// All settings of a config struct, with the values that they have so far.
#[derive(Clone, Debug)]
pub struct Settings {
    schema: Value,
    all: Vec<Setting>,
    values: BTreeMap<String, Value>,
    given: BTreeSet<String>,
}

impl Settings {
    /// The settings of `P` in the order in which it declares them, each with its default. Those in `fixed` and below are
    /// left out: a program decides them itself.
    ///
    /// # Errors
    /// If the default cannot be written as JSON.
    pub fn of<P: Parameters + Default>(fixed: &[&str]) -> Result<Self, Invalid> {
        let text = serde_json::to_string(&P::default()).map_err(unwritable::<P>)?;
        let keys: Keys = serde_json::from_str(&text).map_err(unwritable::<P>)?;
        let default = serde_json::from_str(&text).map_err(unwritable::<P>)?;
        let schema = schema::<P>();
        let mut values: BTreeMap<String, Value> = flatten(&schema, default).into_iter().collect();
        let mut all = Vec::new();
        collect(&schema, "", &keys, &[], &mut all);
        for (path, value) in declared(&schema, "") {
            values.entry(path).or_insert(value);
        }
        let is_fixed =
            |path: &str| fixed.iter().any(|one| path == *one || path.starts_with(&format!("{one}.")));
        all.retain(|setting| !is_fixed(&setting.path));
        for setting in &mut all {
            setting.default = values.get(&setting.path).cloned();
        }
        Ok(Self { schema, all, values, given: BTreeSet::new() })
    }

    /// The JSON schema of the struct.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// All of them, in the order in which they are declared.
    pub fn all(&self) -> &[Setting] {
        &self.all
    }

    /// The setting at `path`.
    pub fn get(&self, path: &str) -> Option<&Setting> {
        self.all.iter().find(|setting| setting.path == path)
    }

    /// The paths and values in `config`, which has the form of the struct and may leave out fields. What the struct does
    /// not have is listed with the path that it would have.
    pub fn flatten(&self, config: Value) -> Vec<(String, Value)> {
        flatten(&self.schema, config)
    }

    /// The settings of `config` as a file holds them, which [`flatten`](Self::flatten) reads back: dotted keys in the
    /// order of the settings, and `none` for what is absent.
    ///
    /// # Errors
    /// If `config` cannot be written as JSON.
    pub fn written<P: Parameters>(&self, config: &P) -> Result<Vec<(String, Value)>, Invalid> {
        let config = serde_json::to_value(config).map_err(unwritable::<P>)?;
        let values: BTreeMap<String, Value> = flatten(&self.schema, config).into_iter().collect();
        let used = |setting: &&Setting| setting.conditions.iter().all(|one| one.holds(&values));
        let with_fields: Vec<&str> = self
            .all
            .iter()
            .filter(used)
            .flat_map(|setting| &setting.conditions)
            .map(|condition| condition.choice.as_str())
            .collect();
        let written = self.all.iter().filter(used).filter_map(|setting| {
            let key = match &setting.tag {
                Some(tag) if with_fields.contains(&setting.path.as_str()) => join(&setting.path, tag),
                _ => setting.path.clone(),
            };
            let value = values.get(&setting.path).or(setting.default.as_ref()).unwrap_or(&Value::Null);
            match value.is_null() {
                true => setting.may_be_absent().then(|| (key, json!("none"))),
                false => Some((key, value.clone())),
            }
        });
        Ok(written.collect())
    }

    /// Gives settings the values that one source says, all of them or none.
    ///
    /// # Errors
    /// Names the first setting that does not exist, is outside its range, or means nothing with the choices made.
    pub fn set(&mut self, given: &[(String, Value)]) -> Result<(), Invalid> {
        let mut values = self.values.clone();
        for (path, value) in given {
            let refuse = |allowed: String| Invalid { field: path.clone(), value: shown(value), allowed };
            let setting = self.get(path).ok_or_else(|| refuse("a setting that exists".to_owned()))?;
            let value = if value == "none" && setting.may_be_absent() { &Value::Null } else { value };
            check(&setting.schema, value, path)?;
            values.insert(path.clone(), value.clone());
        }
        for (path, value) in given {
            let conditions = self.get(path).into_iter().flat_map(|setting| &setting.conditions);
            for condition in conditions {
                let Condition { choice, alternatives } = condition;
                let allowed = format!("only where {choice} is {}", alternatives.join(" or "));
                Invalid::unless(condition.holds(&values), path, shown(value), allowed)?;
            }
        }
        self.values = values;
        self.given.extend(given.iter().map(|(path, _)| path.clone()));
        Ok(())
    }

    /// The paths that were [set](Self::set), and so are not only defaults.
    pub fn given(&self) -> &BTreeSet<String> {
        &self.given
    }

    /// The struct with the values that its settings have, each within its own range.
    ///
    /// # Errors
    /// Names the first setting that is needed and not given, or whose text cannot be read.
    pub fn read<P: Parameters>(&self) -> Result<P, Invalid> {
        let value = build(&self.schema, &self.values, "")?.unwrap_or_default();
        serde_path_to_error::deserialize(value).map_err(|error| {
            // An item of a list is part of its setting.
            let field = error.path().to_string().split('[').next().unwrap_or_default().to_owned();
            let value = self.values.get(&field).map_or_else(|| "not read".to_owned(), shown);
            let allowed = self.get(&field).map(|setting| allowed(&setting.schema));
            Invalid { field, value, allowed: allowed.unwrap_or_else(|| error.inner().to_string()) }
        })
    }

    /// The struct with the values that its settings have, if they go together.
    ///
    /// # Errors
    /// Those of [`read`](Self::read) and of [`Parameters::validate`].
    pub fn build<P: Parameters>(&self) -> Result<P, Invalid> {
        let built: P = self.read()?;
        built.validate()?;
        Ok(built)
    }
}

pub(crate) fn unwritable<P: Parameters>(error: serde_json::Error) -> Invalid {
    let (field, value) = (P::schema_name().into_owned(), error.to_string());
    Invalid { field, value, allowed: "what can be written as JSON".to_owned() }
}

/// Whether `schema` is of a choice between alternatives of which some have fields.
fn is_choice(alternatives: &[Alternative<'_>]) -> bool {
    alternatives.iter().any(|alternative| alternative.fields.is_object())
}

fn collect(schema: &Value, path: &str, keys: &Keys, conditions: &[Condition], all: &mut Vec<Setting>) {
    let alternatives = alternatives(schema);
    let choice = is_choice(&alternatives);
    if !choice && schema["properties"].is_object() {
        for (name, field) in keys.order(schema) {
            collect(field, &join(path, name), keys.of(name), conditions, all);
        }
        return;
    }
    let setting = |schema: Value, tag: Option<&str>| {
        let (path, tag, conditions) = (path.to_owned(), tag.map(str::to_owned), conditions.to_vec());
        Setting { path, schema, default: None, tag, conditions }
    };
    if !choice {
        return all.push(setting(schema.clone(), None));
    }
    let names: Vec<&str> = alternatives.iter().map(|alternative| alternative.name).collect();
    let schema = json!({"type": "string", "enum": names, "description": schema["description"]});
    all.push(setting(schema, Some(tag(&alternatives))));
    for alternative in alternatives {
        let keys = if alternative.form == Form::Keyed { keys.of(alternative.name) } else { keys };
        for (name, field) in keys.order(alternative.fields) {
            let below = join(path, name);
            if !extend(all, &below, path, alternative.name) {
                let alternatives = vec![alternative.name.to_owned()];
                let own = Condition { choice: path.to_owned(), alternatives };
                collect(field, &below, keys.of(name), &[conditions, &[own]].concat(), all);
            }
        }
    }
}

/// Whether an earlier alternative of `choice` has the settings at and below `path` too: they then belong to `alternative`
/// as well.
fn extend(all: &mut [Setting], path: &str, choice: &str, alternative: &str) -> bool {
    let inside = format!("{path}.");
    let mut shared = false;
    for setting in all.iter_mut().filter(|one| one.path == path || one.path.starts_with(&inside)) {
        for condition in setting.conditions.iter_mut().filter(|condition| condition.choice == choice) {
            condition.alternatives.push(alternative.to_owned());
            shared = true;
        }
    }
    shared
}

/// The defaults that the fields of `schema` declare, those of outer tables first: what an alternative begins with that is
/// not the default one.
fn declared(schema: &Value, path: &str) -> Vec<(String, Value)> {
    let alternatives = alternatives(schema);
    let tables = alternatives.iter().map(|alternative| alternative.fields);
    let mut all = Vec::new();
    for (name, field) in tables.chain(alternatives.is_empty().then_some(schema)).flat_map(fields) {
        let path = join(path, name);
        if let Some(default) = field.get("default") {
            flatten_into(field, default.clone(), &path, &mut all);
        }
        all.extend(declared(field, &path));
    }
    all
}

fn flatten(schema: &Value, value: Value) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    flatten_into(schema, value, "", &mut flat);
    flat
}

fn flatten_into(schema: &Value, value: Value, path: &str, flat: &mut Vec<(String, Value)>) {
    let alternatives = alternatives(schema);
    if !is_choice(&alternatives) {
        return match (schema["properties"].is_object(), value) {
            (true, fields @ Value::Object(_)) => flatten_fields(&[schema], fields, path, flat),
            (_, value) => flat.push((path.to_owned(), value)),
        };
    }
    let tag = tag(&alternatives);
    let taken = alternatives.iter().find_map(|one| Some((one, one.fields_of(&value)?.clone())));
    let tagged = value.get(tag).cloned();
    let (name, below) = match (taken, tagged) {
        (_, Some(name)) => (name, value),
        (Some((alternative, below)), None) => (alternative.name.into(), below),
        // The choice stays as it is.
        (None, None) if value.is_object() => (Value::Null, value),
        (None, None) => (value, Value::Null),
    };
    if !name.is_null() {
        flat.push((path.to_owned(), name.clone()));
    }
    let chosen = alternatives.iter().filter(|alternative| name.is_null() || name == alternative.name);
    let fields: Vec<&Value> = chosen.map(|alternative| alternative.fields).collect();
    let below = match below {
        Value::Object(fields) => fields.into_iter().filter(|(key, _)| key != tag).collect(),
        other => other,
    };
    flatten_fields(&fields, below, path, flat);
}

/// The key that names the alternative where its fields are given beside it.
fn tag<'s>(alternatives: &[Alternative<'s>]) -> &'s str {
    alternatives.iter().find_map(|one| one.form.tag()).unwrap_or("kind")
}

fn flatten_fields(schemas: &[&Value], value: Value, path: &str, flat: &mut Vec<(String, Value)>) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        let path = join(path, &name);
        match schemas.iter().find_map(|schema| schema["properties"].get(&name)) {
            Some(schema) => flatten_into(schema, value, &path, flat),
            None => flat.push((path, value)),
        }
    }
}

fn build(schema: &Value, values: &BTreeMap<String, Value>, path: &str) -> Result<Option<Value>, Invalid> {
    let alternatives = alternatives(schema);
    if !is_choice(&alternatives) {
        return match schema["properties"].is_object() {
            true => build_fields(schema, values, path).map(Some),
            false => Ok(values.get(path).cloned()),
        };
    }
    let chosen =
        alternatives.iter().find(|alternative| values.get(path).is_some_and(|name| name == alternative.name));
    chosen.map(|chosen| Ok(chosen.with(build_fields(chosen.fields, values, path)?))).transpose()
}

fn build_fields(schema: &Value, values: &BTreeMap<String, Value>, path: &str) -> Result<Value, Invalid> {
    let mut built = serde_json::Map::new();
    for (name, field) in fields(schema) {
        let path = join(path, name);
        let required = schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
        match build(field, values, &path)? {
            Some(value) => drop(built.insert(name.to_owned(), value)),
            None => Invalid::unless(!required, &path, "not given", allowed(field))?,
        }
    }
    Ok(Value::Object(built))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The keys of a JSON text, in the order in which they are written.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Keys {
    Table(#[serde(deserialize_with = "entries")] Vec<(String, Keys)>),
    Value(IgnoredAny),
}

impl Keys {
    fn entries(&self) -> &[(String, Keys)] {
        match self {
            Keys::Table(entries) => entries,
            Keys::Value(_) => &[],
        }
    }

    fn of(&self, name: &str) -> &Keys {
        let entry = self.entries().iter().find(|(key, _)| key == name);
        entry.map_or(&Keys::Value(IgnoredAny), |(_, keys)| keys)
    }

    /// The fields of `schema` in the order of the keys; those that have none are last.
    fn order<'s>(&self, schema: &'s Value) -> Vec<(&'s str, &'s Value)> {
        let mut ordered: Vec<_> = fields(schema).collect();
        let place = |name: &str| self.entries().iter().position(|(key, _)| key == name);
        ordered.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
        ordered
    }
}

fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Keys)>, D::Error> {
    struct Entries;

    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<(String, Keys)>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            std::iter::from_fn(|| map.next_entry().transpose()).collect()
        }
    }

    deserializer.deserialize_map(Entries)
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Serialize;

    use super::*;
    use crate::Schedule;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        /// The rule.
        rule: Rule,
        /// What it learns from.
        input: Input,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Rule {
        /// Units.
        #[schemars(range(min = 1))]
        units: usize,
        /// Rank.
        k: usize,
        /// How the rate falls.
        schedule: Schedule,
        /// Most of them, if there is a most.
        most: Option<usize>,
        /// Where the inputs lie.
        area: Area,
        /// What is added.
        charge: Option<Charge>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    enum Area {
        /// Everywhere.
        Everywhere,
        /// In a square.
        Square {
            /// Share of it.
            share: f64,
            /// How far it reaches.
            #[schemars(range(min = 1))]
            radius: usize,
        },
        /// In a disc.
        Disc {
            /// Share of it.
            share: f64,
        },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Charge {
        /// Strength.
        delta: f64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields, tag = "kind")]
    enum Input {
        /// Lines on a grid.
        Bars {
            /// Side of the grid.
            side: usize,
        },
        /// Parts of images.
        Patches(Patches),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Patches {
        /// Side of a patch.
        size: usize,
    }

    impl Default for Rule {
        fn default() -> Self {
            let area = Area::Square { share: 0.5, radius: 6 };
            Self { units: 10, k: 2, schedule: Schedule::Linear, most: None, area, charge: None }
        }
    }

    impl Default for Charge {
        fn default() -> Self {
            Self { delta: 0.4 }
        }
    }

    impl Default for Input {
        fn default() -> Self {
            Self::Bars { side: 8 }
        }
    }

    impl Default for Patches {
        fn default() -> Self {
            Self { size: 10 }
        }
    }

    impl Parameters for Config {
        fn check_together(&self) -> Result<(), Invalid> {
            Invalid::unless(self.rule.k <= self.rule.units, "rule.k", self.rule.k, "at most units")
        }
    }

    fn settings() -> Settings {
        Settings::of::<Config>(&[]).unwrap()
    }

    /// The config after one source, written as JSON, has been read.
    fn after(json: Value) -> Result<Config, Invalid> {
        let mut settings = settings();
        settings.set(&settings.flatten(json))?;
        settings.build()
    }

    fn refusal(json: Value) -> String {
        after(json).unwrap_err().to_string()
    }

    #[test]
    fn settings_keep_the_order_in_which_they_are_declared() {
        let settings = settings();
        let paths: Vec<&str> = settings.all().iter().map(|setting| setting.path.as_str()).collect();
        let rule = [
            "rule.units",
            "rule.k",
            "rule.schedule",
            "rule.most",
            "rule.area",
            "rule.area.share",
            "rule.area.radius",
        ];
        let rest = ["rule.charge", "rule.charge.delta", "input", "input.side", "input.size"];
        assert_eq!(paths, [&rule[..], &rest[..]].concat());
        let default = |path| settings.get(path).unwrap().default.clone();
        assert_eq!(default("rule.area"), Some(json!("square")));
        assert_eq!(default("rule.area.radius"), Some(json!(6)));
        assert_eq!(default("rule.charge.delta"), Some(json!(0.4)));
        assert_eq!(default("input.size"), Some(json!(10)));
    }

    #[test]
    fn what_is_not_given_keeps_its_default() {
        assert_eq!(after(json!({})).unwrap(), Config::default());
        let k = after(json!({"rule": {"k": 3}})).unwrap();
        assert_eq!(k, Config { rule: Rule { k: 3, ..Rule::default() }, ..Config::default() });
    }

    #[test]
    fn an_enum_is_read_in_the_form_that_serde_writes() {
        let disc = after(json!({"rule": {"area": {"disc": {"share": 0.1}}}})).unwrap();
        assert_eq!(disc.rule.area, Area::Disc { share: 0.1 });
        let everywhere = after(json!({"rule": {"area": "everywhere"}})).unwrap();
        assert_eq!(everywhere.rule.area, Area::Everywhere);
        let patches = after(json!({"input": {"kind": "patches"}})).unwrap();
        assert_eq!(patches.input, Input::Patches(Patches { size: 10 }));
        let side = after(json!({"input": {"side": 5}})).unwrap();
        assert_eq!(side.input, Input::Bars { side: 5 });
        let charge = after(json!({"rule": {"charge": {"delta": 1.0}}})).unwrap();
        assert_eq!(charge.rule.charge, Some(Charge { delta: 1.0 }));
    }

    #[test]
    fn an_enum_is_read_as_a_table_with_its_kind_too() {
        let disc = after(json!({"rule": {"area": {"kind": "disc", "share": 0.1}}})).unwrap();
        assert_eq!(disc.rule.area, Area::Disc { share: 0.1 });
        let radius = after(json!({"rule": {"area": {"radius": 2}}})).unwrap();
        assert_eq!(radius.rule.area, Area::Square { share: 0.5, radius: 2 });
        let none = after(json!({"rule": {"charge": {"kind": "none"}}})).unwrap();
        assert_eq!(none.rule.charge, None);
    }

    #[test]
    fn what_a_file_holds_is_whole_in_order_and_without_what_is_not_used() {
        let config =
            Config { rule: Rule { area: Area::Disc { share: 0.1 }, ..Rule::default() }, ..Config::default() };
        let written = settings().written(&config).unwrap();
        let expected = [
            ("rule.units", json!(10)),
            ("rule.k", json!(2)),
            ("rule.schedule", json!("linear")),
            ("rule.most", json!("none")),
            ("rule.area.kind", json!("disc")),
            ("rule.area.share", json!(0.1)),
            ("rule.charge", json!("none")),
            ("input.kind", json!("bars")),
            ("input.side", json!(8)),
        ];
        assert_eq!(written, expected.map(|(key, value)| (key.to_owned(), value)));
    }

    #[test]
    fn another_alternative_takes_over_what_it_shares_with_the_one_before() {
        let mut settings = settings();
        settings.set(&[("rule.area.share".into(), json!(0.2))]).unwrap();
        settings.set(&[("rule.area".into(), json!("disc"))]).unwrap();
        assert_eq!(settings.build::<Config>().unwrap().rule.area, Area::Disc { share: 0.2 });
    }

    #[test]
    fn a_setting_that_means_nothing_with_the_choices_made_is_refused() {
        let mut settings = settings();
        let radius = [("rule.area".into(), json!("disc")), ("rule.area.radius".into(), json!(2))];
        let refused = settings.set(&radius).unwrap_err().to_string();
        assert_eq!(refused, "rule.area.radius = 2 is not allowed: only where rule.area is square");
        // A later source may choose again what an earlier one had said more about.
        settings.set(&radius[1..]).unwrap();
        settings.set(&radius[..1]).unwrap();
        assert_eq!(settings.build::<Config>().unwrap().rule.area, Area::Disc { share: 0.5 });
    }

    #[test]
    fn none_takes_away_what_may_be_absent() {
        let mut settings = settings();
        settings.set(&[("rule.most".into(), json!(3)), ("rule.charge".into(), json!("set"))]).unwrap();
        let rule = settings.build::<Config>().unwrap().rule;
        assert_eq!((rule.most, rule.charge), (Some(3), Some(Charge { delta: 0.4 })));
        settings.set(&[("rule.most".into(), json!("none")), ("rule.charge".into(), json!("none"))]).unwrap();
        let rule = settings.build::<Config>().unwrap().rule;
        assert_eq!((rule.most, rule.charge), (None, None));
    }

    #[test]
    fn what_is_outside_its_range_or_does_not_exist_is_named_and_nothing_changes() {
        let units = "rule.units = 0 is not allowed: at least 1";
        assert_eq!(refusal(json!({"rule": {"k": 1, "units": 0}})), units);
        let area = "rule.area = disk is not allowed: one of everywhere, square, disc";
        assert_eq!(refusal(json!({"rule": {"area": "disk"}})), area);
        let kind = "input = lines is not allowed: one of bars, patches";
        assert_eq!(refusal(json!({"input": {"kind": "lines"}})), kind);
        let schedule = "rule.schedule = cosine is not allowed: constant, linear, staircase:EVERY:FACTOR";
        assert!(refusal(json!({"rule": {"schedule": "cosine"}})).starts_with(schedule));
        assert!(refusal(json!({"rule": {"unitz": 3}})).starts_with("rule.unitz = 3"));
        assert!(refusal(json!({"rule": 3})).starts_with("rule = 3"));
        assert_eq!(refusal(json!({"rule": {"k": 11}})), "rule.k = 11 is not allowed: at most units");
        let mut settings = settings();
        settings.set(&[("rule.k".into(), json!(5)), ("rule.units".into(), json!(0))]).unwrap_err();
        assert_eq!(settings.build::<Config>().unwrap(), Config::default());
    }

    #[test]
    fn what_a_program_decides_itself_is_no_setting() {
        let settings = Settings::of::<Config>(&["rule.k", "rule.area"]).unwrap();
        let fixed = ["rule.k", "rule.area", "rule.area.share"];
        assert!(
            fixed.iter().all(|path| settings.get(path).is_none()) && settings.get("rule.units").is_some()
        );
        assert_eq!(settings.build::<Config>().unwrap(), Config::default());
    }

    #[test]
    fn what_is_written_flat_is_built_again() {
        let config = Config {
            rule: Rule {
                most: Some(4),
                area: Area::Everywhere,
                charge: Some(Charge { delta: 0.1 }),
                ..Rule::default()
            },
            input: Input::Patches(Patches { size: 3 }),
        };
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(after(json).unwrap(), config);
    }
}
