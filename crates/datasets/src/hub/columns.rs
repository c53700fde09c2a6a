//! Which columns of a parquet file are the images and the labels, and what the classes are called.

use std::collections::HashSet;

use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::data_type::ByteArray;
use parquet::file::metadata::FileMetaData;
use parquet::record::{Field, Row};
use parquet::schema::types::{Type, TypePtr};

use crate::role::says_label;
use crate::{Error, Result};

/// Names of columns in the order in which they are preferred.
const IMAGES: [&str; 12] = [
    "image",
    "img",
    "images",
    "imgs",
    "picture",
    "pictures",
    "photo",
    "pixel_values",
    "pixels",
    "jpg",
    "jpeg",
    "png",
];
/// The columns of one file.
#[derive(Debug)]
pub(super) struct Columns {
    schema: Type,
    image: String,
    label: Option<String>,
    /// The names of the classes, in order, where the labels are numbers and the file tells them.
    pub(super) classes: Option<Vec<String>>,
    /// What else could have been meant.
    pub(super) note: Option<String>,
}

/// A label as it is stored.
pub(super) enum Label {
    Number(i128),
    Name(String),
}

impl Columns {
    /// The columns of the file `place`.
    ///
    /// # Errors
    /// If it has no column of images, or several of which none has a usual name.
    pub(super) fn of(file: &FileMetaData, place: &str) -> Result<Self> {
        let fields = file.schema().get_fields();
        let named = |field: &TypePtr| field.name().to_owned();
        let images: Vec<&TypePtr> = fields.iter().filter(|field| is_image(field)).collect();
        let image = match (preferred(&images, &IMAGES), &images[..]) {
            (Some(image), _) => image,
            (None, [only]) => *only,
            _ => {
                let found =
                    format!("the columns {}", fields.iter().map(named).collect::<Vec<_>>().join(", "));
                let expected = "one with encoded images (bytes, or a group with bytes), called image or img";
                return Err(Error::unfit(place, found, expected));
            }
        };
        let features = features(file);
        let class_names = |field: &TypePtr| class_names(features.as_ref()?, field.name());
        let labels: Vec<&TypePtr> = fields.iter().filter(|field| is_label(field)).collect();
        let told: Vec<&TypePtr> =
            labels.iter().copied().filter(|field| class_names(field).is_some()).collect();
        let clearest = labels
            .iter()
            .copied()
            .filter_map(|field| Some((says_label(field.name())?, field)))
            .min_by_key(|(rank, _)| *rank);
        let label = clearest.map(|(_, field)| field).or(match told[..] {
            [only] => Some(only),
            _ => None,
        });
        let others = |chosen: &TypePtr| {
            let usual = |field: &TypePtr| says_label(field.name()).is_some();
            let others = labels.iter().filter(|field| usual(field) && field.name() != chosen.name());
            others.map(|field| named(field)).collect::<Vec<_>>()
        };
        let note = label.map(|label| (label, others(label))).filter(|(_, others)| !others.is_empty());
        let schema = Type::group_type_builder(file.schema().name())
            .with_fields([Some(image), label].into_iter().flatten().cloned().collect())
            .build()
            .map_err(|error| Error::unfit(place, error, "a column of images"))?;
        Ok(Self {
            schema,
            image: named(image),
            label: label.map(named),
            classes: label.filter(|label| is_number(label)).and_then(class_names).map(distinct),
            note: note.map(|(label, others)| {
                format!(
                    "the labels are the column {}, and {} is passed over",
                    label.name(),
                    others.join(", ")
                )
            }),
        })
    }

    /// What of the file has to be read.
    pub(super) fn schema(&self) -> Type {
        self.schema.clone()
    }

    pub(super) fn has_labels(&self) -> bool {
        self.label.is_some()
    }

    /// The encoded image and the label of a row, where there are any.
    pub(super) fn read(&self, row: Row) -> (Option<ByteArray>, Option<Label>) {
        let (mut image, mut label) = (None, None);
        for (name, field) in row.into_columns() {
            if name == self.image {
                image = image_in(field);
            } else if Some(&name) == self.label.as_ref() {
                label = label_in(field);
            }
        }
        (image, label)
    }
}

/// The field that has the first of `names`.
fn preferred<'a>(fields: &[&'a TypePtr], names: &[&str]) -> Option<&'a TypePtr> {
    names.iter().find_map(|name| fields.iter().copied().find(|field| field.name().eq_ignore_ascii_case(name)))
}

fn is_repeated(field: &Type) -> bool {
    let basic = field.get_basic_info();
    basic.has_repetition() && basic.repetition() == Repetition::REPEATED
}

fn is_bytes(field: &Type) -> bool {
    field.is_primitive()
        && !is_repeated(field)
        && field.get_physical_type() == Physical::BYTE_ARRAY
        && field.get_basic_info().converted_type() == ConvertedType::NONE
}

fn is_image(field: &TypePtr) -> bool {
    let has_bytes =
        |field: &Type| field.get_fields().iter().any(|field| field.name() == "bytes" && is_bytes(field));
    is_bytes(field) || field.is_group() && !is_repeated(field) && has_bytes(field)
}

fn is_number(field: &TypePtr) -> bool {
    use ConvertedType::{INT_8, INT_16, INT_32, INT_64, NONE, UINT_8, UINT_16, UINT_32, UINT_64};
    let numbers = [NONE, INT_8, INT_16, INT_32, INT_64, UINT_8, UINT_16, UINT_32, UINT_64];
    field.is_primitive()
        && !is_repeated(field)
        && [Physical::INT32, Physical::INT64].contains(&field.get_physical_type())
        && numbers.contains(&field.get_basic_info().converted_type())
}

fn is_label(field: &TypePtr) -> bool {
    let is_text = |field: &TypePtr| {
        let kind = field.get_basic_info().converted_type();
        field.get_physical_type() == Physical::BYTE_ARRAY
            && [ConvertedType::UTF8, ConvertedType::ENUM].contains(&kind)
    };
    is_number(field) || field.is_primitive() && !is_repeated(field) && is_text(field)
}

fn image_in(field: Field) -> Option<ByteArray> {
    match field {
        Field::Bytes(bytes) => Some(bytes),
        Field::Group(group) => group.into_columns().into_iter().find_map(|(name, field)| match field {
            Field::Bytes(bytes) if name == "bytes" => Some(bytes),
            _ => None,
        }),
        _ => None,
    }
}

fn label_in(field: Field) -> Option<Label> {
    let number = |number: i128| Some(Label::Number(number));
    match field {
        Field::Byte(value) => number(value.into()),
        Field::Short(value) => number(value.into()),
        Field::Int(value) => number(value.into()),
        Field::Long(value) => number(value.into()),
        Field::UByte(value) => number(value.into()),
        Field::UShort(value) => number(value.into()),
        Field::UInt(value) => number(value.into()),
        Field::ULong(value) => number(value.into()),
        Field::Str(name) => Some(Label::Name(name)),
        _ => None,
    }
}

/// What Python's `datasets` says of the columns in a file that it wrote.
fn features(file: &FileMetaData) -> Option<serde_json::Value> {
    let pair = file.key_value_metadata()?.iter().find(|pair| pair.key == "huggingface")?;
    let mut said: serde_json::Value = serde_json::from_str(pair.value.as_ref()?).ok()?;
    Some(said.pointer_mut("/info/features")?.take())
}

/// The names of the classes that a column's numbers stand for.
fn class_names(features: &serde_json::Value, column: &str) -> Option<Vec<String>> {
    let names = features.get(column)?.get("names")?.as_array()?;
    let names: Option<Vec<String>> = names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    names.filter(|names| !names.is_empty())
}

/// Names of which no two are equal, as they are in ImageNet: these get the number of their class.
fn distinct(names: Vec<String>) -> Vec<String> {
    let (mut seen, mut doubles) = (HashSet::new(), HashSet::new());
    doubles.extend(names.iter().filter(|name| !seen.insert(*name)).cloned());
    let named = |(class, name): (usize, String)| match doubles.contains(&name) {
        true => format!("{name} ({class})"),
        false => name,
    };
    names.into_iter().enumerate().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_one_name_are_told_apart_by_their_numbers() {
        let names = ["crane", "cat", "crane"].map(str::to_owned).to_vec();
        assert_eq!(distinct(names), ["crane (0)", "cat", "crane (2)"]);
    }
}
