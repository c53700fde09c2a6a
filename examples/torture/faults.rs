//! The faults: each disturbs a run in a folder of its own and checks what came of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use hebbian_training::Checkpoint;

use crate::files::{check_whole, files};
use crate::small_run::{Draw, SmallRun};

/// What came of a trial.
pub enum Outcome {
    /// So many faults, and all is as it must be.
    Held(usize),
    /// It could not be made here, and why.
    Skipped(String),
}

/// Waits for the child's end, for so long at most; whether it has ended.
fn ends_within(child: &mut Child, time: Duration) -> Result<bool> {
    let begin = Instant::now();
    while begin.elapsed() < time {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(false)
}

fn kill(child: &Child, signal: &str) -> Result<()> {
    let status = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status()?;
    ensure!(status.success(), "kill -s {signal}");
    Ok(())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
}

/// A run is killed up to five times, by a signal that it sees or by one that it does not, on any number of threads.
pub fn kills(run: &SmallRun, draw: &mut Draw) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let (mut kills, most) = (0, 1 + draw.below(5));
    for _ in 0..most {
        let mut child = run.start(&out, &["--resume", "--checkpoint-seconds=0"], 1 + draw.below(8))?;
        let moment = draw.share(run.takes.mul_f64(0.8));
        if ends_within(&mut child, moment)? {
            let output = child.wait_with_output()?;
            ensure!(output.status.success(), "{}", said(&output));
            break;
        }
        kills += 1;
        let seen = draw.below(2) == 0;
        kill(&child, if seen { "TERM" } else { "KILL" })?;
        let output = child.wait_with_output()?;
        let line = said(&output);
        ensure!(line.lines().count() <= 1, "{line}");
        let stopped =
            output.status.code() == Some(143) && line.starts_with("stopped by SIGTERM: all is saved");
        // It has none to see the signal before the run begins and after its last row.
        let unseen = output.status.code().is_none() || output.status.success();
        ensure!(unseen || seen && stopped, "{}: {line}", output.status);
        check_whole(&out)?;
    }
    run.check_resumed(&out)?;
    Ok(Outcome::Held(kills))
}

/// Two runs are started in one folder. One goes on, the other is refused, and what is left is as if there had been one.
pub fn two_at_once(run: &SmallRun, draw: &mut Draw) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let one = run.start(&out, &["--resume"], 1)?;
    std::thread::sleep(draw.share(run.takes.mul_f64(0.5)));
    let other = run.start(&out, &["--resume"], 1)?;
    let outputs = [one.wait_with_output()?, other.wait_with_output()?];
    let refused = |output: &&Output| {
        output.status.code() == Some(1)
            && said(output).contains(" is running in it")
            && said(output).lines().count() == 1
    };
    let lines = outputs.each_ref().map(said).join("; ");
    let refused = outputs.iter().filter(refused).count();
    let succeeded = outputs.iter().filter(|output| output.status.success()).count();
    // Both succeed where the first has ended before the other comes to the lock: that is no fault.
    ensure!(succeeded == 2 || (succeeded, refused) == (1, 1), "{lines}");
    run.check_resumed(&out)?;
    Ok(Outcome::Held(refused))
}

/// One bit of a file that a run goes on from flips. It is refused in one line, or it makes no difference.
pub fn flipped_bit(run: &SmallRun, draw: &mut Draw) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let mut child = run.start(&out, &["--checkpoint-seconds=0"], 2)?;
    let moment = draw.share(run.takes);
    if !ends_within(&mut child, moment)? {
        kill(&child, "KILL")?;
    }
    child.wait()?;
    let is_gone_on_from = |path: &PathBuf| {
        let kinds = ["safetensors", "json", "jsonl", "toml", "gif"];
        path.extension().is_some_and(|end| kinds.iter().any(|kind| end == *kind))
            && !path.ends_with("results.json")
    };
    let mut candidates = if out.exists() { files(&out)? } else { vec![] };
    candidates.retain(is_gone_on_from);
    if candidates.is_empty() {
        return Ok(Outcome::Held(0));
    }
    let path = &candidates[draw.below(candidates.len())];
    let whole = fs::read(path)?;
    let bit = draw.below(8 * whole.len());
    let mut flipped = whole.clone();
    if let Some(byte) = flipped.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    fs::write(path, &flipped)?;
    let place = || format!("bit {bit} of {}", path.strip_prefix(&out).unwrap_or(path).display());
    let output = run.run(&out, &["--resume"])?;
    if !output.status.success() {
        let line = said(&output);
        ensure!(output.status.code() == Some(1) && line.lines().count() == 1, "{}: {line}", place());
    }
    if fs::read(path)? == flipped {
        // Nobody needed it any more, or it was refused; who reads it later must notice.
        let is_checkpoint = path.extension().is_some_and(|end| end == "safetensors");
        ensure!(
            !is_checkpoint || Checkpoint::load(path, &Device::Cpu).is_err(),
            "{} is not noticed",
            place()
        );
        fs::write(path, whole)?;
    }
    run.check_resumed(&out).with_context(place)?;
    Ok(Outcome::Held(1))
}

/// The run's folder lies on a disk that has too little room. It ends in one line, and goes on when there is room.
pub fn disk_fills_up(run: &SmallRun, draw: &mut Draw) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let disk = folder.path().join("disk");
    fs::create_dir(&disk)?;
    let needed: u64 =
        files(&run.out())?.iter().map(|path| Ok(fs::metadata(path)?.len())).sum::<Result<u64>>()?;
    let size = 16 * 1024 + draw.below(needed as usize);
    if !mount(&disk, "size", size)? {
        return Ok(Outcome::Skipped("mount -t tmpfs is not permitted here".to_owned()));
    }
    let held = filled(run, &disk);
    let unmounted = Command::new("umount").arg(&disk).status()?;
    ensure!(unmounted.success(), "umount {}", disk.display());
    held
}

fn filled(run: &SmallRun, disk: &Path) -> Result<Outcome> {
    let out = disk.join("run");
    let output = run.run(&out, &["--resume"])?;
    let line = said(&output);
    let faults = usize::from(!output.status.success());
    if faults > 0 {
        ensure!(output.status.code() == Some(1) && line.lines().count() == 1, "{}: {line}", output.status);
        ensure!(line.contains("No space left on device"), "{line}");
        check_whole(&out)?;
    }
    ensure!(mount(disk, "remount,size", 1 << 30)?, "remount");
    run.check_resumed(&out)?;
    Ok(Outcome::Held(faults))
}

fn mount(disk: &Path, options: &str, size: usize) -> Result<bool> {
    let options = format!("{options}={size}");
    let mut command = Command::new("mount");
    let output = command.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(disk).output();
    Ok(output.is_ok_and(|output| output.status.success()))
}
