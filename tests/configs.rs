//! The published configs.

mod example;

use std::fs;

use anyhow::{Context, Result};
use example::{Example, refusal};

#[test]
fn every_config_is_understood_by_the_example_that_its_head_names() -> Result<()> {
    let all = [fs::read_dir("configs")?, fs::read_dir("configs/published")?].into_iter().flatten();
    let paths = all.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    assert!(paths.len() > 10, "{paths:?}");
    for path in paths.into_iter().filter(|path| path.is_file()) {
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

#[test]
fn every_published_config_has_five_seeds_and_says_what_to_expect_and_how_long_it_takes() -> Result<()> {
    for entry in fs::read_dir("configs/published")? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let settings: toml::Table = text.parse()?;
        assert_eq!(settings["run"]["seeds"].as_integer(), Some(5), "{}", path.display());
        for head in ["# Expected: ", "# Time on two cores: "] {
            assert!(text.contains(head), "{}: no line `{head}`", path.display());
        }
    }
    Ok(())
}
