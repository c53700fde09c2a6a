//! The published configs.

mod example;

use std::fs;

use anyhow::{Context, Result};
use example::{Example, refusal};

#[test]
fn every_published_config_is_understood_by_the_example_that_its_head_names() -> Result<()> {
    for entry in fs::read_dir("configs")? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let place = || path.display().to_string();
        let command =
            text.lines().find_map(|line| Some(line.split_once("--example ")?.1)).with_context(place)?;
        let (name, flags) = command.split_once(" -- ").with_context(place)?;
        assert_eq!(flags, format!("--config {}", path.display()));
        // A later flag that is refused shows that the whole config before it was taken.
        let example = Example { name, small: &[] };
        let output = example.command().args(flags.split(' ')).arg("--batch-size=0").output()?;
        assert!(refusal(&output)?.contains("--batch-size is 0"), "{}", path.display());
    }
    Ok(())
}
