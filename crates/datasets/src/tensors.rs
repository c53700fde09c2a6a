//! The tensors of a safetensors file.

use std::path::Path;

use safetensors::{Dtype as Stored, SafeTensors};

use crate::array::{Array, Dtype, Kind};
use crate::{Error, Result};

/// The names of the tensors in a file.
pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
    with(path, |tensors| Ok(tensors.names().into_iter().map(str::to_owned).collect()))
}

/// One of its tensors.
pub(crate) fn open(path: &Path, name: &str) -> Result<Array> {
    let place = format!("{}, tensor {name}", path.display());
    with(path, |tensors| {
        let view = tensors.tensor(name).map_err(|error| Error::unfit(&place, error, "a tensor"))?;
        let (kind, size) = match view.dtype() {
            Stored::BOOL => (Kind::Bool, 1),
            Stored::U8 => (Kind::Unsigned, 1),
            Stored::U16 => (Kind::Unsigned, 2),
            Stored::U32 => (Kind::Unsigned, 4),
            Stored::U64 => (Kind::Unsigned, 8),
            Stored::I8 => (Kind::Signed, 1),
            Stored::I16 => (Kind::Signed, 2),
            Stored::I32 => (Kind::Signed, 4),
            Stored::I64 => (Kind::Signed, 8),
            Stored::F16 => (Kind::Float, 2),
            Stored::F32 => (Kind::Float, 4),
            Stored::F64 => (Kind::Float, 8),
            Stored::BF16 => (Kind::Bfloat, 2),
            other => return Err(Error::unfit(&place, format!("elements of type {other:?}"), "numbers")),
        };
        Array::new(place.clone(), Dtype { kind, size }, view.shape().to_vec(), false, view.data().to_vec())
    })
}

fn with<T>(path: &Path, then: impl FnOnce(&SafeTensors<'_>) -> Result<T>) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|reason| Error::unreadable(path, reason))?;
    let tensors = SafeTensors::deserialize(&bytes);
    let place = path.display().to_string();
    then(&tensors.map_err(|error| Error::unfit(&place, error, "a safetensors file"))?)
}
