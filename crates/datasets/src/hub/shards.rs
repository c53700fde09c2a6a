//! Which of a repository's files are the shards of which set.

use std::collections::{BTreeMap, BTreeSet};

/// The parquet files of the sets, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sets {
    pub(super) train: Vec<String>,
    pub(super) test: Vec<String>,
    /// Files that must be there, as the others tell, and are not.
    pub(super) missing: Vec<String>,
    /// Splits that are neither.
    pub(super) passed_over: Vec<String>,
}

/// A file that is a part of a split.
struct Shard {
    config: String,
    split: String,
    number: usize,
    /// How many there are, where the name tells.
    of: Option<usize>,
    /// Where in the path the number is.
    digits: std::ops::Range<usize>,
    path: String,
}

/// The config of files that name none.
const DEFAULT: &str = "default";
const TRAIN: [&str; 2] = ["train", "training"];
const TEST: [&str; 2] = ["test", "testing"];
/// More shards than any dataset here could have; a name that tells of more is not believed.
const MOST: usize = 100_000;

/// The sets that are among the files `paths` of a repository, in the config `wanted` or else in `default` or the only one there is.
/// A validation set is not taken for a test set.
///
/// # Errors
/// The names of the configs, if there are several and none of them is `wanted` or `default`.
pub(super) fn sets_of(paths: &[String], wanted: Option<&str>) -> Result<Sets, Vec<String>> {
    let mut configs: BTreeMap<String, BTreeMap<String, Vec<Shard>>> = BTreeMap::new();
    for shard in paths.iter().filter_map(|path| Shard::of(path)) {
        let splits = configs.entry(shard.config.clone()).or_default();
        splits.entry(shard.split.clone()).or_default().push(shard);
    }
    let chosen = match configs.len() {
        0 => return Ok(Sets::default()),
        1 if wanted.is_none() => configs.pop_first().map(|(_, splits)| splits),
        _ => configs.remove(wanted.unwrap_or(DEFAULT)),
    };
    let splits = chosen.ok_or_else(|| configs.into_keys().collect::<Vec<_>>())?;
    let mut sets = Sets::default();
    for (split, shards) in splits {
        let is_one_of = |names: [&str; 2]| names.contains(&split.to_lowercase().as_str());
        let (files, missing) = in_order(shards);
        let set = match (is_one_of(TRAIN), is_one_of(TEST)) {
            (true, _) => &mut sets.train,
            (_, true) => &mut sets.test,
            _ => {
                sets.passed_over.push(split);
                continue;
            }
        };
        // Of two splits for one set, such as train and training, the first is taken.
        if !set.is_empty() {
            sets.passed_over.push(split);
            continue;
        }
        *set = files;
        sets.missing.extend(missing);
    }
    Ok(sets)
}

/// The files of a split by their numbers, and those that are missing. What is left of an upload with another number of shards
/// is passed over where one upload is there whole.
fn in_order(shards: Vec<Shard>) -> (Vec<String>, Vec<String>) {
    let mut uploads: BTreeMap<Option<usize>, Vec<Shard>> = BTreeMap::new();
    for shard in shards {
        uploads.entry(shard.of).or_default().push(shard);
    }
    let uploads = uploads.into_iter().map(|(of, mut shards)| {
        shards.sort_by(|a, b| (a.number, &a.path).cmp(&(b.number, &b.path)));
        shards.dedup_by_key(|shard| shard.number);
        let there: BTreeSet<usize> = shards.iter().map(|shard| shard.number).collect();
        let count = of.unwrap_or_else(|| there.last().map_or(0, |last| last + 1));
        let missing = (0..count).filter(|number| !there.contains(number));
        let missing = missing.filter_map(|number| Some(shards.first()?.sibling(number))).collect();
        (shards.into_iter().map(|shard| shard.path).collect(), missing)
    });
    uploads.min_by_key(|(_, missing): &(Vec<String>, Vec<String>)| missing.len()).unwrap_or_default()
}

impl Shard {
    /// What the file `path` is: `[CONFIG/]SPLIT-00000-of-00003[-HASH].parquet`, `[CONFIG/]SPLIT/0000.parquet` or
    /// `[CONFIG/]SPLIT.parquet`, where `data` is no config.
    fn of(path: &str) -> Option<Self> {
        let start = path.rfind('/').map_or(0, |slash| slash + 1);
        let (folder, stem) = (path[..start].trim_end_matches('/'), path[start..].strip_suffix(".parquet")?);
        let (folder, split, number, of, digits) = if let Some((split, number, of)) = numbered(stem) {
            let first = start + split.len() + 1;
            (folder, split, number.parse().ok()?, Some(of), first..first + number.len())
        } else if stem.bytes().all(|sign| sign.is_ascii_digit()) {
            let (folder, split) = folder.rsplit_once('/').unwrap_or(("", folder));
            (folder, split, stem.parse().ok()?, None, start..start + stem.len())
        } else {
            let is_split = TRAIN
                .into_iter()
                .chain(TEST)
                .chain(["validation"])
                .any(|name| stem.eq_ignore_ascii_case(name));
            is_split.then_some((folder, stem, 0, Some(1), start..start))?
        };
        let config = if ["", "data"].contains(&folder) { DEFAULT } else { folder };
        let (config, split) = (config.to_owned(), split.to_owned());
        let is_believed = !split.is_empty() && number < of.unwrap_or(MOST) && of.is_none_or(|of| of <= MOST);
        is_believed.then(|| Self { config, split, number, of, digits, path: path.to_owned() })
    }

    /// The path of another shard.
    fn sibling(&self, number: usize) -> String {
        let width = self.digits.len();
        format!("{}{number:0width$}{}", &self.path[..self.digits.start], &self.path[self.digits.end..])
    }
}

/// `SPLIT-00000-of-00003`, with or without a hash behind it: the split, the digits of the number, and the count.
fn numbered(stem: &str) -> Option<(&str, &str, usize)> {
    let (before, after) = stem.rsplit_once("-of-")?;
    let (split, number) = before.rsplit_once('-')?;
    let count = after.split('-').next()?;
    Some((split, number, count.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(paths: &[&str], wanted: Option<&str>) -> Result<Sets, Vec<String>> {
        sets_of(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>(), wanted)
    }

    #[test]
    fn shards_come_in_the_order_of_their_numbers_in_both_layouts() {
        let converted =
            sets(&["c/train/0001.parquet", "c/test/0000.parquet", "c/train/0000.parquet"], None).unwrap();
        assert_eq!(converted.train, ["c/train/0000.parquet", "c/train/0001.parquet"]);
        assert_eq!(converted.test, ["c/test/0000.parquet"]);
        let main =
            ["data/train-00001-of-00002-ab12.parquet", "data/train-00000-of-00002-cd34.parquet", "README.md"];
        let main = sets(&main, None).unwrap();
        assert_eq!(
            main.train,
            ["data/train-00000-of-00002-cd34.parquet", "data/train-00001-of-00002-ab12.parquet"]
        );
        assert_eq!((main.test.len(), main.missing.len()), (0, 0));
        assert_eq!(sets(&["train.parquet", "rows.parquet"], None).unwrap().train, ["train.parquet"]);
    }

    #[test]
    fn shards_that_the_others_tell_of_are_missing_by_name() {
        let found =
            sets(&["x/train-00002-of-00003.parquet", "x/train-00000-of-00003.parquet"], None).unwrap();
        assert_eq!(found.missing, ["x/train-00001-of-00003.parquet"]);
        assert_eq!(sets(&["x/train/0001.parquet"], None).unwrap().missing, ["x/train/0000.parquet"]);
        assert_eq!(sets(&["train-00000-of-99999999999.parquet"], None).unwrap(), Sets::default());
    }

    #[test]
    fn what_is_left_of_another_upload_is_passed_over() {
        let found =
            sets(&["data/train-00000-of-00001.parquet", "data/train-00001-of-00002.parquet"], None).unwrap();
        assert_eq!(
            (found.train, found.missing),
            (vec!["data/train-00000-of-00001.parquet".to_owned()], vec![])
        );
    }

    #[test]
    fn of_several_configs_the_default_is_taken_or_the_one_that_is_wanted() {
        let two = ["a/train/0000.parquet", "b/train/0000.parquet"];
        assert_eq!(sets(&two, None).unwrap_err(), ["a", "b"]);
        assert_eq!(sets(&two, Some("b")).unwrap().train, ["b/train/0000.parquet"]);
        assert_eq!(sets(&two, Some("c")).unwrap_err(), ["a", "b"]);
        let three = [two[0], two[1], "default/train/0000.parquet"];
        assert_eq!(sets(&three, None).unwrap().train, ["default/train/0000.parquet"]);
    }

    #[test]
    fn a_validation_set_is_no_test_set() {
        let found =
            sets(&["data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"], None)
                .unwrap();
        assert_eq!((found.test.len(), found.passed_over), (0, vec!["validation".to_owned()]));
    }
}
