//! The example `comp_spec` from its command line to the files that it leaves, at a small size.

mod example;

use std::fs;

use anyhow::{Context, Result};
use example::{Example, results};

const EXAMPLE: Example = Example {
    name: "comp_spec",
    small: &[
        "--units=20,50",
        "--train-size=2000",
        "--test-size=1000",
        "--kh-fit-epochs=2",
        "--linear-epochs=2",
        "--readout-epochs=2",
        "--backprop-epochs=2",
    ],
};

#[test]
fn every_model_and_size_is_read_out_in_four_ways() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let table = EXAMPLE.succeed(&out, &[])?;
    let (rows, _) = results(&out)?;
    let mut expected = Vec::new();
    for units in [20, 50] {
        for model in ["comp-spec", "charged-comp-spec", "krotov-hopfield", "random-images"] {
            for readout in ["linear", "linear-wta-init", "wta-vote", "power"] {
                expected.push((model, units, Some(readout)));
            }
        }
        expected.push(("backprop", units, None));
    }
    let found: Vec<_> = rows
        .iter()
        .map(|row| {
            (row["model"].as_str().unwrap_or(""), row["units"].as_i64().unwrap_or(0), row["readout"].as_str())
        })
        .collect();
    assert_eq!(found, expected);
    for row in &rows {
        let voted = row["readout"] == "wta-vote";
        assert!(
            row["test_accuracy"].as_f64().is_some_and(|accuracy| (0.0..1.0).contains(&accuracy)),
            "{row}"
        );
        assert_eq!(row["readout_seconds"].is_null(), voted || row["model"] == "backprop", "{row}");
        assert_eq!(row["learn_seconds"].is_null(), row["model"] == "random-images", "{row}");
        assert_eq!(row["idle_units"].is_null(), row["model"] == "backprop", "{row}");
    }
    let vote =
        rows.iter().find(|row| row["units"] == 50 && row["readout"] == "wta-vote").context("a vote")?;
    assert!(vote["test_accuracy"].as_f64().is_some_and(|accuracy| accuracy > 0.6), "{vote}");
    assert!(table.contains("idle"), "{table}");
    let pictures = ["weights", "prototypes", "specialization", "accuracy_by_units", "time_to_accuracy"];
    for png in pictures.map(|name| format!("{name}.png")) {
        assert!(fs::read(out.join(&png))?.starts_with(b"\x89PNG"), "{png}");
    }
    assert!(fs::read(out.join("film.gif"))?.starts_with(b"GIF89a"));
    Ok(())
}

#[test]
fn a_run_that_was_killed_ends_as_one_that_was_not() -> Result<()> {
    EXAMPLE.check_that_killing_makes_no_difference(&[0, 1, 2, 5, 12, 30])
}

#[test]
fn a_bad_argument_is_named_with_its_value_and_what_is_allowed() -> Result<()> {
    EXAMPLE.check_refusals(&[
        (&["--units=20,x"], &["--units is x", "at least 1"]),
        (&["--units=20,0"], &["--units is 0", "at least 1"]),
        (&["--charge-k=21"], &["--charge-k is 21", "allowed: 2 to units (20)"]),
        (&["--kh-k=21"], &["--kh-k is 21", "allowed: 2 to units (20)"]),
        (&["--specialization-rate=0"], &["--specialization-rate is 0", "above 0, at most 1"]),
        (&["--charge-delta=-1"], &["--charge-delta is -1", "at least 0"]),
        (&["--linear-batch-size=0"], &["--linear-batch-size is 0", "at least 1"]),
        (&["--linear-batch-size=2001"], &["--linear-batch-size is 2001", "1 to the training images (2000)"]),
        (&["--batch-size=2001"], &["--batch-size is 2001", "1 to the training images (2000)"]),
    ])
}
