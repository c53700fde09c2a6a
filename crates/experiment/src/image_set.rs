//! Images from the command line: files and folders of any form that a dataset can have, brought to what a layer takes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use hebbian_datasets::{Dataset, Examples, ImageFile, ImageShape, Loose, read_loose};
use hebbian_model::Model;

use crate::say::tell;

/// Images in the form that a layer takes, whatever form they had.
///
/// What had to be done to them is told in notes. A file that cannot be read is told too, and stops no other.
#[derive(Debug)]
pub struct ImageSet {
    takes: Takes,
    invert: bool,
    /// What each image is called: its path, with its place in brackets where a file holds several.
    pub names: Vec<String>,
    /// What each image is labeled with, in its file or by the folder that it lies in.
    pub classes: Vec<Option<String>>,
    values: Vec<f32>,
    notes: Vec<Note>,
    failures: usize,
}

/// What a layer takes.
#[derive(Clone, Copy, Debug)]
pub struct Takes {
    shape: ImageShape,
    /// For a layer that takes numbers as they are, the least and the largest that it has learned from, where that is recorded.
    numbers: Option<Option<[f32; 2]>>,
}

impl Takes {
    /// What `model` takes.
    ///
    /// # Errors
    /// If it takes no images that it names.
    pub fn of(model: &Model) -> Result<Self> {
        let shape = model.image().context("the checkpoint's layer takes no images that it names")?;
        let range = model.dataset().map(|dataset| dataset.range);
        Ok(Self { shape, numbers: model.preprocess().takes_numbers().then_some(range) })
    }
}

/// What was noticed, about which image first, and about how many more.
#[derive(Debug)]
struct Note {
    text: String,
    first: String,
    others: usize,
}

impl ImageSet {
    /// Reads `paths` in their order; all images are brought to the form that a layer `takes`, and made negative under `invert`.
    ///
    /// Notes and failures go to the standard error, a line each.
    pub fn read(paths: &[PathBuf], takes: Takes, invert: bool) -> Self {
        let mut set = Self::empty(takes, invert);
        for path in paths {
            let read = if path.is_dir() { set.read_folder(path) } else { set.read_file(path, None) };
            set.tell(read);
        }
        set.tell_notes();
        set
    }

    /// The `examples` of `dataset`, brought to the form that a layer `takes`, and made negative under `invert`.
    ///
    /// # Errors
    /// If they cannot be brought to that form.
    pub fn of_dataset(dataset: &Dataset, examples: &Examples, takes: Takes, invert: bool) -> Result<Self> {
        let mut set = Self::empty(takes, invert);
        let labels = examples.labels().map(Tensor::to_vec1::<u32>).transpose()?;
        let labels = labels
            .map(|labels| labels.iter().map(|&label| dataset.class_names[label as usize].clone()).collect());
        let loose = Loose {
            shape: dataset.shape,
            images: examples.images().clone(),
            labels,
            is_image: false,
            note: None,
        };
        set.add_all(&dataset.name, None, &loose)?;
        set.tell_notes();
        Ok(set)
    }

    fn empty(takes: Takes, invert: bool) -> Self {
        let (names, classes, values, notes) = Default::default();
        Self { takes, invert, names, classes, values, notes, failures: 0 }
    }

    fn tell_notes(&self) {
        for Note { text, first, others } in &self.notes {
            let more = if *others > 0 { format!(" and {others} more") } else { String::new() };
            tell(format_args!("note: {first}{more}: {text}"));
        }
    }

    fn tell(&mut self, read: Result<()>) {
        if let Err(error) = read {
            self.failures += 1;
            tell(format_args!("error: {error:#}"));
        }
    }

    /// Images right in the folder have no class; those in its folders, and below them, have the folder's.
    fn read_folder(&mut self, folder: &Path) -> Result<()> {
        let before = self.names.len() + self.failures;
        self.read_entries(folder, None, 0)?;
        if self.names.len() + self.failures == before {
            bail!("{}: no image file in the folder or below it", folder.display());
        }
        Ok(())
    }

    fn read_entries(&mut self, folder: &Path, class: Option<&str>, depth: usize) -> Result<()> {
        const DEEPEST: usize = 16;
        for path in entries(folder)? {
            if path.is_dir() && depth < DEEPEST {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.read_entries(&path, Some(class.unwrap_or(&name)), depth + 1)?;
            } else if ImageFile::has_image_name(&path) {
                let read = self.read_file(&path, class.map(str::to_owned));
                self.tell(read);
            }
        }
        Ok(())
    }

    fn read_file(&mut self, path: &Path, class: Option<String>) -> Result<()> {
        let loose = read_loose(path, None)?;
        self.add_all(&path.display().to_string(), class, &loose)
    }

    fn add_all(&mut self, name: &str, class: Option<String>, loose: &Loose) -> Result<()> {
        let images = self.in_takes_values(name, loose)?;
        self.values.reserve(images.elem_count());
        for (place, values) in images.to_vec2::<f32>()?.into_iter().enumerate() {
            let name = if loose.is_image { name.to_owned() } else { format!("{name}[{place}]") };
            let class = class.clone().or_else(|| loose.labels.as_ref()?.get(place).cloned());
            self.add(name, class, loose.shape, values)?;
        }
        Ok(())
    }

    /// The values of images as the layer takes them, f32: bytes as 0 to 255, other numbers in the range that it has learned.
    fn in_takes_values(&mut self, name: &str, loose: &Loose) -> Result<Tensor> {
        let values = loose.images.to_dtype(DType::F32)?;
        let (least, most) = (values.min_all()?.to_scalar::<f32>()?, values.max_all()?.to_scalar::<f32>()?);
        if let Some(note) = &loose.note {
            self.note(name, note.clone());
        }
        match (loose.images.dtype(), self.takes.numbers) {
            (DType::U8, None) | (DType::F32, Some(_)) => Ok(values),
            (_, None) if least >= 0.0 && most <= 1.0 => {
                self.note(name, "numbers from 0 to 1 taken as bytes from 0 to 255".to_owned());
                Ok((values * 255.0)?.round()?)
            }
            (_, None) if least >= 0.0 && most <= 255.0 => {
                self.note(name, "numbers taken as bytes, rounded".to_owned());
                Ok(values.round()?)
            }
            (_, None) => {
                bail!("{name}: numbers from {least} to {most}; the layer takes bytes, or numbers from 0 to 1")
            }
            (_, Some(Some([low, high]))) if low >= 0.0 && high <= 1.0 => {
                self.note(name, "bytes taken as numbers from 0 to 1".to_owned());
                Ok((values / 255.0)?)
            }
            (_, Some(Some([low, high]))) if low >= 0.0 && most <= high && high <= 255.0 => {
                self.note(
                    name,
                    format!("bytes taken as numbers, of which the layer has learned {low} to {high}"),
                );
                Ok(values)
            }
            (_, Some(_)) => {
                bail!("{name}: bytes; the layer has learned from numbers as they are, which these are not")
            }
        }
    }

    fn add(
        &mut self,
        name: String,
        class: Option<String>,
        shape: ImageShape,
        values: Vec<f32>,
    ) -> Result<()> {
        let values = match self.takes.numbers {
            None => {
                let pixels = values.iter().map(|&value| value as u8).collect();
                let image = self.fitted(&name, ImageFile { shape, pixels })?;
                image.pixels.into_iter().map(f32::from).collect()
            }
            Some(_) if shape != self.takes.shape => {
                bail!("{name}: found {shape}, expected {}: numbers are not resized", self.takes.shape)
            }
            Some(_) if self.invert => bail!("--invert: {name} holds numbers; allowed for bytes only"),
            Some(_) => values,
        };
        self.names.push(name);
        self.classes.push(class);
        self.values.extend(values);
        Ok(())
    }

    /// The image in the layer's form, which may be a negative of what the layer has seen.
    fn fitted(&mut self, name: &str, image: ImageFile) -> Result<ImageFile> {
        let (image, done) = image.fitted(self.takes.shape).with_context(|| name.to_owned())?;
        let image = if self.invert { image.inverted() } else { image };
        if !done.is_empty() {
            self.note(name, done.join(", "));
        }
        if self.takes.shape.channels == 1 && !name.ends_with(']') && image.has_bright_edge() {
            let turned = if self.invert { "leave --invert out" } else { "--invert turns it around" };
            let text = format!("bright at its edge, as most datasets are not; if it is a negative, {turned}");
            self.note(name, text);
        }
        Ok(image)
    }

    fn note(&mut self, name: &str, text: String) {
        match self.notes.iter_mut().find(|note| note.text == text) {
            Some(note) => note.others += 1,
            None => self.notes.push(Note { text, first: name.to_owned(), others: 0 }),
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Files that could not be read.
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// All images `(images, inputs)`: u8, or f32 for a layer that takes numbers as they are.
    pub fn images(&self) -> Result<Tensor> {
        let shape = (self.len(), self.takes.shape.inputs());
        let images = Tensor::from_slice(&self.values, shape, &Device::Cpu)?;
        Ok(if self.takes.numbers.is_some() { images } else { images.to_dtype(DType::U8)? })
    }

    /// The class of each image among those that `model` knows, if it knows any and all images have one: see
    /// [`class_numbers`].
    ///
    /// # Errors
    /// If one of them is not known.
    pub fn labels(&self, model: &Model) -> Result<Option<Vec<u32>>> {
        let Some(classes) = model.classes()? else { return Ok(None) };
        self.named().map(|names| class_numbers(&names, model.class_names(), classes)).transpose()
    }

    /// The class of each image and the names of all classes, if all images have one: those that `model` knows or, for a model
    /// that knows none, those that occur.
    ///
    /// # Errors
    /// If one of them is not known.
    pub fn labels_and_names(&self, model: &Model) -> Result<Option<(Vec<u32>, Vec<String>)>> {
        let Some(names) = self.named() else { return Ok(None) };
        let known = match model.classes()? {
            Some(classes) => (0..classes).map(|class| model.class_name(class)).collect(),
            None => distinct(&names),
        };
        let labels = match self.labels(model)? {
            Some(labels) => labels,
            None => class_numbers(&names, Some(&known), known.len())?,
        };
        Ok(Some((labels, known)))
    }

    /// What each image is labeled with, if all are.
    fn named(&self) -> Option<Vec<String>> {
        let names = self.classes.iter().cloned().collect::<Option<Vec<String>>>();
        names.filter(|names| !names.is_empty())
    }
}

/// The classes that occur, in their order.
fn distinct(names: &[String]) -> Vec<String> {
    let mut distinct: Vec<String> = names.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
    hebbian_datasets::sort_classes(&mut distinct);
    distinct
}

/// The number of each named class: its place among the names that a layer knows. Of a layer that knows none, classes are their
/// numbers, and as many others as it has are numbered in their order.
///
/// # Errors
/// If a name is not known, or there are not as many as the layer has classes.
pub fn class_numbers(names: &[String], known: Option<&[String]>, classes: usize) -> Result<Vec<u32>> {
    let distinct = distinct(names);
    let number = |name: &String| name.parse().ok().filter(|&number: &usize| number < classes);
    let are_numbers = distinct.iter().all(|name| number(name).is_some());
    let place = |name: &String| -> Option<usize> {
        match known {
            Some(known) => known.iter().position(|one| one == name),
            None if are_numbers => number(name),
            None if distinct.len() == classes => distinct.iter().position(|one| one == name),
            None => None,
        }
    };
    names
        .iter()
        .map(|name| match place(name) {
            Some(place) => Ok(place as u32),
            None => {
                let knows = known
                    .map_or_else(|| format!("{classes} classes without names"), |names| names.join(", "));
                bail!("the class {name} of {} is not one that the layer knows: {knows}", distinct.len())
            }
        })
        .collect()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| !path.file_name().unwrap_or_default().to_string_lossy().starts_with('.'));
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(names: &[&str], known: Option<&[&str]>, classes: usize) -> Result<Vec<u32>> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        class_numbers(&owned(names), known.map(owned).as_deref(), classes)
    }

    #[test]
    fn classes_are_known_by_their_names_or_by_their_numbers_or_by_their_order() -> Result<()> {
        assert_eq!(numbers(&["coat", "bag"], Some(&["bag", "shoe", "coat"]), 3)?, [2, 0]);
        assert_eq!(numbers(&["coat", "bag", "coat"], None, 2)?, [1, 0, 1]);
        assert_eq!(numbers(&["10", "9", "11"], None, 3)?, [1, 0, 2]);
        assert_eq!(numbers(&["7", "3"], None, 10)?, [7, 3]);
        assert_eq!(numbers(&["0", "10", "2"], None, 11)?, [0, 10, 2]);
        Ok(())
    }

    #[test]
    fn classes_that_are_not_known_are_refused() {
        let refused = numbers(&["bag", "coat"], None, 10).unwrap_err().to_string();
        assert_eq!(refused, "the class bag of 2 is not one that the layer knows: 10 classes without names");
        let refused = numbers(&["hat"], Some(&["bag", "coat"]), 2).unwrap_err().to_string();
        assert_eq!(refused, "the class hat of 1 is not one that the layer knows: bag, coat");
    }
}
