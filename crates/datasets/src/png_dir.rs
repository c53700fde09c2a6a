//! One's own images: a folder a class, with PNG files in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};

use crate::image_file::describe;
use crate::{Dataset, Error, Examples, ImageFile, ImageShape, Result};

/// Of the images of each class in the order of their names, every so many is a test image where no folder says which.
const EVERY: usize = 6;

impl Dataset {
    /// Reads the PNG files in the folders of `dir`, one folder a class, numbered in the order of the folders' names:
    /// `DIR/train/CLASS/*.png` and `DIR/test/CLASS/*.png`; or `DIR/CLASS/*.png`, where of each class every sixth image in
    /// the order of its name is a test image.
    ///
    /// All images must be of one size. They are read as gray if the first is gray, else as color; 16-bit values lose
    /// their lower half, and what is transparent is taken as it is under its transparency.
    ///
    /// # Errors
    /// If the directory is missing, holds no image for training or for testing, or an image cannot be read, is of another
    /// size than the first, or has color where the first has none.
    pub fn from_png_dir(name: &str, dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::MissingDirectory { dir: dir.to_owned() });
        }
        let (train, test) = (dir.join("train"), dir.join("test"));
        let [train, test] = match train.is_dir() && test.is_dir() {
            true => [images_in(&train)?, images_in(&test)?],
            false => apart(images_in(dir)?),
        };
        let classes: BTreeSet<&str> = train.iter().chain(&test).map(|image| image.class.as_str()).collect();
        let classes = Vec::from_iter(classes);
        let Some(first) = train.first().filter(|_| !test.is_empty()) else {
            let names = vec!["CLASS/*.png, of which some train and some test".to_owned()];
            return Err(Error::MissingFile { dir: dir.to_owned(), names });
        };
        let shape = ImageFile::read_png(&first.path)?.shape;
        Ok(Self {
            name: name.to_owned(),
            shape,
            classes: classes.len(),
            train: examples(&train, &classes, shape, &first.path)?,
            test: examples(&test, &classes, shape, &first.path)?,
        })
    }
}

struct Image {
    path: PathBuf,
    class: String,
}

/// Whether `dir` looks as if [`Dataset::from_png_dir`] could read it.
pub(crate) fn is_png_dir(dir: &Path) -> bool {
    let some = |dir: &Path| images_in(dir).is_ok_and(|images| !images.is_empty());
    some(dir) || some(&dir.join("train"))
}

/// All images of all classes, in the order of the classes' names and then of their own.
fn images_in(dir: &Path) -> Result<Vec<Image>> {
    let mut images = Vec::new();
    for folder in entries(dir)?.into_iter().filter(|folder| folder.is_dir()) {
        let class = name_of(&folder);
        let is_png = |path: &PathBuf| {
            path.is_file() && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"))
        };
        let pngs = entries(&folder)?.into_iter().filter(is_png);
        images.extend(pngs.map(|path| Image { path, class: class.clone() }));
    }
    Ok(images)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |reason| Error::Read { file: dir.display().to_string(), offset: 0, reason };
    let entries = fs::read_dir(dir).map_err(unreadable)?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Training and test images, apart.
fn apart(images: Vec<Image>) -> [Vec<Image>; 2] {
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for class in images.chunk_by(|one, other| one.class == other.class) {
        for (place, Image { path, class }) in class.iter().enumerate() {
            let set = if place % EVERY == EVERY - 1 { &mut test } else { &mut train };
            set.push(Image { path: path.clone(), class: class.clone() });
        }
    }
    [train, test]
}

fn examples(images: &[Image], classes: &[&str], shape: ImageShape, first: &Path) -> Result<Examples> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::with_capacity(images.len()));
    for image in images {
        let ImageFile { shape: found, pixels: bytes } = ImageFile::read_png(&image.path)?;
        pixels.extend(fit(found, bytes, shape).map_err(|found| Error::Malformed {
            file: image.path.display().to_string(),
            offset: 16,
            found,
            expected: format!("{}, as in {}", describe(shape), first.display()),
        })?);
        labels.push(classes.iter().position(|class| *class == image.class).unwrap_or_default() as u32);
    }
    let count = labels.len();
    Examples::new(
        Tensor::from_vec(pixels, (count, shape.inputs()), &Device::Cpu)?,
        Tensor::from_vec(labels, count, &Device::Cpu)?,
        classes.len(),
    )
}

/// The bytes of an image of the form `found` in the form `shape`, or what it is if they do not go together.
fn fit(found: ImageShape, bytes: Vec<u8>, shape: ImageShape) -> std::result::Result<Vec<u8>, String> {
    let as_color = ImageShape { channels: 3, ..found };
    match found.channels {
        _ if found == shape => Ok(bytes),
        1 if as_color == shape => Ok(bytes.into_iter().flat_map(|gray| [gray; 3]).collect()),
        _ => Err(describe(found)),
    }
}
