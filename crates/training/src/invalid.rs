//! The one way in which a setting is refused.

use std::fmt::Display;

/// A setting outside its range: which one, what it was, what is allowed.
///
/// The field is named as in the config (`batch_size`), so that a program can name its own flag for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} = {value} is not allowed: {allowed}")]
pub struct Invalid {
    /// The field's name in the config; `charge.k` for the field of a field.
    pub field: String,
    /// The value that was given.
    pub value: String,
    /// What would have been allowed, in words.
    pub allowed: String,
}

impl Invalid {
    /// `Ok` when `holds`, or the error that names `field`, its `value` and what is `allowed`.
    pub fn unless(holds: bool, field: &str, value: impl Display, allowed: impl Display) -> Result<(), Self> {
        if holds {
            return Ok(());
        }
        Err(Self { field: field.to_owned(), value: value.to_string(), allowed: allowed.to_string() })
    }
}

impl From<Invalid> for candle_core::Error {
    fn from(invalid: Invalid) -> Self {
        candle_core::Error::wrap(invalid)
    }
}
