//! The example `kh_vs_backprop` from its command line to the files that it leaves, at a small size.

mod example;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use example::{Example, checkpoint, metrics_lines, refusal, results, test_accuracies};
use hebbian::Registry;
use hebbian_classifier::FeaturesConfig;
use hebbian_datasets::{Dataset, SplitSizes};
use hebbian_model::{Encoding, FeatureWeights, Model};
use hebbian_training::{Checkpoint, sealed};
use tempfile::TempDir;

const EXAMPLE: Example = Example {
    name: "kh_vs_backprop",
    small: &[
        "--units=60",
        "--train-size=2000",
        "--test-size=1000",
        "--epochs=4",
        "--readout-epochs=3",
        "--backprop-epochs=1",
        "--control-epochs=1",
        "--batch-size=50",
        "--readout-batch-size=50",
        "--backprop-batch-size=50",
        "--control-batch-size=50",
    ],
};

/// Leaves the settings of a run, and none of its rows.
fn without_rows(out: &Path) -> Result<()> {
    let path = out.join("progress").join("rows.json");
    let mut content: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    content["rows"] = serde_json::json!([]);
    content.as_object_mut().context("an object")?.remove("checksum");
    Ok(fs::write(path, sealed("", &content.to_string()))?)
}

/// A finished small run, and the folder that goes when it is dropped.
fn finished() -> Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    EXAMPLE.succeed(&out, &[])?;
    Ok((folder, out))
}

#[test]
fn a_run_leaves_a_table_results_metrics_pictures_and_a_checkpoint() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let table = EXAMPLE.succeed(&out, &["--seeds=2"])?;
    let (rows, results) = results(&out)?;
    let models: Vec<&str> = rows.iter().filter_map(|row| row["model"].as_str()).collect();
    assert_eq!(
        models,
        ["krotov-hopfield", "backprop", "linear-control", "random-projection", "random-images"]
    );
    assert_eq!(results["seeds"], serde_json::json!([0, 1]));
    assert_eq!(results["dataset"]["validation"], 10_000);
    for (row, model) in rows.iter().zip(models) {
        assert!(table.contains(model), "{table}");
        for field in ["train_accuracy", "validation_accuracy", "test_accuracy"] {
            let accuracy = row[field].as_f64().with_context(|| format!("{model}: {field}"))?;
            assert!((0.3..=1.0).contains(&accuracy), "{model}: {field} = {accuracy}");
        }
        assert!(row["test_accuracy_std"].as_f64().is_some_and(|std| (0.0..0.5).contains(&std)), "{row}");
    }
    for png in ["weights.png", "backprop_weights.png", "curves.png", "confusion.png"] {
        assert!(fs::read(out.join(png))?.starts_with(b"\x89PNG"), "{png}");
    }
    assert!(fs::read(out.join("film.gif"))?.starts_with(b"GIF89a"));
    assert_eq!(metrics_lines(&out)?, 2 * (4 + 3 + 1 + 1 + 3 + 3));
    Ok(())
}

#[test]
fn the_checkpoint_alone_gives_the_reported_test_accuracy() -> Result<()> {
    let (_folder, out) = finished()?;
    let model = Model::load(&out.join("checkpoint.safetensors"), &Registry::builtin(), &Device::Cpu)?;
    let encoding = Encoding::Power { features: FeaturesConfig::default(), weights: FeatureWeights::Plain };
    assert_eq!(model.encoding(), &encoding);

    let sizes = SplitSizes { test: Some(1000), ..SplitSizes::default() };
    let test = Dataset::mnist()?.split(sizes)?.test;
    let (answers, labels) = (model.predict(test.images())?, test.labels().expect("labels").to_vec1::<u32>()?);
    let right = answers.iter().zip(&labels).filter(|(answer, label)| answer == label).count();
    assert_eq!(test_accuracies(&out)?[0], right as f64 / 1000.0);
    Ok(())
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() -> Result<()> {
    EXAMPLE.check_that_threads_make_no_difference(&["--units=500"])
}

#[test]
fn a_run_that_was_killed_ends_with_the_same_checkpoint_as_one_that_was_not() -> Result<()> {
    EXAMPLE.check_that_killing_makes_no_difference(&[0, 1, 3, 4, 5, 7, 8, 12])
}

#[test]
fn a_run_killed_before_it_wrote_anything_can_be_resumed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    fs::create_dir_all(out.join("progress"))?;
    fs::write(out.join("config.toml.tmp"), "[rule]\nunits = ")?;
    EXAMPLE.succeed(&out, &["--resume"])?;
    assert_eq!(test_accuracies(&out)?.len(), 5);
    Ok(())
}

#[test]
fn without_resume_an_earlier_run_is_kept_under_another_name() -> Result<()> {
    let (folder, out) = finished()?;
    let earlier = checkpoint(&out)?;
    EXAMPLE.succeed(&out, &["--seed=1"])?;
    assert!(checkpoint(&out)? != earlier);
    assert!(checkpoint(&folder.path().join("run-1"))? == earlier);
    Ok(())
}

#[test]
fn in_the_current_folder_an_earlier_run_is_kept_and_its_rows_are_not_reported_for_others() -> Result<()> {
    let (folder, out) = finished()?;
    let here = |flags: &[&str]| {
        let mut command = EXAMPLE.command();
        command.args(EXAMPLE.small).arg("--out=.").args(flags).current_dir(&out);
        Ok::<_, anyhow::Error>(command.output()?)
    };
    let earlier = checkpoint(&out)?;
    let output = here(&["--epochs=2", "--quiet"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(results(&out)?.0[0]["learn_epochs"], 2);
    let kept = folder.path().join("run-1");
    assert!(checkpoint(&kept)? == earlier);
    assert_eq!(results(&kept)?.0[0]["learn_epochs"], 4);

    fs::remove_file(out.join("config.toml"))?;
    let message = refusal(&here(&["--epochs=9", "--resume", "--quiet"])?)?;
    assert!(
        message.contains("config.toml is missing") && message.contains("leave out --resume"),
        "{message}"
    );
    let output = here(&["--epochs=3", "--quiet"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(results(&out)?.0[0]["learn_epochs"], 3);
    assert_eq!(results(&folder.path().join("run-2"))?.0[0]["learn_epochs"], 2);
    Ok(())
}

#[test]
fn resuming_with_other_settings_is_refused_and_changes_nothing() -> Result<()> {
    let (_folder, out) = finished()?;
    let before = checkpoint(&out)?;
    let message = refusal(&EXAMPLE.run(&out, ["--resume", "--epochs=5"])?)?;
    assert!(message.contains("--resume: fit.epochs is 4 in") && message.contains("and 5 now"), "{message}");
    assert!(checkpoint(&out)? == before);
    Ok(())
}

#[test]
fn resuming_from_a_checkpoint_of_another_rule_or_shape_is_refused() -> Result<()> {
    let (_folder, out) = finished()?;
    let path = out.join("checkpoint.safetensors");
    let whole = Checkpoint::load(&path, &Device::Cpu)?;
    let mut other_rule = whole.clone();
    other_rule.metadata.rule = "foldiak".to_owned();
    let mut other_shape = whole.clone();
    let narrow = Tensor::zeros((60, 100), candle_core::DType::F32, &Device::Cpu)?;
    other_shape.tensors.insert("rule.weights".to_owned(), narrow);
    let cases = [
        (other_rule, "the checkpoint's rule is foldiak, this run's is krotov-hopfield"),
        (other_shape, "tensor `weights` has shape [60, 100], expected [60, 784]"),
    ];
    for (checkpoint, expected) in cases {
        checkpoint.save(&path)?;
        without_rows(&out)?;
        let bytes = fs::read(&path)?;
        let message = refusal(&EXAMPLE.run(&out, ["--resume", "--quiet"])?)?;
        assert!(message.contains(expected), "{message}");
        assert!(fs::read(&path)? == bytes);
    }
    Ok(())
}

#[test]
fn a_run_that_was_killed_within_an_epoch_ends_as_one_that_was_not() -> Result<()> {
    EXAMPLE.check_that_killing_within_an_epoch_makes_no_difference(&[5, 30])
}

#[test]
fn a_bad_argument_is_named_with_its_value_and_what_is_allowed() -> Result<()> {
    EXAMPLE.check_refusals(&[
        (&["--units=0"], &["--units is 0", "allowed: at least 2"]),
        (&["--units=many"], &["--units is many", "allowed: at least 2"]),
        (&["--k=61"], &["--k is 61", "allowed: 2 to units (60)"]),
        (&["--k=1"], &["--k is 1", "allowed: at least 2"]),
        (&["--p=0.5"], &["--p is 0.5", "at least 1"]),
        (&["--learning-rate=NaN"], &["--learning-rate is NaN", "above 0"]),
        (&["--schedule=cosine"], &["--schedule is cosine", "constant, linear, staircase:EVERY:FACTOR"]),
        (&["--readout-loss=hinge"], &["hinge", "cross-entropy"]),
        (&["--readout-learning-rate=0"], &["--readout-learning-rate is 0", "above 0"]),
        (&["--power=-1"], &["--power is -1", "above 0"]),
        (&["--batch-size=0"], &["--batch-size is 0", "at least 1"]),
        (&["--batch-size=2001"], &["--batch-size is 2001", "1 to the training images (2000)"]),
        (
            &["--control-batch-size=2001"],
            &["--control-batch-size is 2001", "1 to the training images (2000)"],
        ),
        (&["--seeds=0"], &["--seeds is 0", "1 to 1000"]),
        (&["--train-size=60000"], &["--train-size is 60000", "allowed: 1 to 50000"]),
        (&["--data-dir=no/such/folder"], &["--data-dir", "no/such/folder"]),
        (&["--dataset=fashion-mnist"], &["--dataset fashion-mnist", "--data-dir"]),
        (&["--device=gpu"], &["gpu", "auto, cpu, cuda, cuda:N, metal"]),
        (&["--config=no/such/file.toml"], &["--config no/such/file.toml"]),
        (&["--color=red"], &["--color"]),
    ])
}

#[cfg(not(feature = "cuda"))]
#[test]
fn cuda_without_cuda_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let message = refusal(&EXAMPLE.run(&folder.path().join("run"), ["--device=cuda"])?)?;
    assert!(message.contains("--device cuda:0") && message.contains("--features cuda"), "{message}");
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_written_or_is_not_a_run_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    fs::write(&file, "precious")?;
    let message = refusal(&EXAMPLE.run(&file.join("run"), ["--quiet"])?)?;
    assert!(
        message.contains("--out") && message.contains("expected a folder that can be written"),
        "{message}"
    );
    let message = refusal(&EXAMPLE.run(folder.path(), ["--quiet"])?)?;
    assert!(message.contains("not empty, and not a run"), "{message}");
    assert_eq!(fs::read_to_string(&file)?, "precious");
    Ok(())
}

#[test]
fn a_config_sets_what_flags_do_not_and_an_unknown_key_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.toml");
    let flag = format!("--config={}", config.display());
    let out = folder.path().join("run");

    fs::write(&config, "[rule]\nunits = 70\ndelta = 0.2\nunitz = 3\n")?;
    let message = refusal(&EXAMPLE.run(&out, [&flag])?)?;
    assert!(
        message.contains("line 4: unknown key `rule.unitz`") && message.contains("`units` in [rule]"),
        "{message}"
    );
    fs::write(&config, "[rule]\ndelta = 0.2\nk = \"seven\"\n")?;
    let message = refusal(&EXAMPLE.run(&out, [&flag])?)?;
    assert!(message.contains("config.toml: line 3: rule.k is seven"), "{message}");
    fs::write(&config, "[rule]\ndelta = \n")?;
    let message = refusal(&EXAMPLE.run(&out, [&flag])?)?;
    assert!(message.contains("config.toml: line 2"), "{message}");

    fs::write(&config, "[rule]\nunits = 70\ndelta = 0.2\n[features]\nsubtract_mean = true\n")?;
    EXAMPLE.succeed(&out, &[&flag])?;
    let resolved: toml::Table = fs::read_to_string(out.join("config.toml"))?.parse()?;
    assert_eq!(resolved["rule"]["units"].as_integer(), Some(60), "a flag wins");
    assert_eq!(resolved["rule"]["delta"].as_float(), Some(0.2), "the config wins over the default");
    assert_eq!(resolved["features"]["subtract_mean"].as_bool(), Some(true));

    // What a run leaves behind repeats it.
    let again = folder.path().join("again");
    let repeat = format!("--config={}", out.join("config.toml").display());
    let output = EXAMPLE.command().arg(repeat).arg("--out").arg(&again).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(checkpoint(&again)? == checkpoint(&out)?);
    Ok(())
}
