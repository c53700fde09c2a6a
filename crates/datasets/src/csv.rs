//! Tables of comma-separated values, as Kaggle and pandas have them: an example per row.
//!
//! The labels are in the column that is named for them; in a table without names, in the first.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};
use flate2::read::MultiGzDecoder;

use crate::labels::Labels;
use crate::layout::{ExampleShape, Layout};
use crate::raw::{Pixels, Raw, RawSet, Values};
use crate::role::{Part, Set, role_of, set_of};
use crate::{Error, Result};

/// Names of columns that hold labels, in lower case.
const LABELS: [&str; 8] = ["label", "labels", "class", "target", "y", "category", "species", "digit"];
/// Names of columns that number the rows: no inputs. pandas leaves the first one without a name.
const ROW_NUMBERS: [&str; 6] = ["id", "imageid", "index", "idx", "unnamed: 0", ""];

/// The dataset of the tables among `files`, or none if there is no table.
///
/// # Errors
/// If a table cannot be read.
pub(crate) fn read(files: &[PathBuf], shape: Option<ExampleShape>) -> Result<Option<Raw>> {
    let tables: Vec<(&PathBuf, String)> = files.iter().filter_map(|path| Some((path, stem(path)?))).collect();
    let mut notes = Vec::new();
    let mut of = |wanted: Option<Set>| -> Result<Option<RawSet>> {
        let named = tables.iter().filter(|(_, stem)| set_of(stem).0 == wanted);
        let (labels, images): (Vec<_>, Vec<_>) =
            named.partition(|(_, stem)| role_of(stem).is_some_and(|(_, part)| part == Part::Labels));
        let Some((path, stem)) = images.first() else { return Ok(None) };
        if let Some((second, _)) = images.get(1) {
            let expected = format!("only one table for this set, beside {}", path.display());
            return Err(Error::unfit(&second.display().to_string(), "a second table", expected));
        }
        let labels = labels.first();
        let (mut set, said) = Table::open(path, labels.is_none() && !is_of_images(stem))?.into_set(shape)?;
        notes.extend(said);
        if let Some((path, _)) = labels {
            set.labels = Some(read_labels(path)?);
        }
        Ok(Some(set))
    };
    let train = of(Some(Set::Train))?;
    let (train, alone) = match train {
        Some(train) => (Some(train), false),
        None => (of(None)?, true),
    };
    let Some(train) = train else { return Ok(None) };
    let test = of(Some(Set::Test))?;
    let is_used = |stem: &str| {
        matches!(set_of(stem).0, Some(Set::Train | Set::Test)) || alone && set_of(stem).0.is_none()
    };
    notes.extend(
        tables
            .iter()
            .filter(|(_, stem)| !is_used(stem))
            .map(|(path, _)| format!("{} is passed over", path.display())),
    );
    Ok(Some(Raw { form: "csv", train, test, class_names: None, notes }))
}

/// Whether a table is named for inputs alone, as `X_train` is.
fn is_of_images(stem: &str) -> bool {
    role_of(stem).is_some_and(|(_, part)| part == Part::Images) && set_of(stem).1 != "data"
}

/// The images of one table and, where it has them, their labels.
pub(crate) fn read_one(path: &Path, shape: Option<ExampleShape>) -> Result<RawSet> {
    Ok(Table::open(path, true)?.into_set(shape)?.0)
}

/// The labels of a table that holds nothing else.
pub(crate) fn read_labels(path: &Path) -> Result<Labels> {
    Table::open(path, true)?.into_labels()
}

/// The name of a table without its endings.
fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let lower = name.to_lowercase();
    let endings = [".csv", ".tsv", ".csv.gz", ".tsv.gz"];
    let ending = endings.iter().find(|ending| lower.ends_with(*ending))?;
    name.get(..name.len() - ending.len()).map(str::to_owned)
}

/// What the columns of a table are.
struct Columns {
    label: Option<usize>,
    inputs: Vec<usize>,
    /// What to say of them.
    notes: Vec<String>,
}

/// A table, read to its end.
struct Table {
    place: String,
    columns: Columns,
    /// Row by row.
    values: Vec<f32>,
    labels: Vec<String>,
    rows: usize,
}

impl Table {
    /// The table in a file, which has `labels` unless another file has them.
    fn open(path: &Path, labels: bool) -> Result<Self> {
        let place = path.display().to_string();
        let mut reader = reader(path).map_err(|reason| Error::unreadable(path, reason))?;
        let mut row = StringRecord::new();
        let unequal =
            |error: csv::Error| Error::unfit(&place, error, "text with as many values in every row");
        if !reader.read_record(&mut row).map_err(unequal)? {
            return Err(Error::unfit(&place, "no row", "at least one"));
        }
        let is_header = is_header(&row);
        let columns = Columns::of(&row, is_header, labels, &place);
        if columns.inputs.is_empty() && columns.label.is_none() {
            return Err(Error::unfit(&place, "no column of values", "at least one"));
        }
        let mut table =
            Self { place: place.clone(), columns, values: Vec::new(), labels: Vec::new(), rows: 0 };
        let mut more = !is_header || reader.read_record(&mut row).map_err(unequal)?;
        while more {
            table.add(&row)?;
            more = reader.read_record(&mut row).map_err(unequal)?;
        }
        match table.rows {
            0 => Err(Error::unfit(&place, "no row of values", "at least one")),
            _ => Ok(table),
        }
    }

    fn add(&mut self, row: &StringRecord) -> Result<()> {
        let refuse = |column: usize, expected: &str| {
            let line = row.position().map_or(0, csv::Position::line);
            let found = format!("`{}` in line {line}, column {}", &row[column], column + 1);
            Error::unfit(&self.place, found, expected)
        };
        for &column in &self.columns.inputs {
            let value = row[column].parse().ok().filter(|value: &f32| value.is_finite());
            self.values.push(value.ok_or_else(|| refuse(column, "finite numbers"))?);
        }
        if let Some(column) = self.columns.label {
            let label = label_of(&row[column]);
            self.labels.push(label.ok_or_else(|| refuse(column, "labels: whole numbers or text"))?);
        }
        self.rows += 1;
        Ok(())
    }

    /// Images and, where the table has them, labels.
    fn into_set(self, shape: Option<ExampleShape>) -> Result<(RawSet, Vec<String>)> {
        let Self { place, columns: Columns { label, inputs, notes }, values, labels, rows } = self;
        let (layout, note) = Layout::of(&[rows, inputs.len()], false, shape)
            .map_err(|expected| Error::unfit(&place, format!("rows of {} values", inputs.len()), expected))?;
        let shape = layout.image();
        // Channels that come first in a row are brought side by side.
        let values = match layout.is_in_order() {
            true => values,
            false => layout.places().map(|place| values[place]).collect(),
        };
        let is_byte = |value: &f32| value.fract() == 0.0 && (0.0..=255.0).contains(value);
        let values = match values.iter().all(is_byte) {
            true => Values::Bytes(values.into_iter().map(|value| value as u8).collect()),
            false => Values::Floats(values),
        };
        let labels = label.map(|_| Labels::new(place.clone(), labels));
        Ok((RawSet { images: Pixels { place, shape, values, are_numbers: true, note }, labels }, notes))
    }

    /// The labels of a table that holds nothing else, beside numbers of the rows.
    fn into_labels(self) -> Result<Labels> {
        match (self.columns.label, &self.columns.inputs[..]) {
            (Some(_), []) => Ok(Labels::new(self.place, self.labels)),
            (None, [_]) => {
                let texts: Option<Vec<String>> =
                    self.values.iter().map(|value| label_of(&value.to_string())).collect();
                let refused =
                    || Error::unfit(&self.place, "labels that are no whole numbers", "whole numbers or text");
                Ok(Labels::new(self.place.clone(), texts.ok_or_else(refused)?))
            }
            (_, inputs) => Err(Error::unfit(
                &self.place,
                format!("{} columns beside labels", inputs.len()),
                "labels only",
            )),
        }
    }
}

/// The rows of a file, gzipped or not, whose values are apart by whichever of `,`, `;` and tab its first line has most of.
fn reader(path: &Path) -> std::io::Result<csv::Reader<Box<dyn Read>>> {
    let mut plain = BufReader::new(File::open(path)?);
    let packed = plain.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let inner: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(plain)) } else { Box::new(plain) };
    let mut text = BufReader::new(inner);
    // What Windows puts before text.
    if text.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        text.consume(3);
    }
    let first_line = text.fill_buf()?.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |mark: &u8| first_line.iter().filter(|&byte| byte == mark).count();
    let mark = *[b'\t', b';', b','].iter().max_by_key(|mark| count(mark)).unwrap_or(&b',');
    let text: Box<dyn Read> = Box::new(text);
    Ok(ReaderBuilder::new().has_headers(false).delimiter(mark).trim(csv::Trim::All).from_reader(text))
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}

fn is_one_of(text: &str, names: &[&str]) -> bool {
    names.contains(&text.to_lowercase().as_str())
}

/// Whether a table's first row names its columns: beside names that are known there are no numbers, or the columns' own.
fn is_header(row: &StringRecord) -> bool {
    let others: Vec<&str> =
        row.iter().filter(|text| !is_one_of(text, &LABELS) && !is_one_of(text, &ROW_NUMBERS)).collect();
    let numbered_from =
        |first: usize| others.iter().zip(first..).all(|(text, number)| **text == number.to_string());
    let known = others.len() < row.len();
    match others[..] {
        [] => true,
        [_] if row.len() == 1 => false,
        [_] if !known => false,
        _ if others.iter().all(|text| !is_number(text)) => true,
        // Few numbers in a row may be an example.
        _ => (known || others.len() >= 8) && (numbered_from(0) || numbered_from(1)),
    }
}

impl Columns {
    /// Those of a table with this first row.
    fn of(first: &StringRecord, is_header: bool, labels: bool, place: &str) -> Self {
        let named = |names: &[&str]| first.iter().position(|text| is_header && is_one_of(text, names));
        let label = match is_header {
            _ if !labels => None,
            true => named(&LABELS),
            // The only text among numbers is the label; without any, it comes first.
            false => first.iter().position(|text| !is_number(text)).or(Some(0)),
        };
        let numbers_rows = |column: usize| is_header && is_one_of(&first[column], &ROW_NUMBERS);
        let inputs =
            (0..first.len()).filter(|&column| Some(column) != label && !numbers_rows(column)).collect();
        let skipped = (0..first.len()).filter(|&column| numbers_rows(column));
        let skipped = skipped.map(|column| format!("{place}: column `{}` is passed over", &first[column]));
        let without =
            (label.is_none() && is_header && labels).then(|| format!("{place}: no column is named label"));
        Self { label, inputs, notes: skipped.chain(without).collect() }
    }
}

/// A whole number in its shortest form, or text; none for any other number.
fn label_of(text: &str) -> Option<String> {
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() < 1e15 => Some((number as i64).to_string()),
        Ok(_) => None,
        Err(_) => (!text.is_empty()).then(|| text.to_owned()),
    }
}
