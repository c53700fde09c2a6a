//! Directories of other forms than IDX: CIFAR-10's binary files, PNG files by class, arrays; good ones and bad ones.

use std::fs;
use std::path::Path;

use hebbian_datasets::{Dataset, ImageShape, ReadOptions, Result, read_loose};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tempfile::TempDir;

fn load(dir: &TempDir) -> Result<Dataset> {
    Dataset::from_dir(dir.path(), &ReadOptions::default())
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
    [&dataset.train, &dataset.test].map(|examples| examples.labels().unwrap().to_vec1().unwrap())
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
    for number in 2..=5 {
        write(&dir, &format!("data_batch_{number}.bin"), record(number, [number; 3]));
    }
    write(&dir, "test_batch.bin", record(3, [5, 6, 7]));
    dir
}

#[test]
fn cifar_10_has_the_three_values_of_a_pixel_side_by_side_and_rows_first() {
    let dir = cifar(&[record(9, [0, 100, 200]), record(0, [1, 2, 3])].concat());
    let dataset = load(&dir).unwrap();
    assert_eq!(dataset.shape, ImageShape { height: 32, width: 32, channels: 3 });
    assert_eq!((labels(&dataset), dataset.classes()), ([vec![9, 0, 2, 3, 4, 5], vec![3]], 10));
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
    for name in ["test_batch.bin", "data_batch_3.bin"] {
        let dir = cifar(&whole);
        fs::remove_file(dir.path().join(name)).unwrap();
        assert!(refusal(&dir).ends_with(&format!("found no file named {name}")));
    }
    for pickles in [&["cifar-10-batches-py/data_batch_1"][..], &["data_batch_1"], &["train", "test", "meta"]]
    {
        let python = tree(pickles);
        assert!(
            refusal(&python)
                .ends_with("expected the binary version (cifar-10-binary.tar.gz or cifar-100-binary.tar.gz)")
        );
    }
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
    assert_eq!((labels(&dataset), dataset.classes()), ([vec![0, 1], vec![2]], 3));
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
fn every_kind_of_png_is_read_as_eight_bits() {
    use png::{BitDepth::*, ColorType::*};
    for (color, depth, data, expected) in [
        (Rgb, Eight, vec![1, 2, 3, 4, 5, 6], vec![1, 2, 3, 4, 5, 6]),
        // Gray that is saved as color is gray.
        (Rgb, Eight, vec![1, 1, 1, 4, 4, 4], vec![1, 4]),
        (Grayscale, Sixteen, vec![1, 99, 4, 199], vec![1, 5]),
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
fn a_drawing_of_one_gray_on_nothing_is_its_opacity_in_every_kind_of_png() {
    use png::{BitDepth::*, ColorType::*};
    let transparent = |color, data: &[u8], trns: &'static [u8]| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(color);
        encoder.set_depth(Eight);
        encoder.set_trns(trns);
        if color == Indexed {
            encoder.set_palette(vec![0, 0, 0, 40, 40, 40]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        bytes
    };
    for (bytes, expected) in [
        (png(2, 1, GrayscaleAlpha, Eight, &[0, 255, 0, 0]), [255, 0]),
        (png(2, 1, GrayscaleAlpha, Eight, &[0, 255, 0, 51]), [255, 51]),
        (png(2, 1, GrayscaleAlpha, Sixteen, &[1, 1, 255, 255, 1, 1, 51, 51]), [255, 51]),
        (png(2, 1, Rgba, Eight, &[0, 0, 0, 255, 9, 9, 9, 0]), [255, 0]),
        (png(2, 1, Rgba, Sixteen, &[0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 51, 51]), [255, 51]),
        (png(2, 1, GrayscaleAlpha, Eight, &[255, 255, 255, 0]), [255, 0]),
        (transparent(Indexed, &[1, 0], &[0, 51]), [51, 0]),
        (transparent(Grayscale, &[7, 3], &[0, 3]), [255, 0]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(&dir, "train/a/1.png", &bytes);
        write(&dir, "test/a/1.png", &bytes);
        assert_eq!(images(&load(&dir).unwrap())[0], [expected]);
        let alone = read_loose(&dir.path().join("test/a/1.png"), None).unwrap();
        assert_eq!(alone.images.to_vec2::<u8>().unwrap(), [expected]);
    }
}

#[test]
fn what_is_transparent_in_another_drawing_shows_the_background_before_which_it_is_seen() {
    use png::{BitDepth::*, ColorType::*};
    for (color, data, expected) in [
        (GrayscaleAlpha, vec![20, 255, 0, 51], vec![20, 204]),
        (GrayscaleAlpha, vec![200, 255, 0, 51], vec![200, 0]),
        (Rgba, vec![0, 0, 1, 255, 0, 0, 0, 0], vec![0, 0, 1, 255, 255, 255]),
        (Rgba, vec![200, 210, 220, 255, 0, 0, 0, 0], vec![200, 210, 220, 0, 0, 0]),
        // Nothing of it is transparent.
        (GrayscaleAlpha, vec![9, 255, 9, 255], vec![9, 9]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(&dir, "train/a/1.png", png(2, 1, color, Eight, &data));
        write(&dir, "test/a/1.png", png(2, 1, color, Eight, &data));
        assert_eq!(images(&load(&dir).unwrap())[0], [expected], "{color:?} {data:?}");
    }
}

#[test]
fn one_image_in_color_makes_all_images_color_and_says_nothing_of_gray_files_that_are_color() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "train/a/1.png", gray([7, 8]));
    write(&dir, "test/a/1.png", png(2, 1, png::ColorType::Rgb, png::BitDepth::Eight, &[1, 2, 3, 4, 5, 6]));
    assert_eq!(images(&load(&dir).unwrap()), [[[7, 7, 7, 8, 8, 8]], [[1, 2, 3, 4, 5, 6]]]);
}

#[test]
fn images_of_two_sizes_are_refused_unless_a_size_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let tall = png(1, 2, png::ColorType::Grayscale, png::BitDepth::Eight, &[9; 2]);
    write(&dir, "train/a/1.png", gray([9, 9]));
    write(&dir, "test/a/2.png", tall);
    let expected = "expected 1 x 2, as in train/a/1.png; --image-size 1x2 brings all to that size";
    assert_eq!(refusal(&dir), format!("test/a/2.png: found 2 x 1 pixels, {expected}"));
    let mut options = ReadOptions::default();
    options.image_size = Some((3, 2));
    assert_eq!(images(&Dataset::from_dir(dir.path(), &options).unwrap()), [[[9; 6]], [[9; 6]]]);
}

#[test]
fn what_systems_leave_is_passed_over_and_other_files_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    for set in ["train", "test"] {
        write(&dir, &format!("{set}/a/deep/below/1.png"), gray([1, 2]));
        write(&dir, &format!("{set}/a/._1.png"), "left by macOS");
        write(&dir, &format!("{set}/a/Thumbs.db"), "left by Windows");
        write(&dir, &format!("{set}/.ipynb_checkpoints/1.png"), gray([1, 2]));
        write(&dir, &format!("{set}/a/notes.txt"), "no image");
    }
    let dataset = load(&dir).unwrap();
    assert_eq!(dataset.class_names, ["a"]);
    assert_eq!(images(&dataset), [[[1, 2]], [[1, 2]]]);
    assert_eq!(dataset.notes.len(), 1);
    assert!(dataset.notes[0].starts_with("2 other files are passed over, such as "), "{}", dataset.notes[0]);
}

#[test]
fn a_test_set_without_a_training_set_is_no_class() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "test/a/1.png", gray([1, 2]));
    assert!(refusal(&dir).ends_with("found no file named train"), "{}", refusal(&dir));
}

fn tree(files: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (number, file) in (0..).zip(files) {
        match file.ends_with(".png") {
            true => write(&dir, file, gray([number, 0])),
            false => write(&dir, file, "text"),
        }
    }
    dir
}

#[test]
fn folders_of_sets_are_told_by_their_names_as_people_give_them() {
    for [train, test] in [
        ["Train", "TEST"],
        ["training", "testing"],
        ["train_images", "test_images"],
        ["training_set/training_set", "test_set/test_set"],
        ["seg_train/seg_train", "seg_test/seg_test"],
        ["data/mnist/train", "data/mnist/test"],
    ] {
        let files =
            [("a/1", train), ("b/1", train), ("b/1", test)].map(|(file, set)| format!("{set}/{file}.png"));
        let dataset = load(&tree(&files.each_ref().map(String::as_str))).unwrap();
        assert_eq!(dataset.class_names, ["a", "b"], "{train}");
        assert_eq!(labels(&dataset), [vec![0, 1], vec![1]], "{train}");
        assert_eq!(dataset.notes, Vec::<String>::new(), "{train}");
    }
}

#[test]
fn a_class_may_be_called_train() {
    let files: Vec<String> =
        ["bus", "train"].iter().flat_map(|c| (0..6).map(move |n| format!("{c}/{n}.png"))).collect();
    let dataset = load(&tree(&Vec::from_iter(files.iter().map(String::as_str)))).unwrap();
    assert_eq!(
        (dataset.class_names.as_slice(), dataset.train.len()),
        (&["bus".to_owned(), "train".to_owned()][..], 10)
    );
    let dataset = load(&tree(&["train/bus/1.png", "train/train/1.png", "test/bus/1.png"])).unwrap();
    assert_eq!(dataset.class_names, ["bus", "train"]);
}

#[test]
fn what_lies_beside_classes_and_sets_is_said() {
    for (files, said) in [
        (&["train/lost.png", "list.txt"][..], "2 other files are passed over, such as list.txt"),
        (&["README.md"], "1 other files are passed over, such as README.md"),
        (&["train/b/.DS_Store"], "train/b is empty and no class"),
        (&["c/1.png"], "c is passed over beside train"),
        (&["test/c/1.png"], "classes in the test set only: 1, such as c"),
        (&["valid/a/1.png"], "valid is passed over: validation images are drawn from those for training"),
    ] {
        let dir = tree(&[&["train/a/1.png", "test/a/1.png"], files].concat());
        let dataset = load(&dir).unwrap();
        let notes = dataset.notes.join("; ").replace(&format!("{}/", dir.path().display()), "");
        assert_eq!((notes.as_str(), dataset.train.len()), (said, 1));
    }
    let dir = tree(&["data/train/a/1.png", "data/test/a/1.png", "README.md"]);
    assert!(load(&dir).unwrap().notes[0].starts_with("1 other files are passed over"));
    let dir = arrays();
    write(&dir, "README.md", "text");
    write(&dir, "plots/1.png", gray([1, 2]));
    assert!(load(&dir).unwrap().notes[0].starts_with("2 other files and folders are passed over"));
}

#[test]
fn folders_whose_names_say_two_things_are_refused() {
    for (files, expected) in [
        (&["train/a/1.png", "training/a/1.png"][..], "training: found what its name says twice"),
        (
            &["a/train/1.png", "a/test/1.png", "b/train/1.png", "b/test/1.png"],
            "a: found the folders of a training and a test",
        ),
    ] {
        assert!(refusal(&tree(files)).starts_with(expected), "{}", refusal(&tree(files)));
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_unless_they_lead_back() {
    let (dir, other) = (tree(&["train/a/1.png", "test/a/1.png"]), tree(&["1.png", "2.png"]));
    std::os::unix::fs::symlink(other.path(), dir.path().join("train/b")).unwrap();
    assert_eq!(labels(&load(&dir).unwrap())[0], [0, 1, 1]);
    std::os::unix::fs::symlink("..", dir.path().join("train/a/up")).unwrap();
    assert!(refusal(&dir).ends_with("more than 16 folders in folders, expected no link to a folder above"));
}

#[test]
fn images_of_other_kinds_are_named_for_what_they_are() {
    for (name, bytes, found) in [
        ("1.png", &b"GIF89a........"[..], "a Gif image"),
        ("1.png", b"RIFF\x40\0\0\0WEBPVP8 ", "a WebP image"),
        ("1.tif", b"II*\0....", "a Tiff image"),
        ("1.png", b"", "an empty file"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(&dir, &format!("a/{name}"), bytes);
        assert!(
            refusal(&dir).starts_with(&format!("a/{name}: found {found}, expected a PNG, JPEG or BMP image"))
        );
    }
}

#[test]
fn a_jpeg_file_that_is_cut_is_refused() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/written_by_others/images");
    for form in ["plain", "progressive"] {
        let whole = fs::read(fixtures.join(format!("jpeg-gray/{form}.jpg"))).unwrap();
        for length in [whole.len() - 2, whole.len() - 50, whole.len() - 100] {
            let dir = tempfile::tempdir().unwrap();
            write(&dir, "train/a/1.jpg", &whole[..length]);
            let expected =
                "train/a/1.jpg: found the end of the file, expected the end of the image before it";
            assert_eq!(refusal(&dir), expected);
        }
    }
}

#[test]
fn a_dataset_alone_in_a_folder_is_found() {
    let (dir, from) = (tempfile::tempdir().unwrap(), arrays());
    for entry in fs::read_dir(from.path()).unwrap() {
        let path = entry.unwrap().path();
        write(&dir, &format!("deep/er/{}", path.file_name().unwrap().display()), fs::read(&path).unwrap());
    }
    assert_eq!(load(&dir).unwrap().summary().unwrap().sha256, load(&from).unwrap().summary().unwrap().sha256);
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "mnist.zip", "PK");
    assert!(refusal(&dir).contains("found mnist.zip, which is to be unpacked first; allowed: "));
}

#[test]
fn labels_that_are_missing_are_refused() {
    for (descr, values, found) in [("|S3", &b"catnan"[..], "`nan`"), ("|S3", b"cat\0\0\0", "``")] {
        let dir = arrays();
        write(&dir, "train_labels.npy", npy(descr, "(2,)", values));
        let expected = format!("train_labels.npy: found the label {found}, expected whole numbers or text");
        assert_eq!(refusal(&dir), expected);
    }
    let dir = arrays();
    fs::remove_file(dir.path().join("train_labels.npy")).unwrap();
    assert!(
        refusal(&dir)
            .starts_with("train_images.npy: found no labels, expected labels, as test_images.npy has")
    );
}

#[test]
fn labels_that_tell_every_example_apart_are_said() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "X.npy", npy("|u1", "(12, 4)", &[7; 48]));
    write(&dir, "y.npy", npy("|u1", "(12,)", &(5..17).collect::<Vec<u8>>()));
    assert!(load(&dir).unwrap_err().to_string().ends_with("expected one of each"));
    write(&dir, "X_test.npy", npy("|u1", "(1, 4)", &[7; 4]));
    write(&dir, "y_test.npy", npy("|u1", "(1,)", &[5]));
    assert!(load(&dir).unwrap().notes[0].ends_with("every example has a class of its own"));
}

#[test]
fn a_file_that_is_no_image_as_its_name_says_is_refused_and_nothing_at_all_is_told() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "train/a/1.png", "no PNG");
    write(&dir, "test/a/1.png", gray([0, 0]));
    assert_eq!(
        refusal(&dir),
        "train/a/1.png: found another file, expected a PNG, JPEG or BMP image, as its name says"
    );
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a.txt", "text");
    write(&dir, "b/c.txt", "text");
    let message = refusal(&dir);
    assert!(message.contains("found a.txt, b; allowed: IDX files, "), "{message}");
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "a/1.png", gray([0, 0]));
    assert!(refusal(&dir).ends_with("found 1 training and 0 test examples, expected one of each"));
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
    assert_eq!((labels(&dataset), dataset.classes()), ([vec![1, 0], vec![2]], 3));
    assert_eq!(dataset.class_names, ["1", "3", "4"]);
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
    assert_eq!((labels(&dataset), dataset.classes()), ([vec![1], vec![0]], 2));
}

#[test]
fn arrays_that_make_no_dataset_are_named() {
    for (name, bytes, expected) in [
        ("train_images.npy", b"PK".to_vec(), "train_images.npy: found other bytes"),
        (
            "train_images.npy",
            npy("<c8", "(1, 1, 1)", &[0; 8]),
            "train_images.npy: found elements of type <c8",
        ),
        ("train_images.npy", npy("|O", "(1, 1, 1)", &[0; 8]), "train_images.npy: found Python objects"),
        (
            "train_images.npy",
            npy("<U1", "(1, 1, 1)", &[65, 0, 0, 0]),
            "train_images.npy: found elements of type text",
        ),
        (
            "train_images.npy",
            npy("|u1", "(2, 5, 5, 5)", &[0; 250]),
            "train_images.npy: found an array of shape [2, 5, 5, 5]",
        ),
        ("train_images.npy", npy("|u1", "(2, 1, 2)", &[0; 3]), "train_images.npy: found 3 bytes of values"),
        (
            "train_images.npy",
            npy("|u1", "(99999999999, 99999999999, 2)", &[0; 3]),
            "train_images.npy: found 3 bytes",
        ),
        (
            "train_images.npy",
            npy("<f4", "(1, 1, 2)", &[0, 0, 192, 127, 0, 0, 0, 0]),
            "train_images.npy: found NaN in example 0",
        ),
        ("test_labels.npy", npy("<f4", "(1,)", &[0, 0, 0, 63]), "test_labels.npy: found the label 0.5"),
        (
            "test_labels.npy",
            npy("|u1", "(2,)", &[1, 1]),
            "test_labels.npy: found 2 labels, expected 1, one for each image",
        ),
        (
            "test_labels.npy",
            npy("|u1", "(1, 2)", &[1, 1]),
            "test_labels.npy: found labels of shape [1, 2] whose row 0",
        ),
        ("test_images.npy", npy("|u1", "(1, 2, 1)", &[5, 6]), "test_images.npy: found images of 2 x 1 gray"),
    ] {
        let dir = arrays();
        write(&dir, name, bytes);
        assert!(refusal(&dir).starts_with(expected), "{}", refusal(&dir));
    }
    let missing =
        Dataset::from_dir(Path::new("no/such/place"), &ReadOptions::default()).unwrap_err().to_string();
    assert_eq!(missing, "there is no directory no/such/place");
}

/// The same two images and their labels in whatever type, order and shape.
#[test]
fn arrays_are_the_same_whatever_their_type_order_and_shape() {
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let doubles = |values: &[f64]| values.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<u8>>();
    let shorts = |values: &[i16]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    for (descr, values) in [
        ("<f4", floats(&[0.5, 1.0, 2.0, 300.0])),
        (">f8", doubles(&[0.5, 1.0, 2.0, 300.0])),
        ("<f2", vec![0, 0x38, 0, 0x3c, 0, 0x40, 0xb0, 0x5c]),
    ] {
        let dir = arrays();
        write(&dir, "train_images.npy", npy(descr, "(2, 1, 2)", &values));
        let train = load(&dir).unwrap().train;
        assert_eq!(train.images().to_vec2::<f32>().unwrap(), [[0.5, 1.0], [2.0, 300.0]], "{descr}");
    }
    let dir = arrays();
    write(&dir, "train_images.npy", npy("<i2", "(2, 1, 2)", &shorts(&[1, 2, 3, 255])));
    assert_eq!(images(&load(&dir).unwrap())[0], [[1, 2], [3, 255]]);
    write(&dir, "train_images.npy", npy("<i2", "(2, 1, 2)", &shorts(&[-1, 2, 3, 4])));
    assert_eq!(load(&dir).unwrap().test.images().to_vec2::<f32>().unwrap(), [[5.0, 6.0]]);
    let fortran = npy("|u1", "(2, 1, 2)", &[1, 3, 2, 4]);
    let fortran =
        String::from_utf8_lossy(&fortran).replace("'fortran_order': False", "'fortran_order': True ");
    let bytes: Vec<u8> =
        fortran.chars().map(|c| if c == char::REPLACEMENT_CHARACTER { 0x93 } else { c as u8 }).collect();
    write(&dir, "train_images.npy", bytes);
    assert_eq!(images(&load(&dir).unwrap())[0], [[1, 2], [3, 4]]);
}

#[test]
fn zeros_and_ones_of_an_array_are_numbers_and_those_of_an_image_are_pixels() {
    let dir = arrays();
    write(&dir, "train_images.npy", npy("|b1", "(2, 1, 2)", &[0, 1, 1, 0]));
    write(&dir, "test_images.npy", npy("|u1", "(1, 1, 2)", &[1, 0]));
    let dataset = load(&dir).unwrap();
    assert_eq!(dataset.train.images().to_vec2::<f32>().unwrap(), [[0.0, 1.0], [1.0, 0.0]]);
    assert_eq!(dataset.summary().unwrap().dtype, "f32");
}

#[test]
fn labels_may_be_text_a_column_or_one_hot() {
    for (descr, shape, values) in [
        (
            "<U3",
            "(2,)",
            [99u8, 97, 116, 97, 110, 116].iter().flat_map(|&letter| [letter, 0, 0, 0]).collect::<Vec<u8>>(),
        ),
        ("|S3", "(2, 1)", b"catant".to_vec()),
    ] {
        let dir = arrays();
        write(&dir, "train_labels.npy", npy(descr, shape, &values));
        write(&dir, "test_labels.npy", npy("|S3", "(1,)", b"dog"));
        let dataset = load(&dir).unwrap();
        assert_eq!(dataset.class_names, ["ant", "cat", "dog"]);
        assert_eq!(labels(&dataset), [vec![1, 0], vec![2]]);
    }
    let dir = arrays();
    write(&dir, "train_labels.npy", npy("|u1", "(2, 3)", &[0, 0, 1, 1, 0, 0]));
    write(&dir, "test_labels.npy", npy("|u1", "(1, 3)", &[0, 1, 0]));
    assert_eq!(labels(&load(&dir).unwrap()), [vec![2, 0], vec![1]]);
}

#[test]
fn without_labels_there_are_no_classes_and_without_a_test_set_every_sixth_example_is_one() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "X.npy", npy("|u1", "(7, 4)", &(0..28).collect::<Vec<u8>>()));
    let dataset = load(&dir).unwrap();
    assert_eq!((dataset.classes(), dataset.train.len(), dataset.test.len()), (0, 6, 1));
    assert_eq!(dataset.shape, ImageShape { height: 2, width: 2, channels: 1 });
    assert!(dataset.train.labels().is_none());
    assert_eq!(images(&dataset)[1], [[20, 21, 22, 23]]);
}

#[test]
fn tables_have_their_labels_first_or_in_a_column_of_that_name() {
    for (train, test) in [
        ("5,1,2\n3,3,4\n", "3,5,6\n"),
        ("label,pixel0,pixel1\n5,1,2\n3,3,4\n", "label,pixel0,pixel1\n3,5,6\n"),
        ("id,0,1,Label\n7,1,2,5\n8,3,4,3\n", "id;0;1;Label\r\n7;5;6;3\r\n"),
        ("# label,a,b\n5,1,2\n3,3,4\n", "# label,a,b\n3,5,6\n"),
        ("5 1 2\n3 3 4\n", "3.0e0 5.0e0 6.0e0\n"),
        // Labels have the clearest name, and another that also says so is no input; beside it, y is a coordinate.
        ("class,label,a,b\n0,5,1,2\n0,3,3,4\n", "class,label,a,b\n0,3,5,6\n"),
        ("x,y,label\n1,2,5\n3,4,3\n", "x,y,label\n5,6,3\n"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(&dir, "digits_train.csv", train);
        write(&dir, "digits_test.csv", test);
        let dataset = load(&dir).unwrap();
        assert_eq!(dataset.class_names, ["3", "5"], "{train}");
        assert_eq!(labels(&dataset), [vec![1, 0], vec![0]], "{train}");
        assert_eq!(images(&dataset), [vec![vec![1, 2], vec![3, 4]], vec![vec![5, 6]]], "{train}");
    }
}

#[test]
fn a_table_that_cannot_be_read_is_named_with_line_and_column() {
    for (text, expected) in [
        ("label,a,b\n1,2,3\n1,x,3\n", "train.csv: found `x` in line 3, column 2, expected finite numbers"),
        ("label,a\n1,nan\n", "train.csv: found `nan` in line 2, column 2, expected finite numbers"),
        ("5.1,2,3\n", "train.csv: found `5.1` in line 1, column 1, expected labels: whole numbers or text"),
        ("label,a\n", "train.csv: found no row of values"),
        ("label,a\n1,2\n1\n", "train.csv: found CSV error: record 2"),
        ("", "train.csv: found no row"),
        ("\u{feff}", "train.csv: found no row"),
        ("7,NA\n7,1\n", "train.csv: found `NA` in line 1, column 2, expected finite numbers"),
        ("5,1,2\n3,,4\n", "train.csv: found `` in line 2, column 2, expected finite numbers"),
        ("label,a\n,2\n", "train.csv: found `` in line 2, column 1, expected labels"),
        ("label\n1\n2\n", "train.csv: found nothing but labels, expected columns of values"),
        (
            "0,7\n1,7\n2,7\n3,7\n4,7\n5,7\n6,7\n7,7\n8,7\n9,7\n10,7\n",
            "train.csv: found rows that begin with their own number, expected names of columns",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(&dir, "train.csv", text);
        assert!(refusal(&dir).starts_with(expected), "{text}: {}", refusal(&dir));
    }
}

#[test]
fn names_above_numbers_are_no_example() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "train.csv", "digit_class,0,1\n5,1,2\n3,3,4\n");
    write(&dir, "test.csv", "digit_class,0,1\n5,1,2\n");
    let dataset = load(&dir).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len(), dataset.classes()), (2, 1, 0));
    assert!(dataset.notes[0].ends_with("train.csv: no column is named label"), "{:?}", dataset.notes);
    // Letters and digits are classes alike.
    write(&dir, "train.csv", "A,0,0\n5,1,2\n");
    write(&dir, "test.csv", "5,3,4\n");
    assert_eq!(load(&dir).unwrap().class_names, ["5", "A"]);
}

#[test]
fn an_example_that_pandas_took_for_names_is_none() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "train.csv", "5,0,0.1,0.2,0.3\n3,1,2,3,4\n");
    write(&dir, "test.csv", "5,0,0,0,0\n");
    let dataset = load(&dir).unwrap();
    assert_eq!(images(&dataset), [[[1, 2, 3, 4]], [[0; 4]]]);
    assert!(dataset.notes.iter().any(|note| note.ends_with("pandas took one for names")));
}

#[test]
fn sets_of_two_scales_are_refused() {
    let dir = arrays();
    write(&dir, "train_images.npy", npy("|u1", "(2, 1, 2)", &[1, 2, 3, 255]));
    write(&dir, "test_images.npy", npy("<f4", "(1, 1, 2)", &[0, 0, 0, 63, 0, 0, 128, 63]));
    let expected =
        "test_images.npy: found numbers up to 1, expected the same scale as in train_images.npy, up to 255";
    assert_eq!(refusal(&dir), expected);
}

#[test]
fn labels_of_two_kinds_are_said() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "train.csv", "label,a\n5,1\ntotal,9\n");
    write(&dir, "test.csv", "label,a\n5,1\n");
    assert_eq!(load(&dir).unwrap().notes, ["labels are numbers and text, such as 5 and total"]);
}

#[test]
fn tables_whose_columns_are_in_another_order_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "train.csv", "label,a,b\n5,1,2\n");
    write(&dir, "test.csv", "label,b,a\n5,1,2\n");
    assert!(refusal(&dir).starts_with("test.csv: found a column `b`, expected `a` in its place"));
}

#[test]
fn a_dataset_is_known_again_by_its_content_whatever_its_files() {
    let table = tempfile::tempdir().unwrap();
    write(&table, "train.csv", "3,1,2\n1,3,4\n");
    write(&table, "test.csv", "4,5,6\n");
    let [one, other] = [arrays(), table].map(|dir| load(&dir).unwrap().summary().unwrap());
    assert_eq!(one.sha256, other.sha256);
    assert_eq!((one.range, one.dtype.as_str()), ([1.0, 6.0], "u8"));
    let changed = arrays();
    write(&changed, "test_labels.npy", npy("|u1", "(1,)", &[3]));
    assert_ne!(load(&changed).unwrap().summary().unwrap().sha256, one.sha256);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, rng_seed: RngSeed::Fixed(0), ..ProptestConfig::default()
    })]

    #[test]
    fn no_change_to_a_file_makes_reading_panic(
        which in 0..4usize, keep in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let (name, valid) = match which {
            0 => ("train_images.npy", npy("|u1", "(2, 1, 2)", &[1, 2, 3, 4])),
            1 => ("train/a/1.png", gray([1, 2])),
            2 => ("train.csv", b"label,a,b\n1,2,3\n2,0.5,x\n".to_vec()),
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
