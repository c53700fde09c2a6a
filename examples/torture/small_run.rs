//! An experiment at a size that ends within a second or two, and what it leaves when nobody disturbs it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hebbian_training::Generator;
use tempfile::TempDir;

use crate::files::{Content, content};

/// The experiments, and the flags that make them small.
pub const RUNS: [(&str, &str); 7] = [
    (
        "kh_vs_backprop",
        "--units=50 --train-size=1000 --validation-size=200 --test-size=200 --epochs=6 --readout-epochs=4 \
         --backprop-epochs=3 --control-epochs=3 --seeds=2",
    ),
    (
        "comp_spec",
        "--units=20,50 --train-size=1000 --validation-size=200 --test-size=200 --epochs=4 --kh-fit-epochs=4 \
         --readout-epochs=4 --backprop-epochs=3",
    ),
    (
        "spatial_pooler",
        "--units=784 --train-size=1000 --validation-size=200 --test-size=200 --epochs=4 --max-iterations=10",
    ),
    (
        "invariance",
        "--units=64 --invariance-units=9 --train-size=600 --validation-size=200 --test-size=200 --epochs=3 --digits=100 \
         --test-digits=50 --views=2 --readout-epochs=2 --sandwich-units=16 --sandwich-fit-epochs=2",
    ),
    ("foldiak", "--units=16 --patterns=1000 --test-patterns=200 --epochs=4 --preset-patterns=100"),
    (
        "train",
        "--rule=soft-hebb --units=30 --train-size=1000 --validation-size=200 --test-size=200 --epochs=3",
    ),
    (
        "deep",
        "--units=8,12 --train-size=400 --validation-size=100 --test-size=200 --epochs=2 --readout-epochs=5 \
         --readout-learning-rate=0.003 --backprop-epochs=2 --backprop-batch-size=10 --disturbed-images=20",
    ),
];

/// Numbers that the seed decides.
pub struct Draw(pub Generator);

impl Draw {
    pub fn bits(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    pub fn below(&mut self, most: usize) -> usize {
        (self.bits() % most.max(1) as u64) as usize
    }

    /// From 0 to `most`.
    pub fn share(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.below(1 << 20) as f64 / f64::from(1 << 20))
    }
}

pub struct SmallRun {
    pub name: &'static str,
    flags: &'static str,
    /// How long it takes.
    pub takes: Duration,
    /// What it leaves.
    pub leaves: Content,
    folder: TempDir,
}

impl SmallRun {
    /// Runs it once, undisturbed.
    pub fn whole(name: &'static str, flags: &'static str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let begin = Instant::now();
        let mut run = Self { name, flags, takes: Duration::ZERO, leaves: Content::new(), folder };
        let output = run.run(&run.out(), &[])?;
        ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        run.takes = begin.elapsed();
        run.leaves = content(&run.out())?;
        Ok(run)
    }

    /// The folder of the undisturbed run.
    pub fn out(&self) -> PathBuf {
        self.folder.path().join("whole")
    }

    pub fn command(&self, out: &Path, flags: &[&str]) -> Result<Command> {
        let program = std::env::current_exe()?.with_file_name(self.name);
        ensure!(program.exists(), "{} is missing: cargo build --release --examples", program.display());
        let mut command = Command::new(program);
        command.args(self.flags.split(' ')).arg("--quiet").arg("--out").arg(out).args(flags);
        command.env_remove("RUST_BACKTRACE").stdin(Stdio::null());
        Ok(command)
    }

    pub fn run(&self, out: &Path, flags: &[&str]) -> Result<Output> {
        self.command(out, flags)?.output().context(self.name)
    }

    pub fn start(&self, out: &Path, flags: &[&str], threads: usize) -> Result<Child> {
        let mut command = self.command(out, flags)?;
        command.env("RAYON_NUM_THREADS", threads.to_string());
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context(self.name)
    }

    /// Goes on with what lies in `out` and compares what it ends with.
    pub fn check_resumed(&self, out: &Path) -> Result<()> {
        let output = self.run(out, &["--resume"])?;
        ensure!(output.status.success(), "resume: {}", String::from_utf8_lossy(&output.stderr));
        let left = content(out)?;
        for name in self.leaves.keys().chain(left.keys()) {
            ensure!(self.leaves.get(name) == left.get(name), "{} differs", name.display());
        }
        Ok(())
    }
}
