//! The npy format: a magic number, a version, the length of a header, the header as a Python dict, the values.
//! Source: NumPy's `numpy.lib.format`.
//!
//! The header is read here: it is a dict of three keys, and the library that reads it brings a parser generator for all Python
//! literals.

use std::path::Path;

use crate::array::{Array, Dtype, Kind};
use crate::{Error, Result};

/// What such a file begins with.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// The array of one file.
pub(crate) fn open(path: &Path) -> Result<Array> {
    let bytes = std::fs::read(path).map_err(|reason| Error::unreadable(path, reason))?;
    read(path.display().to_string(), bytes)
}

/// The array in the `bytes` of a file.
pub(crate) fn read(place: String, mut bytes: Vec<u8>) -> Result<Array> {
    let (header, start) = header(&place, &bytes)?;
    let values = bytes.split_off(start);
    let mut array = Array::new(place, header.dtype, header.shape, header.big_endian, values)?;
    array.first_fastest = header.fortran_order;
    Ok(array)
}

struct Header {
    dtype: Dtype,
    big_endian: bool,
    fortran_order: bool,
    shape: Vec<usize>,
}

/// The header, and where the values begin.
fn header(place: &str, bytes: &[u8]) -> Result<(Header, usize)> {
    let cut = || Error::unfit(place, "the end of the file", "the header of an npy file");
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| Error::unfit(place, "other bytes", "93 NUMPY, as an npy file begins"))?;
    let (length, rest) = match rest {
        [1, _, low, high, rest @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(cut()),
    };
    let (text, values) = rest.split_at_checked(length).ok_or_else(cut)?;
    let text = String::from_utf8_lossy(text);
    Ok((parsed(place, text.trim())?, bytes.len() - values.len()))
}

fn parsed(place: &str, text: &str) -> Result<Header> {
    let unclear = || Error::unfit(place, text, "a dict with descr, fortran_order and shape");
    let after = |key: &str| Some(text.split_once(&format!("'{key}':"))?.1.trim_start());
    let descr = after("descr").ok_or_else(unclear)?;
    if descr.starts_with('[') {
        return Err(Error::unfit(place, "a structured array", "an array of numbers or text"));
    }
    let descr = descr.split('\'').nth(1).ok_or_else(unclear)?;
    let (dtype, big_endian) = dtype(descr).ok_or_else(|| match descr.contains('O') {
        true => Error::unfit(place, "Python objects", "an array of numbers or text (array.astype)"),
        false => Error::unfit(place, format!("elements of type {descr}"), "numbers or text"),
    })?;
    let fortran_order = after("fortran_order").ok_or_else(unclear)?.starts_with("True");
    let shape =
        after("shape").and_then(|text| text.strip_prefix('(')?.split_once(')')).ok_or_else(unclear)?.0;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape = sizes.map(str::parse).collect::<std::result::Result<_, _>>().map_err(|_| unclear())?;
    Ok(Header { dtype, big_endian, fortran_order, shape })
}

/// The type that `descr` names, and whether it is big-endian.
fn dtype(descr: &str) -> Option<(Dtype, bool)> {
    let (order, rest) = descr.split_at_checked(1)?;
    let (kind, size) = rest.split_at_checked(1)?;
    let size: usize = size.parse().ok().filter(|size| (1..1 << 20).contains(size))?;
    let (kind, size) = match (kind, size) {
        ("b", 1) => (Kind::Bool, 1),
        ("u", 1 | 2 | 4 | 8) => (Kind::Unsigned, size),
        ("i", 1 | 2 | 4 | 8) => (Kind::Signed, size),
        ("f", 2 | 4 | 8) => (Kind::Float, size),
        ("S", _) => (Kind::Ascii, size),
        ("U", _) => (Kind::Unicode, 4 * size),
        _ => return None,
    };
    matches!(order, "<" | ">" | "|").then_some((Dtype { kind, size }, order == ">"))
}
