//! From the command line to the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::Parser;
use hebbian::ops::prepare_process;
use hebbian_training::settings::Settings;
use hebbian_training::{Invalid, Parameters};

use crate::say::{Unprinted, tell};
use crate::{Measure, RunSettings, Steering, command_line, config_file, stop, trace};

/// One example: its settings, and what it does with them.
///
/// The fields of the struct are tables, its doc comment is what `--help` begins with.
pub trait Experiment: Parameters + Default {
    /// The example's name, which is also its run folder's.
    const NAME: &'static str;

    /// What it measures beside accuracies and times.
    const MEASURES: &'static [Measure] = &[];

    /// The paths of the settings that it decides itself: nobody can give them.
    const FIXED: &'static [&'static str] = &[];

    /// Where to compute, and with which seeds.
    fn run_settings(&self) -> &RunSettings;

    /// Does it all.
    fn run(self, steering: &Steering) -> Result<()>;
}

/// Reads the arguments, runs the experiment, and reports an error in one line: exit code 2 for arguments that make no
/// sense, 1 for a run that failed.
pub fn main<E: Experiment>() -> ExitCode {
    let (experiment, steering) = match read::<E>(std::env::args_os().collect()) {
        Ok(read) => read,
        Err(stop) => return stop.report(),
    };
    let traced = prepare().and_then(|()| trace::start(steering.trace.as_deref()));
    match traced.and_then(|_guard| experiment.run(&steering)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ended(&named_by_flag::<E>(error)),
    }
}

/// Prepares the process for work.
///
/// # Errors
/// If more threads are asked for than a machine can be expected to give.
fn prepare() -> Result<()> {
    const MOST: usize = 1024;
    let asked = std::env::var("RAYON_NUM_THREADS").unwrap_or_default();
    if asked.trim().parse::<usize>().is_ok_and(|threads| threads > MOST) {
        bail!("RAYON_NUM_THREADS is {asked}; allowed: 1 to {MOST}");
    }
    prepare_process();
    Ok(())
}

/// Says why a program ended before it was done, and gives its exit code: for a signal, and for an output that was closed, what
/// a shell gives for a program that it ended.
fn ended(error: &anyhow::Error) -> ExitCode {
    const CLOSED: u8 = 128 + 13;
    let line = one_line(error);
    if let Some(signal) = stop::asked().filter(|_| line.contains("stopped by")) {
        tell(format_args!("stopped by {signal}: all is saved, and the same command with --resume goes on"));
        return ExitCode::from(signal.exit_code());
    }
    if error.downcast_ref::<Unprinted>().is_some_and(Unprinted::is_closed) {
        return ExitCode::from(CLOSED);
    }
    tell(format_args!("error: {line}"));
    ExitCode::FAILURE
}

/// Reads the arguments of a program that is no experiment, runs it, and reports an error in one line, as [`main`] does.
pub fn tool<A: Parser>(run: impl FnOnce(A) -> Result<ExitCode>) -> ExitCode {
    let arguments = match A::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return Stop::from(error).report(),
    };
    prepare().and_then(|()| run(arguments)).unwrap_or_else(|error| ended(&error))
}

/// Why a program ends before it has begun.
#[derive(Debug)]
enum Stop {
    /// Help or a version was asked for.
    Asked(clap::Error),
    /// The arguments make no sense, and why.
    Refused(String),
}

impl Stop {
    fn report(self) -> ExitCode {
        const USAGE: u8 = 2;
        match self {
            Stop::Asked(text) => {
                let _ = text.print();
                ExitCode::SUCCESS
            }
            Stop::Refused(message) => {
                tell(format_args!("error: {message}"));
                ExitCode::from(USAGE)
            }
        }
    }
}

impl From<clap::Error> for Stop {
    /// What clap says, in one line with its tips.
    fn from(error: clap::Error) -> Self {
        if !error.use_stderr() {
            return Stop::Asked(error);
        }
        let text = error.render().to_string();
        let message: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let tips = text.lines().map(str::trim).filter(|line| line.starts_with("tip: "));
        let parts: Vec<String> = [message.join(" ")].into_iter().chain(tips.map(str::to_owned)).collect();
        Stop::Refused(parts.join("; ").trim_start_matches("error: ").to_owned())
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Stop::Refused(one_line(&error))
    }
}

/// The experiment's defaults, then what the config says, then what the flags say.
fn read<E: Experiment>(arguments: Vec<OsString>) -> Result<(E, Steering), Stop> {
    let mut settings = Settings::of::<E>(E::FIXED).map_err(anyhow::Error::from)?;
    let (mut steering, given) =
        command_line::read(command_line::command(E::NAME, &settings), &settings, arguments)?;
    if let Some(path) = &steering.config {
        config_file::apply::<E>(path, &mut settings)?;
    }
    let built = settings.set(&given).and_then(|()| settings.build());
    let experiment = built.map_err(|invalid| Stop::Refused(command_line::by_flag(&settings, &invalid)))?;
    steering.given = settings.given().clone();
    Ok((experiment, steering))
}

/// An error about a setting as one about its flag.
fn named_by_flag<E: Experiment>(error: anyhow::Error) -> anyhow::Error {
    match (error.downcast_ref::<Invalid>(), Settings::of::<E>(E::FIXED)) {
        (Some(invalid), Ok(settings)) => anyhow!(command_line::by_flag(&settings, invalid)),
        _ => error,
    }
}

/// The error and its causes, without the backtrace that candle's errors carry when one is asked for.
fn one_line(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let line = text.lines().next().unwrap_or_default().trim().to_owned();
        if !parts.iter().any(|part| part.ends_with(&line)) {
            parts.push(line);
        }
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hebbian::FitConfig;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::DataSettings;

    /// A rule from outside, which declares its settings once.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct OjaConfig {
        /// Number of units.
        #[schemars(range(min = 1))]
        units: usize,
        /// How fast the weights learn.
        #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
        learning_rate: f64,
        /// What pulls the weights back; the newest of the fields.
        pull: Pull,
        /// Where they begin.
        init_mean: f64,
        /// Whether they stay positive.
        positive: bool,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    enum Pull {
        /// Nothing.
        Nothing,
        /// The output.
        Output {
            /// How strongly.
            #[schemars(range(min = 0.0))]
            strength: f64,
        },
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    /// Oja's rule on images
    struct Oja {
        /// Images.
        data: DataSettings,
        /// Units that follow the first principal component.
        rule: OjaConfig,
        /// How they learn.
        fit: FitConfig,
        /// What the readout is worth.
        readout: FitConfig,
        /// Device and seeds.
        run: RunSettings,
    }

    impl Default for OjaConfig {
        fn default() -> Self {
            let pull = Pull::Output { strength: 1.5 };
            Self { units: 7, learning_rate: 0.1, pull, init_mean: 0.0, positive: false }
        }
    }

    impl Parameters for Oja {
        fn check_together(&self) -> Result<(), Invalid> {
            let most = self.fit.batch_size;
            Invalid::unless(self.rule.units <= most, "rule.units", self.rule.units, "at most a batch")
        }
    }

    impl Experiment for Oja {
        const NAME: &'static str = "oja";
        const FIXED: &'static [&'static str] = &["fit.in_order", "readout.in_order"];

        fn run_settings(&self) -> &RunSettings {
            &self.run
        }

        fn run(self, _: &Steering) -> Result<()> {
            Ok(())
        }
    }

    fn read_flags(flags: &[&str]) -> Result<(Oja, Steering), Stop> {
        read([&["oja"], flags].concat().into_iter().map(OsString::from).collect())
    }

    fn with(flags: &[&str]) -> Oja {
        read_flags(flags).unwrap().0
    }

    fn refusal(flags: &[&str]) -> String {
        match read_flags(flags) {
            Err(Stop::Refused(message)) => message,
            other => panic!("{flags:?}: {other:?}"),
        }
    }

    /// The settings after a config of this text and the `flags`.
    fn configured(text: &str, flags: &[&str]) -> Result<Oja, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, text).unwrap();
        let config = format!("--config={}", path.display());
        match read_flags(&[&[config.as_str()], flags].concat()) {
            Ok((oja, _)) => Ok(oja),
            Err(Stop::Refused(message)) => Err(message.replace(&path.display().to_string(), "FILE")),
            Err(Stop::Asked(text)) => panic!("{text}"),
        }
    }

    #[test]
    fn a_field_of_a_rule_from_outside_is_in_the_help_with_its_default_and_its_range() {
        let Err(Stop::Asked(help)) = read_flags(&["--help"]) else { panic!("help") };
        // As it was before it was wrapped.
        let help = help.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let lines = ["[rule] Units that follow the first principal component:", "--pull-strength <X>"];
        let notes = ["How strongly (a number of at least 0; with --pull output) [default: 1.5]"];
        for expected in lines.iter().chain(&notes) {
            assert!(help.contains(expected), "{expected}\n{help}");
        }
        assert!(help.contains("[default: output] [possible values: nothing, output]"), "{help}");
        assert!(help.starts_with("Oja's rule on images") && !help.contains("in-order"), "{help}");
        assert!(help.find("[data]") < help.find("[rule]") && help.find("[rule]") < help.find("[fit]"));
        command_line::command(Oja::NAME, &Settings::of::<Oja>(Oja::FIXED).unwrap()).debug_assert();
    }

    #[test]
    fn a_field_of_a_rule_from_outside_is_a_flag_a_key_of_toml_and_a_line_of_the_config_that_is_left() {
        let expected = OjaConfig { pull: Pull::Output { strength: 0.5 }, ..OjaConfig::default() };
        for flag in ["--pull-strength=0.5", "--rule-pull-strength=0.5", "--strength=0.5"] {
            assert_eq!(with(&[flag]).rule, expected);
        }
        let toml = "[rule.pull]\nstrength = 0.5\n";
        let oja = configured(toml, &[]).unwrap();
        assert_eq!(oja.rule, expected);
        assert_eq!(configured(toml, &["--pull-strength=1.5"]).unwrap(), Oja::default());

        let settings = Settings::of::<Oja>(Oja::FIXED).unwrap();
        let left = toml::to_string(&config_file::written(&oja, &settings).unwrap()).unwrap();
        let pull = "positive = false\n\n[rule.pull]\nkind = \"output\"\nstrength = 0.5\n\n[fit]\n";
        assert!(left.contains(pull) && left.starts_with("[data]\ndataset = \"mnist\"\n"), "{left}");
        assert!(left.contains("train_size = \"none\"") && !left.contains("in_order"), "{left}");
        assert_eq!(configured(&left, &[]).unwrap(), oja);
    }

    #[test]
    fn a_field_of_a_rule_from_outside_is_refused_by_its_flag_or_by_its_line() {
        let allowed = "allowed: a number of at least 0";
        assert_eq!(refusal(&["--pull-strength=-1"]), format!("--pull-strength is -1; {allowed}"));
        let refused = configured("[rule]\n\n[rule.pull]\nstrength = -1\n", &[]).unwrap_err();
        assert_eq!(refused, format!("--config FILE: line 4: rule.pull.strength is -1; {allowed}"));
        let keyed = configured("[rule.pull.output]\nstrength = -1\n", &[]).unwrap_err();
        assert_eq!(keyed, format!("--config FILE: line 2: rule.pull.strength is -1; {allowed}"));
        let unused = refusal(&["--pull=nothing", "--pull-strength=1"]);
        assert_eq!(unused, "--pull-strength is 1; allowed: only with --pull output");
    }

    #[test]
    fn the_short_flag_is_the_rules_and_others_have_their_tables_name_before_it() {
        let oja = with(&["--epochs=3", "--readout-epochs=4", "--units=5", "--fit-batch-size=6"]);
        assert_eq!((oja.fit.epochs, oja.readout.epochs), (3, 4));
        assert_eq!((oja.rule.units, oja.fit.batch_size), (5, 6));
        assert_eq!(refusal(&["--readout-epochs=0"]), "--readout-epochs is 0; allowed: at least 1");
        assert_eq!(refusal(&["--units=200"]), "--units is 200; allowed: at most a batch");
    }

    #[test]
    fn numbers_may_be_negative_and_nonsense_is_refused_in_one_form() {
        assert_eq!(with(&["--init-mean", "-1e-3"]).rule.init_mean, -1e-3);
        assert!(with(&["--positive"]).rule.positive && !with(&["--positive", "false"]).rule.positive);
        for (flag, value) in [("--units", "many"), ("--units", "-1"), ("--units", "2.5"), ("--units", "")] {
            assert_eq!(refusal(&[flag, value]), format!("{flag} is {value}; allowed: at least 1"));
        }
        let rate = "allowed: a number above 0, at most 1";
        let schedule = "--schedule is cosine; allowed: constant, linear, staircase:EVERY:FACTOR with both above 0, \
                        halving:SHARE:SHARE:... with 0 < SHARE < 1 and each above the one before it";
        assert_eq!(refusal(&["--schedule=cosine"]), schedule);
        for value in ["NaN", "inf", "0", "1.5"] {
            assert_eq!(refusal(&["--learning-rate", value]), format!("--learning-rate is {value}; {rate}"));
        }
    }

    #[test]
    fn what_was_probably_meant_is_said() {
        let flag = refusal(&["--unit=3"]);
        assert_eq!(flag, "unexpected argument '--unit' found; tip: a similar argument exists: '--units'");
        let value = refusal(&["--pull=outputs"]);
        assert!(value.contains("[possible values: nothing, output]"), "{value}");
        assert!(value.ends_with("tip: a similar value exists: 'output'"), "{value}");
        let dataset = refusal(&["--dataset=mnits"]);
        let allowed = "mnist, fashion-mnist, cifar10, or OWNER/NAME of the Hugging Face hub";
        assert_eq!(dataset, format!("--dataset is mnits; allowed: {allowed}"));
        let key = configured("[rule]\nunitz = 3\n", &[]).unwrap_err();
        let expected = "line 2: unknown key `rule.unitz`; the nearest that is known: `units` in [rule]";
        assert_eq!(key, format!("--config FILE: {expected}"));
        let outside = configured("epochs = 3\n", &[]).unwrap_err();
        assert!(
            outside.contains("unknown key `epochs`") && outside.contains("`epochs` in [fit]"),
            "{outside}"
        );
        let scalar = configured("rule = 3\n", &[]).unwrap_err();
        assert_eq!(scalar, "--config FILE: line 1: rule is 3; allowed: a table, [rule]");
        let fixed = configured("[fit]\nin_order = true\n", &[]).unwrap_err();
        assert!(fixed.contains("unknown key `fit.in_order`"), "{fixed}");
    }

    #[test]
    fn a_config_that_is_no_toml_or_not_there_is_refused_with_the_line() {
        let refused = configured("[rule]\nunits = \n", &[]).unwrap_err();
        assert!(refused.starts_with("--config FILE: line 2: "), "{refused}");
        assert!(refusal(&["--config=no/such/file"]).starts_with("--config no/such/file: "));
        let text = configured("[rule]\nunits = \"seven\"\n", &[]).unwrap_err();
        assert_eq!(text, "--config FILE: line 2: rule.units is seven; allowed: at least 1");
        let schedule = configured("[fit]\nschedule = \"cosine\"\n", &[]).unwrap_err();
        assert!(schedule.starts_with("--config FILE: line 2: fit.schedule is cosine; allowed: constant, "));
        let infinite = configured("[rule]\nlearning_rate = inf\n", &[]).unwrap_err();
        assert!(
            infinite.ends_with("line 2: rule.learning_rate is inf; allowed: a number above 0, at most 1")
        );
    }

    #[test]
    fn the_largest_seed_can_be_written_and_read_again() {
        let seed = format!("--seed={}", i64::MAX as u64 - 1000);
        let oja = with(&[&seed, "--seeds=1000"]);
        assert_eq!(oja.run.all_seeds().len(), 1000);
        let settings = Settings::of::<Oja>(Oja::FIXED).unwrap();
        let left = toml::to_string(&config_file::written(&oja, &settings).unwrap()).unwrap();
        assert_eq!(configured(&left, &[]).unwrap(), oja);
        assert!(refusal(&["--seed=9223372036854774808"]).starts_with("--seed is 9223372036854774808; "));
    }
}
