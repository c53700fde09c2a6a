//! What a reader found, and how it becomes a dataset: classes, sets, one kind of values.

use std::collections::HashSet;

use candle_core::{Device, Tensor};

use crate::labels::{Labels, MOST_CLASSES, classes_of};
use crate::{Dataset, Error, Examples, ImageShape, Result};

/// Images in the order of their file, the values of a pixel side by side.
#[derive(Debug)]
pub(crate) struct Pixels {
    /// The file.
    pub(crate) place: String,
    pub(crate) shape: ImageShape,
    pub(crate) values: Values,
    /// Whether they are numbers of an array or a table, and not the pixels of an image's file.
    pub(crate) are_numbers: bool,
    /// What of their form was not certain.
    pub(crate) note: Option<String>,
}

/// Bytes, or numbers as they are.
#[derive(Debug)]
pub(crate) enum Values {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Values {
    pub(crate) fn into_floats(self) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Floats(bytes.into_iter().map(f32::from).collect()),
            floats => floats,
        }
    }

    /// The largest of their magnitudes.
    fn largest(&self) -> f32 {
        match self {
            Self::Bytes(bytes) => bytes.iter().max().map_or(0.0, |&most| most.into()),
            Self::Floats(floats) => floats.iter().fold(0.0, |most, value| most.max(value.abs())),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Floats(floats) => floats.len(),
        }
    }

    /// As a tensor `(examples, inputs)`, u8 or f32.
    pub(crate) fn tensor(self, inputs: usize) -> candle_core::Result<Tensor> {
        match self {
            Self::Bytes(bytes) => Tensor::from_vec(bytes, ((), inputs), &Device::Cpu),
            Self::Floats(floats) => Tensor::from_vec(floats, ((), inputs), &Device::Cpu),
        }
    }

    /// Whether they are bytes of which none is above 1.
    pub(crate) fn are_bits(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes.iter().all(|&byte| byte <= 1))
    }
}

/// One set of examples.
#[derive(Debug)]
pub(crate) struct RawSet {
    pub(crate) images: Pixels,
    pub(crate) labels: Option<Labels>,
}

/// All that a reader found.
#[derive(Debug)]
pub(crate) struct Raw {
    /// What it read, such as `npy files`.
    pub(crate) form: &'static str,
    pub(crate) train: RawSet,
    pub(crate) test: Option<RawSet>,
    /// The names of the classes, where they are known apart from the labels.
    pub(crate) class_names: Option<Vec<String>>,
    pub(crate) notes: Vec<String>,
}

/// Of the examples of each class, every so many is a test example where the test set has to be made.
const EVERY: usize = 6;

impl Raw {
    /// The dataset called `name`.
    ///
    /// Without a test set, or where its labels are missing and those for training are there, every sixth training example of
    /// each class is a test example. The classes are those that both sets name. Zeros and ones of an array are taken as the
    /// numbers that they are, not as the darkest of 256 grays.
    ///
    /// # Errors
    /// If images and labels are not equally many, only the test set has labels, there are more than 10 000
    /// classes, one set was scaled, or the sets have images of different shapes.
    pub(crate) fn dataset(self, name: &str) -> Result<Dataset> {
        let Self { form, train, test, class_names, mut notes } = self;
        let test = match test {
            Some(test) if test.labels.is_none() && train.labels.is_some() => {
                notes.push(format!("{} has no labels and is passed over", test.images.place));
                None
            }
            test => test,
        };
        if let Some(test) = test.as_ref().filter(|test| test.labels.is_some() && train.labels.is_none()) {
            let expected = format!("labels, as {} has", test.images.place);
            return Err(Error::unfit(&train.images.place, "no labels", expected));
        }
        let labels =
            || [Some(&train), test.as_ref()].into_iter().flatten().filter_map(|set| set.labels.as_ref());
        let classes = class_names.unwrap_or_else(|| {
            let classes = classes_of(labels());
            notes.extend(unlearned(&classes, train.labels.as_ref()).into_iter().chain(mixed(&classes)));
            classes
        });
        if classes.len() > MOST_CLASSES {
            let expected = format!("at most {MOST_CLASSES}");
            return Err(Error::unfit(name, format!("{} classes", classes.len()), expected));
        }
        let shape = train.images.shape;
        if let Some(test) = test.as_ref().filter(|test| test.images.shape != shape) {
            let (found, expected) =
                (test.images.shape.to_string(), format!("{shape}, as in {}", train.images.place));
            return Err(Error::unfit(&test.images.place, format!("images of {found}"), expected));
        }
        for set in [Some(&train), test.as_ref()].into_iter().flatten() {
            notes.extend(set.images.note.clone());
        }
        if let Some(test) = &test {
            check_scale(&train.images, &test.images)?;
        }
        notes.dedup();
        let (train, test) = one_kind(train, test);
        let train = train.examples(&classes)?;
        let (train, test) = match test {
            Some(test) => (train, test.examples(&classes)?),
            None => {
                notes.push("every sixth example of a class is a test example".to_owned());
                apart(&train)?
            }
        };
        if train.is_empty() || test.is_empty() {
            let (found, expected) =
                (format!("{} training and {} test examples", train.len(), test.len()), "one of each");
            return Err(Error::unfit(name, found, expected));
        }
        Ok(Dataset { name: name.to_owned(), shape, class_names: classes, train, test, form, notes })
    }
}

/// # Errors
/// If one set has numbers up to 1 and the other beyond 100: one of them was divided by 255 and the other was not.
fn check_scale(train: &Pixels, test: &Pixels) -> Result<()> {
    let [most, other] = [train, test].map(|pixels| pixels.values.largest());
    let is_apart = (0.0..=1.0).contains(&most.min(other)) && most.min(other) > 0.0 && most.max(other) > 100.0;
    match is_apart && train.are_numbers {
        true => {
            let expected = format!("the same scale as in {}, up to {most}", train.place);
            Err(Error::unfit(&test.place, format!("numbers up to {other}"), expected))
        }
        false => Ok(()),
    }
}

/// What to say of labels that are numbers and text: some may be no labels, as `total` or a sign for a missing one.
fn mixed(classes: &[String]) -> Option<String> {
    let is_number = |class: &&String| class.parse::<i128>().is_ok();
    let text = classes.iter().find(|class| !is_number(class))?;
    classes
        .iter()
        .find(is_number)
        .map(|number| format!("labels are numbers and text, such as {number} and {text}"))
}

/// What to say of classes that are in the test set only, or of which each has one example.
fn unlearned(classes: &[String], train: Option<&Labels>) -> Option<String> {
    const FEW: usize = 10;
    let train = train?;
    let learned: HashSet<&String> = train.names.iter().collect();
    if learned.len() == train.names.len() && learned.len() > FEW {
        return Some(format!("{}: every example has a class of its own", train.place));
    }
    let unknown: Vec<&String> = classes.iter().filter(|class| !learned.contains(class)).collect();
    let first = unknown.first()?;
    Some(format!("classes in the test set only: {}, such as {first}", unknown.len()))
}

/// Both sets as bytes or both as numbers.
fn one_kind(train: RawSet, test: Option<RawSet>) -> (RawSet, Option<RawSet>) {
    let both = || [Some(&train), test.as_ref()].into_iter().flatten();
    let some_floats = both().any(|set| matches!(set.images.values, Values::Floats(_)));
    let bits = both().all(|set| set.images.are_numbers && set.images.values.are_bits());
    let as_numbers = |mut set: RawSet| {
        set.images.values = set.images.values.into_floats();
        set
    };
    match some_floats || bits {
        true => (as_numbers(train), test.map(as_numbers)),
        false => (train, test),
    }
}

/// Training and test examples, apart.
fn apart(all: &Examples) -> Result<(Examples, Examples)> {
    let labels = all.labels().map(Tensor::to_vec1::<u32>).transpose()?.unwrap_or_else(|| vec![0; all.len()]);
    let mut seen = vec![0; labels.iter().max().map_or(0, |&most| most as usize + 1)];
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (place, label) in (0..).zip(labels) {
        let count = &mut seen[label as usize];
        *count += 1;
        if *count % EVERY == 0 { test.push(place) } else { train.push(place) }
    }
    Ok((all.select(&train)?, all.select(&test)?))
}

impl RawSet {
    fn examples(self, classes: &[String]) -> Result<Examples> {
        let Self { images, labels } = self;
        let inputs = images.shape.inputs();
        let count = images.values.len() / inputs.max(1);
        if let Some(labels) = labels.as_ref().filter(|labels| labels.names.len() != count) {
            let expected = format!("{count}, one for each image of {}", images.place);
            return Err(Error::unfit(&labels.place, format!("{} labels", labels.names.len()), expected));
        }
        let images = images.values.tensor(inputs)?;
        match labels {
            None => Examples::unlabeled(images),
            Some(labels) => {
                let labels = Tensor::from_vec(labels.numbers(classes)?, count, &Device::Cpu)?;
                Examples::new(images, labels, classes.len())
            }
        }
    }
}
