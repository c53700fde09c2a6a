//! One's own arrays: numpy files, npz files and safetensors files, whose names say what they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::array::Array;
use crate::layout::ExampleShape;
use crate::raw::{Raw, RawSet};
use crate::role::{Part, Set, role_of, set_of};
use crate::{Error, Result, npy, npz, tensors};

/// Where an array lies.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    /// Its name, in a file that has several.
    name: Option<String>,
}

impl Place {
    fn open(&self) -> Result<Array> {
        match &self.name {
            None => npy::open(&self.path),
            Some(name) if has_ending(&self.path, "npz") => npz::open(&self.path, name),
            Some(name) => tensors::open(&self.path, name),
        }
    }

    fn text(&self) -> String {
        let name = self.name.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
        format!("{}{name}", self.path.display())
    }
}

/// What was found under names that say what it is, and what was not.
#[derive(Default)]
struct Found {
    places: BTreeMap<(Option<Set>, Part), Place>,
    others: Vec<String>,
}

impl Found {
    /// # Errors
    /// If something else is there under a name that says the same.
    fn add(&mut self, role: Option<(Option<Set>, Part)>, place: Place) -> Result<()> {
        let Some(role) = role else {
            self.others.push(place.text());
            return Ok(());
        };
        match self.places.insert(role, place.clone()) {
            None => Ok(()),
            Some(earlier) => {
                let expected = format!("only one of it and {}", earlier.text());
                Err(Error::unfit(&place.text(), "what its name says twice", expected))
            }
        }
    }
}

/// Whether a file is one of arrays, which is read or said to be passed over.
pub(crate) fn is_own(path: &Path) -> bool {
    path.is_file() && ["npy", "npz", "safetensors"].iter().any(|ending| has_ending(path, ending))
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

/// The dataset of the arrays among `files`, or none if there are no images among them.
///
/// # Errors
/// If two arrays have names that say the same, or one cannot be read.
pub(crate) fn read(files: &[PathBuf], shape: Option<ExampleShape>) -> Result<Option<Raw>> {
    let mut found = Found::default();
    for path in files {
        add_file(&mut found, path)?;
    }
    let Found { mut places, others } = found;
    if !places.keys().any(|(_, part)| *part == Part::Images) {
        return Ok(None);
    }
    let mut notes: Vec<String> = others.iter().map(|other| format!("{other} is passed over")).collect();
    let form = match places.values().next() {
        Some(Place { path, name: Some(_) }) if has_ending(path, "npz") => "npz",
        Some(Place { name: Some(_), .. }) => "safetensors",
        _ => "npy",
    };
    let mut set = |set: Option<Set>| -> Result<Option<RawSet>> {
        let (images, labels) = (places.remove(&(set, Part::Images)), places.remove(&(set, Part::Labels)));
        let Some(images) = images else {
            notes
                .extend(labels.map(|labels| format!("{} is of no images and is passed over", labels.text())));
            return Ok(None);
        };
        let images = images.open()?.examples(shape)?;
        let labels = labels.map(|labels| labels.open()?.labels()).transpose()?;
        Ok(Some(RawSet { images, labels }))
    };
    let (train, test, all) = (set(Some(Set::Train))?, set(Some(Set::Test))?, set(None)?);
    let left = places.values().map(|place| {
        format!("{} is passed over: validation images are drawn from those for training", place.text())
    });
    notes.extend(left);
    let train = match (train, all) {
        (Some(train), all) => {
            notes.extend(
                all.map(|all| format!("{} is passed over beside the training images", all.images.place)),
            );
            train
        }
        (None, Some(all)) => all,
        (None, None) => return Ok(None),
    };
    Ok(Some(Raw { form, train, test, class_names: None, notes }))
}

fn add_file(found: &mut Found, path: &Path) -> Result<()> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let names = match path {
        _ if has_ending(path, "npy") => {
            return found.add(role_of(&stem), Place { path: path.to_owned(), name: None });
        }
        _ if has_ending(path, "npz") => npz::names(path)?,
        _ if has_ending(path, "safetensors") => tensors::names(path)?,
        _ => return Ok(()),
    };
    for name in names {
        // The file's name may say which set its arrays are of.
        let role = role_of(&name).map(|(set, part)| (set.or(set_of(&stem).0), part));
        found.add(role, Place { path: path.to_owned(), name: Some(name) })?;
    }
    Ok(())
}
