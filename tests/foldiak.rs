//! The example `foldiak` from its command line to the files that it leaves, at a small size.

mod example;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use example::{Example, results};
use serde_json::Value;

const BARS: Example = Example {
    name: "foldiak",
    small: &[
        "--side=5",
        "--line-probability=0.2",
        "--units=10",
        "--patterns=800",
        "--epochs=2",
        "--test-patterns=300",
    ],
};

const PATCHES: Example = Example {
    name: "foldiak",
    small: &[
        "--input=patches",
        "--patch-size=6",
        "--units=20",
        "--patterns=1000",
        "--test-patterns=300",
        "--train-size=500",
        "--test-size=200",
        "--validation-size=200",
        "--activity=0.1",
    ],
};

const PICTURES: [&str; 6] =
    ["weights", "notebook_weights", "lateral", "histograms", "thresholds", "reconstruction"];

fn number(row: &Value, name: &str) -> Result<f64> {
    row[name].as_f64().with_context(|| format!("{name} of {row}"))
}

fn check_pictures(out: &Path) -> Result<()> {
    for png in PICTURES.map(|name| format!("{name}.png")) {
        assert!(fs::read(out.join(&png))?.starts_with(b"\x89PNG"), "{png}");
    }
    assert!(fs::read(out.join("film.gif"))?.starts_with(b"GIF89a"));
    Ok(())
}

#[test]
fn lines_get_a_unit_each_by_the_rule_of_1990_and_none_by_the_notebooks() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let table = BARS.succeed(&out, &["--activity=0.2"])?;
    let (rows, all) = results(&out)?;
    let models: Vec<_> = rows.iter().map(|row| row["model"].as_str().unwrap_or("")).collect();
    assert_eq!(models, ["foldiak-1990", "foldiak-notebook"]);
    assert_eq!(all["dataset"]["name"], "bars");
    let (paper, notebook) = (&rows[0], &rows[1]);
    assert!(number(paper, "lines_covered")? >= 9.0, "{paper}");
    assert!(number(paper, "bit_accuracy")? > 0.97, "{paper}");
    assert!((number(paper, "mean_activity")? - 0.2).abs() < 0.05, "{paper}");
    assert!(number(paper, "mean_abs_correlation")? < 0.1, "{paper}");
    assert!(number(notebook, "lines_covered")? == 0.0, "{notebook}");
    assert!(number(notebook, "mean_row_cosine")? > 0.98, "{notebook}");
    assert!(number(paper, "patterns_per_second")? > 0.0 && table.contains("patterns/s"), "{table}");
    check_pictures(&out)
}

#[test]
fn patches_are_cut_and_whitened_in_every_way_that_is_offered() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for flags in [
        ["--whitening=zca", "--cut=random"],
        ["--whitening=one-over-f", "--cut=center"],
        ["--whitening=binary", "--cut=random"],
        ["--whitening=none", "--cut=center"],
    ] {
        let out = folder.path().join(flags.concat());
        PATCHES.succeed(&out, &flags)?;
        let (rows, all) = results(&out)?;
        assert_eq!(all["dataset"]["name"], "mnist patches");
        assert!(rows[0]["lines_covered"].is_null() && rows[0]["bit_accuracy"].is_null());
        assert!((0.0..=1.0).contains(&number(&rows[0], "mean_activity")?));
        check_pictures(&out)?;
    }
    Ok(())
}

#[test]
fn a_run_that_was_killed_ends_as_one_that_was_not() -> Result<()> {
    BARS.check_that_killing_makes_no_difference(&[0, 1, 2, 3])
}

#[test]
fn a_run_that_was_killed_within_an_epoch_ends_as_one_that_was_not() -> Result<()> {
    BARS.check_that_killing_within_an_epoch_makes_no_difference(&[5, 30, 60])
}

#[test]
fn a_bad_argument_is_named_with_its_value_and_what_is_allowed() -> Result<()> {
    BARS.check_refusals(&[
        (&["--units=0"], &["--units is 0", "at least 1"]),
        (&["--units=16,20"], &["--units is 16,20", "at least 1"]),
        (&["--activity=1"], &["--activity is 1", "above 0, below 1"]),
        (&["--learning-rate=0"], &["--learning-rate is 0", "above 0, at most 1"]),
        (&["--inhibition-rate=2"], &["--inhibition-rate is 2", "0 to 1"]),
        (&["--slope=0"], &["--settling-slope is 0", "above 0"]),
        (&["--iterations=0"], &["--settling-iterations is 0", "1 to 1000000"]),
        (
            &["--settling=one-shot", "--slope=1"],
            &["--settling-slope is 1", "only with --settling equilibrium"],
        ),
        (&["--patch-size=5"], &["--patch-size is 5", "only with --input patches"]),
        (&["--input=bars", "--dataset=mnist"], &["--input is bars", "patches, where [data] is given"]),
        (&["--preset-rate=-1"], &["--preset-rate is -1", "0 to 1"]),
        (&["--notebook-learning-rate=2"], &["--notebook-learning-rate is 2", "at most 1"]),
        (&["--side=0"], &["--side is 0", "1 to 256"]),
        (&["--line-probability=2"], &["--line-probability is 2", "0 to 1"]),
        (&["--patterns=0"], &["--patterns is 0", "at least 1"]),
        (&["--test-patterns=0"], &["--test-patterns is 0", "at least 1"]),
        (&["--batch-size=801"], &["--batch-size is 801", "1 to the training patterns (800)"]),
        (&["--batch-size=0"], &["--batch-size is 0", "at least 1"]),
    ])?;
    PATCHES.check_refusals(&[
        (&["--patch-size=29"], &["--patch-size is 29", "1 to 28"]),
        (&["--whitening-floor=0"], &["--whitening-floor is 0", "above 0"]),
        (&["--train-size=60001"], &["--train-size is 60001", "1 to 59800"]),
        (&["--dataset=cifar10"], &["--dataset cifar10", "--data-dir"]),
    ])
}
