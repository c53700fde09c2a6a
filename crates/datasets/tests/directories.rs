//! Directories of other forms than IDX: CIFAR-10's binary files, PNG files by class, arrays; good ones and bad ones.

use std::fs;
use std::path::Path;

use hebbian_datasets::{Dataset, ImageShape, Result};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tempfile::TempDir;

fn load(dir: &TempDir) -> Result<Dataset> {
    Dataset::from_dir("mine", dir.path())
}

fn refusal(dir: &TempDir) -> String {
    let message = load(dir).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message.replace(&format!("{}/", dir.path().display()), "")
}

fn write(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn labels(dataset: &Dataset) -> [Vec<u32>; 2] {
    [&dataset.train, &dataset.test].map(|examples| examples.labels().to_vec1().unwrap())
}

fn images(dataset: &Dataset) -> [Vec<Vec<u8>>; 2] {
    [&dataset.train, &dataset.test].map(|examples| examples.images().to_vec2().unwrap())
}

/// A CIFAR-10 record whose red, green and blue pixels count from three beginnings.
fn record(label: u8, beginnings: [u8; 3]) -> Vec<u8> {
    let plane = |first: u8| (0..1024u32).map(move |at| first.wrapping_add(at as u8));
    std::iter::once(label).chain(beginnings.into_iter().flat_map(plane)).collect()
}

fn cifar(train: &[u8]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "data_batch_1.bin", train);
    write(&dir, "test_batch.bin", record(3, [5, 6, 7]));
    dir
}

#[test]
fn cifar_10_has_the_three_values_of_a_pixel_side_by_side_and_rows_first() {
    let dir = cifar(&[record(9, [0, 100, 200]), record(0, [1, 2, 3])].concat());
    write(&dir, "data_batch_2.bin", record(4, [9, 9, 9]));
    let dataset = load(&dir).unwrap();
    assert_eq!(dataset.shape, ImageShape { height: 32, width: 32, channels: 3 });
    assert_eq!((labels(&dataset), dataset.classes), ([vec![9, 0, 4], vec![3]], 10));
    let [train, _] = images(&dataset);
    assert_eq!(train[0][..6], [0, 100, 200, 1, 101, 201]);
    assert_eq!(train[0][3 * 32..3 * 32 + 3], [32, 132, 232]);
}

#[test]
fn cifar_10_files_that_are_not_are_named() {
    let whole = record(9, [0; 3]);
    let expected = "expected whole records of 3073 bytes, at least one";
    for cut in [0, 1, 3072] {
        let message = refusal(&cifar(&whole[..cut]));
        assert_eq!(
            message,
            format!("data_batch_1.bin: at byte {cut}: found the end of the file, {expected}")
        );
    }
    let message = refusal(&cifar(&[whole.clone(), record(10, [0; 3])].concat()));
    assert_eq!(message, "data_batch_1.bin: at byte 3073: found label 10, expected a label from 0 to 9");
    let dir = cifar(&whole);
    fs::remove_file(dir.path().join("test_batch.bin")).unwrap();
    assert!(refusal(&dir).ends_with("found no file named test_batch.bin"));
}

fn png(width: u32, height: u32, color: png::ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == png::ColorType::Indexed {
        encoder.set_palette(vec![10, 20, 30, 40, 50, 60]);
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

fn gray(values: [u8; 2]) -> Vec<u8> {
    png(2, 1, png::ColorType::Grayscale, png::BitDepth::Eight, &values)
}

#[test]
fn png_files_are_numbered_by_the_names_of_their_folders() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "train/cat/1.png", gray([1, 2]));
    write(&dir, "train/ant/1.PNG", gray([3, 4]));
    write(&dir, "train/ant/notes.txt", "no image");
    write(&dir, "test/dog/1.png", gray([5, 6]));
    let dataset = load(&dir).unwrap();
    assert_eq!(dataset.shape, ImageShape { height: 1, width: 2, channels: 1 });
    assert_eq!((labels(&dataset), dataset.classes), ([vec![0, 1], vec![2]], 3));
    assert_eq!(images(&dataset), [vec![vec![3, 4], vec![1, 2]], vec![vec![5, 6]]]);
}

#[test]
fn without_sets_every_sixth_image_of_a_class_is_a_test_image() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..7 {
        write(&dir, &format!("a/{number}.png"), gray([number, 0]));
        write(&dir, &format!("b/{number}.png"), gray([100 + number, 0]));
    }
    let dataset = load(&dir).unwrap();
    let [train, test] = images(&dataset);
    assert_eq!(
        train.iter().map(|image| image[0]).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 6, 100, 101, 102, 103, 104, 106]
    );
    assert_eq!(test, [[5, 0], [105, 0]]);
    assert_eq!(labels(&dataset)[1], [0, 1]);
}

#[test]
fn every_kind_of_png_is_read_as_eight_bits_without_transparency() {
    use png::{BitDepth::*, ColorType::*};
    for (color, depth, data, expected) in [
        (Rgb, Eight, vec![1, 2, 3, 4, 5, 6], vec![1, 2, 3, 4, 5, 6]),
        (Rgba, Eight, vec![1, 2, 3, 0, 4, 5, 6, 9], vec![1, 2, 3, 4, 5, 6]),
        (GrayscaleAlpha, Eight, vec![1, 0, 4, 9], vec![1, 4]),
        (Grayscale, Sixteen, vec![1, 99, 4, 99], vec![1, 4]),
        (Grayscale, One, vec![0b0100_0000], vec![0, 255]),
        (Indexed, Eight, vec![1, 0], vec![40, 50, 60, 10, 20, 30]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(&dir, "train/a/1.png", png(2, 1, color, depth, &data));
        write(&dir, "test/a/1.png", png(2, 1, color, depth, &data));
        assert_eq!(images(&load(&dir).unwrap())[0], [expected], "{color:?}");
    }
}

#[test]
fn png_files_that_do_not_go_together_are_named() {
    let color = png(2, 1, png::ColorType::Rgb, png::BitDepth::Eight, &[0; 6]);
    let tall = png(1, 2, png::ColorType::Grayscale, png::BitDepth::Eight, &[0; 2]);
    for (other, found) in [(color, "1 x 2 pixels, color"), (tall, "2 x 1 pixels, gray")] {
        let dir = tempfile::tempdir().unwrap();
        write(&dir, "train/a/1.png", gray([0, 0]));
        write(&dir, "test/a/2.png", other);
        let expected = "expected 1 x 2 pixels, gray, as in train/a/1.png";
        assert_eq!(refusal(&dir), format!("test/a/2.png: at byte 16: found {found}, {expected}"));
    }
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "train/a/1.png", "no PNG");
    write(&dir, "test/a/1.png", gray([0, 0]));
    assert!(refusal(&dir).starts_with("train/a/1.png: cannot be read beyond byte 0: "), "{}", refusal(&dir));
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a/1.png", gray([0, 0]));
    assert!(refusal(&dir).ends_with("found no file named CLASS/*.png, of which some train and some test"));
}

fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat()
}

fn arrays() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "train_images.npy", npy("|u1", "(2, 1, 2)", &[1, 2, 3, 4]));
    write(&dir, "train_labels.npy", npy("<i8", "(2,)", &[3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]));
    write(&dir, "test_images.npy", npy("|u1", "(1, 1, 2)", &[5, 6]));
    write(&dir, "test_labels.npy", npy("|u1", "(1,)", &[4]));
    dir
}

#[test]
fn numpy_arrays_are_read_whatever_the_type_of_their_labels() {
    let dataset = load(&arrays()).unwrap();
    assert_eq!(dataset.shape, ImageShape { height: 1, width: 2, channels: 1 });
    assert_eq!((labels(&dataset), dataset.classes), ([vec![3, 1], vec![4]], 5));
    assert_eq!(images(&dataset), [vec![vec![1, 2], vec![3, 4]], vec![vec![5, 6]]]);
}

#[test]
fn the_tensors_of_a_safetensors_file_are_read_too() {
    use safetensors::{Dtype, tensor::TensorView};
    let view =
        |dtype, shape: &[usize], data: &'static [u8]| TensorView::new(dtype, shape.to_vec(), data).unwrap();
    let tensors = [
        ("train_images", view(Dtype::U8, &[1, 1, 2, 3], &[1, 2, 3, 4, 5, 6])),
        ("train_labels", view(Dtype::I32, &[1], &[1, 0, 0, 0])),
        ("test_images", view(Dtype::U8, &[1, 1, 2, 3], &[6, 5, 4, 3, 2, 1])),
        ("test_labels", view(Dtype::U16, &[1], &[0, 0])),
    ];
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "mine.safetensors", safetensors::serialize(tensors.clone(), None).unwrap());
    let dataset = load(&dir).unwrap();
    assert_eq!(dataset.shape, ImageShape { height: 1, width: 2, channels: 3 });
    assert_eq!((labels(&dataset), dataset.classes), ([vec![1], vec![0]], 2));
    write(&dir, "mine.safetensors", safetensors::serialize(tensors[..3].to_vec(), None).unwrap());
    let expected = "expected train_images, train_labels, test_images, test_labels";
    assert_eq!(
        refusal(&dir),
        format!("mine.safetensors: at byte 8: found no tensor `test_labels`, {expected}")
    );
}

#[test]
fn arrays_that_make_no_dataset_are_named() {
    for (name, bytes, expected) in [
        ("train_images.npy", b"PK".to_vec(), "train_images.npy: at byte 0: found other bytes"),
        (
            "train_images.npy",
            npy("<f4", "(1, 1, 1)", &[0; 4]),
            "train_images.npy: at byte 0: found [1, 1, 1] of type f4",
        ),
        (
            "train_images.npy",
            npy("|u1", "(2, 2)", &[0; 4]),
            "train_images.npy: at byte 0: found shape [2, 2]",
        ),
        (
            "train_images.npy",
            npy("|u1", "(2, 1, 2)", &[0; 3]),
            "train_images.npy: at byte 73: found 3 bytes of values",
        ),
        (
            "train_images.npy",
            npy("|u1", "(99999999999, 99999999999, 2)", &[0; 3]),
            "train_images.npy: at byte ",
        ),
        ("test_labels.npy", npy("<f4", "(1,)", &[0; 4]), "test_labels.npy: at byte 0: found type f4"),
        ("test_labels.npy", npy("|i1", "(1,)", &[255]), "test_labels.npy: at byte 0: found label 255"),
        ("test_labels.npy", npy("|u1", "(2,)", &[1, 1]), "examples: found 2 labels, expected 1"),
        ("test_images.npy", npy("|u1", "(1, 2, 1)", &[5, 6]), "test_images.npy: at byte 0: found images of"),
    ] {
        let dir = arrays();
        write(&dir, name, bytes);
        assert!(refusal(&dir).starts_with(expected), "{}", refusal(&dir));
    }
    let dir = arrays();
    fs::remove_file(dir.path().join("test_labels.npy")).unwrap();
    assert!(refusal(&dir).ends_with("found no file named test_labels.npy"));
    let missing = Dataset::from_dir("mine", Path::new("no/such/place")).unwrap_err().to_string();
    assert_eq!(missing, "there is no directory no/such/place");
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, rng_seed: RngSeed::Fixed(0), ..ProptestConfig::default()
    })]

    #[test]
    fn no_change_to_a_file_makes_reading_panic(
        which in 0..3usize, keep in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let (name, valid) = match which {
            0 => ("train_images.npy", npy("|u1", "(2, 1, 2)", &[1, 2, 3, 4])),
            1 => ("train/a/1.png", gray([1, 2])),
            _ => ("mine.safetensors", safetensors::serialize([("a", safetensors::tensor::TensorView::new(
                safetensors::Dtype::U8, vec![2], &[1, 2]).unwrap())], None).unwrap()),
        };
        let dir = tempfile::tempdir().unwrap();
        write(&dir, "test/a/1.png", gray([1, 2]));
        let mut changed = valid.clone();
        changed[at.index(valid.len())] = byte;
        write(&dir, name, &changed);
        let _ = load(&dir);
        write(&dir, name, &valid[..keep.index(valid.len())]);
        let _ = load(&dir);
    }
}
