//! What the first campaign of faults found, each kind as a test: no result of one run is reported as another's, nothing that
//! is not finite is a result, and whatever happens ends in one line, with the folder intact.

mod example;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use example::{Example, checkpoint, refusal, results};
use hebbian_training::Checkpoint;
use serde_json::Value;
use tempfile::TempDir;

const EXAMPLE: Example = Example {
    name: "kh_vs_backprop",
    small: &[
        "--quiet",
        "--units=20",
        "--train-size=500",
        "--validation-size=100",
        "--test-size=100",
        "--batch-size=50",
        "--epochs=2",
        "--readout-epochs=2",
        "--backprop-epochs=2",
        "--control-epochs=2",
    ],
};

/// One that takes long enough to be met while it runs: no test waits for its end.
const LONG: Example = Example {
    name: "kh_vs_backprop",
    small: &[
        "--units=20",
        "--train-size=500",
        "--validation-size=100",
        "--test-size=100",
        "--epochs=1000000",
    ],
};

fn finished() -> Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    EXAMPLE.succeed(&out, &[])?;
    Ok((folder, out))
}

fn failed(output: &Output, parts: &[&str]) -> Result<()> {
    let message = refusal(output)?;
    for part in parts {
        ensure!(message.contains(part), "{message}");
    }
    Ok(())
}

/// The rows by their models.
fn row<'a>(rows: &'a [Value], model: &str) -> Result<&'a Value> {
    rows.iter().find(|row| row["model"] == model).with_context(|| model.to_owned())
}

#[test]
fn a_run_in_the_folder_that_it_is_started_in_keeps_the_earlier_run_and_reports_its_own_rows() -> Result<()> {
    let (folder, out) = finished()?;
    let here = |flags: &[&str]| {
        EXAMPLE.command().current_dir(&out).args(EXAMPLE.small).args(["--out", "."]).args(flags).output()
    };
    let before = checkpoint(&out)?;
    failed(&here(&["--epochs=3", "--resume"])?, &["fit.epochs is 2 in", "and 3 now"])?;
    assert!(here(&["--epochs=3"])?.status.success());
    let config = fs::read_to_string(out.join("config.toml"))?;
    assert!(config.contains("epochs = 3"), "{config}");
    assert_ne!(checkpoint(&out)?, before);
    assert_eq!(checkpoint(&folder.path().join("run-1"))?, before);
    Ok(())
}

#[test]
fn a_second_run_in_a_folder_is_refused_and_the_first_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let mut first = LONG.start(&out)?;
    let is_there = |name: &str| out.join(name).exists();
    while !is_there("checkpoint.safetensors") && first.try_wait()?.is_none() {
        std::thread::yield_now();
    }
    let process = format!("process {} is running in it, started", first.id());
    for flags in [&[][..], &["--resume"], &["--epochs=3"]] {
        failed(&LONG.run(&out, flags)?, &["--out", &process, "ago; allowed: another --out"])?;
    }
    assert!(first.try_wait()?.is_none() && !folder.path().join("run-1").exists());
    first.kill()?;
    first.wait()?;
    // The lock died with its process.
    assert!(EXAMPLE.run(&out, [] as [&str; 0])?.status.success());
    assert!(folder.path().join("run-1").join("checkpoint.safetensors").exists());
    Ok(())
}

/// The program of `command`, which takes signals even if these tests were started to ignore them, as in the background of a
/// shell.
#[cfg(target_os = "linux")]
fn with_default_signals(command: &Command) -> Command {
    let mut wrapped = Command::new("env");
    wrapped.arg("--default-signal=INT,TERM,HUP").arg(command.get_program());
    wrapped
}

#[cfg(target_os = "linux")]
#[test]
fn signals_end_a_run_with_a_checkpoint_and_a_line_that_says_how_to_go_on() -> Result<()> {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("run");
        let mut command = with_default_signals(&LONG.command());
        command.args(LONG.small).arg("--out").arg(&out);
        let first = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        while !out.join("checkpoint.safetensors").exists() {
            std::thread::yield_now();
        }
        let process = first.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &process]).status()?.success());
        let output = first.wait_with_output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(code), "{said}");
        let last =
            format!("stopped by SIG{signal}: all is saved, and the same command with --resume goes on\n");
        assert!(said.ends_with(&last), "{said}");
        let at = Checkpoint::load(&out.join("checkpoint.safetensors"), &Device::Cpu)?;
        assert!(at.metadata.training.is_some_and(|training| training.step > 0));
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_closed_or_full_stream_neither_panics_nor_stops_the_work() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |name: &str, streams: &str| {
        let program = EXAMPLE.command();
        let flags: Vec<&str> = EXAMPLE.small.iter().copied().filter(|flag| *flag != "--quiet").collect();
        // A reader that has gone is what `head` leaves when it has seen enough.
        let script = match name {
            "closed" => {
                "code=$({ { \"$0\" \"$@\" 3>&-; echo $? >&3; } | exec true; } 3>&1); exit $code".to_owned()
            }
            _ => format!("\"$0\" \"$@\" {streams}"),
        };
        let out = folder.path().join(name);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg(program.get_program()).args(flags).arg("--out").arg(&out);
        anyhow::Ok((shell.env_remove("RUST_BACKTRACE").output()?, out))
    };
    for (name, streams, code) in [
        ("errors", "2>&-", 0),
        ("errors-full", "2>/dev/full", 0),
        ("full", ">/dev/full", 1),
        ("closed", "", 141),
    ] {
        let (output, out) = run(name, streams)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{name}: {said}");
        assert!(!said.contains("panicked"), "{name}: {said}");
        assert_eq!(results(&out)?.0.len(), 5, "{name}");
    }
    Ok(())
}

#[test]
fn what_diverges_is_named_in_its_row_and_all_others_are_made() -> Result<()> {
    let cases: &[(&[&str], &[&str], &str)] = &[
        (&["--readout-learning-rate=1e38"], &["krotov-hopfield", "random-images"], "not finite"),
        (&["--readout-weight-decay=1e30"], &["krotov-hopfield", "random-images"], "weight decay 1e30"),
        (&["--backprop-learning-rate=1e38"], &["backprop"], "diverged in epoch 1"),
        (&["--power=1e308"], &[], ""),
    ];
    for (flags, diverged, expected) in cases {
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("run");
        let table = EXAMPLE.succeed(&out, flags)?;
        let rows = results(&out)?.0;
        assert_eq!(rows.len(), 5, "{table}");
        assert!(row(&rows, "linear-control")?["test_accuracy"].is_f64());
        for model in *diverged {
            let row = row(&rows, model)?;
            assert_eq!((row["diverged"].as_bool(), row["test_accuracy"].as_f64()), (Some(true), None));
            let note = row["notes"][0].as_str().context("a note")?;
            assert!(note.starts_with("seed 0: diverged in epoch") && note.contains(expected), "{note}");
            assert!(table.contains(&format!("note: {model}: {note}")), "{table}");
        }
        // What was stored can be read, and what was made is not made again.
        Checkpoint::load(&out.join("checkpoint.safetensors"), &Device::Cpu)?;
        assert_eq!(EXAMPLE.succeed(&out, &[flags, &["--resume"][..]].concat())?, table);
    }
    Ok(())
}

#[test]
fn sizes_that_no_memory_holds_are_refused_with_what_they_need() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    failed(
        &EXAMPLE.run(&out, ["--units=1000000000"])?,
        &["1000000000 x 784 values need 3136.0 GB of memory"],
    )?;
    let pooler = Example { name: "spatial_pooler", small: &["--quiet"] };
    failed(&pooler.run(&out, ["--units=784000000"])?, &["784000000 x 784 values need"])?;
    let foldiak = Example { name: "foldiak", small: &["--quiet"] };
    failed(&foldiak.run(&out, ["--patterns=1000000000000"])?, &["1000000000000 x 80 values need"])?;
    failed(&foldiak.run(&out, ["--units=10000000"])?, &["10000000 x 10000000 values need"])?;
    let most = &["--units is 18446744073709551615; allowed: at most 9223372036854775807"];
    failed(&EXAMPLE.run(&out, ["--units=18446744073709551615"])?, most)?;
    let mut many = EXAMPLE.command();
    let output =
        many.args(EXAMPLE.small).arg("--out").arg(&out).env("RAYON_NUM_THREADS", "100000").output()?;
    failed(&output, &["RAYON_NUM_THREADS is 100000; allowed: 1 to 1024"])
}

#[test]
fn images_of_one_shade_are_refused_where_there_is_nothing_to_learn_in_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (set, class) in [("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")] {
        let images = folder.path().join("white").join(set).join(class);
        fs::create_dir_all(&images)?;
        for image in 0..10 {
            let file = fs::File::create(images.join(format!("{image}.png")))?;
            let mut png = png::Encoder::new(file, 12, 12);
            png.set_color(png::ColorType::Grayscale);
            png.write_header()?.write_image_data(&[255; 144])?;
        }
    }
    let foldiak = Example { name: "foldiak", small: &["--quiet", "--input=patches", "--patch-size=6"] };
    let data = format!("--data-dir={}", folder.path().join("white").display());
    failed(
        &foldiak.run(&folder.path().join("run"), [data])?,
        &["white: all training patches are of one shade"],
    )
}

#[test]
fn a_layer_that_gives_no_numbers_answers_nothing() -> Result<()> {
    let (folder, out) = finished()?;
    let path = folder.path().join("huge.safetensors");
    let mut huge = Checkpoint::load(&out.join("checkpoint.safetensors"), &Device::Cpu)?;
    huge.tensors.insert("feature.scale".to_owned(), Tensor::new(&[1e-40f32], &Device::Cpu)?.reshape(())?);
    huge.save(&path)?;
    let image = folder.path().join("image.png");
    let mut png = png::Encoder::new(fs::File::create(&image)?, 28, 28);
    png.set_color(png::ColorType::Grayscale);
    png.write_header()?.write_image_data(&[200; 784])?;
    let features = folder.path().join("features.npy");
    for (name, more) in [("predict", &[][..]), ("transform", &["--out".as_ref(), features.as_os_str()][..])] {
        let mut command = Example { name, small: &[] }.command();
        let output = command.arg(&image).arg("--checkpoint").arg(&path).args(more).output()?;
        failed(&output, &["not finite", "the weights are too large for the images, or damaged"])?;
        assert!(output.stdout.is_empty());
    }
    assert!(!features.exists());
    Ok(())
}

#[test]
fn a_flipped_bit_in_what_a_run_goes_on_from_is_refused_in_one_line() -> Result<()> {
    let (_folder, out) = finished()?;
    for (name, place) in [
        ("checkpoint.safetensors", 200),
        ("checkpoint.safetensors", 9000),
        ("progress/rows.json", 1000),
        ("metrics.jsonl", 100),
        ("config.toml", 30),
    ] {
        let path = out.join(name);
        let whole = fs::read(&path)?;
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        fs::write(&path, &flipped)?;
        let output = match name {
            "checkpoint.safetensors" => {
                let mut predict = Example { name: "predict", small: &[] }.command();
                predict.arg("--checkpoint").arg(&path).arg(out.join("weights.png")).output()?
            }
            _ => EXAMPLE.run(&out, ["--resume"])?,
        };
        failed(&output, &[name.rsplit('/').next().unwrap_or(name)]).with_context(|| name.to_owned())?;
        fs::write(&path, &whole)?;
    }
    EXAMPLE.succeed(&out, &["--resume"])?;
    Ok(())
}

#[test]
fn whatever_stands_in_the_place_of_the_folder_nothing_is_lost() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    fs::write(&file, "precious")?;
    failed(&EXAMPLE.run(&file, [] as [&str; 0])?, &["--out", "file"])?;
    assert_eq!(fs::read_to_string(&file)?, "precious");
    let of_others = folder.path().join("others");
    fs::create_dir(&of_others)?;
    fs::write(of_others.join("thesis.tex"), "precious")?;
    failed(&EXAMPLE.run(&of_others, [] as [&str; 0])?, &["not empty, and not a run"])?;
    assert_eq!(fs::read_dir(&of_others)?.count(), 1);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_folder_whose_name_is_no_text_and_a_link_are_folders_like_others() -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir()?;
    let out = folder.path().join(std::ffi::OsStr::from_bytes(b"run-\xff\n"));
    EXAMPLE.succeed(&out, &[])?;
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&out, &link)?;
    let table = EXAMPLE.succeed(&link, &["--epochs=3"])?;
    assert_eq!(EXAMPLE.succeed(&link, &["--epochs=3", "--resume"])?, table);
    let mut kept = out.clone().into_os_string();
    kept.push("-1");
    assert_eq!(results(Path::new(&kept))?.0.len(), 5);
    Ok(())
}

#[test]
fn a_header_that_is_echoed_is_short_and_does_nothing_to_a_terminal() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("images.npy");
    let header = format!("\u{1b}[31m\n{}", "x".repeat(60_000));
    let length = u16::try_from(header.len())?.to_le_bytes();
    fs::write(&path, [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes()].concat())?;
    let pretrained = concat!(env!("CARGO_MANIFEST_DIR"), "/pretrained");
    let mut command = Example { name: "predict", small: &[] }.command();
    let output = command.env("HEBBIAN_PRETRAINED", pretrained).arg("--pretrained=kh_mnist").arg(&path);
    let said = String::from_utf8(output.stderr(Stdio::piped()).output()?.stderr)?;
    let line = said.lines().next().context("a line")?;
    assert!(line.starts_with("error: ") && line.len() < 1000 && !said.contains('\u{1b}'), "{said}");
    Ok(())
}
