//! What the two layers learn from, and what they are judged by.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::Module;
use hebbian::Invariance;
use hebbian_datasets::{
    Dataset, DatasetSummary, Examples, ImageShape, RandomWindows, Ribbon, Tapestry, Walk, every_shift,
    jitter, shifted,
};
use hebbian_experiment::Subject;
use hebbian_model::Preprocess;
use hebbian_training::{Generator, Invalid};
use serde_json::{Value, json};

use crate::settings::{Settings, StreamSettings, Video, ViewSettings};

/// Where the frames begin by which choices are made, unless training needs them.
const VALIDATION_START: usize = 10_000;
/// Where those begin that are reported.
const TEST_START: usize = 20_000;
/// The digits of the notebook's tapestry: 30 x 30 of them, from here on.
const FIRST_DIGIT: usize = 3000;
const DIGITS: usize = 900;

/// Sequences of views, each pixel of the window an input.
pub(crate) struct Streams {
    /// The frames that are learned from, `(frames, window² · channels)`.
    pub(crate) train: Tensor,
    /// Later ones of the same stream, to choose by.
    pub(crate) validation: Option<Tensor>,
    /// Still later ones, to report.
    pub(crate) held_out: Tensor,
    /// Frames of digits that no tapestry here was made of.
    pub(crate) unseen: Tensor,
    /// Side of the window.
    pub(crate) window: usize,
    /// The dataset.
    pub(crate) dataset: DatasetSummary,
    /// Its number of classes.
    pub(crate) classes: usize,
    /// Training and test digits for the readouts, if there are any.
    pub(crate) digits: Option<(Digits, Digits)>,
    /// Test digits, each at every shift of up to 2 pixels.
    pub(crate) shifts: Tensor,
    /// How they were brought to 0 to 1, where they were other numbers.
    preprocess: Option<Preprocess>,
}

/// Digits as short sequences of jittered views.
#[derive(Clone)]
pub(crate) struct Digits {
    /// All views, those of one digit together, `(digits · views, window² · channels)`.
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
            "name": self.dataset.name,
            "sha256": self.dataset.sha256,
            "train": frames(&self.train),
            "validation": self.validation.as_ref().map_or(0, frames),
            "test": frames(&self.held_out),
            "unseen": frames(&self.unseen),
        })
    }

    fn dataset(&self) -> Option<&DatasetSummary> {
        Some(&self.dataset)
    }

    fn preprocess(&self) -> Option<Preprocess> {
        self.preprocess
    }
}

impl Digits {
    /// The training and the test digits that the settings ask for.
    fn both(
        settings: &Settings,
        dataset: &Dataset,
        (window, seed): (usize, u64),
        inputs: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<(Self, Self)> {
        let ViewSettings { digits, test_digits, views } = settings.views;
        let of = |examples: &Examples, path: &str, count: usize, jitters: &str| {
            let allowed = format!("at most the dataset's images ({})", examples.len());
            Invalid::unless(count <= examples.len(), path, count, allowed)?;
            let examples = examples.first(count)?;
            let draws = Generator::new(seed, jitters);
            let shifts = jitter(count, views, JITTER, draws)?;
            let frames = shifted(examples.images(), dataset.shape, &shifts, window)?;
            let labels =
                examples.labels().context("the readouts need labels; allowed without: --digits 0")?;
            let frames = inputs(&frames)?;
            let labels = labels.to_device(frames.device())?;
            anyhow::Ok(Self { frames, views, labels })
        };
        let train = of(&dataset.train, "views.digits", digits, "training jitter")?;
        Ok((train, of(&dataset.test, "views.test_digits", test_digits, "test jitter")?))
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

impl Streams {
    /// The streams of one `seed`: its walk and its jitter, over the same digits.
    pub(crate) fn load(
        settings: &Settings,
        (raw, preprocess): (&Dataset, Option<Preprocess>),
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let dataset = as_seen(raw.clone(), settings.stream.video)?;
        let StreamSettings { video, train_size: train, validation_size, test_size: test } = settings.stream;
        let side = dataset.shape.height.min(dataset.shape.width);
        let window = match video {
            Video::Ribbon => dataset.shape.width,
            Video::Tapestry { window } | Video::Patches { window } => window,
        };
        let allowed = format!("1 to {side}, an image's side");
        Invalid::unless(window <= side, "stream.video.window", window, allowed)?;
        let validation_start = train.max(VALIDATION_START);
        let test_start = (validation_start + validation_size).max(TEST_START);
        let stream = stream(video, &dataset, &dataset.train, FIRST_DIGIT, test_start + test)?;
        let unseen = self::stream(video, &dataset, &dataset.test, 0, test)?;
        let inputs = |frames: &Tensor| hebbian_experiment::inputs(frames, preprocess, device);
        let frames =
            |stream: &dyn Stream, first: usize, count: usize| inputs(&stream.frames(seed, first, count)?);
        let validation =
            (validation_size > 0).then(|| frames(&*stream, validation_start, validation_size)).transpose()?;
        let shifts = vec![every_shift(FARTHEST); SHIFTED_DIGITS.min(dataset.test.len())];
        let shifts = shifted(dataset.test.images(), dataset.shape, &shifts, window)?;
        let digits = || Digits::both(settings, &dataset, (window, seed), inputs);
        Ok(Self {
            train: frames(&*stream, 0, train)?,
            validation,
            held_out: frames(&*stream, test_start, test)?,
            unseen: frames(&*unseen, 0, test)?,
            window,
            classes: dataset.classes(),
            digits: (settings.views.digits > 0).then(digits).transpose()?,
            shifts: inputs(&shifts)?,
            preprocess,
            dataset: dataset.summary()?,
        })
    }
}

/// The images of a tapestry or a ribbon: in gray, the mean of their colors, and square, their middle.
fn as_seen(dataset: Dataset, video: Video) -> Result<Dataset> {
    let ImageShape { height, width, channels } = dataset.shape;
    let side = height.min(width);
    if matches!(video, Video::Patches { .. }) || (side * side, channels) == (height * width, 1) {
        return Ok(dataset);
    }
    let seen = |examples: &Examples| {
        let images = examples.images();
        let values = images.to_dtype(DType::F32)?.reshape(((), height, width, channels))?.mean(3)?;
        let values = if images.dtype() == DType::U8 { values.round()? } else { values };
        let middle = values.narrow(1, (height - side) / 2, side)?.narrow(2, (width - side) / 2, side)?;
        let images = middle.flatten_from(1)?.to_dtype(images.dtype())?;
        match examples.labels() {
            Some(labels) => Examples::new(images, labels.clone(), dataset.classes()),
            None => Examples::unlabeled(images),
        }
    };
    let shape = ImageShape { height: side, width: side, channels: 1 };
    let (train, test) = (seen(&dataset.train)?, seen(&dataset.test)?);
    let mut gray = dataset.clone();
    (gray.shape, gray.train, gray.test) = (shape, train, test);
    Ok(gray)
}

/// The stream that `frames` frames can be taken from.
fn stream(
    video: Video,
    dataset: &Dataset,
    examples: &Examples,
    first: usize,
    frames: usize,
) -> Result<Box<dyn Stream>> {
    let images = examples.images();
    match video {
        Video::Tapestry { window } => {
            // Fewer images are all used, from the first on.
            let first = if first + DIGITS <= images.dim(0)? { first } else { 0 };
            let images = images.narrow(0, first, DIGITS.min(images.dim(0)?))?;
            Ok(Box::new(Tapestry::new(&images, window)?))
        }
        Video::Ribbon => {
            let side = images.dim(1)?.isqrt().max(1);
            let images = images.narrow(0, 0, (frames / side + 2).min(images.dim(0)?))?;
            Ok(Box::new(Ribbon::new(&images)?))
        }
        Video::Patches { window } => Ok(Box::new(RandomWindows::new(images, dataset.shape, window)?)),
    }
}

/// Pixels, from the middle, that a view may be off in either direction.
const JITTER: i64 = 3;
/// Pixels that those shifts reach by which invariance is measured.
const FARTHEST: i64 = 2;
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

impl Stream for RandomWindows {
    fn frames(&self, seed: u64, first: usize, count: usize) -> Result<Tensor> {
        Ok(self.frames(Generator::new(seed, "patches"), first..first + count)?)
    }
}
