//! The example `invariance` from its command line to the files that it leaves, at a small size.

mod example;

use std::fs;

use anyhow::{Context, Result};
use example::{Example, results};
use serde_json::Value;

const EXAMPLE: Example = Example {
    name: "invariance",
    small: &[
        "--units=64",
        "--invariance-units=9",
        "--train-size=600",
        "--validation-size=200",
        "--test-size=200",
        "--epochs=6",
        "--learning-rate=0.03",
        "--sandwich-learning-rate=0.03",
        "--normalization-every=200",
        "--digits=200",
        "--test-digits=100",
        "--views=3",
        "--readout-epochs=2",
        "--sandwich-units=16",
        "--sandwich-fit-epochs=2",
    ],
};

fn row<'a>(rows: &'a [Value], model: &str, readout: Option<&str>) -> Result<&'a Value> {
    let found = rows.iter().find(|row| row["model"] == model && row["readout"].as_str() == readout);
    found.with_context(|| format!("no row {model}, {readout:?}"))
}

#[test]
fn both_layers_are_measured_and_read_out_beside_their_controls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let table = EXAMPLE.succeed(&out, &[])?;
    let (rows, all) = results(&out)?;
    assert_eq!(all["dataset"]["train"], 600);
    for model in ["multi-winner", "invariance"] {
        let row = row(&rows, model, None)?;
        for key in ["relative_mse", "held_out_relative_mse", "unseen_relative_mse", "frames_per_second"] {
            assert!(row[key].as_f64().is_some_and(|value| value > 0.0), "{key} of {row}");
        }
        for key in ["dead_units", "effective_units"] {
            assert!(row[key].as_f64().is_some_and(|value| (0.0..=64.0).contains(&value)), "{key} of {row}");
        }
        assert!(row["shift_variance"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{row}");
    }
    let sparse = row(&rows, "multi-winner", None)?;
    assert!(sparse["relative_mse"].as_f64().is_some_and(|error| error < 0.9), "{sparse}");
    let invariance = row(&rows, "invariance", None)?;
    let usage =
        ["usage_min", "usage_median", "usage_max"].map(|key| invariance[key].as_f64().unwrap_or(-1.0));
    assert!(usage[0] >= 0.0 && usage.is_sorted(), "{invariance}");

    let readouts =
        ["pixels", "random-images", "multi-winner", "invariance", "both-layers", "random-wiring", "sandwich"];
    for model in readouts {
        let row = row(&rows, model, Some("views"))?;
        assert!(
            row["test_accuracy"].as_f64().is_some_and(|accuracy| (0.0..1.0).contains(&accuracy)),
            "{row}"
        );
    }
    assert_eq!(rows.len(), 2 + readouts.len());
    assert!(table.contains("held out") && table.contains("shift var."), "{table}");

    let pictures =
        ["weights", "affinity_groups", "invariance_prototypes", "invariance_prototypes_normalized"];
    for png in pictures.iter().chain(&["invariance_maps", "unit_map", "usage", "error"]) {
        assert!(fs::read(out.join(format!("{png}.png")))?.starts_with(b"\x89PNG"), "{png}");
    }
    for gif in ["film", "stream", "averages", "drive"] {
        assert!(fs::read(out.join(format!("{gif}.gif")))?.starts_with(b"GIF89a"), "{gif}");
    }
    Ok(())
}

#[test]
fn a_ribbon_is_learned_from_as_a_tapestry_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    EXAMPLE.succeed(&out, &["--video=ribbon", "--digits=0"])?;
    let (rows, _) = results(&out)?;
    assert_eq!(rows.len(), 2);
    assert!(row(&rows, "multi-winner", None)?["relative_mse"].as_f64().is_some_and(|error| error < 0.9));
    Ok(())
}

#[test]
fn patches_are_learned_from_as_a_tapestry_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    EXAMPLE.succeed(&out, &["--video=patches", "--window=10", "--digits=0"])?;
    let (rows, _) = results(&out)?;
    assert_eq!(rows.len(), 2);
    assert!(row(&rows, "multi-winner", None)?["relative_mse"].as_f64().is_some_and(|error| error < 0.9));
    Ok(())
}

#[test]
fn a_run_that_was_killed_ends_as_one_that_was_not() -> Result<()> {
    EXAMPLE.check_that_killing_makes_no_difference(&[0, 1, 4, 7, 11])
}

#[test]
fn a_run_that_was_killed_within_an_epoch_ends_as_one_that_was_not() -> Result<()> {
    EXAMPLE.check_that_killing_within_an_epoch_makes_no_difference(&[2, 15, 27])
}

#[test]
fn a_bad_argument_is_named_with_its_value_and_what_is_allowed() -> Result<()> {
    EXAMPLE.check_refusals(&[
        (&["--winners=65"], &["--winners is 65", "1 to units (64)"]),
        (&["--units=63"], &["--units is 63", "a square number"]),
        (&["--units=20,50"], &["--units is 20,50", "at least 1"]),
        (&["--invariance-units=10"], &["--invariance-units is 10", "a square number"]),
        (&["--average-rate=0"], &["--average-rate is 0", "above 0, at most 1"]),
        (&["--normalization-every=0"], &["--normalization-every is 0", "1 to"]),
        (&["--off-rate=-1"], &["--off-rate is -1", "at least 0"]),
        (&["--sandwich-winners=17"], &["--sandwich-winners is 17", "1 to units (16)"]),
        (&["--learning-rate=0"], &["--learning-rate is 0", "above 0"]),
        (&["--batch-size=601"], &["--batch-size is 601", "1 to the frames of the stream (600)"]),
        (&["--window=29"], &["--video-window is 29", "1 to 28"]),
        (&["--window=0"], &["--video-window is 0", "at least 1"]),
        (
            &["--video=ribbon", "--window=5"],
            &["--video-window is 5", "only with --video tapestry or patches"],
        ),
        (&["--digits=5"], &["--digits is 5", "0, or at least a batch of the readout (100)"]),
        (&["--digits=60001"], &["--digits is 60001", "at most the dataset's images (60000)"]),
        (&["--views=0"], &["--views is 0", "at least 1"]),
        (&["--sandwich-fit-epochs=0"], &["--sandwich-fit-epochs is 0", "at least 1"]),
        (&["--schedule=cosine"], &["--schedule", "constant, linear, staircase:EVERY:FACTOR"]),
    ])
}
