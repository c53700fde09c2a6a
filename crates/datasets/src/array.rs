//! An array as its file holds it, whatever the file's format: type, shape, order and bytes.

use half::{bf16, f16};

use crate::labels::Labels;
use crate::layout::{ExampleShape, Layout};
use crate::raw::{Pixels, Values};
use crate::{Error, Result};

/// An array of numbers or of text.
#[derive(Debug)]
pub(crate) struct Array {
    /// The file, and the array's name where the file has several.
    pub(crate) place: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Whether the first dimension varies fastest, as in Fortran.
    pub(crate) first_fastest: bool,
    /// The elements, little-endian: as many as the shape says.
    bytes: Vec<u8>,
}

/// What an element is, and how many bytes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dtype {
    pub(crate) kind: Kind,
    pub(crate) size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Unsigned,
    Signed,
    Float,
    /// The upper half of an f32.
    Bfloat,
    /// Bytes of text, filled up with zeros.
    Ascii,
    /// Code points of text of four bytes each, filled up with zeros.
    Unicode,
}

impl Dtype {
    /// Bytes that a big-endian file turns around: an element, or a code point of it.
    fn unit(self) -> usize {
        match self.kind {
            Kind::Ascii => 1,
            Kind::Unicode => 4,
            _ => self.size,
        }
    }

    fn is_whole(self) -> bool {
        matches!(self.kind, Kind::Bool | Kind::Unsigned | Kind::Signed)
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Bool => return write!(f, "bool"),
            Kind::Bfloat => return write!(f, "bf16"),
            Kind::Ascii | Kind::Unicode => return write!(f, "text"),
            Kind::Unsigned => "u",
            Kind::Signed => "i",
            Kind::Float => "f",
        };
        write!(f, "{kind}{}", 8 * self.size)
    }
}

impl Array {
    /// The array whose elements are `bytes`, as they lie in a file.
    ///
    /// # Errors
    /// If they are more or fewer than the shape says, or none.
    pub(crate) fn new(
        place: String,
        dtype: Dtype,
        shape: Vec<usize>,
        big_endian: bool,
        mut bytes: Vec<u8>,
    ) -> Result<Self> {
        let expected = shape.iter().try_fold(dtype.size, |product, &size| product.checked_mul(size));
        if expected != Some(bytes.len()) || bytes.is_empty() {
            let found = format!("{} bytes of values", bytes.len());
            let expected = format!("at least one element, {shape:?} of {} bytes each", dtype.size);
            return Err(Error::unfit(&place, found, expected));
        }
        if big_endian {
            bytes.chunks_exact_mut(dtype.unit()).for_each(<[u8]>::reverse);
        }
        Ok(Self { place, dtype, shape, first_fastest: false, bytes })
    }

    pub(crate) fn unfit(&self, found: impl ToString, expected: impl ToString) -> Error {
        Error::unfit(&self.place, found, expected)
    }

    /// The examples of an array `(examples, ...)`, each of which lies as `shape` says, or else as its own shape tells.
    ///
    /// Whole numbers from 0 to 255 are bytes; all other numbers are f32.
    ///
    /// # Errors
    /// If it has another shape or holds text, or a number that is not finite as f32.
    pub(crate) fn examples(&self, shape: Option<ExampleShape>) -> Result<Pixels> {
        let (layout, note) = Layout::of(&self.shape, self.first_fastest, shape)
            .map_err(|expected| self.unfit(format!("an array of shape {:?}", self.shape), expected))?;
        let values = match (self.dtype.kind, self.dtype.size) {
            (Kind::Unsigned, 1) if layout.is_in_order() => Values::Bytes(self.bytes.clone()),
            (Kind::Unsigned, 1) => Values::Bytes(layout.places().map(|place| self.bytes[place]).collect()),
            _ => self.numbers(&layout)?,
        };
        let (place, shape) = (self.place.clone(), layout.image());
        Ok(Pixels { place, shape, values, are_numbers: true, note })
    }

    fn numbers(&self, layout: &Layout) -> Result<Values> {
        let number = self.number()?;
        let size = self.dtype.size;
        let at = |place: usize| number(&self.bytes[size * place..size * (place + 1)]);
        if self.dtype.is_whole() && layout.places().all(|place| (0.0..=255.0).contains(&at(place))) {
            return Ok(Values::Bytes(layout.places().map(|place| at(place) as u8).collect()));
        }
        let mut values = Vec::with_capacity(self.bytes.len() / size);
        for place in layout.places() {
            let value = at(place) as f32;
            if !value.is_finite() {
                let example = values.len() / layout.image().inputs();
                return Err(self.unfit(format!("{} in example {example}", at(place)), "finite numbers"));
            }
            values.push(value);
        }
        Ok(Values::Floats(values))
    }

    /// How an element is read as a number; exact for whole numbers up to 2^53.
    fn number(&self) -> Result<fn(&[u8]) -> f64> {
        /// The element of a fixed size.
        fn of<const N: usize>(bytes: &[u8]) -> [u8; N] {
            bytes.first_chunk().copied().unwrap_or([0; N])
        }
        Ok(match (self.dtype.kind, self.dtype.size) {
            (Kind::Bool, 1) => |bytes| f64::from(u8::from(bytes[0] != 0)),
            (Kind::Unsigned, 1) => |bytes| bytes[0].into(),
            (Kind::Unsigned, 2) => |bytes| u16::from_le_bytes(of(bytes)).into(),
            (Kind::Unsigned, 4) => |bytes| u32::from_le_bytes(of(bytes)).into(),
            (Kind::Unsigned, 8) => |bytes| u64::from_le_bytes(of(bytes)) as f64,
            (Kind::Signed, 1) => |bytes| i8::from_le_bytes(of(bytes)).into(),
            (Kind::Signed, 2) => |bytes| i16::from_le_bytes(of(bytes)).into(),
            (Kind::Signed, 4) => |bytes| i32::from_le_bytes(of(bytes)).into(),
            (Kind::Signed, 8) => |bytes| i64::from_le_bytes(of(bytes)) as f64,
            (Kind::Float, 2) => |bytes| f16::from_le_bytes(of(bytes)).to_f64(),
            (Kind::Float, 4) => |bytes| f32::from_le_bytes(of(bytes)).into(),
            (Kind::Float, 8) => |bytes| f64::from_le_bytes(of(bytes)),
            (Kind::Bfloat, 2) => |bytes| bf16::from_le_bytes(of(bytes)).to_f64(),
            _ => return Err(self.unfit(format!("elements of type {}", self.dtype), "numbers")),
        })
    }

    /// The labels in an array `(examples)` or `(examples, 1)` of whole numbers or text, or `(examples, classes)` with a 1 at
    /// each example's class and 0 elsewhere.
    ///
    /// # Errors
    /// If it has another shape, or holds other numbers.
    pub(crate) fn labels(&self) -> Result<Labels> {
        let texts = match self.shape[..] {
            [_] | [_, 1] => self.bytes.chunks_exact(self.dtype.size).map(|bytes| self.label(bytes)).collect(),
            [_, _] => self.one_hot(),
            _ => Err(self.unfit(
                format!("labels of shape {:?}", self.shape),
                "(examples), (examples, 1) or (examples, classes) with one 1 per row",
            )),
        };
        Ok(Labels::new(self.place.clone(), texts?))
    }

    fn label(&self, bytes: &[u8]) -> Result<String> {
        // Beyond this, two numbers of 64 bits may be one f64.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let text = |points: &mut dyn Iterator<Item = u32>| {
            let points = points.take_while(|&point| point != 0);
            points.map(|point| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        };
        // What pandas makes text of where a label is missing.
        let not_missing = |name: String| match name.trim().is_empty() || name.eq_ignore_ascii_case("nan") {
            true => Err(self.unfit(format!("the label `{name}`"), "whole numbers or text")),
            false => Ok(name),
        };
        match self.dtype.kind {
            Kind::Unicode => {
                not_missing(text(&mut bytes.as_chunks().0.iter().map(|point| u32::from_le_bytes(*point))))
            }
            Kind::Ascii => {
                let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                not_missing(String::from_utf8_lossy(&bytes[..end]).into_owned())
            }
            _ => match self.number()?(bytes) {
                whole if whole.fract() == 0.0 && whole.abs() < EXACT => Ok((whole as i64).to_string()),
                other => Err(self.unfit(format!("the label {other}"), "whole numbers or text")),
            },
        }
    }

    fn one_hot(&self) -> Result<Vec<String>> {
        let number = self.number()?;
        let (count, classes, size) = (self.shape[0], self.shape[1], self.dtype.size);
        let at = |example: usize, class: usize| {
            let place = if self.first_fastest { class * count + example } else { example * classes + class };
            number(&self.bytes[size * place..size * (place + 1)])
        };
        let class_of = |example: usize| {
            let ones: Vec<usize> = (0..classes).filter(|&class| at(example, class) != 0.0).collect();
            match ones[..] {
                [class] if at(example, class) == 1.0 => Ok(class.to_string()),
                _ => Err(self.unfit(
                    format!("labels of shape {:?} whose row {example} is not one 1 among zeros", self.shape),
                    "(examples), (examples, 1) or (examples, classes) with one 1 per row",
                )),
            }
        };
        (0..count).map(class_of).collect()
    }
}
