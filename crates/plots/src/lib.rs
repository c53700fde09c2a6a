//! What people look at: receptive fields, curves, confusion matrices, and films of units while they learn.
//!
//! Everything is drawn into a [`Picture`], plain RGB pixels that go out as PNG; a [`Film`] gathers pictures into a GIF.
//! The crate knows tensors and pixels, no rule and no dataset. One font is built in and nothing depends on the clock
//! or the threads, so the same numbers give the same bytes.
//!
//! ```
//! use std::time::Duration;
//!
//! use candle_core::{Device, Tensor};
//! use hebbian_plots::{Film, ReceptiveFields, Scale};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let weights = Tensor::arange(-392f32, 392., &Device::Cpu)?.reshape((1, 784))?;
//! let mut film = Film::new(Duration::from_millis(200));
//! for epoch in 1..=3 {
//!     let fields = ReceptiveFields::new(&weights, (28, 28), (1, 1))
//!         .scale(Scale::PerUnit)
//!         .title(format!("epoch {epoch} of 3"))
//!         .width(300);
//!     film.push(&fields.draw()?)?;
//! }
//! let resumed = Film::open(&film.gif()?)?;
//! assert_eq!(resumed, film);
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod canvas;
mod confusion;
mod curves;
mod error;
mod explanation;
mod film;
mod gray_maps;
mod picture;
mod receptive_fields;
mod red_white_blue;
mod text;

pub use confusion::ConfusionMatrix;
pub use curves::{Curves, Line, Series};
pub use error::{Error, Result};
pub use explanation::{Explanation, VotingUnit};
pub use film::Film;
pub use gray_maps::{GrayMap, film_of_maps, gray_maps};
pub use picture::Picture;
pub use receptive_fields::{ReceptiveFields, Scale};
