//! One's own images: a folder per class, with image files in it and in the folders below it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use crate::ReadOptions;
use crate::labels::Labels;
use crate::raw::{Pixels, Raw, RawSet, Values};
use crate::role::{Set, set_of};
use crate::{Error, ImageFile, ImageShape, Result};

/// Folders below a class that are looked into: more are a link to a folder above.
const DEEPEST: usize = 16;
/// Files that are read before what they hold is put together.
const PORTION: usize = 512;

/// The dataset of the images below `dir`, or none if there are none.
///
/// `DIR/train/CLASS/...` and `DIR/test/CLASS/...` are two sets, `DIR/CLASS/...` is one. Images right in a set's folder, without
/// folders of classes beside them, have no labels. A folder that holds nothing but one folder stands for that one.
///
/// A set of images is gray if none of them has a pixel of unequal values, whatever their files say, and in color otherwise.
///
/// # Errors
/// If a file that is an image by its content or its ending cannot be decoded, or is of another size than the first and
/// `options` do not say to which size all are to be brought.
pub(crate) fn read(dir: &Path, options: &ReadOptions) -> Result<Option<Raw>> {
    let dir = innermost(dir)?;
    let sets: Vec<(Set, PathBuf)> =
        folders(&dir)?.into_iter().filter_map(|path| Some((set_named(&path)?, path))).collect();
    let of = |wanted: Set| sets.iter().find(|(set, _)| *set == wanted).map(|(_, path)| path);
    let mut notes = Vec::new();
    let (train, test) = match (of(Set::Train), of(Set::Test)) {
        (Some(train), test) => {
            let validation = of(Set::Validation).map(|path| {
                format!(
                    "{} is passed over: validation images are drawn from those for training",
                    path.display()
                )
            });
            notes.extend(validation);
            (files_of(train)?, test.map(|test| files_of(test)).transpose()?)
        }
        (None, None) if sets.is_empty() => (files_of(&dir)?, None),
        (None, _) => return Err(Error::MissingFile { dir, names: vec!["train".to_owned()] }),
    };
    let count = train.len() + test.as_ref().map_or(0, Vec::len);
    let mut reading =
        Reading { options, total: count as u64, done: AtomicU64::new(0), first: None, skipped: vec![] };
    let train = reading.set(train)?;
    let test = test.map(|files| reading.set(files)).transpose()?.flatten();
    if let Some(example) = reading.skipped.first() {
        let (count, name) = (reading.skipped.len(), example.display());
        notes.push(format!("{count} other files are passed over, such as {name}"));
    }
    let Some(mut train) = train else { return Ok(None) };
    let mut test = test;
    // The first set may have been all gray before the second brought color.
    let mut all: Vec<&mut Read> = [Some(&mut train), test.as_mut()].into_iter().flatten().collect();
    if all.iter().any(|set| set.shape.channels == 3) {
        all.iter_mut().for_each(|set| set.make_color());
    }
    Ok(Some(Raw {
        form: "image files",
        train: train.raw(),
        test: test.map(Read::raw),
        class_names: None,
        notes,
    }))
}

/// An image's file and its class.
struct Labeled {
    path: PathBuf,
    class: Option<String>,
}

/// The images of one set.
struct Read {
    place: String,
    shape: ImageShape,
    pixels: Vec<u8>,
    classes: Vec<Option<String>>,
}

impl Read {
    fn make_color(&mut self) {
        if self.shape.channels == 1 {
            self.shape.channels = 3;
            self.pixels = self.pixels.iter().flat_map(|&gray| [gray; 3]).collect();
        }
    }

    fn raw(self) -> RawSet {
        let Self { place, shape, pixels, classes } = self;
        let labels = classes.into_iter().collect::<Option<Vec<String>>>();
        let labels = labels.map(|names| Labels::new(place.clone(), names));
        let values = Values::Bytes(pixels);
        RawSet { images: Pixels { place, shape, values, are_numbers: false, note: None }, labels }
    }
}

struct Reading<'a> {
    options: &'a ReadOptions,
    total: u64,
    done: AtomicU64,
    /// The file whose size the others must have, and that size.
    first: Option<(PathBuf, ImageShape)>,
    skipped: Vec<PathBuf>,
}

impl Reading<'_> {
    /// The images among `files`, or none if there is none. Memory holds their pixels and no more than a portion of files.
    fn set(&mut self, files: Vec<Labeled>) -> Result<Option<Read>> {
        let mut read: Option<Read> = None;
        for portion in files.chunks(PORTION) {
            let decoded: Vec<Result<Option<ImageFile>>> =
                portion.par_iter().map(|file| self.decode(&file.path)).collect();
            for (file, image) in portion.iter().zip(decoded) {
                let Some(image) = image? else {
                    self.skipped.push(file.path.clone());
                    continue;
                };
                self.check_size(&file.path, image.shape)?;
                let read = read.get_or_insert_with(|| Read {
                    place: file.path.display().to_string(),
                    shape: image.shape,
                    pixels: Vec::new(),
                    classes: Vec::new(),
                });
                if image.shape.channels == 3 {
                    read.make_color();
                }
                match (image.shape.channels, read.shape.channels) {
                    (1, 3) => read.pixels.extend(image.pixels.iter().flat_map(|&gray| [gray; 3])),
                    _ => read.pixels.extend(&image.pixels),
                }
                read.classes.push(file.class.clone());
            }
        }
        Ok(read)
    }

    fn decode(&self, path: &Path) -> Result<Option<ImageFile>> {
        let image = ImageFile::read_if_image(path)?.map(ImageFile::gray_if_gray);
        let image = match (image, self.options.image_size) {
            (Some(image), Some((height, width))) => {
                let shape = ImageShape { height, width, channels: image.shape.channels };
                Some(image.fitted(shape)?.0)
            }
            (image, _) => image,
        };
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(watcher) = self.options.watcher {
            watcher("images", done, self.total);
        }
        Ok(image)
    }

    fn check_size(&mut self, path: &Path, shape: ImageShape) -> Result<()> {
        let size = |shape: ImageShape| (shape.height, shape.width);
        let (first, expected) = self.first.get_or_insert_with(|| (path.to_owned(), shape));
        if size(shape) == size(*expected) {
            return Ok(());
        }
        let (height, width) = size(*expected);
        let expected = format!(
            "{height} x {width}, as in {}; --image-size {height}x{width} brings all to that size",
            first.display()
        );
        Err(Error::unfit(
            &path.display().to_string(),
            format!("{} x {} pixels", shape.height, shape.width),
            expected,
        ))
    }
}

/// What lies in a folder, in the order of names, without what systems leave there.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |reason| Error::unreadable(dir, reason);
    let entries = fs::read_dir(dir).map_err(unreadable)?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().map_err(unreadable)?;
    paths.retain(|path| !is_left_by_a_system(&name_of(path)));
    paths.sort();
    Ok(paths)
}

/// Whether a name is of what macOS, Windows, Jupyter or a network drive leaves in every folder.
fn is_left_by_a_system(name: &str) -> bool {
    const NAMES: [&str; 6] = ["thumbs.db", "desktop.ini", "__macosx", "icon\r", "@eadir", "$recycle.bin"];
    name.starts_with('.') || NAMES.contains(&name.to_lowercase().as_str())
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(dir)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The set that a folder is named for.
fn set_named(path: &Path) -> Option<Set> {
    match set_of(&name_of(path)) {
        (set, rest) if rest.is_empty() => set,
        _ => None,
    }
}

/// The folder that `dir` stands for: what a zip archive unpacks to is often one folder in another. A folder of a set or one
/// without folders is a class.
fn innermost(dir: &Path) -> Result<PathBuf> {
    let mut dir = dir.to_owned();
    for _ in 0..DEEPEST {
        match &entries(&dir)?[..] {
            [only] if only.is_dir() && set_named(only).is_none() && !folders(only)?.is_empty() => {
                dir = only.clone()
            }
            _ => break,
        }
    }
    Ok(dir)
}

/// All files of a set, in the order of the classes and then of their own names; those right in the folder only if it has no
/// folders.
fn files_of(dir: &Path) -> Result<Vec<Labeled>> {
    let folders = folders(dir)?;
    let mut files = Vec::new();
    match folders.is_empty() {
        true => collect(dir, None, 0, &mut files)?,
        false => {
            for folder in folders {
                collect(&folder, Some(&name_of(&folder)), 0, &mut files)?;
            }
        }
    }
    Ok(files)
}

fn collect(dir: &Path, class: Option<&str>, depth: usize, files: &mut Vec<Labeled>) -> Result<()> {
    for path in entries(dir)? {
        if !path.is_dir() {
            files.push(Labeled { path, class: class.map(str::to_owned) });
        } else if depth < DEEPEST {
            collect(&path, class, depth + 1, files)?;
        }
    }
    Ok(())
}
