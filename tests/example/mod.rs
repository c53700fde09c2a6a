//! An example, run from its command line at a small size.

// Each test takes what it needs of this.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The name of an example and the flags that make it small.
pub struct Example<'a> {
    pub name: &'a str,
    pub small: &'a [&'a str],
}

impl Example<'_> {
    /// The built example, without arguments.
    pub fn command(&self) -> Command {
        let test = std::env::current_exe().expect("a running test has a path");
        let folder = test.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps");
        let mut command = Command::new(folder.join("examples").join(self.name));
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

    /// What a small run prints, which must succeed.
    pub fn succeed(&self, out: &Path, flags: &[&str]) -> Result<String> {
        let output = self.run(out, flags)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
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
            for file in ["checkpoint.safetensors", "film.gif"] {
                let same = fs::read(out.join(file))? == fs::read(whole.join(file))?;
                ensure!(same, "{file} differs, killed after {lines} lines");
            }
            assert_eq!(test_accuracies(&out)?, test_accuracies(&whole)?);
            assert_eq!(metrics_lines(&out)?, metrics_lines(&whole)?);
        }
        Ok(())
    }

    /// Starts a small run and kills it as soon as `metrics.jsonl` has `lines` lines.
    fn kill_after(&self, out: &Path, lines: usize) -> Result<()> {
        let mut command = self.command();
        command.args(self.small).arg("--out").arg(out).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let metrics = out.join("metrics.jsonl");
        while child.try_wait()?.is_none() {
            let written = fs::read_to_string(&metrics).unwrap_or_default();
            if written.lines().count() >= lines {
                child.kill()?;
                child.wait()?;
                break;
            }
            std::thread::yield_now();
        }
        Ok(())
    }
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

/// How many epochs a run's metrics hold.
pub fn metrics_lines(out: &Path) -> Result<usize> {
    Ok(fs::read_to_string(out.join("metrics.jsonl"))?.lines().count())
}
