//! Which folders are sets and which are classes, and what lies in them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::role::{Part, Set, role_of, set_of};
use crate::{Error, ImageFile, Result};

/// Folders in folders that are looked into: more are a link to a folder above.
const DEEPEST: usize = 16;

/// A file of a set and its class.
pub(crate) struct Labeled {
    pub(crate) path: PathBuf,
    pub(crate) class: Option<String>,
}

/// All that lies in a folder, as far as its place says what it is.
pub(crate) struct Found {
    pub(crate) train: Vec<Labeled>,
    pub(crate) test: Option<Vec<Labeled>>,
    /// Files that lie where no class is.
    pub(crate) others: Vec<PathBuf>,
    pub(crate) notes: Vec<String>,
}

impl Found {
    /// What lies in `dir`: `train/CLASS/...` and `test/CLASS/...` are two sets, `CLASS/...` is one. Files right in a set's
    /// folder, without folders of classes beside them, have no class. A folder in which nothing but one folder lies stands for
    /// that one, and so does `train/train`.
    ///
    /// # Errors
    /// If only the test set is there, two folders are named for one set, a class has sets of its own, or folders are nested
    /// without an end.
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        let mut found = Self { train: vec![], test: None, others: vec![], notes: vec![] };
        let dir = found.innermost(dir)?;
        let Sets { train, test, validation, beside } = Sets::of(folders(&dir)?)?;
        let Some(train) = train else {
            if test.is_some() || validation.is_some() {
                return Err(Error::MissingFile { dir, names: vec!["train".to_owned()] });
            }
            found.train = found.files_of(&dir)?;
            return Ok(found);
        };
        found.others.extend(files(&dir)?);
        let note = |path: PathBuf| format!("{} is passed over beside {}", path.display(), train.display());
        found.notes.extend(beside.into_iter().map(note));
        found.notes.extend(validation.map(|path| {
            format!("{} is passed over: validation images are drawn from those for training", path.display())
        }));
        found.train = found.files_of(&repeated(&train)?)?;
        found.test = test.map(|test| found.files_of(&repeated(&test)?)).transpose()?;
        Ok(found)
    }

    /// The folder that `dir` stands for: what an archive unpacks to is often one folder in another, with a text beside it.
    fn innermost(&mut self, dir: &Path) -> Result<PathBuf> {
        let mut dir = dir.to_owned();
        for _ in 0..DEEPEST {
            let files = files(&dir)?;
            match &folders(&dir)?[..] {
                [only]
                    if !is_of_a_set(only)
                        && !folders(only)?.is_empty()
                        && !files.iter().any(|file| ImageFile::has_image_name(file)) =>
                {
                    self.others.extend(files);
                    dir = only.clone();
                }
                _ => break,
            }
        }
        Ok(dir)
    }

    /// All files of a set, in the order of the classes and then of their own names; those right in the folder only if it has
    /// no folders.
    fn files_of(&mut self, dir: &Path) -> Result<Vec<Labeled>> {
        let (classes, mut all) = (folders(dir)?, Vec::new());
        match classes.is_empty() {
            true => collect(dir, None, 0, &mut all)?,
            false => self.others.extend(files(dir)?),
        }
        for folder in classes {
            let before = all.len();
            refuse_sets_in(&folder)?;
            collect(&folder, Some(&name_of(&folder)), 0, &mut all)?;
            if all.len() == before {
                self.notes.push(format!("{} is empty and no class", folder.display()));
            }
        }
        Ok(all)
    }
}

/// The folders of sets, and the others beside them.
#[derive(Default)]
struct Sets {
    train: Option<PathBuf>,
    test: Option<PathBuf>,
    validation: Option<PathBuf>,
    beside: Vec<PathBuf>,
}

impl Sets {
    /// Those among `folders`. A folder is of a set if its name says nothing else, as `train` and `train_images` do, or says the
    /// same beside another set, as `seg_train` does beside `seg_test`.
    fn of(folders: Vec<PathBuf>) -> Result<Self> {
        let names: Vec<(Option<Set>, String)> = folders.iter().map(|path| set_of(&name_of(path))).collect();
        let has_partner = |(set, rest): &(Option<Set>, String)| {
            names.iter().any(|(other, said)| other.is_some() && other != set && said == rest)
        };
        let mut sets = Self::default();
        for (path, name) in folders.into_iter().zip(&names) {
            let place = match name.0.filter(|_| is_of_a_set(&path) || has_partner(name)) {
                Some(Set::Train) => &mut sets.train,
                Some(Set::Test) => &mut sets.test,
                Some(Set::Validation) => &mut sets.validation,
                None => {
                    sets.beside.push(path);
                    continue;
                }
            };
            if let Some(earlier) = place.replace(path.clone()) {
                let expected = format!("only one of it and {}", earlier.display());
                return Err(Error::unfit(&path.display().to_string(), "what its name says twice", expected));
            }
        }
        sets.trains_are_a_class()
    }

    /// Beside classes such as cars and buses, a folder `train` of nothing but images is one of them.
    fn trains_are_a_class(self) -> Result<Self> {
        match &self {
            Self { train: Some(train), test: None, validation: None, beside }
                if !beside.is_empty() && folders(train)?.is_empty() =>
            {
                Ok(Self::default())
            }
            _ => Ok(self),
        }
    }
}

/// Whether a folder's name says that it is a set and nothing more.
fn is_of_a_set(path: &Path) -> bool {
    let name = name_of(path);
    let (set, rest) = set_of(&name);
    let is_of_images = matches!(role_of(&name), Some((Some(_), Part::Images)));
    set.is_some() && (rest.is_empty() || rest == "set" || is_of_images)
}

/// The folder in the folder of a set that is named as it is and lies alone there, or else that folder.
fn repeated(dir: &Path) -> Result<PathBuf> {
    match &entries(dir)?[..] {
        [only] if only.is_dir() && name_of(only) == name_of(dir) => Ok(only.clone()),
        _ => Ok(dir.to_owned()),
    }
}

/// # Errors
/// If a class has a training and a test set of its own, which would become one.
fn refuse_sets_in(class: &Path) -> Result<()> {
    let named = |set| folders(class).is_ok_and(|all| all.iter().any(|path| set_of(&name_of(path)) == set));
    match named((Some(Set::Train), String::new())) && named((Some(Set::Test), String::new())) {
        true => Err(Error::unfit(
            &class.display().to_string(),
            "the folders of a training and a test set where a class would be",
            "train/CLASS and test/CLASS in the folder that is read",
        )),
        false => Ok(()),
    }
}

fn collect(dir: &Path, class: Option<&str>, depth: usize, all: &mut Vec<Labeled>) -> Result<()> {
    if depth > DEEPEST {
        let found = format!("more than {DEEPEST} folders in folders");
        return Err(Error::unfit(&dir.display().to_string(), found, "no link to a folder above"));
    }
    for path in entries(dir)? {
        match path.is_dir() {
            true => collect(&path, class, depth + 1, all)?,
            false => all.push(Labeled { path, class: class.map(str::to_owned) }),
        }
    }
    Ok(())
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

pub(crate) fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(dir)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// What lies right in `dir` and is no folder.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(dir)?.into_iter().filter(|path| !path.is_dir()).collect())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
