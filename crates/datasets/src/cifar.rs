//! The binary files of CIFAR-10 and CIFAR-100: records of one or two labels and 3072 values, the red plane first, then green,
//! then blue, each row by row of an image of 32 by 32. Source: the CIFAR page of Krizhevsky.

use std::path::Path;

use crate::labels::Labels;
use crate::raw::{Pixels, Raw, RawSet, Values};
use crate::{Error, ImageShape, Result};

const SHAPE: ImageShape = ImageShape { height: 32, width: 32, channels: 3 };
const PLANE: usize = 32 * 32;

/// One of the two datasets.
struct Form {
    form: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    /// The file with the names of the classes, one per line.
    names: &'static str,
    /// Labels before the values; the last of them is the class.
    labels: usize,
    classes: usize,
}

const FORMS: [Form; 2] = [
    Form {
        form: "CIFAR-10 binary",
        train: &[
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
        ],
        test: "test_batch.bin",
        names: "batches.meta.txt",
        labels: 1,
        classes: 10,
    },
    Form {
        form: "CIFAR-100 binary",
        train: &["train.bin"],
        test: "test.bin",
        names: "fine_label_names.txt",
        labels: 2,
        classes: 100,
    },
];

/// The dataset in `dir`, or none if none of its files is there.
///
/// # Errors
/// If only some of the files are there, one cannot be read, is not a whole number of records or holds a label that is no class;
/// or if the files are those for Python.
pub(crate) fn read(dir: &Path) -> Result<Option<Raw>> {
    let has = |name: &&str| dir.join(name).is_file();
    let pickles = ["data_batch_1", "cifar-10-batches-py/data_batch_1", "cifar-100-python/train"];
    // Of CIFAR-100, inside its folder, only the names together are its own.
    let is_100 = ["train", "meta"].iter().all(has);
    if let Some(name) = pickles.iter().find(|name| has(name)).or(is_100.then_some(&"train")) {
        let expected = "the binary version (cifar-10-binary.tar.gz or cifar-100-binary.tar.gz)";
        return Err(Error::unfit(&dir.join(name).display().to_string(), "CIFAR for Python", expected));
    }
    let Some(form) = FORMS.iter().find(|form| form.train.iter().any(has)) else {
        return Ok(None);
    };
    if let Some(missing) = form.train.iter().chain([&form.test]).find(|name| !has(name)) {
        return Err(Error::MissingFile { dir: dir.to_owned(), names: vec![(*missing).to_owned()] });
    }
    let class_names = form.class_names(dir)?;
    let train = form.set(dir, form.train, &class_names)?;
    let test = Some(form.set(dir, &[form.test], &class_names)?);
    Ok(Some(Raw { form: form.form, train, test, class_names: Some(class_names), notes: vec![] }))
}

/// Whether a file is one of those that the two archives hold.
pub(crate) fn is_own(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_of = |form: &Form| form.train.contains(&&*name) || [form.test, form.names].contains(&&*name);
    FORMS.iter().any(is_of) || ["readme.html", "coarse_label_names.txt"].contains(&&*name)
}

impl Form {
    /// The names of the classes, or their numbers where the file is not there.
    fn class_names(&self, dir: &Path) -> Result<Vec<String>> {
        let path = dir.join(self.names);
        if !path.is_file() {
            return Ok((0..self.classes).map(|class| class.to_string()).collect());
        }
        let text = std::fs::read_to_string(&path).map_err(|reason| Error::unreadable(&path, reason))?;
        let names: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
        match distinct.len() {
            count if count == self.classes && names.len() == count => Ok(names),
            count => {
                let expected = format!("{} different ones", self.classes);
                Err(Error::unfit(&path.display().to_string(), format!("{count} names"), expected))
            }
        }
    }

    fn set(&self, dir: &Path, files: &[&str], class_names: &[String]) -> Result<RawSet> {
        let (mut bytes, mut names) = (Vec::new(), Vec::new());
        for file in files {
            for record in self.records(&dir.join(file))?.chunks_exact(self.record()) {
                let (labels, planes) = record.split_at(self.labels);
                bytes.extend(
                    (0..PLANE).flat_map(|pixel| [0, 1, 2].map(|color| planes[PLANE * color + pixel])),
                );
                names.push(class_names[usize::from(labels[self.labels - 1])].clone());
            }
        }
        let place = dir.join(files[0]).display().to_string();
        let labels = Some(Labels::new(place.clone(), names));
        let values = Values::Bytes(bytes);
        Ok(RawSet { images: Pixels { place, shape: SHAPE, values, are_numbers: false, note: None }, labels })
    }

    fn record(&self) -> usize {
        self.labels + SHAPE.inputs()
    }

    fn records(&self, path: &Path) -> Result<Vec<u8>> {
        let bytes = std::fs::read(path).map_err(|reason| Error::unreadable(path, reason))?;
        let record = self.record();
        let malformed = |offset: usize, found: String, expected: String| Error::Malformed {
            file: path.display().to_string(),
            offset: offset as u64,
            found,
            expected,
        };
        if bytes.is_empty() || bytes.len() % record != 0 {
            let expected = format!("whole records of {record} bytes, at least one");
            return Err(malformed(bytes.len(), "the end of the file".to_owned(), expected));
        }
        let labels = bytes.iter().skip(self.labels - 1).step_by(record);
        match labels.enumerate().find(|(_, label)| usize::from(**label) >= self.classes) {
            None => Ok(bytes),
            Some((place, label)) => {
                let expected = format!("a label from 0 to {}", self.classes - 1);
                Err(malformed(place * record + self.labels - 1, format!("label {label}"), expected))
            }
        }
    }
}
