//! The rows of parquet files: encoded images and their labels.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::ImageFormat;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use rayon::prelude::*;

use super::columns::{Columns, Label};
use crate::set_read::SetRead;
use crate::{Error, ImageFile};

/// Rows, and bytes of their encoded images, that are held before they are decoded.
const PORTION: usize = 512;
const PORTION_BYTES: usize = 1 << 26;
/// Rows that the parquet library reads at once.
const BATCH: usize = 64;
/// The label of an example that has none, in a column whose classes have names.
const UNLABELED: i128 = -1;

/// Why a file is of no use.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is damaged, and another copy may not be.
    Broken(String),
    /// It is whole, and not what can be read here.
    Refused(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<ParquetError> for Trouble {
    fn from(error: ParquetError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Whether a file has columns that can be read, without reading them. `place` is the file in messages.
pub(super) fn check(path: &Path, place: &str) -> Result<(), Trouble> {
    caught(|| Columns::of(open(path)?.metadata().file_metadata(), place).map(drop).map_err(Trouble::from))
}

/// All rows of a file. `names` are the classes where the file names none.
pub(super) fn read(path: &Path, place: &str, names: Option<&[&str]>) -> Result<SetRead, Trouble> {
    caught(|| read_rows(path, place, names))
}

/// What `read` gives. The parquet library may panic on a malformed file, which is a file that is broken like any other.
fn caught<T>(read: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    let read = catch_unwind(AssertUnwindSafe(read));
    read.unwrap_or_else(|_| Err(Trouble::Broken("not readable as parquet".to_owned())))
}

fn open(path: &Path) -> Result<SerializedFileReader<File>, Trouble> {
    let file = File::open(path).map_err(|error| Trouble::Broken(error.to_string()))?;
    Ok(SerializedFileReader::new(file)?)
}

fn read_rows(path: &Path, place: &str, names: Option<&[&str]>) -> Result<SetRead, Trouble> {
    let reader = open(path)?;
    let file = reader.metadata().file_metadata();
    let mut columns = Columns::of(file, place)?;
    let names = names.map(|names| names.iter().map(|&name| name.to_owned()).collect());
    columns.classes = columns.classes.or(names);
    let mut decoding = Decoding::new(place, columns);
    let rows = RowIter::from_file(Some(decoding.columns.schema()), &reader)?.with_batch_size(BATCH);
    for (number, row) in rows.enumerate() {
        let row = row.map_err(|error| Trouble::Broken(format!("row {number}: {error}")))?;
        decoding.push(row)?;
    }
    match (decoding.rows, file.num_rows()) {
        (0, _) => Err(Trouble::Broken("no rows".to_owned())),
        (rows, promised) if i64::try_from(rows) != Ok(promised) => {
            Err(Trouble::Broken(format!("{rows} of {promised} rows")))
        }
        _ => decoding.finish(),
    }
}

/// A file while its rows come. Memory holds the pixels, and no more than a portion of encoded images.
struct Decoding<'a> {
    place: &'a str,
    columns: Columns,
    rows: usize,
    portion: Vec<ByteArray>,
    bytes: usize,
    read: SetRead,
}

impl<'a> Decoding<'a> {
    fn new(place: &'a str, columns: Columns) -> Self {
        let read = SetRead::new(place, columns.has_labels(), columns.classes.clone(), columns.note.clone());
        Self { place, columns, rows: 0, portion: Vec::new(), bytes: 0, read }
    }

    fn push(&mut self, row: parquet::record::Row) -> Result<(), Trouble> {
        let (image, label) = self.columns.read(row);
        let image =
            image.ok_or_else(|| self.refused(self.rows, "no image", "the bytes of an encoded image"))?;
        if self.columns.has_labels() {
            let class = self.class(label)?;
            self.read.push_class(class);
        }
        self.rows += 1;
        self.bytes += image.len();
        self.portion.push(image);
        match self.portion.len() >= PORTION || self.bytes >= PORTION_BYTES {
            true => self.decode(),
            false => Ok(()),
        }
    }

    fn finish(mut self) -> Result<SetRead, Trouble> {
        self.decode()?;
        Ok(self.read)
    }

    /// Decodes the portion.
    fn decode(&mut self) -> Result<(), Trouble> {
        let first = self.rows - self.portion.len();
        let portion = std::mem::take(&mut self.portion);
        self.bytes = 0;
        let images: Vec<_> = portion.into_par_iter().map(|bytes| decode(bytes.data())).collect();
        for (number, image) in (first..).zip(images) {
            let image = image.map_err(|undecoded| match undecoded {
                Undecoded::Damaged(reason) => Trouble::Broken(format!("row {number}: {reason}")),
                Undecoded::Foreign(found) => self.refused(number, found, "a PNG, JPEG or BMP image"),
            })?;
            self.read.push_image(&place_of(self.place, number), image)?;
        }
        Ok(())
    }

    /// What a label calls its class; none if it says that there is no label.
    fn class(&self, label: Option<Label>) -> Result<Option<String>, Trouble> {
        let (number, classes) = match (label, &self.columns.classes) {
            (None, _) => return Ok(None),
            (Some(Label::Name(name)), _) => return Ok(Some(name)),
            (Some(Label::Number(number)), None) => return Ok(Some(number.to_string())),
            (Some(Label::Number(number)), Some(classes)) => (number, classes),
        };
        let class = usize::try_from(number).ok().and_then(|number| classes.get(number));
        match class {
            None if number != UNLABELED => {
                let expected = format!("0 to {}, or {UNLABELED} for none", classes.len() - 1);
                Err(self.refused(self.rows, format!("the label {number}"), expected))
            }
            class => Ok(class.cloned()),
        }
    }

    fn refused(&self, row: usize, found: impl ToString, expected: impl ToString) -> Trouble {
        Trouble::Refused(Error::unfit(&place_of(self.place, row), found, expected))
    }
}

fn place_of(file: &str, row: usize) -> String {
    format!("{file}, row {row}")
}

/// Why an image could not be decoded.
enum Undecoded {
    Damaged(String),
    /// It is of another form.
    Foreign(String),
}

fn decode(bytes: &[u8]) -> Result<ImageFile, Undecoded> {
    match image::guess_format(bytes) {
        Ok(format) if !ImageFile::is_one(bytes) => Err(Undecoded::Foreign(name_of(format))),
        _ => ImageFile::decode(bytes).map(ImageFile::gray_if_gray).map_err(Undecoded::Damaged),
    }
}

fn name_of(format: ImageFormat) -> String {
    format!("a {} image", format.extensions_str().first().unwrap_or(&"foreign").to_uppercase())
}
