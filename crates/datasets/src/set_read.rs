//! A set of examples that is put together from several files.

use std::fmt;

use crate::labels::Labels;
use crate::raw::{Pixels, Raw, RawSet, Values};
use crate::{Error, ImageFile, ImageShape, Result};

/// What has been read of a set.
#[derive(Debug)]
pub(crate) struct SetRead {
    /// The first of its files.
    place: String,
    /// The form of all images, and the row that has set it.
    form: Option<(ImageShape, String)>,
    pixels: Vec<u8>,
    /// A class per image where it has one, or none at all.
    classes: Option<Vec<Option<String>>>,
    class_names: Option<Vec<String>>,
    note: Option<String>,
}

impl SetRead {
    /// An empty set, with labels or without.
    pub(crate) fn new(
        place: &str,
        labeled: bool,
        class_names: Option<Vec<String>>,
        note: Option<String>,
    ) -> Self {
        let classes = labeled.then(Vec::new);
        Self { place: place.to_owned(), form: None, pixels: Vec::new(), classes, class_names, note }
    }

    pub(crate) fn push_class(&mut self, class: Option<String>) {
        self.classes.get_or_insert_default().push(class);
    }

    /// Adds an image. The set is in color once one of its images is.
    ///
    /// # Errors
    /// If the image is of another size than those before it.
    pub(crate) fn push_image(&mut self, place: &impl fmt::Display, image: ImageFile) -> Result<()> {
        self.take_form(image.shape, place)?;
        match (image.shape.channels, self.channels()) {
            (1, 3) => self.pixels.extend(in_color(&image.pixels)),
            _ => self.pixels.extend(&image.pixels),
        }
        Ok(())
    }

    /// Adds what another file has.
    ///
    /// # Errors
    /// If its images are of another size, or only one of the two has labels.
    #[cfg(feature = "hub")]
    pub(crate) fn append(&mut self, mut other: Self) -> Result<()> {
        let Some((shape, place)) = other.form.clone() else { return Ok(()) };
        self.take_form(shape, &place)?;
        if self.channels() == 3 {
            other.make_color();
        }
        self.pixels.append(&mut other.pixels);
        match (&mut self.classes, other.classes) {
            (Some(classes), Some(others)) => classes.extend(others),
            (None, None) => {}
            (Some(_), None) => {
                return Err(Error::unfit(&other.place, "no labels", format!("labels, as in {}", self.place)));
            }
            (None, Some(_)) => {
                return Err(Error::unfit(&other.place, "labels", format!("none, as in {}", self.place)));
            }
        }
        self.class_names = self.class_names.take().or(other.class_names);
        Ok(())
    }

    /// Checks the size of images and brings the set to color if they are in color.
    fn take_form(&mut self, shape: ImageShape, place: &impl fmt::Display) -> Result<()> {
        let (own, first) = self.form.get_or_insert_with(|| (shape, place.to_string()));
        if (own.height, own.width) != (shape.height, shape.width) {
            let expected = format!("{} x {}, as in {first}", own.height, own.width);
            return Err(Error::unfit(
                &place.to_string(),
                format!("an image of {} x {}", shape.height, shape.width),
                expected,
            ));
        }
        if shape.channels == 3 {
            self.make_color();
        }
        Ok(())
    }

    fn channels(&self) -> usize {
        self.form.as_ref().map_or(0, |(shape, _)| shape.channels)
    }

    fn make_color(&mut self) {
        if let Some((shape, _)) = self.form.as_mut().filter(|(shape, _)| shape.channels == 1) {
            shape.channels = 3;
            self.pixels = in_color(&self.pixels).collect();
        }
    }

    /// # Errors
    /// If some examples have a label and some have none.
    fn raw(self) -> Result<RawSet> {
        let Self { place, form, pixels, classes, note, .. } = self;
        let shape = form.map_or(ImageShape { height: 0, width: 0, channels: 0 }, |(shape, _)| shape);
        let labels = classes.map(|classes| labels(&place, classes)).transpose()?.flatten();
        let images = Pixels { place, shape, values: Values::Bytes(pixels), are_numbers: false, note };
        Ok(RawSet { images, labels })
    }
}

/// Both sets of files of this `form`, in color if one of them is.
pub(crate) fn raw_of(
    form: &'static str,
    mut train: SetRead,
    mut test: Option<SetRead>,
    notes: Vec<String>,
) -> Result<Raw> {
    if train.channels() == 3 || test.as_ref().is_some_and(|test| test.channels() == 3) {
        train.make_color();
        test.iter_mut().for_each(SetRead::make_color);
    }
    let class_names = train.class_names.take().or_else(|| test.as_mut()?.class_names.take());
    let (train, test) = (train.raw()?, test.map(SetRead::raw).transpose()?);
    let is_labeled = train.labels.is_some() || test.as_ref().is_some_and(|test| test.labels.is_some());
    let class_names = class_names.filter(|_| is_labeled);
    Ok(Raw { form, train, test, class_names, notes })
}

fn in_color(gray: &[u8]) -> impl Iterator<Item = u8> {
    gray.iter().flat_map(|&gray| [gray; 3])
}

/// The labels, or none where no example has one: all are missing, or are -1, which is what test sets have whose labels are kept
/// secret.
fn labels(place: &str, classes: Vec<Option<String>>) -> Result<Option<Labels>> {
    let is_one = |class: &Option<String>| class.as_deref().is_some_and(|class| class != "-1");
    if !classes.iter().any(is_one) {
        return Ok(None);
    }
    let missing = classes.iter().filter(|class| class.is_none()).count();
    if missing > 0 {
        let found = format!("{missing} of {} examples without a label", classes.len());
        return Err(Error::unfit(place, found, "a label for each of the set, or for none"));
    }
    Ok(Some(Labels::new(place.to_owned(), classes.into_iter().flatten().collect())))
}
