//! What can go wrong between a tensor and a picture.

use std::path::PathBuf;

use plotters::drawing::DrawingAreaErrorKind;

/// A picture that could not be drawn, written or read back; each message is one line and names what is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A picture was asked for that cannot be drawn.
    #[error("`{argument}` is {value}; expected {expected}")]
    Argument {
        /// The argument's name in the builder or the struct.
        argument: &'static str,
        /// What it was.
        value: String,
        /// What is allowed.
        expected: String,
    },
    /// A tensor could not be copied to the host.
    #[error("the weights could not be read: {0}")]
    Weights(#[from] candle_core::Error),
    /// The built-in font was refused by the font library.
    #[error("the built-in font cannot be read: {0}")]
    Font(#[from] ab_glyph::InvalidFont),
    /// Plotters gave up.
    #[error("the chart could not be drawn: {0}")]
    Chart(String),
    /// The pixels could not be encoded as PNG.
    #[error("the PNG could not be written: {0}")]
    Png(#[from] png::EncodingError),
    /// The frames could not be encoded as GIF.
    #[error("the GIF could not be written: {0}")]
    Gif(#[from] gif::EncodingError),
    /// The bytes are not a film that [`Film::gif`](crate::Film::gif) wrote.
    #[error("not a film of this crate: {0}")]
    NotAFilm(String),
    /// The picture's file could not be written.
    #[error("{} could not be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn argument(
        argument: &'static str,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Argument { argument, value: value.to_string(), expected: expected.into() }
    }
}

impl From<DrawingAreaErrorKind<Self>> for Error {
    fn from(error: DrawingAreaErrorKind<Self>) -> Self {
        Self::Chart(error.to_string())
    }
}

/// The result of drawing.
pub type Result<T> = std::result::Result<T, Error>;
