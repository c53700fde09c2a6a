//! The example `spatial_pooler` from its command line to the files that it leaves, at a small size.

mod example;

use std::fs;

use anyhow::{Context, Result};
use candle_core::Device;
use example::{Example, results};
use hebbian::Registry;
use hebbian_datasets::{Dataset, SplitSizes};
use hebbian_model::Model;

const EXAMPLE: Example = Example {
    name: "spatial_pooler",
    small: &["--units=784", "--train-size=2000", "--validation-size=1000", "--test-size=1000", "--epochs=3"],
};

#[test]
fn every_model_has_a_row_with_its_codes_measured() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let table = EXAMPLE.succeed(&out, &[])?;
    let (rows, _) = results(&out)?;
    let models: Vec<&str> = rows.iter().filter_map(|row| row["model"].as_str()).collect();
    assert_eq!(models, ["raw-pixels", "untrained-pooler", "unboosted-pooler", "spatial-pooler"]);
    let measures = ["columns", "active_columns", "never_active", "entropy_bits", "encode_samples_per_second"];
    for row in &rows {
        let raw = row["model"] == "raw-pixels";
        let learned = row["model"] == "spatial-pooler" || row["model"] == "unboosted-pooler";
        assert!(
            row["test_accuracy"].as_f64().is_some_and(|accuracy| (0.7..1.0).contains(&accuracy)),
            "{row}"
        );
        assert!(measures.iter().all(|measure| row[measure].is_null() == raw), "{row}");
        assert_eq!(row["learn_samples_per_second"].is_null(), !learned, "{row}");
    }
    let [plain, boosted] = [&rows[2], &rows[3]].map(|row| row["entropy_bits"].as_f64().unwrap_or_default());
    assert!(boosted > plain, "{boosted} bits with boosting, {plain} without");
    assert!(table.contains("never active") && table.contains("learn/s"), "{table}");
    for png in ["weights", "overlaps", "duty_cycles", "stability"].map(|name| format!("{name}.png")) {
        assert!(fs::read(out.join(&png))?.starts_with(b"\x89PNG"), "{png}");
    }
    assert!(fs::read(out.join("film.gif"))?.starts_with(b"GIF89a"));
    Ok(())
}

#[test]
fn a_pooler_loaded_from_its_checkpoint_has_the_accuracy_that_was_reported() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    EXAMPLE.succeed(&out, &[])?;
    let model = Model::load(&out.join("checkpoint.safetensors"), &Registry::builtin(), &Device::Cpu)?;

    let sizes = SplitSizes { train: Some(2000), validation: 1000, test: Some(1000) };
    let test = Dataset::mnist()?.split(sizes)?.test;
    let (answers, labels) = (model.predict(test.images())?, test.labels().expect("labels").to_vec1::<u32>()?);
    let right = answers.iter().zip(&labels).filter(|(answer, label)| answer == label).count();
    let accuracy = right as f64 / 1000.0;

    let (rows, _) = results(&out)?;
    let reported = rows.last().and_then(|row| row["test_accuracy"].as_f64()).context("an accuracy")?;
    assert!((accuracy - reported).abs() < 1e-6, "{accuracy} after loading, {reported} reported");
    Ok(())
}

#[test]
fn recording_while_learning_gives_other_training_codes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let accuracy = |name: &str, flags: &[&str]| -> Result<f64> {
        let out = folder.path().join(name);
        EXAMPLE.succeed(&out, &[&["--epochs=1"], flags].concat())?;
        let (rows, _) = results(&out)?;
        rows.last().and_then(|row| row["test_accuracy"].as_f64()).context("an accuracy")
    };
    assert_ne!(accuracy("frozen", &[])?, accuracy("recorded", &["--record-while-learning=true"])?);
    Ok(())
}

#[test]
fn a_run_that_was_killed_ends_as_one_that_was_not() -> Result<()> {
    EXAMPLE.check_that_killing_makes_no_difference(&[0, 1, 2, 3, 4, 5])
}

#[test]
fn a_run_that_was_killed_within_an_epoch_ends_as_one_that_was_not() -> Result<()> {
    EXAMPLE.check_that_killing_within_an_epoch_makes_no_difference(&[5, 35])
}

#[test]
fn a_bad_argument_is_named_with_its_value_and_what_is_allowed() -> Result<()> {
    EXAMPLE.check_refusals(&[
        (&["--units=100,200"], &["--units is 100,200", "at least 1"]),
        (&["--units=785"], &["--units is 785", "a multiple of the grid's places (28x28)"]),
        (&["--units=0"], &["--units is 0", "at least 1"]),
        (&["--sparsity=0.001"], &["--sparsity is 0.001", "at least one of units (784)"]),
        (&["--binarize=half"], &["--binarize is half", "mean, above:0 to above:255"]),
        (&["--pool-fraction=0"], &["--pool-fraction is 0", "above 0, at most 1"]),
        (&["--connected=1.5"], &["--connected is 1.5", "above 0, at most 1"]),
        (&["--boost-strength=-1"], &["--boost-strength is -1", "at least 0"]),
        (&["--starved=lowest", "--starved-share=2"], &["--starved-share is 2", "0 to 1"]),
        (&["--starved=lowest"], &["--starved-share is not given", "0 to 1"]),
        (&["--starved-share=0.1"], &["--starved-share is 0.1", "only with --starved lowest"]),
        (&["--pool=anywhere", "--pool-radius=2"], &["--pool-radius is 2", "only with --pool neighborhood"]),
        (&["--penalty=-1"], &["--penalty is -1", "at least 0"]),
        (&["--tolerance=0"], &["--tolerance is 0", "above 0"]),
        (&["--batch-size=2001"], &["--batch-size is 2001", "1 to the training images (2000)"]),
    ])
}
