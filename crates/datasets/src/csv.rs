//! Tables of comma-separated values, as Kaggle and pandas have them: an example per row.
//!
//! The labels are in the column that is named for them; in a table without names, in the only one of text, or else in the first.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord};
use flate2::read::MultiGzDecoder;

use crate::labels::Labels;
use crate::layout::{ExampleShape, Layout};
use crate::raw::{Pixels, Raw, RawSet, Values};
use crate::role::{Part, Set, role_of, set_of};
use crate::table_columns::{Columns, Sought, is_header, is_lost_example, is_number, without_sign};
use crate::{Error, Result};

/// The dataset of the tables among `files`, or none if there is no table.
///
/// # Errors
/// If a table cannot be read.
pub(crate) fn read(files: &[PathBuf], shape: Option<ExampleShape>) -> Result<Option<Raw>> {
    let tables: Vec<(&PathBuf, String)> = files.iter().filter_map(|path| Some((path, stem(path)?))).collect();
    let mut notes = Vec::new();
    let mut names: Option<(Vec<String>, &PathBuf)> = None;
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
        let sought = match labels {
            Some(_) => Sought::Elsewhere,
            None if is_of_images(stem) => Sought::ByName,
            None => Sought::Anywhere,
        };
        let table = Table::open(path, sought)?;
        match &names {
            Some((names, first)) => table.check_names(names, first)?,
            None => names = Some((table.columns.names.clone(), path)),
        }
        let (mut set, said) = table.into_set(shape)?;
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
    Ok(Table::open(path, Sought::Anywhere)?.into_set(shape)?.0)
}

/// The labels of a table that holds nothing else.
pub(crate) fn read_labels(path: &Path) -> Result<Labels> {
    Table::open(path, Sought::Anywhere)?.into_labels()
}

/// Whether a file is a table, which is read or said to be passed over.
pub(crate) fn is_own(path: &Path) -> bool {
    path.is_file() && stem(path).is_some()
}

/// The name of a table without its endings.
fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let lower = name.to_lowercase();
    let endings = [".csv", ".tsv", ".csv.gz", ".tsv.gz"];
    let ending = endings.iter().find(|ending| lower.ends_with(*ending))?;
    name.get(..name.len() - ending.len()).map(str::to_owned)
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
    /// The table in a file, whose labels are where they are `sought`.
    fn open(path: &Path, sought: Sought) -> Result<Self> {
        let place = path.display().to_string();
        let mut reader = reader(path).map_err(|reason| Error::unreadable(path, reason))?;
        let mut row = StringRecord::new();
        if !next(&mut reader, &mut row, &place)? {
            return Err(Error::unfit(&place, "no row", "at least one"));
        }
        let first = without_sign(row.clone());
        let mut more = next(&mut reader, &mut row, &place)?;
        let is_lost = is_lost_example(&first);
        let is_header = !is_lost && is_header(&first, more.then_some(&row));
        let columns = Columns::of(&first, is_header, sought, &place);
        if columns.inputs.is_empty() && columns.label.is_none() {
            return Err(Error::unfit(&place, "no column of values", "at least one"));
        }
        let mut table = Self { place, columns, values: Vec::new(), labels: Vec::new(), rows: 0 };
        if is_lost {
            table
                .columns
                .notes
                .push(format!("{}: the first row is no example: pandas took one for names", table.place));
        } else if !is_header {
            table.add(&first)?;
        }
        while more {
            table.add(&row)?;
            more = next(&mut reader, &mut row, &table.place)?;
        }
        match table.rows {
            0 => Err(Error::unfit(&table.place, "no row of values", "at least one")),
            _ if !is_header && table.labels_count_rows() => {
                let found = "rows that begin with their own number";
                Err(Error::unfit(&table.place, found, "names of columns, or a first column of labels"))
            }
            _ => Ok(table),
        }
    }

    /// Whether what were taken for labels are the numbers of the rows, from 0 or 1 on. A few rows may be labeled so.
    fn labels_count_rows(&self) -> bool {
        const FEW: usize = 10;
        let from = |first: usize| {
            self.labels.iter().zip(first..).all(|(label, number)| *label == number.to_string())
        };
        self.labels.len() > FEW && !self.columns.inputs.is_empty() && (from(0) || from(1))
    }

    /// # Errors
    /// If the inputs are called otherwise than `names`, those of the table `first`.
    fn check_names(&self, names: &[String], first: &Path) -> Result<()> {
        let other = self.columns.names.iter().zip(names).find(|(own, name)| own != name);
        other.map_or(Ok(()), |(own, name)| {
            let expected = format!("`{name}` in its place, as in {}", first.display());
            Err(Error::unfit(&self.place, format!("a column `{own}`"), expected))
        })
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
        let Self { place, columns: Columns { label, inputs, notes, .. }, values, labels, rows } = self;
        if inputs.is_empty() {
            return Err(Error::unfit(&place, "nothing but labels", "columns of values"));
        }
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

/// Reads one more row, if there is one.
fn next(reader: &mut csv::Reader<Box<dyn Read>>, row: &mut StringRecord, place: &str) -> Result<bool> {
    reader.read_record(row).map_err(|error| match error.kind() {
        csv::ErrorKind::Utf8 { .. } => Error::unfit(place, error, "text in UTF-8"),
        _ => Error::unfit(place, error, "text with as many values in every row"),
    })
}

/// The rows of a file, gzipped or not, whose values are apart by whichever of `,`, `;` and tab its first line has most of, or by
/// blanks if it is nothing but numbers between blanks.
fn reader(path: &Path) -> std::io::Result<csv::Reader<Box<dyn Read>>> {
    let mut plain = BufReader::new(File::open(path)?);
    let packed = plain.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let inner: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(plain)) } else { Box::new(plain) };
    let mut text = BufReader::new(inner);
    text.fill_buf()?;
    if [[0xff, 0xfe], [0xfe, 0xff]].iter().any(|mark| text.buffer().starts_with(mark)) {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is UTF-16, not UTF-8"));
    }
    // What Windows puts before text.
    if text.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        text.consume(3);
    }
    let first_line = text.fill_buf()?.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |mark: &u8| first_line.iter().filter(|&byte| byte == mark).count();
    let has_blanks = first_line.split(|&byte| byte == b' ').count() > 1;
    let words = String::from_utf8_lossy(first_line);
    let mark = match [b'\t', b';', b','].iter().max_by_key(|mark| count(mark)) {
        Some(mark) if count(mark) > 0 => *mark,
        _ if has_blanks && words.split_whitespace().all(is_number) => b' ',
        _ => b',',
    };
    let text: Box<dyn Read> = Box::new(text);
    Ok(ReaderBuilder::new().has_headers(false).delimiter(mark).trim(csv::Trim::All).from_reader(text))
}

/// A whole number in its shortest form, or text; none for any other number.
fn label_of(text: &str) -> Option<String> {
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() < 1e15 => Some((number as i64).to_string()),
        Ok(_) => None,
        Err(_) => (!text.is_empty()).then(|| text.to_owned()),
    }
}
