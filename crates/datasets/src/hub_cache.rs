//! Where the Hugging Face hub's cache lies on this machine.

use std::ffi::OsString;
use std::path::PathBuf;

/// The folder of the hub's cache, where Python's huggingface_hub has it: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE` or `hub` in
/// `HF_HOME`, which is `huggingface` in `XDG_CACHE_HOME` or `~/.cache` if not given.
pub fn hub_cache() -> PathBuf {
    cache_of(|name| std::env::var_os(name))
}

/// The folder that follows from the variables whose values `value` gives. An empty one counts as not set.
pub(crate) fn cache_of(value: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let value = |name: &str| value(name).filter(|value| !value.is_empty());
    let user = || PathBuf::from(value("HOME").or_else(|| value("USERPROFILE")).unwrap_or_default());
    let folder = |name: &str| {
        let path = PathBuf::from(value(name)?);
        Some(path.strip_prefix("~").map(|rest| user().join(rest)).unwrap_or(path))
    };
    let caches = || folder("XDG_CACHE_HOME").unwrap_or_else(|| user().join(".cache"));
    let home = || folder("HF_HOME").unwrap_or_else(|| caches().join("huggingface"));
    let cache = folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE"));
    cache.unwrap_or_else(|| home().join("hub"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        let all = [
            ("HF_HUB_CACHE", "/a"),
            ("HUGGINGFACE_HUB_CACHE", "/b"),
            ("HF_HOME", "~/c"),
            ("XDG_CACHE_HOME", "/d"),
            ("HOME", "/e"),
        ];
        let cache = |variables: &[(&str, &str)]| {
            cache_of(|name| Some(variables.iter().find(|variable| variable.0 == name)?.1.into()))
        };
        let caches = (0..all.len()).map(|first| cache(&all[first..]));
        let expected = ["/a", "/b", "/e/c/hub", "/d/huggingface/hub", "/e/.cache/huggingface/hub"];
        assert_eq!(caches.collect::<Vec<_>>(), expected.map(PathBuf::from));
        assert_eq!(cache(&[("HF_HUB_CACHE", ""), ("HF_HOME", "/f")]), PathBuf::from("/f/hub"));
    }
}
