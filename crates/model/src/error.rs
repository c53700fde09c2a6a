//! What can go wrong between a file and an answer.

use std::path::PathBuf;

use hebbian_training::CheckpointError;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a model was not made, saved, loaded or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file was not read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),

    /// The file is a checkpoint, but of no model that can be used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with what it holds.
        source: Box<Error>,
    },

    /// What the file says of its model is not what it must be.
    #[error("the checkpoint's model: {0}")]
    Description(serde_json::Error),

    /// The parts of a model do not fit each other.
    #[error("{0}")]
    Mismatch(String),

    /// The model was asked for classes.
    #[error("the model has no readout, so it knows no classes")]
    NoReadout,

    /// An answer that is no answer.
    #[error("the {0} are not finite: the weights are too large for the images, or damaged")]
    NotFinite(&'static str),

    /// The images were not taken.
    #[error(transparent)]
    Images(#[from] hebbian_datasets::Error),

    /// A tensor operation failed, or a rule refused its state.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
