//! An example, run from its command line at a small size.

// Each test takes what it needs of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use hebbian_training::{Checkpoint, Training};
use serde_json::Value;

/// The name of an example and the flags that make it small.
pub struct Example<'a> {
    pub name: &'a str,
    pub small: &'a [&'a str],
}

impl Example<'_> {
    /// The example, built from the sources as they are, without arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(built(self.name));
        command.env_remove("RUST_BACKTRACE");
        command
    }

    /// The small run into `out`, whatever comes of it.
    pub fn run(&self, out: &Path, flags: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Output> {
        self.command()
            .args(self.small)
            .arg("--out")
            .arg(out)
            .args(flags)
            .output()
            .with_context(|| self.name.to_owned())
    }

    /// Starts the small run into `out`.
    pub fn start(&self, out: &Path) -> Result<Child> {
        let mut command = self.command();
        command.args(self.small).arg("--out").arg(out);
        Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    /// What a small run prints, which must succeed.
    pub fn succeed(&self, out: &Path, flags: &[&str]) -> Result<String> {
        let output = self.run(out, flags)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Checks that small runs on 1 to 8 threads leave the same files, but for times.
    pub fn check_that_threads_make_no_difference(&self, flags: &[&str]) -> Result<()> {
        let folder = tempfile::tempdir()?;
        for threads in ["1", "2", "3", "8"] {
            let out = folder.path().join(threads);
            let mut command = self.command();
            command.args(self.small).args(flags).arg("--out").arg(&out).env("RAYON_NUM_THREADS", threads);
            let output = command.output()?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            check_same(&out, &folder.path().join("1")).with_context(|| format!("{threads} threads"))?;
        }
        Ok(())
    }

    /// Checks that each set of flags is refused in one line with the expected parts, and leaves nothing behind.
    pub fn check_refusals(&self, cases: &[(&[&str], &[&str])]) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("run");
        for (flags, expected) in cases {
            let message = refusal(&self.run(&out, *flags)?).with_context(|| format!("{flags:?}"))?;
            for part in *expected {
                ensure!(message.contains(part), "{flags:?}: {message}");
            }
            ensure!(!out.exists(), "{flags:?} left something behind");
        }
        Ok(())
    }

    /// Kills small runs at several moments, goes on with each, and compares what they end with to a run that was not
    /// killed.
    pub fn check_that_killing_makes_no_difference(&self, moments: &[usize]) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let whole = folder.path().join("whole");
        self.succeed(&whole, &[])?;
        for lines in moments {
            let out = folder.path().join(format!("killed-{lines}"));
            self.kill_after(&out, *lines)?;
            self.succeed(&out, &["--resume"])?;
            check_same(&out, &whole).with_context(|| format!("killed after {lines} lines"))?;
        }
        Ok(())
    }

    /// Kills a small run in the middle of an epoch, each time after so many steps of what its folder's checkpoint is of, and
    /// goes on with it; compares what it ends with to a run that was not killed.
    pub fn check_that_killing_within_an_epoch_makes_no_difference(&self, steps: &[usize]) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (whole, out) = (folder.path().join("whole"), folder.path().join("killed"));
        self.succeed(&whole, &[])?;
        let mut within = 0;
        for (kill, &steps) in steps.iter().enumerate() {
            let resume: &[&str] = if kill > 0 { &["--resume"] } else { &[] };
            self.kill_when(&out, &[&["--checkpoint-seconds=0"], resume].concat(), || {
                training(&out).is_some_and(|training| training.under_way.is_some() && training.step >= steps)
            })?;
            within += usize::from(training(&out).is_some_and(|training| training.under_way.is_some()));
        }
        ensure!(within > 0, "no kill came in the middle of an epoch");
        self.succeed(&out, &["--resume"])?;
        check_same(&out, &whole)
    }

    /// Starts a small run and kills it as soon as `metrics.jsonl` has `lines` lines.
    fn kill_after(&self, out: &Path, lines: usize) -> Result<()> {
        let metrics = out.join("metrics.jsonl");
        self.kill_when(out, &[], || fs::read_to_string(&metrics).unwrap_or_default().lines().count() >= lines)
    }

    /// Starts a small run and kills it as soon as `is_time`.
    fn kill_when(&self, out: &Path, flags: &[&str], is_time: impl Fn() -> bool) -> Result<()> {
        let mut command = self.command();
        command.args(self.small).arg("--out").arg(out).args(flags);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        while child.try_wait()?.is_none() {
            if is_time() {
                child.kill()?;
                child.wait()?;
                break;
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

/// What the checkpoint in a run's folder says of its training.
fn training(out: &Path) -> Option<Training> {
    Checkpoint::load(&out.join("checkpoint.safetensors"), &Device::Cpu).ok()?.metadata.training
}

/// Checks that a run left what another did, but for times.
fn check_same(out: &Path, whole: &Path) -> Result<()> {
    for file in reproducible_files(whole)? {
        let same = fs::read(out.join(&file))? == fs::read(whole.join(&file))?;
        ensure!(same, "{} differs", file.display());
    }
    ensure!(rows_without_times(out)? == rows_without_times(whole)?, "the results differ");
    ensure!(metrics_without_times(out)? == metrics_without_times(whole)?, "the metrics differ");
    Ok(())
}

/// The names of a run's checkpoint, pictures and films, without the pictures that draw seconds.
fn reproducible_files(out: &Path) -> Result<Vec<PathBuf>> {
    let names = fs::read_dir(out)?.map(|entry| Ok(PathBuf::from(entry?.file_name())));
    let names = names.collect::<Result<Vec<_>>>()?;
    let reproducible = |name: &PathBuf| {
        let extension = name.extension().and_then(OsStr::to_str).unwrap_or_default();
        let draws_seconds = ["time.png", "time_to_accuracy.png"].map(Path::new).contains(&name.as_path());
        ["safetensors", "png", "gif"].contains(&extension) && !draws_seconds
    };
    Ok(names.into_iter().filter(reproducible).collect())
}

/// The program of the example `name`. `cargo test --test NAME` alone would leave an old one where it is, so the first that
/// asks for it has cargo build it, for the profile and the features of the test that runs.
fn built(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(name.to_owned()).or_insert_with(|| build(name)).clone()
}

fn build(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test.parent().and_then(Path::parent).expect("tests lie in TARGET/PROFILE/deps");
    let target = profile.parent().expect("tests lie in TARGET/PROFILE/deps");
    let profile = match profile.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let features = [
        ("hub", cfg!(feature = "hub")),
        ("cuda", cfg!(feature = "cuda")),
        ("cudnn", cfg!(feature = "cudnn")),
        ("metal", cfg!(feature = "metal")),
        ("accelerate", cfg!(feature = "accelerate")),
    ];
    let features: Vec<&str> = features.into_iter().filter_map(|(name, on)| on.then_some(name)).collect();
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--offline", "--message-format=json", "--example", name, "--profile", profile])
        .args(["--features", &features.join(",")])
        .arg("--target-dir")
        .arg(target)
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs where its tests do");
    assert!(output.status.success(), "cargo could not build the example {name}");
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut built = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let of_the_example = message["target"]["name"] == name && message["target"]["kind"][0] == "example";
        of_the_example.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    built.next_back().expect("cargo says where the example is")
}

/// The one line that a refused command prints.
pub fn refusal(output: &Output) -> Result<String> {
    let code = output.status.code();
    ensure!(code == Some(1) || code == Some(2), "exit code {code:?}");
    let text = String::from_utf8(output.stderr.clone())?;
    ensure!(text.lines().count() == 1 && text.starts_with("error: "), "{text}");
    Ok(text)
}

/// The rows of a run's `results.json`, and all else that it says.
pub fn results(out: &Path) -> Result<(Vec<Value>, Value)> {
    let all: Value = serde_json::from_slice(&fs::read(out.join("results.json"))?)?;
    Ok((all["rows"].as_array().context("rows")?.clone(), all))
}

/// The test accuracy of each row.
pub fn test_accuracies(out: &Path) -> Result<Vec<Value>> {
    Ok(results(out)?.0.iter().map(|row| row["test_accuracy"].clone()).collect())
}

/// The bytes of a run's checkpoint.
pub fn checkpoint(out: &Path) -> Result<Vec<u8>> {
    Ok(fs::read(out.join("checkpoint.safetensors"))?)
}

/// A value without the fields, however deep, that are named for seconds, or are of them too.
fn without_times(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !name.contains("second") && name != "checksum");
        fields.values_mut().for_each(|field| *field = without_times(field.take()));
    }
    value
}

/// The rows of a run's `results.json`, without seconds and what is measured per second.
fn rows_without_times(out: &Path) -> Result<Vec<Value>> {
    Ok(results(out)?.0.into_iter().map(without_times).collect())
}

/// The lines of a run's metrics, without seconds.
fn metrics_without_times(out: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(out.join("metrics.jsonl"))?;
    text.lines().map(|line| Ok(without_times(serde_json::from_str(line)?))).collect()
}

/// How many epochs a run's metrics hold.
pub fn metrics_lines(out: &Path) -> Result<usize> {
    Ok(fs::read_to_string(out.join("metrics.jsonl"))?.lines().count())
}
