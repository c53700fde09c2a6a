//! One's own images: a folder per class, with image files in it and in the folders below it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;

use crate::class_folders::{Found, Labeled};
use crate::raw::Raw;
use crate::set_read::{SetRead, raw_of};
use crate::{Error, ImageFile, ImageShape, ReadOptions, Result};

/// Files that are read before what they hold is put together.
const PORTION: usize = 512;

/// The dataset of the images below `dir`, or none if there are none. Which folders are sets and classes, [`Found`] says.
///
/// A set of images is gray if none of them has a pixel of unequal values, whatever their files say, and in color otherwise.
///
/// # Errors
/// If a file that is an image by its content or its ending cannot be decoded, or is of another size than the first and
/// `options` do not say to which size all are to be brought; or if all images are of kinds that are not read.
pub(crate) fn read(dir: &Path, options: &ReadOptions) -> Result<Option<Raw>> {
    let Found { train, test, others, mut notes } = Found::of(dir)?;
    let total = (train.len() + test.as_ref().map_or(0, Vec::len)) as u64;
    let mut reading = Reading { options, total, done: Mutex::new(0), first: None, skipped: others };
    let train = reading.set(train)?;
    let test = test.map(|files| reading.set(files)).transpose()?.flatten();
    let skipped = reading.skipped;
    let Some(train) = train else { return refused_if_image(&skipped) };
    if let Some(example) = skipped.first() {
        let (count, name) = (skipped.len(), example.display());
        notes.push(format!("{count} other files are passed over, such as {name}"));
    }
    raw_of("image files", train, test, notes).map(Some)
}

/// # Errors
/// If one of the files is an image of a kind that is not read, which is why there are none.
fn refused_if_image(skipped: &[PathBuf]) -> Result<Option<Raw>> {
    let first = skipped.iter().find_map(|path| Some((path, ImageFile::other_kind(path)?)));
    first.map_or(Ok(None), |(path, kind)| {
        Err(Error::unfit(&path.display().to_string(), kind, "a PNG, JPEG or BMP image"))
    })
}

struct Reading<'a> {
    options: &'a ReadOptions,
    total: u64,
    /// Files that have been read. Locked while the watcher is told, so that it hears of them in order.
    done: Mutex<u64>,
    /// The file whose size the others must have, and that size.
    first: Option<(PathBuf, ImageShape)>,
    skipped: Vec<PathBuf>,
}

impl Reading<'_> {
    /// The images among `files`, or none if there is none. Memory holds their pixels and no more than a portion of files.
    fn set(&mut self, files: Vec<Labeled>) -> Result<Option<SetRead>> {
        let mut read: Option<SetRead> = None;
        for portion in files.chunks(PORTION) {
            let decoded: Vec<Result<Option<ImageFile>>> =
                portion.par_iter().map(|file| self.decode(&file.path)).collect();
            for (file, image) in portion.iter().zip(decoded) {
                let Some(image) = image? else {
                    self.skipped.push(file.path.clone());
                    continue;
                };
                self.check_size(&file.path, image.shape)?;
                let new = || SetRead::new(&file.path.display().to_string(), true, None, None);
                let read = read.get_or_insert_with(new);
                read.push_image(&file.path.display(), image)?;
                read.push_class(file.class.clone());
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
        if let (Some(watcher), Ok(mut done)) = (self.options.watcher, self.done.lock()) {
            *done += 1;
            watcher("images", *done, self.total);
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
