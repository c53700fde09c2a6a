//! A dataset of IDX files, as MNIST, Fashion-MNIST, KMNIST and EMNIST are distributed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::idx::Idx;
use crate::labels::Labels;
use crate::raw::{Pixels, Raw, RawSet, Values};
use crate::role::{Part, Set, role_of};
use crate::{Error, ImageShape, Result};

type Role = (Set, Part);

/// The dataset of the IDX files among `files`, which lie in `dir`, or none if there are none.
///
/// `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte` may be spelt
/// with dots, have something before `train`, say `test` for `t10k`, and be gzipped, whatever their ending. Where both are
/// there, the one without the ending `.gz` is read.
///
/// # Errors
/// If a file is missing or two are there for one purpose, one cannot be read, is not IDX, or is shorter or longer than its
/// header says. No file, whatever it holds, takes more memory than its own length (for gzip: than what it decompresses to, up
/// to the size that its header declares) calls for.
pub(crate) fn read(dir: &Path, files: &[PathBuf]) -> Result<Option<Raw>> {
    let mut found: BTreeMap<Role, &PathBuf> = BTreeMap::new();
    for path in files {
        let Some(role) = name_of(path).and_then(|name| role_in(&name)) else { continue };
        if let Some(earlier) = found.insert(role, path)
            && unpacked(earlier) != unpacked(path)
        {
            let expected = format!("only one of it and {}", earlier.display());
            return Err(Error::unfit(&path.display().to_string(), "what its name says twice", expected));
        }
        if let Some(plain) = files.iter().find(|other| Some(*other) == Some(&unpacked(path))) {
            found.insert(role, plain);
        }
    }
    if !found.keys().any(|(_, part)| *part == Part::Images) {
        return Ok(None);
    }
    let mut set = |set: Set, names: [&str; 2]| -> Result<RawSet> {
        let mut file = |part: Part, name: &str| {
            let missing = || Error::MissingFile { dir: dir.to_owned(), names: spellings(name) };
            found.remove(&(set, part)).ok_or_else(missing)
        };
        let images = Idx::open(file(Part::Images, names[0])?)?;
        let labels = file(Part::Labels, names[1]).ok().map(|path| Idx::open(path)).transpose()?;
        Ok(raw(images, labels))
    };
    let train = set(Set::Train, ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])?;
    let test = set(Set::Test, ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])?;
    for (set, other, name) in
        [(&train, &test, "train-labels-idx1-ubyte"), (&test, &train, "t10k-labels-idx1-ubyte")]
    {
        if set.labels.is_none() && other.labels.is_some() {
            return Err(Error::MissingFile { dir: dir.to_owned(), names: spellings(name) });
        }
    }
    Ok(Some(Raw { form: "IDX", train, test: Some(test), class_names: None, notes: vec![] }))
}

/// Images and labels as a set.
pub(crate) fn raw(images: Idx<3>, labels: Option<Idx<1>>) -> RawSet {
    let [_, height, width] = images.dims.map(|dim| dim as usize);
    let numbers = |labels: Idx<1>| {
        let names = labels.data.iter().map(u8::to_string).collect();
        Labels::new(labels.file, names)
    };
    let shape = ImageShape { height, width, channels: 1 };
    let values = Values::Bytes(images.data);
    let images = Pixels { place: images.file, shape, values, are_numbers: false, note: None };
    RawSet { images, labels: labels.map(numbers) }
}

/// Whether a file's name says that it is one of a dataset's four.
pub(crate) fn is_own(path: &Path) -> bool {
    name_of(path).and_then(|name| role_in(&name)).is_some()
}

fn name_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().to_lowercase())
}

fn unpacked(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|ending| ending == "gz") {
        path.with_extension("")
    } else {
        path.to_owned()
    }
}

/// What the name of an IDX file says: its last two words before the format, such as `train-images`.
fn role_in(name: &str) -> Option<Role> {
    let (before, _) = ["idx3-ubyte", "idx1-ubyte"].iter().find_map(|format| name.split_once(format))?;
    let words: Vec<&str> = before.split(['-', '.', '_']).filter(|word| !word.is_empty()).collect();
    let [.., set, part] = words[..] else { return None };
    match role_of(&format!("{set}{part}"))? {
        (Some(set), part) => Some((set, part)),
        (None, _) => None,
    }
}

/// Every spelling of a file's name.
fn spellings(name: &str) -> Vec<String> {
    let dotted = name.replacen("-idx", ".idx", 1);
    ["", ".gz"].iter().flat_map(|packed| [format!("{name}{packed}"), format!("{dotted}{packed}")]).collect()
}
