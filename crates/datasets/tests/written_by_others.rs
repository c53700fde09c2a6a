//! Every file of `written_by_others`, which NumPy, Pillow and the csv module of Python wrote, is read as these read it.
//!
//! All files of a folder there hold the same, which lies beside them as plain arrays and text; `make.py` wrote both. JPEG alone
//! is compared with a tolerance, because its standard leaves the rounding to the decoder: 2 levels, and 4 where color has half
//! the resolution, between whose samples each decoder draws its own line.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use hebbian_datasets::{Dataset, Examples, ImageShape, ReadOptions, read_labels, read_loose};

/// What lies in a folder of `written_by_others`, in the order of names.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

fn folders(of: &str) -> Vec<PathBuf> {
    entries(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/written_by_others").join(of))
}

/// The files of a folder that are to be read, and not what is expected of them.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = entries(folder);
    files.retain(|path| path.file_stem().unwrap() != "expected");
    files
}

/// The shape of an array that NumPy wrote, one number per word, and its values, of type u8 or f32.
fn expected(path: &Path) -> (Vec<usize>, Vec<f32>, DType) {
    let bytes = fs::read(path).unwrap();
    let (header, values) = bytes[10..].split_at(usize::from(u16::from_le_bytes([bytes[8], bytes[9]])));
    let header = std::str::from_utf8(header).unwrap();
    let shape = header.split_once('(').unwrap().1.split_once(')').unwrap().0;
    let shape = shape.split(", ").map(|size| size.trim_end_matches(',').parse().unwrap()).collect();
    match header.contains("'<f4'") {
        true => {
            (shape, values.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect(), DType::F32)
        }
        false => (shape, values.iter().map(|&value| value.into()).collect(), DType::U8),
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn values(images: &Tensor) -> Vec<f32> {
    images.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn sizes(shape: ImageShape) -> [usize; 3] {
    [shape.height, shape.width, shape.channels]
}

/// By how much the values of a file may differ from those expected.
fn tolerance(path: &Path) -> f32 {
    let has_part = |part: &str| path.to_string_lossy().contains(part);
    match has_part(".jpg") {
        false => 0.0,
        true if has_part("halved") => 4.0,
        true => 2.0,
    }
}

fn assert_close(found: &[f32], expected: &[f32], path: &Path) {
    assert_eq!(found.len(), expected.len(), "{}", path.display());
    let apart = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    let most = apart.fold(0.0, f32::max);
    assert!(most <= tolerance(path), "{}: {most} levels apart", path.display());
}

#[test]
fn images_have_the_pixels_that_pillow_sees() {
    for folder in folders("images") {
        let (shape, pixels, _) = expected(&folder.join("expected.npy"));
        let channels = shape.get(2).copied().unwrap_or(1);
        for path in files(&folder) {
            let image = read_loose(&path, None).unwrap();
            // Gray that is stored as color becomes gray with the whole set, which knows whether any image has color.
            let pixels: Vec<f32> = match (channels, image.shape.channels) {
                (1, 3) => pixels.iter().flat_map(|&gray| [gray; 3]).collect(),
                _ => pixels.clone(),
            };
            assert_eq!((image.shape.height, image.shape.width), (shape[0], shape[1]), "{}", path.display());
            assert_close(&values(&image.images), &pixels, &path);
        }
    }
}

#[test]
fn an_image_is_the_same_in_a_folder_of_classes_as_alone() {
    for folder in folders("images") {
        let (shape, pixels, _) = expected(&folder.join("expected.npy"));
        for path in files(&folder) {
            let dir = tempfile::tempdir().unwrap();
            for set in ["train/a", "test/a"] {
                fs::create_dir_all(dir.path().join(set)).unwrap();
                fs::copy(&path, dir.path().join(set).join("1")).unwrap();
            }
            let dataset = Dataset::from_dir(dir.path(), &ReadOptions::default()).unwrap();
            let channels = shape.get(2).copied().unwrap_or(1);
            assert_eq!(sizes(dataset.shape), [shape[0], shape[1], channels], "{}", path.display());
            assert_close(&values(dataset.train.images()), &pixels, &path);
        }
    }
}

#[test]
fn arrays_have_the_values_that_numpy_sees_whatever_their_type_order_and_version() {
    for folder in folders("arrays") {
        let (shape, expected, dtype) = expected(&folder.join("expected.npy"));
        for path in files(&folder) {
            let array = read_loose(&path, None).unwrap();
            assert_eq!(sizes(array.shape)[..], shape[1..], "{}", path.display());
            assert_eq!(array.images.dtype(), dtype, "{}", path.display());
            assert_eq!(values(&array.images), expected, "{}", path.display());
        }
    }
}

#[test]
fn labels_are_those_that_numpy_sees() {
    for folder in folders("labels") {
        let expected = lines(&folder.join("expected.txt"));
        for path in files(&folder) {
            match read_labels(&path) {
                Ok(labels) => assert_eq!(labels, expected, "{}", path.display()),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_dataset_is_the_same_in_every_form() {
    for folder in folders("datasets") {
        for dir in entries(&folder).into_iter().filter(|path| path.is_dir()) {
            let dataset = match Dataset::from_dir(&dir, &ReadOptions::default()) {
                Ok(dataset) => dataset,
                Err(error) => panic!("{error}"),
            };
            assert_set(&dataset, &dataset.train, &folder.join("train"), &dir);
            assert_set(&dataset, &dataset.test, &folder.join("test"), &dir);
        }
    }
}

fn assert_set(dataset: &Dataset, found: &Examples, set: &Path, dir: &Path) {
    let (shape, expected, dtype) = expected(&set.with_extension("npy"));
    assert_eq!(sizes(dataset.shape)[..], shape[1..], "{}", dir.display());
    assert_eq!(found.images().dtype(), dtype, "{}", dir.display());
    assert_eq!(values(found.images()), expected, "{}", dir.display());
    let labels: Vec<u32> = found.labels().unwrap().to_vec1().unwrap();
    let names: Vec<&String> = labels.iter().map(|&label| &dataset.class_names[label as usize]).collect();
    assert_eq!(names, Vec::from_iter(&lines(&set.with_extension("txt"))), "{}", dir.display());
}
