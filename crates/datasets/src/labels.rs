//! The classes of examples as a file gives them: numbers or names.

use std::collections::BTreeSet;

use crate::{Error, Result};

/// The class of each example, as text.
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    /// The file that they are from.
    pub(crate) place: String,
    pub(crate) names: Vec<String>,
}

impl Labels {
    pub(crate) fn new(place: String, names: Vec<String>) -> Self {
        Self { place, names }
    }

    /// The number of each label's class among `classes`.
    ///
    /// # Errors
    /// If a label is not among them.
    pub(crate) fn numbers(&self, classes: &[String]) -> Result<Vec<u32>> {
        let places: std::collections::HashMap<&str, u32> =
            classes.iter().zip(0..).map(|(name, class)| (name.as_str(), class)).collect();
        let number = |name: &String| {
            places.get(name.as_str()).copied().ok_or_else(|| {
                let among = format!("one of the {} classes", classes.len());
                Error::unfit(&self.place, format!("the label {name}"), among)
            })
        };
        self.names.iter().map(number).collect()
    }
}

/// Classes that a dataset may have: a readout has a row for each, and a confusion matrix one and a column.
pub(crate) const MOST_CLASSES: usize = 10_000;

/// All classes that `labels` name, in the order of their numbers where all are whole numbers, else in that of their names.
pub(crate) fn classes_of<'a>(labels: impl IntoIterator<Item = &'a Labels>) -> Vec<String> {
    let names: BTreeSet<&String> = labels.into_iter().flat_map(|labels| &labels.names).collect();
    let mut names: Vec<String> = names.into_iter().cloned().collect();
    sort_classes(&mut names);
    names
}

/// Puts names of classes in order: by number where all are whole numbers, else by name.
pub fn sort_classes(names: &mut [String]) {
    let numbers: Option<Vec<i128>> = names.iter().map(|name| name.parse().ok()).collect();
    match numbers {
        Some(_) => names.sort_by_cached_key(|name| (name.parse::<i128>().unwrap_or_default(), name.clone())),
        None => names.sort(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Labels {
        Labels::new("y".to_owned(), names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn numbers_are_in_their_own_order_and_names_in_that_of_the_alphabet() {
        assert_eq!(classes_of(&[labels(&["10", "9"]), labels(&["-1", "9"])]), ["-1", "9", "10"]);
        assert_eq!(classes_of(&[labels(&["10", "9", "cat"])]), ["10", "9", "cat"]);
    }

    #[test]
    fn a_label_that_is_no_class_is_refused() {
        let classes = classes_of(&[labels(&["cat", "ant"])]);
        assert_eq!(labels(&["cat", "ant"]).numbers(&classes).unwrap(), [1, 0]);
        let refused = labels(&["dog"]).numbers(&classes).unwrap_err().to_string();
        assert_eq!(refused, "y: found the label dog, expected one of the 2 classes");
    }
}
