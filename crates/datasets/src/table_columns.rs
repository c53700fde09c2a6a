//! What the columns of a table are: whether its first row names them, which has the labels, which are inputs.

use std::collections::HashMap;

use csv::StringRecord;

use crate::role::says_label;

/// Names of columns that number the rows: no inputs. pandas leaves the first one without a name.
const ROW_NUMBERS: [&str; 6] = ["id", "imageid", "index", "idx", "unnamed: 0", ""];

/// Where the labels of a table are looked for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Sought {
    /// In another file.
    Elsewhere,
    /// In a column that is named for them.
    ByName,
    /// There, or in one of a table without names.
    Anywhere,
}

/// What the columns of a table are.
pub(crate) struct Columns {
    pub(crate) label: Option<usize>,
    pub(crate) inputs: Vec<usize>,
    /// What the inputs are called, in a table with names.
    pub(crate) names: Vec<String>,
    /// What to say of them.
    pub(crate) notes: Vec<String>,
}

impl Columns {
    /// Those of a table with this first row.
    pub(crate) fn of(first: &StringRecord, is_header: bool, sought: Sought, place: &str) -> Self {
        let all = || 0..first.len();
        let mut named: Vec<(usize, usize)> =
            all().filter(|_| is_header).filter_map(|at| Some((says_label(&first[at])?, at))).collect();
        named.sort();
        let label = match sought {
            Sought::Elsewhere => None,
            _ if is_header => named.first().map(|&(_, column)| column),
            Sought::ByName => None,
            // The only text among numbers is the label; without any, it comes first.
            Sought::Anywhere => {
                first.iter().position(|text| !is_number(text) && !is_missing(text)).or(Some(0))
            }
        };
        // Beside labels of another name, y is a coordinate.
        let is_coordinate = |at: usize| label.is_some() && first[at].eq_ignore_ascii_case("y");
        let is_other_label = |at: usize| named.iter().any(|&(_, other)| other == at) && !is_coordinate(at);
        let is_left = |at: usize| is_header && (numbers_rows(&first[at]) || is_other_label(at));
        let inputs: Vec<usize> = all().filter(|&at| Some(at) != label && !is_left(at)).collect();
        let left = all().filter(|&at| Some(at) != label && is_left(at));
        let mut notes: Vec<String> =
            left.map(|at| format!("{place}: column `{}` is passed over", &first[at])).collect();
        match label {
            None if is_header && sought != Sought::Elsewhere => {
                notes.push(format!("{place}: no column is named label"));
            }
            Some(column) if !is_header && !inputs.is_empty() => {
                notes
                    .push(format!("{place}: without names of columns, the labels are column {}", column + 1));
            }
            _ => {}
        }
        let names = inputs.iter().filter(|_| is_header).map(|&at| first[at].to_owned()).collect();
        Self { label, inputs, names, notes }
    }
}

fn numbers_rows(name: &str) -> bool {
    ROW_NUMBERS.contains(&name.to_lowercase().as_str())
}

/// The first row without the sign that NumPy puts before names.
pub(crate) fn without_sign(row: StringRecord) -> StringRecord {
    match row.get(0).is_some_and(|text| text.starts_with('#')) {
        true => row.iter().map(|text| text.trim_start_matches('#').trim()).collect(),
        false => row,
    }
}

/// Whether a table's `first` row names its columns: beside names that are known, or that have numbers below them, there are no
/// numbers, or the columns' own.
pub(crate) fn is_header(first: &StringRecord, second: Option<&StringRecord>) -> bool {
    let is_known = |at: usize| {
        let is_name = |second: &StringRecord| !is_number(&first[at]) && second.get(at).is_some_and(is_number);
        says_label(&first[at]).is_some() || numbers_rows(&first[at]) || second.is_some_and(is_name)
    };
    let others: Vec<&str> = (0..first.len()).filter(|&at| !is_known(at)).map(|at| &first[at]).collect();
    let numbered_from =
        |first: usize| others.iter().zip(first..).all(|(text, number)| **text == number.to_string());
    let known = others.len() < first.len();
    match others[..] {
        [] => true,
        [_] if !known => false,
        _ if others.iter().all(|text| !is_number(text)) => true,
        // Few numbers in a row may be an example.
        _ => (known || others.len() >= 8) && (numbered_from(0) || numbered_from(1)),
    }
}

/// Whether a cell says that its value is missing.
fn is_missing(text: &str) -> bool {
    ["", "?", "-", "na", "n/a", "null", "none"].contains(&text.to_lowercase().as_str())
}

/// Whether a first row was an example until pandas took it for names, and numbered those that it had before: `0,0.1,0.2`.
pub(crate) fn is_lost_example(first: &StringRecord) -> bool {
    const FEW: usize = 3;
    let (mut seen, mut numbered) = (HashMap::<&str, usize>::new(), 0);
    first.iter().all(is_number)
        && first.iter().all(|text| {
            let (value, number) = match text.split_once('.') {
                Some((value, number)) => (value, number.parse().ok()),
                None => (text, Some(0)),
            };
            numbered += usize::from(number > Some(0));
            let before = seen.entry(value).or_default();
            *before += 1;
            number == Some(*before - 1)
        })
        && numbered >= FEW
}

pub(crate) fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}
