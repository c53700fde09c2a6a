//! What the environment says of the hub, read as Python's huggingface_hub reads it.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::hub_cache::cache_of;

/// Variables that forbid network access.
const OFFLINE: [&str; 2] = ["HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"];
const TRUE: [&str; 4] = ["1", "true", "yes", "on"];

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Environment {
    pub(super) endpoint: String,
    pub(super) cache: PathBuf,
    /// The variable that forbids network access.
    pub(super) offline: Option<&'static str>,
}

impl Environment {
    /// What the variables say whose values `value` gives. An empty one counts as not set.
    pub(super) fn read(value: impl Fn(&str) -> Option<OsString>) -> Self {
        let value = |name: &str| value(name).filter(|value| !value.is_empty());
        let text = |name: &str| value(name).map(|value| value.to_string_lossy().into_owned());
        let is_true =
            |name: &str| text(name).is_some_and(|value| TRUE.contains(&value.to_lowercase().as_str()));
        Self {
            cache: cache_of(&value),
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            offline: OFFLINE.into_iter().find(|name| is_true(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        let value = |name: &str| {
            variables.iter().find(|variable| variable.0 == name).map(|variable| variable.1.into())
        };
        Environment::read(value)
    }

    #[test]
    fn four_words_in_any_case_forbid_the_network_and_no_others() {
        for value in ["1", "true", "YES", "On"] {
            assert_eq!(read(&[("HF_HUB_OFFLINE", value)]).offline, Some("HF_HUB_OFFLINE"));
            assert_eq!(read(&[("HF_DATASETS_OFFLINE", value)]).offline, Some("HF_DATASETS_OFFLINE"));
        }
        for value in ["", "0", "false", "no", "off", "2"] {
            assert_eq!(read(&[("HF_HUB_OFFLINE", value)]).offline, None, "{value}");
        }
    }

    #[test]
    fn the_server_is_the_hub_or_the_one_that_is_named() {
        assert_eq!(read(&[]).endpoint, "https://huggingface.co");
        assert_eq!(read(&[("HF_ENDPOINT", "http://mirror")]).endpoint, "http://mirror");
    }
}
