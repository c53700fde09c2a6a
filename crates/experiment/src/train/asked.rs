//! Which rule is asked for, before there are settings that say so.

use std::path::Path;

use toml::Table;

/// The rule that the arguments of this process name, or else its config; none where neither does. What makes no sense is
/// refused later, when the settings are read.
pub fn asked_for() -> Option<String> {
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let by_config = || named_in(Path::new(&last(&arguments, "--config")?));
    last(&arguments, "--rule").or_else(by_config)
}

/// The value of the last `flag`, as `--flag VALUE` or `--flag=VALUE`.
fn last(arguments: &[String], flag: &str) -> Option<String> {
    let mut values = arguments.iter().enumerate().filter_map(|(place, argument)| {
        let rest = argument.strip_prefix(flag)?;
        if rest.is_empty() {
            arguments.get(place + 1).cloned()
        } else {
            rest.strip_prefix('=').map(str::to_owned)
        }
    });
    values.next_back()
}

fn named_in(config: &Path) -> Option<String> {
    let table: Table = std::fs::read_to_string(config).ok()?.parse().ok()?;
    let rule = table.get("rule")?;
    rule.as_str().or_else(|| rule.get("name")?.as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_flag_counts_in_either_form() {
        let last =
            |arguments: &str| last(&arguments.split(' ').map(str::to_owned).collect::<Vec<_>>(), "--rule");
        assert_eq!(last("train --rule foldiak --units 3").as_deref(), Some("foldiak"));
        assert_eq!(last("train --rule=foldiak --rule soft-hebb").as_deref(), Some("soft-hebb"));
        assert_eq!(last("train --rule-units 3"), None);
        assert_eq!(last("train --rule"), None);
    }

    #[test]
    fn a_config_names_the_rule_in_its_table_or_in_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        for text in ["rule = \"foldiak\"", "[rule]\nname = \"foldiak\"\nunits = 3"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(named_in(&path).as_deref(), Some("foldiak"));
        }
        std::fs::write(&path, "[rule]\nunits = 3").unwrap();
        assert_eq!(named_in(&path), None);
    }
}
