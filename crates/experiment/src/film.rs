//! The film of a rule's receptive fields forming, kept on disk while it is shot.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use candle_core::Error;
use hebbian::{Epoch, LearningRule};
use hebbian_plots::{Film, ReceptiveFields};
use hebbian_training::{Observer, replace_file};

/// Frames of a film beside its first: long trainings are filmed every few epochs.
const FRAMES: usize = 50;
const FRAME_TIME: Duration = Duration::from_millis(200);
const WIDTH: usize = 600;

/// Adds a frame after an epoch. The file is a whole film at every moment, and holds all that a resumed run needs.
pub(crate) struct Shooting {
    path: PathBuf,
    film: Film,
    image: (usize, usize),
    epochs: usize,
}

impl Shooting {
    /// Goes on with the film at `path` where `epochs_done` of `epochs` are behind, or begins with a frame of `rule` as
    /// it is; `image` is the height and width of a receptive field.
    pub(crate) fn begin<R: LearningRule>(
        path: PathBuf,
        image: (usize, usize),
        rule: &R,
        (epochs_done, epochs): (usize, usize),
    ) -> Result<Self> {
        let mut shooting = Self { path, film: Film::new(FRAME_TIME), image, epochs };
        if epochs_done > 0 {
            let bytes = std::fs::read(&shooting.path).with_context(|| shooting.path.display().to_string())?;
            shooting.film = Film::open(&bytes).with_context(|| shooting.path.display().to_string())?;
            shooting.film.truncate(1 + (1..=epochs_done).filter(|&epoch| shooting.is_filmed(epoch)).count());
        } else {
            shooting.shoot(rule, 0)?;
        }
        Ok(shooting)
    }

    fn is_filmed(&self, epoch: usize) -> bool {
        let frame = |epoch: usize| epoch * FRAMES / self.epochs.max(FRAMES);
        self.epochs <= FRAMES || frame(epoch) > frame(epoch - 1)
    }

    fn shoot<R: LearningRule>(&mut self, rule: &R, epoch: usize) -> Result<()> {
        let title = format!("{}, epoch {epoch} of {}", rule.name(), self.epochs);
        let fields = ReceptiveFields::new(&rule.weights()?, self.image, (10, 10)).width(WIDTH).title(title);
        self.film.push(&fields.draw()?)?;
        replace_file(&self.path, &self.film.gif()?).with_context(|| self.path.display().to_string())
    }
}

impl<R: LearningRule> Observer<Epoch<'_, R>> for Shooting {
    fn observe(&mut self, event: &Epoch<'_, R>) -> candle_core::Result<()> {
        let epoch = event.fit.epoch();
        if !self.is_filmed(epoch) {
            return Ok(());
        }
        self.shoot(event.rule, epoch).map_err(|error| Error::msg(format!("{error:#}")))
    }
}
