//! What went wrong, as the exception that a Python user expects.

use std::any::Any;
use std::io;

use pyo3::PyErr;
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};

/// More memory would be needed than the machine has.
#[derive(Debug)]
pub struct TooLarge(pub String);

impl std::fmt::Display for TooLarge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl std::error::Error for TooLarge {}

/// The exception for `error`: `MemoryError`, `OSError` of the right kind, or `ValueError`.
pub fn exception(error: anyhow::Error) -> PyErr {
    let error = match error.downcast::<PyErr>() {
        Ok(raised) => return raised,
        Err(error) => error,
    };
    // candle's errors may carry a backtrace below what they say.
    let text = format!("{error:#}");
    let text = text.lines().next().unwrap_or_default().to_owned();
    if error.is::<TooLarge>() {
        return PyMemoryError::new_err(text);
    }
    match error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()) {
        Some(cause) => io::Error::new(cause.kind(), text).into(),
        None => PyValueError::new_err(text),
    }
}

/// The exception for a panic, which is a fault of this package.
pub fn fault(panic: Box<dyn Any + Send>) -> PyErr {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    PyRuntimeError::new_err(format!("hebbian failed inside: {}", text.unwrap_or_default()))
}
