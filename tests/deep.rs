//! The example `deep` from its command line to the files that it leaves, at a small size.

mod example;
// Its tests are run here: those in examples are not.
#[path = "../examples/deep/receptive_field.rs"]
mod receptive_field;

use std::fs;

use anyhow::{Context, Result};
use candle_core::Device;
use example::{Example, results};
use hebbian::{Convolution, Mirrored, Registry, SoftHebb, Stack};
use hebbian_datasets::{Dataset, SplitSizes};
use hebbian_model::Model;
use serde_json::Value;

const EXAMPLE: Example = Example {
    name: "deep",
    small: &[
        "--units=8,12",
        "--train-size=400",
        "--validation-size=100",
        "--test-size=200",
        "--epochs=2",
        "--readout-epochs=15",
        "--readout-learning-rate=0.003",
        "--backprop-epochs=3",
        "--backprop-batch-size=10",
        "--disturbed-images=40",
    ],
};

#[test]
fn each_depth_is_read_out_beside_the_hard_competition_filters_that_learned_nothing_and_backprop() -> Result<()>
{
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let table = EXAMPLE.succeed(&out, &[])?;
    let (rows, _) = results(&out)?;
    let models: Vec<&str> = rows.iter().filter_map(|row| row["model"].as_str()).collect();
    let models: Vec<(&str, usize)> =
        models.into_iter().zip(rows.iter().map(|row| row["units"].as_u64().unwrap_or(0) as usize)).collect();
    let mut expected = Vec::new();
    for names in [
        ["soft-hebb, depth 1", "soft-hebb, depth 2"],
        ["hard-wta, depth 1", "hard-wta, depth 2"],
        ["krotov-hopfield, depth 1", "krotov-hopfield, depth 2"],
        ["random, depth 1", "random, depth 2"],
        ["random-patches, depth 1", "random-patches, depth 2"],
        ["backprop, depth 1", "backprop, depth 2"],
    ] {
        expected.extend(names.into_iter().zip([8 * 14 * 14, 12 * 7 * 7]));
    }
    assert_eq!(models, expected);
    for row in &rows {
        assert!(row["test_accuracy"].as_f64().is_some_and(|accuracy| accuracy > 0.5), "{row}");
    }
    assert!(table.contains("learn s"), "{table}");
    for row in
        rows.iter().filter(|row| row["model"].as_str().is_some_and(|name| name.starts_with("backprop")))
    {
        assert!(row["learn_epochs"] == 3 && row["learn_seconds"].is_f64(), "{row}");
    }
    for row in &rows {
        // As the first 40 images are, and in four ways, each to three degrees.
        let shares = row.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("accuracy_"));
        let shares: Vec<f64> = shares.filter_map(|(_, share)| share.as_f64()).collect();
        assert!(shares.len() == 13 && shares.iter().all(|share| (0.0..=1.0).contains(share)), "{row}");
        let share = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
        assert!(share("accuracy_attack_0.2") < share("accuracy_undisturbed"), "{row}");
    }
    let pictures = ["weights", "learning", "patches", "accuracy", "time", "confusion", "robustness"];
    for png in pictures.map(|name| format!("{name}.png")) {
        assert!(fs::read(out.join(&png))?.starts_with(b"\x89PNG"), "{png}");
    }
    assert!(fs::read(out.join("film.gif"))?.starts_with(b"GIF89a"));
    Ok(())
}

#[test]
fn a_network_of_krotov_and_hopfields_filters_is_drawn_saved_and_not_disturbed_when_nothing_is_asked_for()
-> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    EXAMPLE.succeed(&out, &["--models=krotov-hopfield", "--mirrored", "--disturbed-images=0"])?;
    assert!(!out.join("robustness.png").exists());
    let model = Model::load(&out.join("checkpoint.safetensors"), &Registry::builtin(), &Device::Cpu)?;
    assert!(model.rule().downcast_ref::<Mirrored>().is_some());
    Ok(())
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() -> Result<()> {
    EXAMPLE.check_that_threads_make_no_difference(&["--units=40,60", "--readout-epochs=3"])
}

#[test]
fn the_primary_network_is_watched_while_it_learns() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    EXAMPLE.succeed(&out, &["--models=soft-hebb,hard-wta"])?;
    let lines = fs::read_to_string(out.join("metrics.jsonl"))?;
    let lines = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let of = |model: &'static str| {
        lines.iter().filter(move |line| line["model"] == model && line["phase"] == "learn")
    };
    assert!(of("hard-wta").count() == 2 && of("hard-wta").all(|line| line.get("watched").is_none()));
    let records: Vec<&Value> =
        of("soft-hebb").filter_map(|line| line["watched"].as_array()).flatten().collect();
    // Of 80 steps in two epochs the first and every second.
    let steps: Vec<u64> = records.iter().filter_map(|record| record["step"].as_u64()).collect();
    assert_eq!(steps, [1].into_iter().chain((2..=80).step_by(2)).collect::<Vec<_>>());
    for layer in records.iter().filter_map(|record| record["layers"].as_array()).flatten() {
        let of = |name: &str| layer[name].as_f64().with_context(|| name.to_owned());
        let (shortest, mean, longest) = (of("shortest")?, of("mean_length")?, of("longest")?);
        assert!(0.0 < shortest && shortest <= mean && mean <= longest, "{layer}");
        assert!((0.0..=1.0).contains(&of("entropy")?), "{layer}");
    }
    Ok(())
}

#[test]
fn without_validation_images_the_time_is_drawn_to_what_was_measured_in_the_end() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    EXAMPLE.succeed(&out, &["--validation-size=0", "--models=soft-hebb,backprop"])?;
    assert!(fs::read(out.join("time.png"))?.starts_with(b"\x89PNG"));
    Ok(())
}

#[test]
fn a_network_of_one_layer_is_drawn_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let flags =
        ["--units=8", "--kernels=5", "--learning-rates=0.08", "--inverse-temperatures=1", "--powers=0.7"];
    let flags: Vec<&str> = flags.into_iter().chain(["--pools=max:4:2:1", "--models=soft-hebb"]).collect();
    EXAMPLE.succeed(&folder.path().join("run"), &flags)?;
    Ok(())
}

#[test]
fn one_network_is_asked_for_and_a_layer_read_out_with_a_pooling_of_its_own() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |name: &str, flags: &[&str]| -> Result<Vec<f64>> {
        let out = folder.path().join(name);
        // Few steps, after which not every training image is right yet.
        EXAMPLE.succeed(&out, &[flags, &["--readout-batch-size=100"]].concat())?;
        let (rows, _) = results(&out)?;
        rows.iter().map(|row| row["train_accuracy"].as_f64().context("an accuracy")).collect()
    };
    let own = run("own", &["--models=soft-hebb"])?;
    let other = run("other", &["--models=soft-hebb", "--readout-pools=average:4:2:1,max:4:2:1"])?;
    assert_eq!((own.len(), other.len()), (2, 2));
    assert!(own[0] != other[0] && own[1] == other[1], "{own:?} {other:?}");
    Ok(())
}

#[test]
fn the_network_is_loaded_from_its_checkpoint_with_the_accuracy_that_was_reported() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    EXAMPLE.succeed(&out, &[])?;
    let model = Model::load(&out.join("checkpoint.safetensors"), &Registry::builtin(), &Device::Cpu)?;
    let stack = model.rule().downcast_ref::<Stack>().context("a stack")?;
    let convolution = stack.rules()[2].downcast_ref::<Convolution>().context("a convolution")?;
    assert!(convolution.rule().downcast_ref::<SoftHebb>().is_some());

    let sizes = SplitSizes { train: Some(400), validation: 100, test: Some(200) };
    let test = Dataset::mnist()?.split(sizes)?.test;
    let (answers, labels) = (model.predict(test.images())?, test.labels().expect("labels").to_vec1::<u32>()?);
    let right = answers.iter().zip(&labels).filter(|(answer, label)| answer == label).count();
    let (rows, _) = results(&out)?;
    let reported = rows[1]["test_accuracy"].as_f64().context("an accuracy")?;
    assert!((reported - right as f64 / 200.0).abs() < 0.011, "{right} of 200, {reported} reported");
    Ok(())
}

#[test]
fn a_run_that_was_killed_ends_as_one_that_was_not() -> Result<()> {
    // The last moment is in backprop's second row.
    EXAMPLE.check_that_killing_makes_no_difference(&[0, 1, 2, 4, 6, 128])
}

#[test]
fn a_run_that_was_killed_within_an_epoch_ends_as_one_that_was_not() -> Result<()> {
    EXAMPLE.check_that_killing_within_an_epoch_makes_no_difference(&[5, 25, 55])
}

#[test]
fn a_bad_argument_is_named_with_its_value_and_what_is_allowed() -> Result<()> {
    EXAMPLE.check_refusals(&[
        (&["--units=8,0"], &["--units is 0", "at least 1"]),
        (&["--units=8"], &["--kernels is 2 values", "one value for each of 1 layers"]),
        (&["--kernels=5,40"], &["kernel = 40", "at most 27"]),
        (&["--pools=max:4:2:1,middle:2:2:0"], &["--pools", "max or average:KERNEL:STRIDE:PADDING"]),
        (&["--pools=max:4:2:1,max:2:2:2"], &["padding = 2", "less than a neighborhood"]),
        (&["--readout-pools=max:4:2:1,average:4:2:1"], &["--readout-pools is average:4:2:1", "max:4:2:1"]),
        (&["--models=random"], &["--models is random", "soft-hebb, hard-wta or krotov-hopfield"]),
        (&["--models=backprop"], &["--models is backprop", "soft-hebb, hard-wta or krotov-hopfield"]),
        (&["--models=soft-hebb,hebb"], &["--models", "random-patches"]),
        (&["--batch-size=401"], &["--batch-size is 401", "1 to the training images (400)"]),
        (&["--backprop-batch-size=401"], &["--backprop-batch-size is 401", "1 to the training images (400)"]),
        (&["--rate-exponent=-1"], &["--rate-exponent is -1", "at least 0"]),
    ])
}
