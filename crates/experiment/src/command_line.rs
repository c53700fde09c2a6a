//! One flag for every setting, with the help, the default and the range that the setting declares.

use std::ffi::OsString;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use hebbian_training::Invalid;
use hebbian_training::schema::{allowed, alternatives, may_be, shown, summary};
use hebbian_training::settings::{Condition, Setting, Settings};
use serde_json::Value;

use crate::Steering;

/// The tables whose settings have the short flags, `--k` and not `--rule-k`, where others have settings of the same name.
const FIRST: [&str; 4] = ["data", "rule", "fit", "run"];

/// The command line of the program `name`: the flags that steer it and one for each of the settings.
pub(crate) fn command(name: &'static str, settings: &Settings) -> Command {
    let command = Command::new(name).version(env!("CARGO_PKG_VERSION"));
    let command = command.args_override_self(true).max_term_width(100);
    let command = command.args(settings.all().iter().map(|setting| arg(setting, settings)));
    Steering::augment_args(command).about(summary(settings.schema()))
}

/// What the `arguments` say: how to run, and the settings that they give, each with its text as a value.
pub(crate) fn read(
    command: Command,
    settings: &Settings,
    arguments: Vec<OsString>,
) -> Result<(Steering, Vec<(String, Value)>), clap::Error> {
    let matches = command.try_get_matches_from(arguments)?;
    let given = settings.all().iter().filter_map(|setting| given(setting, &matches)).collect();
    Ok((Steering::from_arg_matches(&matches)?, given))
}

/// The refusal of a setting, by its flag; the flags of choices are named too.
pub(crate) fn by_flag(settings: &Settings, refused: &Invalid) -> String {
    let Invalid { field, value, allowed } = refused;
    let name = settings.get(field).map_or_else(|| long(field), |setting| flag(setting, settings));
    let allowed = settings.all().iter().fold(allowed.clone(), |allowed, choice| {
        let condition = format!("where {} is", choice.path);
        match allowed.contains(&condition) {
            true => allowed.replace(&condition, &format!("with --{}", flag(choice, settings))),
            false => allowed,
        }
    });
    format!("--{name} is {value}; allowed: {allowed}")
}

/// The flag of a setting: its name without its table's, if that is no other's or if its table is one of the first.
fn flag(setting: &Setting, settings: &Settings) -> String {
    let short = short(&setting.path);
    if is_steering(&short) {
        return long(&setting.path);
    }
    let mut same =
        settings.all().iter().map(|one| one.path.as_str()).filter(|path| self::short(path) == short);
    let only = same.clone().count() == 1;
    let first = same.find(|path| FIRST.contains(&table(path)));
    if only || first == Some(&setting.path) { short } else { long(&setting.path) }
}

/// Other names of the flag that are no other's: the whole path, and the name alone of what lies deeper.
fn aliases(path: &str, flag: &str, settings: &Settings) -> Vec<String> {
    let name = |path: &str| long(path.rsplit('.').next().unwrap_or_default());
    let is_others = |alias: &str| {
        let others = settings.all().iter().filter(|other| other.path != path);
        let mut names =
            others.flat_map(|other| [self::flag(other, settings), long(&other.path), name(&other.path)]);
        names.any(|other| other == alias) || is_steering(alias)
    };
    let mut aliases = vec![long(path), name(path)];
    aliases.dedup();
    aliases.retain(|alias| alias != flag && !is_others(alias));
    aliases
}

fn is_steering(flag: &str) -> bool {
    let steering = Steering::augment_args(Command::new(""));
    steering.get_arguments().any(|argument| argument.get_long() == Some(flag))
}

fn short(path: &str) -> String {
    long(path.split_once('.').map_or(path, |(_, name)| name))
}

fn long(path: &str) -> String {
    path.replace(['.', '_'], "-")
}

fn table(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

fn arg(setting: &Setting, settings: &Settings) -> Arg {
    let Setting { path, schema, default, .. } = setting;
    let (flag, table) = (flag(setting, settings), table(path));
    let title = summary(&settings.schema()["properties"][table]);
    let mut arg = Arg::new(path.clone())
        .aliases(aliases(path, &flag, settings))
        .value_name(value_name(setting))
        .allow_hyphen_values(!may_be(schema, "boolean"))
        .help_heading(format!("[{table}] {title}"))
        .help(help(setting, settings));
    if let Some(names) = names(schema) {
        arg = arg.value_parser(PossibleValuesParser::new(names));
    }
    if may_be(schema, "boolean") {
        arg = arg.num_args(0..=1).default_missing_value("true");
    }
    if let Some(default) = default.as_ref().filter(|default| !default.is_null()) {
        arg = arg.default_value(shown(default));
    }
    arg.long(flag)
}

/// The names that are possible, where only names are.
fn names(schema: &Value) -> Option<Vec<String>> {
    let of_enum = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let of_choice = alternatives(schema).into_iter().map(|alternative| alternative.name);
    let of_bool = if may_be(schema, "boolean") { &["true", "false"][..] } else { &[] };
    let names: Vec<String> =
        of_enum.chain(of_choice).chain(of_bool.iter().copied()).map(str::to_owned).collect();
    (!names.is_empty()).then_some(names)
}

fn value_name(setting: &Setting) -> String {
    let schema = &setting.schema;
    let items = if may_be(schema, "array") { &schema["items"] } else { schema };
    let one = match () {
        () if may_be(items, "integer") => "N".to_owned(),
        () if may_be(items, "number") => "X".to_owned(),
        () if may_be(items, "boolean") => "BOOL".to_owned(),
        () => setting.path.rsplit('.').next().unwrap_or_default().to_uppercase(),
    };
    if may_be(schema, "array") { format!("{one},...") } else { one }
}

/// The doc comment's first sentence, what is allowed unless clap lists it, and with which choices the setting counts.
fn help(setting: &Setting, settings: &Settings) -> String {
    let mut notes = Vec::new();
    let range = allowed(&setting.schema);
    if names(&setting.schema).is_none() && !["a number", "a whole number", "text"].contains(&range.as_str()) {
        notes.push(range);
    }
    for condition in setting.conditions.iter().filter(|condition| !is_whole_table(condition, settings)) {
        if let Some(choice) = settings.get(&condition.choice) {
            let names = condition.alternatives.join(" or ");
            notes.push(format!("with --{} {names}", flag(choice, settings)));
        }
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
    summary(&setting.schema) + &notes
}

/// Whether the condition is the choice of a table of which only one alternative has settings here: it goes without saying.
fn is_whole_table(condition: &Condition, settings: &Settings) -> bool {
    let of_choice = settings.all().iter().flat_map(|setting| &setting.conditions);
    let mut of_choice = of_choice.filter(|other| other.choice == condition.choice);
    !condition.choice.contains('.')
        && of_choice.all(|other| other.alternatives.len() == 1 && other == condition)
}

fn given(setting: &Setting, matches: &ArgMatches) -> Option<(String, Value)> {
    let path = &setting.path;
    let text = matches.get_one::<String>(path)?;
    let by_flag = matches.value_source(path) == Some(ValueSource::CommandLine);
    by_flag.then(|| (path.clone(), value(&setting.schema, text)))
}

/// The `text` as `schema` wants it; as text where it is not that, to be refused.
fn value(schema: &Value, text: &str) -> Value {
    let as_text = || Value::from(text);
    if may_be(schema, "array") {
        return text.split(',').map(|item| value(&schema["items"], item.trim())).collect();
    }
    if may_be(schema, "boolean") {
        return text.parse::<bool>().map_or_else(|_| as_text(), Value::from);
    }
    if !may_be(schema, "integer") && !may_be(schema, "number") {
        return as_text();
    }
    let whole = text.parse::<u64>().map(Value::from).or_else(|_| text.parse::<i64>().map(Value::from));
    let number = || text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::from);
    whole.ok().or_else(number).unwrap_or_else(as_text)
}
