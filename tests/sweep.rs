//! The example `sweep` on a tiny grid.

mod example;

use std::fs;

use anyhow::{Result, ensure};
use example::Example;
use serde_json::Value;

const SWEEP: Example = Example { name: "sweep", small: &[] };
const TRAINING: Example = Example { name: "kh_vs_backprop", small: &[] };

const GRID: &str = r#"
example = "kh_vs_backprop"
seeds = 2

[set]
"data.train_size" = 1000
"data.validation_size" = 500
"data.test_size" = 200
"rule.units" = 50
"rule.k" = 2
"readout.epochs" = 2

[[group]]
rows = ["random-projection"]
vary = { "features.power" = [1.0, 4.5] }

[[group]]
rows = ["linear-control"]
vary = { "control.epochs" = [1] }
"#;

#[test]
fn each_point_makes_its_rows_only_and_the_best_on_validation_is_marked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tiny.toml");
    fs::write(&file, GRID)?;
    // The program lies beside the one that runs it.
    TRAINING.command();
    let sweep = || {
        let mut command = SWEEP.command();
        command.env_remove("CARGO").current_dir(&folder).args(["--out=points", "--results=results"]);
        command.args(["--commit=c0ffee", "tiny.toml"]).output()
    };
    let output = sweep()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = folder.path().join("results/sweep_tiny.json");
    let results: Value = serde_json::from_slice(&fs::read(&path)?)?;
    let rows = results["rows"].as_array().cloned().unwrap_or_default();
    let models: Vec<&str> = rows.iter().filter_map(|row| row["model"].as_str()).collect();
    assert_eq!(models, ["random-projection", "random-projection", "linear-control"]);
    assert_eq!(rows[0]["setting"], "features.power 1.0");
    let best = (0..2).max_by(|&one, &other| {
        let accuracy = |row: usize| rows[row]["validation_accuracy"].as_f64().unwrap_or_default();
        accuracy(one).total_cmp(&accuracy(other)).then(other.cmp(&one))
    });
    for (place, row) in rows[..2].iter().enumerate() {
        let is_best = best == Some(place);
        assert_eq!(row["chosen"] == "chosen", is_best, "{row}");
        assert_eq!(row.get("test_accuracy").is_some(), is_best, "{row}");
        assert_eq!(row["by_seed"].get("test_accuracy").is_some(), is_best, "{row}");
    }
    assert_eq!((&results["commit"], &results["sweep"]), (&"c0ffee".into(), &"tiny.toml".into()));

    let before = fs::read(&path)?;
    let output = sweep()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(&path)?, before, "what is finished is not done again");
    Ok(())
}

#[test]
fn a_row_that_no_experiment_has_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let small = ["--train-size=200", "--validation-size=50", "--test-size=50", "--rows=oja"];
    let output = TRAINING.run(&folder.path().join("run"), small)?;
    let message = String::from_utf8(output.stderr)?;
    ensure!(message.contains("error: --rows oja: this experiment has no such row"), "{message}");
    Ok(())
}
