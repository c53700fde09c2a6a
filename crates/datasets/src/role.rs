//! What a file or an array is of a dataset, by the name that people give it.

/// Which of the sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Set {
    Train,
    Test,
    Validation,
}

/// What of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Images,
    Labels,
}

const SETS: [(&str, Set); 11] = [
    ("training", Set::Train),
    ("train", Set::Train),
    ("testing", Set::Test),
    ("test", Set::Test),
    ("t10k", Set::Test),
    ("validation", Set::Validation),
    ("valid", Set::Validation),
    ("val", Set::Validation),
    ("dev", Set::Validation),
    ("tr", Set::Train),
    ("te", Set::Test),
];

const IMAGES: [&str; 13] = [
    "x", "xs", "image", "images", "img", "imgs", "data", "input", "inputs", "feature", "features", "pixels",
    "arr0",
];

/// Names of labels, the ones that say it most clearly first.
const LABELS: [&str; 19] = [
    "label",
    "labels",
    "lbl",
    "finelabel",
    "finelabels",
    "coarselabel",
    "coarselabels",
    "target",
    "targets",
    "class",
    "classes",
    "cls",
    "category",
    "categories",
    "species",
    "digit",
    "y",
    "ys",
    "arr1",
];

/// How clearly `name` says that it is of labels, 0 being most; none if it does not.
pub(crate) fn says_label(name: &str) -> Option<usize> {
    let plain = plain(name);
    LABELS.iter().position(|label| *label == plain)
}

/// A name in lower case, without signs.
fn plain(name: &str) -> String {
    name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect()
}

/// The set that `name` tells, and what is left of the name in lower case without signs.
pub(crate) fn set_of(name: &str) -> (Option<Set>, String) {
    let plain = plain(name);
    let ends = |&&(word, _): &&(&str, Set)| plain.starts_with(word) || plain.ends_with(word);
    // Two letters are too few to be found in any word.
    let is_enough = |&&(word, _): &&(&str, Set)| word.len() > 2 || part_of(&without(&plain, word)).is_some();
    match SETS.iter().filter(ends).find(is_enough) {
        Some(&(word, set)) => (Some(set), without(&plain, word)),
        None => (None, plain),
    }
}

fn without(name: &str, word: &str) -> String {
    name.strip_prefix(word).or_else(|| name.strip_suffix(word)).unwrap_or(name).to_owned()
}

fn part_of(rest: &str) -> Option<Part> {
    match rest {
        _ if IMAGES.contains(&rest) => Some(Part::Images),
        _ if LABELS.contains(&rest) => Some(Part::Labels),
        _ => None,
    }
}

/// What `name` tells: its set, if it names one, and its part.
pub(crate) fn role_of(name: &str) -> Option<(Option<Set>, Part)> {
    let (set, rest) = set_of(name);
    Some((set, part_of(&rest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_people_use_are_understood() {
        for name in [
            "x_train",
            "X_train",
            "train_images",
            "train_X",
            "trainX",
            "train-data",
            "X_tr",
            "Training_Inputs",
        ] {
            assert_eq!(role_of(name), Some((Some(Set::Train), Part::Images)), "{name}");
        }
        for name in ["y_test", "Y_test", "test_labels", "testY", "labels_test", "test.targets", "t10k-labels"]
        {
            assert_eq!(role_of(name), Some((Some(Set::Test), Part::Labels)), "{name}");
        }
        for (name, part) in
            [("X", Part::Images), ("images", Part::Images), ("arr_0", Part::Images), ("y", Part::Labels)]
        {
            assert_eq!(role_of(name), Some((None, part)), "{name}");
        }
        for name in ["weights", "train", "mnist", "x_y", "string"] {
            assert_eq!(role_of(name), None, "{name}");
        }
        assert_eq!(set_of("mnist_train"), (Some(Set::Train), "mnist".to_owned()));
        assert_eq!(set_of("x_val").0, Some(Set::Validation));
    }
}
