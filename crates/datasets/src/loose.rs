//! Images and labels in single files, as they are given to a trained layer.

use std::path::Path;

use candle_core::Tensor;

use crate::array::Array;
use crate::idx::Idx;
use crate::labels::Labels;
use crate::layout::ExampleShape;
use crate::raw::{Pixels, RawSet, Values};
use crate::role::{Part, Set, role_of};
use crate::{Error, ImageFile, ImageShape, Result, csv, idx_dir, npy, npz, tensors};

/// The images of one file.
#[derive(Debug)]
pub struct Loose {
    /// Their form.
    pub shape: ImageShape,
    /// Bytes or f32, `(images, inputs)`.
    pub images: Tensor,
    /// What each is labeled with in the same file.
    pub labels: Option<Vec<String>>,
    /// Whether the file is an image, and no array or table of them.
    pub is_image: bool,
    /// What of their form was not certain.
    pub note: Option<String>,
}

/// What a file is, by its first bytes and, where these can be anything, by its ending.
enum Form {
    Image,
    Npy,
    Npz,
    Safetensors,
    Table,
    Idx,
}

impl Form {
    fn of(path: &Path) -> Result<Self> {
        use std::io::Read;
        let mut first = Vec::new();
        let file = std::fs::File::open(path).map_err(|reason| Error::unreadable(path, reason))?;
        file.take(8).read_to_end(&mut first).map_err(|reason| Error::unreadable(path, reason))?;
        let name = path.to_string_lossy().to_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        match first[..] {
            _ if first.starts_with(npy::MAGIC) => Ok(Self::Npy),
            [b'P', b'K', 3, 4, ..] => Ok(Self::Npz),
            _ if ends(&[".safetensors"]) => Ok(Self::Safetensors),
            _ if ends(&[".csv", ".tsv", ".csv.gz", ".tsv.gz"]) => Ok(Self::Table),
            [0, 0, ..] | [0x1f, 0x8b, ..] => Ok(Self::Idx),
            _ if ImageFile::is_one(&first) || ends(&[".png", ".jpg", ".jpeg", ".bmp"]) => Ok(Self::Image),
            _ => {
                let expected = "an image (PNG, JPEG, BMP), npy, npz, safetensors, CSV or IDX";
                Err(Error::unfit(&path.display().to_string(), "a file of another kind", expected))
            }
        }
    }
}

/// The images in a file of any of the forms that a dataset can have: an image, or an array or a table of them. Of a file with
/// several sets, those for testing.
///
/// # Errors
/// If the file cannot be read or is of none of these forms.
pub fn read_loose(path: &Path, shape: Option<ExampleShape>) -> Result<Loose> {
    let unlabeled = |images: Pixels| RawSet { images, labels: None };
    let form = Form::of(path)?;
    let is_image = matches!(form, Form::Image);
    let set = match form {
        Form::Image => {
            let image = ImageFile::read(path)?;
            let place = path.display().to_string();
            let values = Values::Bytes(image.pixels);
            unlabeled(Pixels { place, shape: image.shape, values, are_numbers: false, note: None })
        }
        Form::Npy => unlabeled(npy::open(path)?.examples(shape)?),
        Form::Npz => named(path, npz::names(path)?, npz::open, shape)?,
        Form::Safetensors => named(path, tensors::names(path)?, tensors::open, shape)?,
        Form::Table => csv::read_one(path, shape)?,
        Form::Idx => idx_dir::raw(Idx::open(path)?, None),
    };
    let RawSet { images: Pixels { shape, values, note, are_numbers, .. }, labels } = set;
    let values = if are_numbers && values.are_bits() { values.into_floats() } else { values };
    let images = values.tensor(shape.inputs())?;
    Ok(Loose { shape, images, labels: labels.map(|labels| labels.names), is_image, note })
}

type Open = fn(&Path, &str) -> Result<Array>;

/// Images and labels among the arrays of a file: those for testing, else those of no set, else those for training.
fn named(path: &Path, names: Vec<String>, open: Open, shape: Option<ExampleShape>) -> Result<RawSet> {
    let sets = [Some(Set::Test), None, Some(Set::Train)];
    let find = |set, part| names.iter().find(|name| role_of(name) == Some((set, part)));
    let only = match &names[..] {
        [only] => Some((None, only)),
        _ => None,
    };
    let found = sets.iter().find_map(|&set| Some((set, find(set, Part::Images)?)));
    let Some((set, images)) = found.or(only) else {
        let expected = "an array with a name like images, x or x_test";
        return Err(Error::unfit(&path.display().to_string(), names.join(", "), expected));
    };
    let images = open(path, images)?.examples(shape)?;
    let labels = find(set, Part::Labels).map(|name| open(path, name)?.labels()).transpose()?;
    Ok(RawSet { images, labels })
}

/// The labels in a file of any of these forms: numbers or text, in an array, a table or an IDX file.
///
/// # Errors
/// If the file cannot be read or holds no labels.
pub fn read_labels(path: &Path) -> Result<Vec<String>> {
    let among = |names: Vec<String>, open: Open| -> Result<Labels> {
        let role = |name: &&String| role_of(name).is_some_and(|(_, part)| part == Part::Labels);
        let test = |name: &&String| role_of(name) == Some((Some(Set::Test), Part::Labels));
        let found = names.iter().find(test).or_else(|| names.iter().find(role));
        let only = if names.len() == 1 { names.first() } else { None };
        let refused = || {
            Error::unfit(
                &path.display().to_string(),
                names.join(", "),
                "an array with a name like y or labels",
            )
        };
        open(path, found.or(only).ok_or_else(refused)?)?.labels()
    };
    let labels = match Form::of(path)? {
        Form::Npy => npy::open(path)?.labels()?,
        Form::Npz => among(npz::names(path)?, npz::open)?,
        Form::Safetensors => among(tensors::names(path)?, tensors::open)?,
        Form::Table => csv::read_labels(path)?,
        Form::Idx => return Ok(Idx::<1>::open(path)?.data.iter().map(u8::to_string).collect()),
        Form::Image => return Err(Error::unfit(&path.display().to_string(), "an image", "labels")),
    };
    Ok(labels.names)
}
