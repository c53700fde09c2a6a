//! The IDX format: two zero bytes, the element type, the number of dimensions, each dimension as a big-endian `u32`,
//! then the elements, the last dimension varying fastest. Source: the MNIST page of LeCun, Cortes and Burges.
//!
//! A header is a claim. Memory is taken for a claim only once the length of the file agrees with it; where the length
//! is not known, as in gzip, memory grows with the bytes that arrive, up to one more than the header claims. A claim of more than
//! memory holds is refused.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use hebbian_training::fits;

use crate::{Error, Result};

const UNSIGNED_BYTE: u8 = 0x08;
/// What a gzipped file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An array of unsigned bytes with `N` dimensions, none of them zero, and the name of the file it came from.
pub(crate) struct Idx<const N: usize> {
    pub(crate) file: String,
    pub(crate) dims: [u32; N],
    pub(crate) data: Vec<u8>,
}

impl<const N: usize> Idx<N> {
    const HEADER: u64 = 4 + 4 * N as u64;

    /// Reads a file, gzipped or plain, whatever its name.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let unreadable = |reason| Error::Read { file: file.clone(), offset: 0, reason };
        let mut plain = BufReader::new(File::open(path).map_err(unreadable)?);
        if plain.fill_buf().map_err(unreadable)?.starts_with(&GZIP) {
            Self::read(file, MultiGzDecoder::new(plain), None)
        } else {
            let length = plain.get_ref().metadata().map_err(unreadable)?.len();
            Self::read(file, plain, Some(length))
        }
    }

    /// Reads `reader` to its end. `length` is the number of bytes it holds, header included, where that is known.
    pub(crate) fn read(file: String, mut reader: impl Read, length: Option<u64>) -> Result<Self> {
        let mut header = Vec::new();
        fill(&mut header, reader.by_ref().take(Self::HEADER), &file, 0)?;
        let dims = Self::dims(&header, &file)?;
        let end = Self::end(&dims, &file)?;

        if let Some(length) = length {
            Self::check_length(length, end, &dims, &file)?;
        }
        let size = usize::try_from(end - Self::HEADER).unwrap_or(usize::MAX);
        fits(&[size], 1).map_err(|too_large| malformed(&file, 4, too_large, "what fits into memory"))?;
        let mut data = Vec::with_capacity(if length.is_some() { size } else { 0 });
        fill(&mut data, reader.take(end - Self::HEADER + 1), &file, Self::HEADER)?;
        Self::check_length(Self::HEADER + data.len() as u64, end, &dims, &file)?;
        Ok(Self { file, dims, data })
    }

    /// The dimensions that a header declares; it may be cut short.
    fn dims(header: &[u8], file: &str) -> Result<[u32; N]> {
        if let Some(&[first, second]) = header.first_chunk()
            && [first, second] != [0, 0]
        {
            let found = format!("bytes {first:02x} {second:02x}");
            return Err(malformed(file, 0, found, "00 00, as an IDX file begins"));
        }
        if let Some(&element) = header.get(2)
            && element != UNSIGNED_BYTE
        {
            let found = format!("element type {element:#04x}");
            return Err(malformed(file, 2, found, format!("{UNSIGNED_BYTE:#04x}, unsigned bytes")));
        }
        if let Some(&count) = header.get(3)
            && usize::from(count) != N
        {
            return Err(malformed(file, 3, format!("{count} dimensions"), N));
        }
        if (header.len() as u64) < Self::HEADER {
            let expected = format!("a header of {} bytes", Self::HEADER);
            return Err(malformed(file, header.len() as u64, "the end of the file", expected));
        }

        let mut dims = [0; N];
        for (dim, bytes) in dims.iter_mut().zip(header[4..].as_chunks().0) {
            *dim = u32::from_be_bytes(*bytes);
        }
        match dims.iter().position(|&dim| dim == 0) {
            Some(zero) => Err(malformed(file, 4 + 4 * zero as u64, "a dimension of 0", "at least 1")),
            None => Ok(dims),
        }
    }

    /// The length that a file with these dimensions has, in bytes.
    fn end(dims: &[u32; N], file: &str) -> Result<u64> {
        let elements = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim.into()));
        elements
            .and_then(|elements| elements.checked_add(Self::HEADER))
            .ok_or_else(|| malformed(file, 4, product(dims), "dimensions whose product fits in 64 bits"))
    }

    fn check_length(length: u64, end: u64, dims: &[u32; N], file: &str) -> Result<()> {
        if length < end {
            let expected = format!("{end} bytes for {}", product(dims));
            Err(malformed(file, length, "the end of the file", expected))
        } else if length > end {
            let expected = format!("the end of the file after {}", product(dims));
            Err(malformed(file, end, "further bytes", expected))
        } else {
            Ok(())
        }
    }
}

/// Appends all of `reader`, whose first byte is byte `offset` of the file.
fn fill(buffer: &mut Vec<u8>, mut reader: impl Read, file: &str, offset: u64) -> Result<()> {
    let outcome = reader.read_to_end(buffer);
    outcome.map(drop).map_err(|reason| unreadable(file, offset + buffer.len() as u64, reason))
}

fn unreadable(file: &str, offset: u64, reason: io::Error) -> Error {
    Error::Read { file: file.to_owned(), offset, reason }
}

fn malformed(file: &str, offset: u64, found: impl ToString, expected: impl ToString) -> Error {
    Error::Malformed {
        file: file.to_owned(),
        offset,
        found: found.to_string(),
        expected: expected.to_string(),
    }
}

/// `60000 x 28 x 28`
fn product(dims: &[u32]) -> String {
    dims.iter().map(u32::to_string).collect::<Vec<_>>().join(" x ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_larger_than_memory_is_refused_by_its_header() {
        let header = [0, 0, 8, 2, 0x80, 0, 0, 0, 0x80, 0, 0, 0];
        // A gzipped file may claim as much in a few bytes.
        for length in [Some(12 + (1 << 62)), None] {
            let outcome = Idx::<2>::read("sparse".into(), &header[..], length);
            let message = outcome.map(|idx| idx.dims).unwrap_err().to_string();
            assert!(
                message.starts_with("sparse: at byte 4: found 4611686018427387904 values need"),
                "{message}"
            );
            assert!(message.ends_with("are there, expected what fits into memory"), "{message}");
        }
    }
}
