//! The example `publish` from a finished run to the files that it leaves.

mod example;

use std::fs;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use example::{Example, refusal, results};
use hebbian::Registry;
use hebbian_datasets::Dataset;
use hebbian_model::Model;
use serde_json::{Value, json};

const TRAINING: Example = Example {
    name: "kh_vs_backprop",
    small: &[
        "--units=100",
        "--train-size=2000",
        "--test-size=500",
        "--epochs=2",
        "--readout-epochs=2",
        "--backprop-epochs=1",
        "--control-epochs=1",
        "--readout-loss=cross-entropy:0.1",
    ],
};
const POOLER: Example = Example {
    name: "spatial_pooler",
    small: &["--units=784", "--train-size=2000", "--validation-size=0", "--test-size=500", "--epochs=1"],
};
const PUBLISH: Example = Example { name: "publish", small: &[] };

fn publish(what: &str, flags: &[(&str, &Path)]) -> Result<Output> {
    let flags = flags.iter().map(|(flag, path)| format!("--{flag}={}", path.display()));
    Ok(PUBLISH.command().arg(what).args(flags).output()?)
}

fn succeed(what: &str, flags: &[(&str, &Path)]) -> Result<String> {
    let output = publish(what, flags)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn numbers_go_from_a_run_to_the_page_if_the_run_is_that_of_the_published_config() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    TRAINING.succeed(&at("run"), &["--seeds=2"])?;
    fs::create_dir_all(at("configs"))?;
    fs::write(
        at("configs").join("tiny.toml"),
        "[rule]\nunits = 100\n[readout]\nloss = \"cross-entropy:0.1\"\n",
    )?;
    fs::write(at("configs").join("other.toml"), "[rule]\nunits = 200\n")?;
    let (run, configs, out) = (at("run"), at("configs"), at("results"));
    let flags = |name: &'static str| {
        [
            ("run", run.as_path()),
            ("configs", configs.as_path()),
            ("results", out.as_path()),
            ("name", Path::new(name)),
            ("commit", Path::new("c0ffee")),
        ]
    };
    let message = refusal(&publish("numbers", &flags("other"))?)?;
    assert!(message.contains("units is 200 in") && message.contains("and 100 in"), "{message}");
    assert!(!out.exists());
    succeed("numbers", &flags("tiny"))?;

    let (rows, _) = results(&run)?;
    let models: Vec<&str> = rows.iter().filter_map(|row| row["model"].as_str()).collect();
    let expected = ["krotov-hopfield", "backprop", "backprop-readout-loss", "linear-control"];
    assert_eq!(models[..4], expected, "backprop has a second row with the readout's loss");
    assert_ne!(rows[1]["test_accuracies"], rows[2]["test_accuracies"]);
    for row in &rows {
        let values: Vec<f64> = serde_json::from_value(row["by_seed"]["test_accuracy"].clone())?;
        let mean = (values[0] + values[1]) / 2.0;
        assert_eq!(row["test_accuracy"].as_f64(), Some(mean), "the mean can be computed again");
        let std = (values[0] - values[1]).abs() / 2f64.sqrt();
        assert!((row["test_accuracy_std"].as_f64().context("std")? - std).abs() < 1e-12);
    }

    fs::write(
        out.join("tried.toml"),
        "[[trial]]\nwhat = \"label smoothing 0.2\"\nsetting = \"300 epochs\"\nvalidation = 98.4\nverdict = \"worse\"\n",
    )?;
    fs::create_dir_all(at("docs"))?;
    let page = at("docs").join("results.md");
    succeed("pages", &[("root", folder.path())])?;
    let text = fs::read_to_string(&page)?;
    assert!(text.contains("## tiny\n") && text.contains("commit c0ffee"), "{text}");
    assert!(text.contains("--example kh_vs_backprop -- --config configs/published/tiny.toml"), "{text}");
    assert!(text.contains("| label smoothing 0.2 | 300 epochs | 98.40 | worse |"), "{text}");
    let shown = format!("{:.2} ±", 100.0 * rows[0]["test_accuracy"].as_f64().context("accuracy")?);
    assert!(
        text.lines().any(|line| line.starts_with("| krotov-hopfield | 100 |") && line.contains(&shown)),
        "{text}"
    );

    let check = || PUBLISH.command().args(["pages", "--check", "--root"]).arg(folder.path()).output();
    assert!(check()?.status.success());
    fs::write(&page, text.replace("98.40", "99.40"))?;
    let message = String::from_utf8(check()?.stderr)?;
    assert!(message.contains("docs/results.md: line ") && message.contains("99.40"), "{message}");
    Ok(())
}

#[test]
fn the_page_shows_means_and_sample_deviations_of_accuracies_and_of_a_runs_own_measures_with_the_first_digit_of_each_deviation()
-> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = json!({
        "example": "foldiak", "config": "configs/published/lines.toml", "commit": "abc", "device": "cpu",
        "seeds": [0, 1, 2], "dataset": {"name": "lines", "train": 2000}, "training_seconds": 90.0,
        "measures": [{"name": "bits", "title": "bits", "digits": 3}, {"name": "hidden", "title": "", "digits": 0}],
        "rows": [
            {"model": "one", "units": 16, "test_accuracy": null, "by_seed": {"bits": [0.1, 0.2, 0.3], "hidden": [1, 1, 1]}},
            {"model": "alike", "units": 16, "test_accuracy": null, "by_seed": {"bits": [0.2, 0.2, 0.2003], "hidden": [1, 1, 1]}},
            {"model": "two", "units": null, "test_accuracy": null, "by_seed": {"test_accuracy": [0.97, 0.98, 0.99]}},
        ],
    });
    for folder in ["results", "docs"].map(|name| folder.path().join(name)) {
        fs::create_dir_all(folder)?;
    }
    fs::write(folder.path().join("results/lines.json"), run.to_string())?;
    succeed("pages", &[("root", folder.path())])?;
    let text = fs::read_to_string(folder.path().join("docs/results.md"))?;
    assert!(text.contains("| model | units | test % | bits |\n|---|---:|---:|---:|\n"), "{text}");
    assert!(text.contains("| one | 16 | - | 0.200 ± 0.100 |\n"), "{text}");
    assert!(text.contains("| alike | 16 | - | 0.2001 ± 0.0002 |\n"), "{text}");
    assert!(text.contains("| two | - | 98.00 ± 1.00 | - |\n"), "{text}");
    assert!(
        text.contains("lines: train 2000. Seeds 0, 1, 2; cpu; commit abc. All training took 1.5 minutes."),
        "{text}"
    );
    Ok(())
}

/// The command that checks the pages below `root`.
fn check(root: &Path) -> Result<Output> {
    Ok(PUBLISH.command().args(["pages", "--check", "--root"]).arg(root).output()?)
}

#[test]
fn the_committed_pages_are_what_the_committed_numbers_give() -> Result<()> {
    let output = check(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn a_figure_that_is_changed_by_hand_is_found_wherever_it_stands() -> Result<()> {
    let (folder, root) = (tempfile::tempdir()?, Path::new(env!("CARGO_MANIFEST_DIR")));
    for part in ["README.md", "docs", "pretrained", "configs", "results"] {
        copy(&root.join(part), &folder.path().join(part))?;
    }
    assert!(check(folder.path())?.status.success());
    for (page, figure, changed) in [
        ("README.md", "98.19 ± 0.11", "98.91 ± 0.11"),
        ("pretrained/kh_mnist.md", "9853 of 10000", "9858 of 10000"),
        ("configs/published/spatial_pooler.toml", "98.02 ± 0.05", "98.20 ± 0.05"),
        ("docs/results.md", "96.94 ± 0.11", "96.49 ± 0.11"),
    ] {
        let path = folder.path().join(page);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(figure), "{page} says nothing of {figure}");
        fs::write(&path, text.replacen(figure, changed, 1))?;
        let output = check(folder.path())?;
        let message = String::from_utf8(output.stderr)?;
        ensure!(!output.status.success() && message.contains(page) && message.contains(changed), "{message}");
        fs::write(&path, text)?;
    }
    let readme = folder.path().join("README.md");
    fs::write(&readme, fs::read_to_string(&readme)? + "\nIt is 1.5 times faster.\n")?;
    let message = refusal(&check(folder.path())?)?;
    ensure!(message.contains("README.md: line ") && message.contains(": 1.5 has no source"), "{message}");
    Ok(())
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn load(path: &Path) -> Result<Model> {
    Ok(Model::load(path, &Registry::builtin(), &Device::Cpu)?)
}

/// The test images that a published file gets right, by the library.
fn right(path: &Path) -> Result<usize> {
    let model = load(path)?;
    let test = Dataset::mnist()?.test;
    let mut right = 0;
    for start in (0..10_000).step_by(1000) {
        let answers = model.predict(&test.images().narrow(0, start, 1000)?)?;
        let labels = test.labels().expect("labels").narrow(0, start, 1000)?.to_vec1::<u32>()?;
        right += answers.iter().zip(&labels).filter(|(answer, label)| answer == label).count();
    }
    Ok(right)
}

#[test]
fn a_layer_of_halves_has_the_accuracy_that_its_card_states() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (run, out) = (folder.path().join("run"), folder.path().join("pretrained"));
    TRAINING.succeed(&run, &[])?;
    let said = succeed(
        "layer",
        &[("run", &run), ("name", Path::new("tiny")), ("pretrained", &out), ("layers", &out)],
    )?;
    let path = out.join("tiny.safetensors");
    let right = right(&path)?;
    assert!(said.contains(&format!("{right} of 10000 test images right")), "{said}");
    let card = fs::read_to_string(out.join("tiny.md"))?;
    let result = format!("{:.2} % of the test images, {right} of 10000", right as f64 / 100.0);
    assert!(card.contains(&result), "{card}");
    for part in [
        "krotov-hopfield",
        "| `rule.weights` | f16 | 100 x 784 |",
        "MIT or Apache-2.0",
        "```python",
        "seed 0",
    ] {
        assert!(card.contains(part), "no `{part}`: {card}");
    }
    let whole = fs::metadata(run.join("checkpoint.safetensors"))?.len();
    assert!(fs::metadata(&path)?.len() < whole * 51 / 100);
    // Whatever loads a checkpoint loads it.
    assert_eq!(load(&path)?.rule().weights()?.dims(), [100, 784]);
    Ok(())
}

#[test]
fn a_pooler_of_bits_has_the_codes_of_the_whole_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (run, out) = (folder.path().join("run"), folder.path().join("pretrained"));
    POOLER.succeed(&run, &[])?;
    let said = succeed(
        "layer",
        &[("run", &run), ("name", Path::new("bits")), ("pretrained", &out), ("layers", &out)],
    )?;
    let path = out.join("bits.safetensors");
    assert!(said.contains(&format!("{} of 10000", right(&path)?)), "{said}");
    assert!(
        fs::read_to_string(out.join("bits.md"))?
            .contains("| `rule.weights` | u8, bits of 784 columns | 784 x 98 |")
    );
    let pixels = Dataset::mnist()?.test.images().narrow(0, 0, 1000)?;
    let codes =
        |path: &Path| -> Result<Vec<Vec<f32>>> { Ok(load(path)?.transform(&pixels)?.to_vec2::<f32>()?) };
    assert_eq!(codes(&path)?, codes(&run.join("checkpoint.safetensors"))?);
    let whole = fs::metadata(run.join("checkpoint.safetensors"))?.len();
    assert!(fs::metadata(&path)?.len() < whole / 20);
    Ok(())
}

#[test]
fn tensorboard_gets_a_folder_a_model() -> Result<()> {
    let folder = tempfile::tempdir()?;
    TRAINING.succeed(folder.path().join("run").as_path(), &["--tensorboard"])?;
    let events = folder.path().join("run").join("tensorboard").join("krotov-hopfield-seed-0");
    let file = fs::read_dir(&events)?.next().context("an event file")??.path();
    assert!(file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("events.out.tfevents.")));
    let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
    for part in ["brain.Event:2", "learn/largest_update_max", "learn/idle_units", "readout/train_loss"] {
        assert!(text.contains(part), "no {part}");
    }
    let metrics = fs::read_to_string(folder.path().join("run").join("metrics.jsonl"))?;
    let first: Value = serde_json::from_str(metrics.lines().next().context("a line")?)?;
    let number = |key: &str| first[key].as_f64().unwrap_or(f64::NAN);
    assert_eq!(number("learning_rate_factor"), 1.0);
    assert!(number("largest_update_max") >= number("largest_update"), "{first}");
    Ok(())
}
