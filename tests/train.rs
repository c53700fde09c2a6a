//! The example `train`: one rule on one's own data, from the command line to predictions.

mod example;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use example::{Example, refusal, results};
use hebbian::{LEARNING_RULES, Registry};
use hebbian_datasets::Dataset;
use hebbian_model::Model;
use serde_json::Value;

const TRAIN: Example = Example { name: "train", small: &["--readout-epochs=5"] };

/// Writes so many training and test digits as images into a folder per class, which are called A to J.
fn write_letters(folder: &Path, [train, test]: [usize; 2]) -> Result<()> {
    let mnist = Dataset::mnist()?;
    for (set, examples, count) in [("train", &mnist.train, train), ("test", &mnist.test, test)] {
        let examples = examples.first(count)?;
        let labels = examples.labels().context("labels")?.to_vec1::<u32>()?;
        for (place, (pixels, label)) in examples.images().to_vec2::<u8>()?.iter().zip(labels).enumerate() {
            let class = folder.join(set).join(char::from(b'A' + label as u8).to_string());
            fs::create_dir_all(&class)?;
            let file = fs::File::create(class.join(format!("{place}.png")))?;
            let mut encoder = png::Encoder::new(file, 28, 28);
            encoder.set_color(png::ColorType::Grayscale);
            encoder.write_header()?.write_image_data(pixels)?;
        }
    }
    Ok(())
}

/// Writes so many digits as safetensors, with values from 0 to `most`, and labels if they are wanted.
fn write_numbers(folder: &Path, most: f64, labeled: bool) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mnist = Dataset::mnist()?;
    let mut tensors = Vec::new();
    for (set, examples) in [("train", mnist.train.first(600)?), ("test", mnist.test.first(200)?)] {
        let images = (examples.images().to_dtype(candle_core::DType::F32)? * (most / 255.0))?;
        tensors.push((format!("x_{set}"), images));
        if labeled {
            tensors.push((format!("y_{set}"), examples.labels().context("labels")?.clone()));
        }
    }
    Ok(safetensors::serialize_to_file(tensors, None, &folder.join("digits.safetensors"))?)
}

fn load(out: &Path) -> Result<Model> {
    Ok(Model::load(&out.join("checkpoint.safetensors"), &Registry::builtin(), &Device::Cpu)?)
}

/// The commands of the page docs/your_data.md that run examples, each as the example's name and its arguments.
fn commands_of_the_page() -> Result<Vec<(String, Vec<String>)>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/your_data.md");
    let page = fs::read_to_string(page)?;
    let commands = page.lines().filter_map(|line| line.strip_prefix("cargo run --release --example "));
    let words = commands.map(|line| line.replace("-- ", "").split(' ').map(str::to_owned).collect());
    words.map(|words: Vec<String>| Ok((words[0].clone(), words[1..].to_vec()))).collect()
}

/// The blocks of the page in this language.
fn block_of_the_page(language: &str) -> Result<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/your_data.md"))?;
    let (_, rest) = page.split_once(&format!("```{language}\n")).context("a block")?;
    Ok(rest.split_once("```").context("its end")?.0.to_owned())
}

#[test]
fn the_page_leads_from_a_folder_to_a_prediction() -> Result<()> {
    let folder = tempfile::tempdir()?;
    write_letters(&folder.path().join("letters"), [1500, 200])?;
    fs::write(folder.path().join("stack.toml"), block_of_the_page("toml")?)?;
    let mut said = Vec::new();
    for (name, arguments) in commands_of_the_page()? {
        let example = Example { name: Box::leak(name.into_boxed_str()), small: &[] };
        let output = example.command().current_dir(&folder).args(&arguments).output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        said.push(String::from_utf8(output.stdout)?);
    }
    let [trained, predicted, transformed, stacked] = said.as_slice() else { panic!("{said:?}") };

    assert!(trained.contains("| krotov-hopfield |   200 |"), "{trained}");
    let accuracy = predicted.lines().last().and_then(|line| line.strip_prefix("accuracy: "));
    let right: u32 = accuracy.and_then(|line| line.split(' ').next()).context("accuracy")?.parse()?;
    assert!(right > 150, "{accuracy:?}");
    assert!(predicted.lines().next().is_some_and(|line| line.contains("letters/test/A/")), "{predicted}");
    assert!(predicted.contains("  A "), "classes are called by their names: {predicted}");
    assert!(transformed.contains("200 images"), "{transformed}");
    let names: Value = serde_json::from_slice(&fs::read(folder.path().join("letters.json"))?)?;
    assert_eq!(names["class_names"].as_array().map(Vec::len), Some(10));
    assert_eq!(names["images"].as_array().map(Vec::len), names["labels"].as_array().map(Vec::len));
    assert!(stacked.contains("| stack |    50 |"), "{stacked}");
    Ok(())
}

#[test]
fn every_rule_learns_from_numbers_of_any_range_at_its_defaults() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("digits");
    write_numbers(&data, 16.0, true)?;
    for rule in LEARNING_RULES {
        let out = folder.path().join(rule);
        let (dir, rule_flag) = (format!("--data-dir={}", data.display()), format!("--rule={rule}"));
        TRAIN.succeed(&out, &[&dir, &rule_flag]).with_context(|| (*rule).to_owned())?;
        let (rows, all) = results(&out)?;
        let accuracy = rows[0]["test_accuracy"].as_f64().unwrap_or_default();
        assert!(accuracy > 0.2 && rows.len() == 1, "{rule}: {accuracy}");
        assert_eq!(all["dataset"]["range"], serde_json::json!([0.0, 16.0]));

        let model = load(&out)?;
        let test = Dataset::from_dir(&data, &Default::default())?.test;
        let labels = test.labels().context("labels")?.to_vec1::<u32>()?;
        let answers = model.predict(test.images())?;
        let right = answers.iter().zip(&labels).filter(|(answer, label)| answer == label).count();
        let reported = (accuracy * labels.len() as f64).round() as usize;
        assert!(right.abs_diff(reported) <= 1, "{rule}: {right} are right, {reported} were reported");
    }
    Ok(())
}

#[test]
fn without_labels_a_rule_learns_and_is_saved_without_a_readout() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, out) = (folder.path().join("digits"), folder.path().join("run"));
    write_numbers(&data, 1.0, false)?;
    let table = TRAIN.succeed(&out, &[&format!("--data-dir={}", data.display()), "--units=20", "--k=2"])?;
    assert!(table.contains("| krotov-hopfield |    20 |"), "{table}");
    let model = load(&out)?;
    assert!(model.readout().is_none());
    assert_eq!(
        model.transform(&Tensor::ones((3, 784), candle_core::DType::F32, &Device::Cpu)?)?.dims(),
        [3, 20]
    );
    Ok(())
}

#[test]
fn controls_are_trained_where_they_are_asked_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, out) = (folder.path().join("digits"), folder.path().join("run"));
    write_numbers(&data, 1.0, true)?;
    let dir = format!("--data-dir={}", data.display());
    TRAIN.succeed(&out, &[&dir, "--units=50", "--k=2", "--controls=untrained,linear,backprop"])?;
    let (rows, _) = results(&out)?;
    let models: Vec<&str> = rows.iter().filter_map(|row| row["model"].as_str()).collect();
    assert_eq!(models, ["krotov-hopfield", "untrained", "linear-control", "backprop"]);
    Ok(())
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() -> Result<()> {
    TRAIN.check_refusals(&[
        (&["--rule=hopfield"], &["hopfield", "possible values", "comp-spec", "stack"]),
        (&["--rule=stack"], &["--rules", "allowed: "]),
        (&["--rule=foldiak", "--k=3"], &["unexpected argument '--k'"]),
        (&["--rule=soft-hebb", "--units=0"], &["--units is 0; allowed: at least 1"]),
        (&["--data-dir=no/such/folder"], &["--data-dir", "no/such/folder"]),
    ])?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.toml");
    fs::write(&config, "[rule]\nname = \"hopfield\"\n")?;
    let message = refusal(&TRAIN.command().arg("--config").arg(&config).output()?)?;
    let expected =
        "line 1: rule is hopfield; allowed: one of krotov-hopfield, comp-spec, foldiak, invariance, ";
    assert!(message.contains(expected) && message.contains(", stack"), "{message}");
    Ok(())
}

#[test]
fn the_help_of_a_rule_lists_its_settings_and_no_others() -> Result<()> {
    let help = |rule: &str| -> Result<String> {
        let output = TRAIN.command().args(["--rule", rule, "--help"]).output()?;
        Ok(String::from_utf8(output.stdout)?)
    };
    let (pooler, soft) = (help("spatial-pooler")?, help("soft-hebb")?);
    assert!(pooler.contains("--sparsity") && !pooler.contains("--inverse-temperature"), "{pooler}");
    assert!(soft.contains("--inverse-temperature") && !soft.contains("--sparsity"), "{soft}");
    assert!(soft.contains("docs/your_data.md"), "{soft}");
    Ok(())
}

#[test]
fn killing_makes_no_difference() -> Result<()> {
    let small =
        &["--train-size=1000", "--test-size=200", "--units=50", "--k=2", "--epochs=4", "--readout-epochs=3"];
    Example { name: "train", small }.check_that_killing_makes_no_difference(&[1, 3, 5])
}

#[test]
fn the_number_of_threads_makes_no_difference() -> Result<()> {
    let small = &["--train-size=600", "--test-size=200", "--epochs=1", "--readout-epochs=2"];
    for rule in ["krotov-hopfield", "soft-hebb"] {
        let flags = [format!("--rule={rule}"), "--units=30".to_owned()];
        let more: &[&str] = if rule == "krotov-hopfield" { &["--k=2"] } else { &[] };
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Example { name: "train", small }.check_that_threads_make_no_difference(&flags)?;
    }
    Ok(())
}

#[test]
fn a_published_layer_is_found_from_any_folder_and_one_that_is_not_there_is_refused_with_where_was_looked()
-> Result<()> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("letters");
    write_letters(&image, [1, 1])?;
    let predict = |name: &str, variable: Option<(&str, &Path)>| -> Result<std::process::Output> {
        let mut command: Command = Example { name: "predict", small: &[] }.command();
        command.current_dir(&folder).args(["--pretrained", name, "letters/test"]);
        command.env_remove("HEBBIAN_PRETRAINED").envs(variable);
        Ok(command.output()?)
    };
    let found = predict("kh_mnist", None)?;
    let labels_are_not_known = String::from_utf8(found.stderr)?;
    assert!(labels_are_not_known.contains("the class H of 1"), "{labels_are_not_known}");

    let refused = refusal(&predict("kh_minst", Some(("HEBBIAN_PRETRAINED", folder.path())))?)?;
    for part in
        ["--pretrained kh_minst", "kh_mnist", "HEBBIAN_PRETRAINED", &folder.path().display().to_string()]
    {
        assert!(refused.contains(part), "{refused}");
    }

    let cache = folder.path().join("hub/models--someone--hebbian-layers");
    fs::create_dir_all(cache.join("refs"))?;
    fs::create_dir_all(cache.join("snapshots/1234"))?;
    fs::write(cache.join("refs/main"), "1234")?;
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("pretrained/kh_mnist.safetensors");
    fs::copy(published, cache.join("snapshots/1234/of_someone.safetensors"))?;
    let found = predict("of_someone", Some(("HF_HUB_CACHE", &folder.path().join("hub"))))?;
    assert!(String::from_utf8(found.stderr)?.contains("the class H of 1"));
    Ok(())
}
