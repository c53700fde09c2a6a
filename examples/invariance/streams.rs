//! What the two layers learn from, and what they are judged by.

use anyhow::Result;
use candle_core::{Device, Tensor};
use candle_nn::Module;
use hebbian::Invariance;
use hebbian_datasets::{Examples, Ribbon, Tapestry, Walk, transforms};
use hebbian_experiment::Subject;
use hebbian_training::Generator;
use serde_json::{Value, json};

use crate::{Arguments, Video};
/// Where the frames begin by which choices are made, and those that are reported.
pub(crate) const VALIDATION_START: usize = 10_000;
pub(crate) const TEST_START: usize = 20_000;
/// The digits of the notebook's tapestry: 30 x 30 of them, from here on.
const FIRST_DIGIT: usize = 3000;
const DIGITS: usize = 900;

/// Sequences of views, each pixel of the window an input.
pub(crate) struct Streams {
    /// The frames that are learned from, `(frames, window²)`.
    pub(crate) train: Tensor,
    /// Later ones of the same stream, to choose by.
    pub(crate) validation: Option<Tensor>,
    /// Still later ones, to report.
    pub(crate) held_out: Tensor,
    /// Frames of digits that no tapestry here was made of.
    pub(crate) unseen: Tensor,
    /// Side of the window.
    pub(crate) window: usize,
    /// The name of the dataset.
    pub(crate) name: String,
    /// Its number of classes.
    pub(crate) classes: usize,
    /// Training and test digits for the readouts, if there are any.
    pub(crate) digits: Option<(Digits, Digits)>,
    /// Test digits, each at every shift of up to 2 pixels.
    pub(crate) shifts: Tensor,
}

/// Digits as short sequences of jittered views.
#[derive(Clone)]
pub(crate) struct Digits {
    /// All views, those of one digit together, `(digits · views, window²)`.
    pub(crate) frames: Tensor,
    /// Views of a digit.
    pub(crate) views: usize,
    /// The class of each digit.
    pub(crate) labels: Tensor,
}

impl Subject for Streams {
    fn inputs(&self) -> &Tensor {
        &self.train
    }

    fn image(&self) -> (usize, usize) {
        (self.window, self.window)
    }

    fn summary(&self) -> Value {
        let frames = |stream: &Tensor| stream.dims()[0];
        json!({
            "name": self.name,
            "train": frames(&self.train),
            "validation": self.validation.as_ref().map_or(0, frames),
            "test": frames(&self.held_out),
            "unseen": frames(&self.unseen),
        })
    }
}

impl Digits {
    /// The first `count` digits, each as `views` frames, one behind the other.
    fn of(
        examples: &Examples,
        count: usize,
        views: usize,
        draws: &mut Generator,
        window: usize,
    ) -> Result<Self> {
        let examples = examples.first(count)?;
        let shifts = jitter(count, views, draws)?;
        let frames = shifted(examples.images(), &shifts, window)?;
        Ok(Self { frames, views, labels: examples.labels().clone() })
    }

    /// What is left of a digit's views when only their mean is looked at, `(digits, features)`.
    pub(crate) fn mean(&self, features: &Tensor) -> Result<Tensor> {
        Ok(features.reshape((self.labels.elem_count(), self.views, features.dim(1)?))?.mean(1)?)
    }

    /// What `layer` makes of `code (digits · views, inputs)`, beginning anew with each digit.
    pub(crate) fn averages(&self, layer: &Invariance, code: &Tensor) -> Result<Tensor> {
        let averages = |digit: usize| layer.forward(&code.narrow(0, digit * self.views, self.views)?);
        let all = (0..self.labels.elem_count()).map(averages).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Tensor::cat(&all, 0)?)
    }

    /// What is left of a digit's views when only the last is looked at, `(digits, features)`.
    pub(crate) fn last(&self, features: &Tensor) -> Result<Tensor> {
        let features = features.reshape((self.labels.elem_count(), self.views, features.dim(1)?))?;
        Ok(features.narrow(1, self.views - 1, 1)?.squeeze(1)?.contiguous()?)
    }
}

/// Pixels, from the middle, that a view may be off in either direction.
const JITTER: i64 = 3;

/// A walk of `views` steps for each digit, `(x, y)` from the middle: a pixel at most from one view to the next.
fn jitter(digits: usize, views: usize, draws: &mut Generator) -> Result<Vec<Vec<(i64, i64)>>> {
    let draws = draws.uniform((digits, views, 2), 0.0, 1.0, &Device::Cpu)?.to_vec3::<f32>()?;
    let walk = |draws: Vec<Vec<f32>>| {
        let mut at = [0i64; 2];
        let step = |(view, draw): (usize, Vec<f32>)| {
            for axis in 0..2 {
                let choices = if view == 0 { 2 * JITTER + 1 } else { 3 };
                let choice = (draw[axis] * choices as f32) as i64 - choices / 2;
                at[axis] = (at[axis] + choice).clamp(-JITTER, JITTER);
            }
            (at[0], at[1])
        };
        draws.into_iter().enumerate().map(step).collect()
    };
    Ok(draws.into_iter().map(walk).collect())
}

/// The middle of u8 `images (images, side²)`, `window` pixels wide, moved by each of an image's shifts: f32
/// `(images · shifts, window²)`. Beyond an image there is nothing.
fn shifted(images: &Tensor, shifts: &[Vec<(i64, i64)>], window: usize) -> Result<Tensor> {
    let side = images.dim(1)?.isqrt();
    let pixels = images.flatten_all()?.to_vec1::<u8>()?;
    let middle = (side as i64 - window as i64) / 2;
    let mut frames = Vec::new();
    for (image, shifts) in pixels.chunks_exact(side * side).zip(shifts) {
        for (dx, dy) in shifts {
            for y in 0..window as i64 {
                for x in 0..window as i64 {
                    let (x, y) = (x + middle + dx, y + middle + dy);
                    let inside = (0..side as i64).contains(&x) && (0..side as i64).contains(&y);
                    frames.push(if inside { image[y as usize * side + x as usize] } else { 0 });
                }
            }
        }
    }
    let count = shifts.iter().map(Vec::len).sum::<usize>();
    Ok(transforms::scale(&Tensor::from_vec(frames, (count, window * window), &Device::Cpu)?, &Device::Cpu)?)
}

impl Streams {
    pub(crate) fn load(arguments: &Arguments, device: &Device) -> Result<Self> {
        let common = &arguments.common;
        let dataset = common.open_dataset()?;
        let (train, test) =
            (common.train_size.unwrap_or(VALIDATION_START), common.test_size.unwrap_or(TEST_START));
        let validation_start = train.max(VALIDATION_START);
        let test_start = (validation_start + common.validation_size).max(TEST_START);
        let digits = dataset.train.images();
        let (stream, unseen): (Box<dyn Stream>, Box<dyn Stream>) = match arguments.video {
            Video::Tapestry => {
                let tapestry = |images: &Tensor, first: usize| {
                    let count = DIGITS.min(images.dim(0)?.saturating_sub(first));
                    anyhow::Ok(Box::new(Tapestry::new(&images.narrow(0, first, count)?, arguments.window)?))
                };
                (tapestry(digits, FIRST_DIGIT.min(digits.dim(0)?))?, tapestry(dataset.test.images(), 0)?)
            }
            Video::Ribbon => {
                let ribbon = |images: &Tensor, frames: usize| {
                    let count = (frames / dataset.shape.width + 2).min(images.dim(0)?);
                    anyhow::Ok(Box::new(Ribbon::new(&images.narrow(0, 0, count)?)?))
                };
                (ribbon(digits, test_start + test)?, ribbon(dataset.test.images(), test)?)
            }
        };
        let seed = common.seed;
        let frames = |stream: &dyn Stream, first: usize, count: usize| {
            let frames = stream.frames(seed, first, count)?;
            Ok::<_, anyhow::Error>(transforms::scale(&frames, device)?)
        };
        let window = frames(&*stream, 0, 1)?.dim(1)?.isqrt();
        let views = arguments.views;
        let readout = |examples: &Examples, count: usize, set: &str| {
            Digits::of(examples, count, views, &mut Generator::new(seed, set), window)
        };
        let digits = (arguments.readout_digits > 0).then(|| {
            let train = readout(&dataset.train, arguments.readout_digits, "training jitter")?;
            anyhow::Ok((train, readout(&dataset.test, arguments.readout_test_digits, "test jitter")?))
        });
        let every_shift: Vec<(i64, i64)> = (-2..=2).flat_map(|dy| (-2..=2).map(move |dx| (dx, dy))).collect();
        let shifts = vec![every_shift; SHIFTED_DIGITS.min(dataset.test.len())];
        Ok(Self {
            train: frames(&*stream, 0, train)?,
            validation: match common.validation_size {
                0 => None,
                count => Some(frames(&*stream, validation_start, count)?),
            },
            held_out: frames(&*stream, test_start, test)?,
            unseen: frames(&*unseen, 0, test)?,
            window,
            name: dataset.name.clone(),
            classes: dataset.classes,
            digits: digits.transpose()?,
            shifts: shifted(dataset.test.images(), &shifts, window)?,
        })
    }
}

/// Test digits by which invariance to shifts is measured.
const SHIFTED_DIGITS: usize = 300;
pub(crate) const SHIFTS: usize = 25;

/// Anything that frames can be asked of by their numbers.
trait Stream {
    fn frames(&self, seed: u64, first: usize, count: usize) -> Result<Tensor>;
}

impl Stream for Tapestry {
    fn frames(&self, seed: u64, first: usize, count: usize) -> Result<Tensor> {
        Ok(self.frames(Walk::seeded(seed, self.torus()).skip(first).take(count))?)
    }
}

impl Stream for Ribbon {
    fn frames(&self, _seed: u64, first: usize, count: usize) -> Result<Tensor> {
        Ok(self.frames(first..first + count)?)
    }
}
