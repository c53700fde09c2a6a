//! Images from the command line: PNG files, IDX files, numpy files, and folders of PNG files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use hebbian_datasets::{Dataset, Examples, ImageFile, ImageShape, read_idx_images, read_npy_images};

/// Images in the form that a layer takes, whatever form they had.
///
/// What had to be done to them is told in notes. A file that cannot be read is told too, and stops no other.
#[derive(Debug)]
pub struct ImageSet {
    shape: ImageShape,
    invert: bool,
    /// What each image is called: its path, with its place in brackets where a file holds several.
    pub names: Vec<String>,
    /// The folder that each image lies in, where folders are classes.
    pub folders: Vec<Option<String>>,
    pixels: Vec<u8>,
    notes: Vec<Note>,
    failures: usize,
}

/// What was noticed, about which image first, and about how many more.
#[derive(Debug)]
struct Note {
    text: String,
    first: String,
    others: usize,
}

impl ImageSet {
    /// Reads `paths` in their order; all images are brought to the form `shape`, and made negative under `invert`.
    ///
    /// Notes and failures go to the standard error, a line each.
    pub fn read(paths: &[PathBuf], shape: ImageShape, invert: bool) -> Self {
        let mut set = Self::empty(shape, invert);
        for path in paths {
            let read = if path.is_dir() { set.read_folder(path) } else { set.read_file(path, None) };
            set.tell(read);
        }
        set.tell_notes();
        set
    }

    /// The `examples` of `dataset`, brought to the form `shape`, and made negative under `invert`.
    ///
    /// # Errors
    /// If they cannot be brought to that form.
    pub fn of_dataset(
        dataset: &Dataset,
        examples: &Examples,
        shape: ImageShape,
        invert: bool,
    ) -> Result<Self> {
        let mut set = Self::empty(shape, invert);
        for (place, pixels) in examples.images().to_vec2::<u8>()?.into_iter().enumerate() {
            let image = ImageFile { shape: dataset.shape, pixels };
            set.add(format!("{}[{place}]", dataset.name), None, image)?;
        }
        set.tell_notes();
        Ok(set)
    }

    fn empty(shape: ImageShape, invert: bool) -> Self {
        let (names, folders, pixels, notes) = Default::default();
        Self { shape, invert, names, folders, pixels, notes, failures: 0 }
    }

    fn tell_notes(&self) {
        for Note { text, first, others } in &self.notes {
            let more = if *others > 0 { format!(" and {others} more") } else { String::new() };
            eprintln!("note: {first}{more}: {text}");
        }
    }

    fn tell(&mut self, read: Result<()>) {
        if let Err(error) = read {
            self.failures += 1;
            eprintln!("error: {error:#}");
        }
    }

    /// PNG files right in the folder have no class; those in its folders have the folder's.
    fn read_folder(&mut self, folder: &Path) -> Result<()> {
        let mut found = false;
        for path in entries(folder)? {
            if is_png_name(&path) {
                found = true;
                let read = self.read_file(&path, None);
                self.tell(read);
            } else if path.is_dir() {
                let class = path.file_name().map(|name| name.to_string_lossy().into_owned());
                for path in entries(&path)?.into_iter().filter(|path| is_png_name(path)) {
                    found = true;
                    let read = self.read_file(&path, class.clone());
                    self.tell(read);
                }
            }
        }
        if !found {
            bail!("{}: no PNG file in the folder or in those right below it", folder.display());
        }
        Ok(())
    }

    fn read_file(&mut self, path: &Path, folder: Option<String>) -> Result<()> {
        let several = match kind(path)? {
            Kind::Png => {
                let image = ImageFile::read_png(path)?;
                return self.add_file(path.display().to_string(), folder, image);
            }
            Kind::Idx => read_idx_images(path)?,
            Kind::Npy => read_npy_images(path)?,
        };
        let (shape, images) = several;
        for (place, pixels) in images.to_vec2::<u8>()?.into_iter().enumerate() {
            let name = format!("{}[{place}]", path.display());
            self.add_file(name, folder.clone(), ImageFile { shape, pixels })?;
        }
        Ok(())
    }

    /// Adds an image that may be a negative of what the layer has seen.
    fn add_file(&mut self, name: String, folder: Option<String>, image: ImageFile) -> Result<()> {
        self.add(name.clone(), folder, image)?;
        let pixels = self.pixels[self.pixels.len() - self.shape.inputs()..].to_vec();
        if self.shape.channels == 1 && (ImageFile { shape: self.shape, pixels }).has_bright_edge() {
            let turned = if self.invert { "leave --invert out" } else { "--invert turns it around" };
            self.note(
                &name,
                format!("bright at its edge, as most datasets are not; if it is a negative, {turned}"),
            );
        }
        Ok(())
    }

    fn add(&mut self, name: String, folder: Option<String>, image: ImageFile) -> Result<()> {
        let (image, done) = image.fitted(self.shape).with_context(|| name.clone())?;
        let image = if self.invert { image.inverted() } else { image };
        if !done.is_empty() {
            self.note(&name, done.join(", "));
        }
        self.names.push(name);
        self.folders.push(folder);
        self.pixels.extend(image.pixels);
        Ok(())
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

    /// All pixels, u8 `(images, inputs)`.
    pub fn pixels(&self) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.pixels, (self.len(), self.shape.inputs()), &Device::Cpu)?)
    }

    /// The class of each image, if all lie in folders of classes.
    ///
    /// The folders are numbered in the order of their names, as in training; where there are fewer of them than `classes` and
    /// all are called by numbers below it, by those numbers.
    pub fn labels(&self, classes: usize) -> Result<Option<Vec<u32>>> {
        let Some(folders) = self.folders.iter().cloned().collect::<Option<Vec<String>>>() else {
            return Ok(None);
        };
        let names = Vec::from_iter(folders.iter().collect::<BTreeSet<_>>());
        let number = |name: &String| name.parse().ok().filter(|&number: &usize| number < classes);
        let numbers: Option<Vec<usize>> = names.iter().map(|name| number(name)).collect();
        let numbers = match numbers {
            Some(numbers) if names.len() < classes => numbers,
            _ if names.len() == classes => (0..classes).collect(),
            _ => bail!(
                "{} folders of classes, but the layer knows {classes}; allowed: as many, or numbers below that",
                names.len()
            ),
        };
        let of = |folder: &String| names.binary_search(&folder).map_or(0, |place| numbers[place] as u32);
        Ok(Some(folders.iter().map(of).collect()))
    }
}

enum Kind {
    Png,
    Idx,
    Npy,
}

/// What a file is, by its first bytes.
fn kind(path: &Path) -> Result<Kind> {
    let place = || path.display().to_string();
    let mut first = Vec::new();
    File::open(path).and_then(|file| file.take(6).read_to_end(&mut first)).with_context(place)?;
    match first[..] {
        [0x89, b'P', b'N', b'G', ..] => Ok(Kind::Png),
        [0x93, b'N', b'U', b'M', b'P', b'Y'] => Ok(Kind::Npy),
        [0, 0, ..] | [0x1f, 0x8b, ..] => Ok(Kind::Idx),
        _ => bail!("{}: none of PNG, IDX (plain or gzipped) and npy", place()),
    }
}

fn is_png_name(path: &Path) -> bool {
    path.is_file() && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_folders(folders: &[&str]) -> ImageSet {
        let shape = ImageShape { height: 1, width: 1, channels: 1 };
        let mut set = ImageSet::read(&[], shape, false);
        set.folders = folders.iter().map(|folder| Some((*folder).to_owned())).collect();
        set
    }

    #[test]
    fn folders_are_numbered_in_order_or_by_their_own_numbers() {
        let labels = |folders: &[&str], classes| in_folders(folders).labels(classes).unwrap().unwrap();
        assert_eq!(labels(&["coat", "bag", "coat"], 2), [1, 0, 1]);
        assert_eq!(labels(&["7", "3"], 10), [7, 3]);
        assert_eq!(labels(&["0", "10", "2"], 3), [0, 1, 2]);
    }

    #[test]
    fn too_few_folders_without_numbers_are_refused_and_no_folders_are_no_labels() {
        let refused = in_folders(&["bag", "coat"]).labels(10).unwrap_err().to_string();
        assert!(refused.starts_with("2 folders of classes, but the layer knows 10"), "{refused}");
        let mut some = in_folders(&["bag"]);
        some.folders.push(None);
        assert_eq!(some.labels(10).unwrap(), None);
    }
}
