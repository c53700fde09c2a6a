//! The film of a rule's receptive fields forming, kept on disk while it is recorded.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use candle_core::Tensor;
use hebbian::LearningRule;
use hebbian_plots::{Film, ReceptiveFields, Scale};
use hebbian_training::replace_file;

/// Frames of a film beside its first.
const FRAMES: usize = 50;
const FRAME_TIME: Duration = Duration::from_millis(150);
const WIDTH: usize = 600;

/// Adds a frame every so many steps, and writes the film before each checkpoint: the file is a whole film at every moment,
/// and holds all that a resumed run needs.
pub(crate) struct FilmRecorder {
    path: PathBuf,
    /// Of which run it is.
    run: String,
    film: Film,
    written: usize,
    image: (usize, usize),
    steps: usize,
}

impl FilmRecorder {
    /// Goes on with the film of the run `run` at `path` where `done` of `steps` are behind, or begins with a frame of `rule` as it
    /// is; `image` is the height and width of a receptive field.
    pub(crate) fn begin<R: LearningRule>(
        (path, run): (PathBuf, &str),
        image: (usize, usize),
        rule: &R,
        (done, steps): (usize, usize),
    ) -> Result<Self> {
        let (run, film) = (run.to_owned(), Film::new(FRAME_TIME));
        let mut recorder = Self { path, run, film, written: 0, image, steps };
        if done > 0 {
            let place = || recorder.path.display().to_string();
            let bytes = std::fs::read(&recorder.path).with_context(place)?;
            let film = unsigned(&bytes, &recorder.run).with_context(place)?;
            recorder.film = Film::open(&film).with_context(place)?;
            recorder.film.truncate(1 + recorder.frames_after(done));
        } else {
            recorder.record(rule, 0)?;
        }
        Ok(recorder)
    }

    /// How many frames beside the first a film has after `step` steps.
    fn frames_after(&self, step: usize) -> usize {
        step * FRAMES.min(self.steps) / self.steps
    }

    fn record<R: LearningRule>(&mut self, rule: &R, step: usize) -> Result<()> {
        let title = format!("{}, step {step} of {}", rule.name(), self.steps);
        let (weights, image) = receptive_fields(rule, self.image)?;
        let fields = ReceptiveFields::new(&weights, image, (10, 10));
        let fields = fields.scale(Scale::PerUnit).few_colors().width(WIDTH).title(title);
        Ok(self.film.push(&fields.draw()?)?)
    }

    /// Sees `rule` after `step` steps.
    pub(crate) fn step<R: LearningRule>(&mut self, rule: &R, step: usize) -> Result<()> {
        match self.frames_after(step) > self.frames_after(step - 1) {
            true => self.record(rule, step),
            false => Ok(()),
        }
    }

    /// Writes the film, if there is more of it than was written.
    pub(crate) fn write(&mut self) -> Result<()> {
        if self.written < self.film.len() {
            let film = signed(self.film.gif()?, &self.run);
            replace_file(&self.path, &film).with_context(|| self.path.display().to_string())?;
            self.written = self.film.len();
        }
        Ok(())
    }
}

/// How a comment of eight characters begins in a GIF, and how it and the file end.
const COMMENT: [u8; 3] = [0x21, 0xfe, 8];
const END: [u8; 2] = [0, b';'];
const SIGNATURE: usize = COMMENT.len() + 8 + END.len();

/// The film with the checksum of it and of its run in a comment at the end.
fn signed(mut film: Vec<u8>, run: &str) -> Vec<u8> {
    let sum = checksum(&film, run);
    film.pop();
    [&film, &COMMENT[..], sum.as_bytes(), &END].concat()
}

/// The film that was [`signed`].
fn unsigned(bytes: &[u8], run: &str) -> Result<Vec<u8>> {
    let film = bytes.len().checked_sub(SIGNATURE).map(|end| [&bytes[..end], b";"].concat());
    let film = film.filter(|film| signed(film.clone(), run) == bytes);
    film.context("it is damaged, or of another run: its checksum is not that of its content")
}

fn checksum(film: &[u8], run: &str) -> String {
    format!("{:08x}", crc32c::crc32c_append(crc32c::crc32c(run.as_bytes()), film))
}

/// The weights of a rule on images of the height and width `image`, and the height and width of what each unit sees: the
/// image, or a square patch of it. The planes of a patch in color lie pixel by pixel.
pub fn receptive_fields(rule: &dyn LearningRule, image: (usize, usize)) -> Result<(Tensor, (usize, usize))> {
    let weights = rule.weights()?;
    let (units, inputs) = weights.dims2()?;
    if inputs.is_multiple_of(image.0 * image.1) {
        return Ok((weights, image));
    }
    let square = |channels: &usize| (inputs / channels).isqrt().pow(2) * channels == inputs;
    let channels = [1, 3].into_iter().find(square).context("weights that are no square patches")?;
    let pixels = weights.reshape((units, channels, inputs / channels))?.transpose(1, 2)?.contiguous()?;
    let side = (inputs / channels).isqrt();
    Ok((pixels.flatten_from(1)?, (side, side)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_of_another_run_and_one_with_a_flipped_bit_are_refused() {
        let film = b"GIF89a and frames;";
        let whole = signed(film.to_vec(), "of these settings");
        assert_eq!(unsigned(&whole, "of these settings").unwrap(), film);
        unsigned(&whole, "of others").unwrap_err();
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unsigned(&flipped, "of these settings").is_err(), "bit {bit}");
        }
        unsigned(b";", "of these settings").unwrap_err();
    }
}
