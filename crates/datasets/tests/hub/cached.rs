//! What lies in a cache, in every layout and with every kind of columns.

use std::path::Path;

use image::ExtendedColorType;

use crate::files::*;
use crate::{
    CONVERTED, FASHION, NOWHERE, TEST, TRAIN, assert_good, cache, good, labels, load, load_id, shades,
};
use hebbian_datasets::{Dataset, Hub, Result};

const OWN: &str = "datasets--me--set";
const OWN_TRAIN: &str = "data/train-00000-of-00001.parquet";
const OWN_TEST: &str = "data/test-00000-of-00001.parquet";

/// The dataset me/set whose main revision has these files.
fn own<const N: usize>(all: [(&str, Vec<u8>); N]) -> Result<Dataset> {
    let cache = cache();
    seed(cache.path(), OWN, "main", &files(all));
    offline(cache.path()).load("me/set", |_, _, _| {})
}

fn offline(cache: &Path) -> Hub {
    Hub::new(NOWHERE, cache).unwrap().offline("the test wants it so")
}

/// Seven images in shades from 1 on.
fn seven() -> Vec<Vec<u8>> {
    (1..8).map(shade).collect()
}

#[test]
fn a_filled_cache_needs_no_server() {
    let cache = cache();
    seed(cache.path(), FASHION, CONVERTED, &good());
    assert_good(&load(NOWHERE, cache.path()).unwrap());
}

#[test]
fn a_short_name_finds_what_python_has_left_under_an_older_name() {
    let cache = cache();
    let main = [(OWN_TRAIN, good()[TRAIN].clone()), (OWN_TEST, good()[TEST].clone())];
    seed(cache.path(), "datasets--fashion_mnist", "main", &files(main));
    assert_good(&load(NOWHERE, cache.path()).unwrap());
}

#[test]
fn color_images_are_upright_here_and_in_candles_own_form() {
    let mut pixels = vec![0; 3072];
    // Row 0, column 5 is red 200.
    pixels[15] = 200;
    let image = png(32, 32, ExtendedColorType::Rgb8, &pixels);
    let cache = cache();
    let all = ["plain_text/train/0000.parquet", "plain_text/test/0000.parquet"];
    seed(
        cache.path(),
        "datasets--cifar10",
        CONVERTED,
        &files(all.map(|file| (file, parquet(&[(image.clone(), 5)])))),
    );
    let dataset = load_id(NOWHERE, cache.path(), "cifar10").unwrap();
    assert_eq!(dataset.train.images().to_vec2::<u8>().unwrap()[0], pixels);
    assert_eq!(dataset.class_names[5], "dog");
    let candle = candle_datasets::vision::Dataset::try_from(&dataset).unwrap();
    assert_eq!(candle.train_images.dims(), [1, 3, 32, 32]);
    let red = candle.train_images.get(0).unwrap().get(0).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(red[0][5], 200.0 / 255.0);
    assert_eq!(candle.test_labels.to_vec1::<u8>().unwrap(), [5]);
}

#[test]
fn shards_are_read_in_their_order_and_one_color_image_makes_all_color() {
    let color = png(2, 1, ExtendedColorType::Rgb8, &[1, 2, 3, 4, 5, 6]);
    let dataset = own([
        ("data/train-00001-of-00002.parquet", parquet(&[(color, 1)])),
        ("data/train-00000-of-00002.parquet", parquet(&[(gray(2, 1, 9), 0)])),
        (OWN_TEST, parquet(&[(gray(2, 1, 8), 1)])),
    ]);
    let dataset = dataset.unwrap();
    assert_eq!(dataset.shape.to_string(), "1 x 2 color");
    assert_eq!(dataset.train.images().to_vec2::<u8>().unwrap(), [[9; 6], [1, 2, 3, 4, 5, 6]]);
    assert_eq!(dataset.test.images().to_vec2::<u8>().unwrap(), [[8; 6]]);
    assert_eq!((labels(&dataset.train), dataset.name.as_str()), (vec![0, 1], "set"));
}

#[test]
fn gray_images_saved_as_color_are_gray() {
    let image = png(1, 1, ExtendedColorType::Rgb8, &[6, 6, 6]);
    let dataset =
        own([(OWN_TRAIN, parquet(&[(image.clone(), 0)])), (OWN_TEST, parquet(&[(image, 0)]))]).unwrap();
    assert_eq!(dataset.shape.to_string(), "1 x 1 gray");
}

#[test]
fn names_in_a_label_column_are_classes_in_the_order_of_the_alphabet() {
    let schema = "required binary id (UTF8); required binary picture; required binary category (UTF8);";
    let rows = |labels: [&'static str; 2]| {
        let columns = [
            Column::Text(vec!["a", "b"]),
            Column::Images(vec![shade(1), shade(2)]),
            Column::Text(labels.to_vec()),
        ];
        table(schema, &columns, None)
    };
    let dataset = own([(OWN_TRAIN, rows(["dog", "cat"])), (OWN_TEST, rows(["cat", "emu"]))]).unwrap();
    assert_eq!(dataset.class_names, ["cat", "dog", "emu"]);
    assert_eq!((labels(&dataset.train), labels(&dataset.test)), (vec![1, 0], vec![0, 2]));
}

#[test]
fn numbers_stand_for_the_names_that_the_file_has() {
    let names: &[&str] = &["zebra", "ant", "never seen"];
    let rows = |labels: [i64; 2]| named(&[(shade(1), labels[0]), (shade(2), labels[1])], Some(names));
    let dataset = own([(OWN_TRAIN, rows([1, 0])), (OWN_TEST, rows([0, 0]))]).unwrap();
    assert_eq!(dataset.class_names, names);
    assert_eq!(labels(&dataset.train), [1, 0]);
    let refused = own([(OWN_TRAIN, rows([1, 3])), (OWN_TEST, rows([0, 0]))]).unwrap_err().to_string();
    let expected = format!(
        "{OWN_TRAIN} of the dataset me/set, row 1: found the label 3, expected 0 to 2, or -1 for none"
    );
    assert_eq!(refused, expected);
}

#[test]
fn small_integers_are_labels_and_of_two_columns_the_finer_is_taken_with_a_note() {
    let schema = "required group img { required binary bytes; } required int32 coarse_label (INT_8); \
                  required int32 fine_label (UINT_16);";
    let columns =
        [Column::Images(vec![shade(1), shade(2)]), Column::Int(vec![0, 0]), Column::Int(vec![40, 7])];
    let file = table(schema, &columns, None);
    let dataset = own([(OWN_TRAIN, file.clone()), (OWN_TEST, file)]).unwrap();
    assert_eq!(
        (dataset.class_names.clone(), labels(&dataset.train)),
        (vec!["7".to_owned(), "40".to_owned()], vec![1, 0])
    );
    assert_eq!(dataset.notes, ["the labels are the column fine_label, and coarse_label is passed over"]);
}

#[test]
fn a_test_set_whose_labels_are_kept_secret_is_passed_over() {
    let rows: Vec<_> = seven().into_iter().map(|image| (image, 1)).collect();
    let secret = named(&[(shade(1), -1), (shade(2), -1)], Some(&["a", "b"]));
    let dataset = own([(OWN_TRAIN, named(&rows, Some(&["a", "b"]))), (OWN_TEST, secret)]).unwrap();
    assert_eq!((shades(&dataset.train), shades(&dataset.test)), (vec![1, 2, 3, 4, 5, 7], vec![6]));
    assert!(dataset.notes[0].ends_with("has no labels and is passed over"), "{:?}", dataset.notes);
    let mixed = named(&[(shade(1), -1), (shade(2), 0)], Some(&["a", "b"]));
    let refused = own([(OWN_TRAIN, mixed.clone()), (OWN_TEST, mixed)]).unwrap_err().to_string();
    assert!(
        refused.ends_with(
            "found 1 of 2 examples without a label, expected a label for each of the set, or for none"
        ),
        "{refused}"
    );
}

#[test]
fn images_without_a_label_column_have_no_labels_and_no_form_in_candle() {
    let file = table("required binary img;", &[Column::Images(seven())], None);
    let dataset = own([(OWN_TRAIN, file.clone()), (OWN_TEST, file)]).unwrap();
    assert!(dataset.train.labels().is_none() && dataset.class_names.is_empty());
    let refused = candle_datasets::vision::Dataset::try_from(&dataset).err().unwrap().to_string();
    assert_eq!(refused, "examples: found no labels, expected a label for each image");
}

#[test]
fn a_validation_set_is_passed_over_with_a_note_and_every_sixth_example_is_a_test_example() {
    let rows: Vec<_> = seven().into_iter().map(|image| (image, 0)).collect();
    let file = parquet(&rows);
    let dataset = own([(OWN_TRAIN, file.clone()), ("data/validation-00000-of-00001.parquet", file)]).unwrap();
    assert_eq!((dataset.train.len(), shades(&dataset.test)), (6, vec![6]));
    let notes = dataset.notes.join("\n");
    assert!(
        notes.contains("the split validation is passed over") && notes.contains("every sixth"),
        "{notes}"
    );
}

#[test]
fn files_without_a_column_of_images_are_refused_with_the_columns_that_are_there() {
    let place = format!("{OWN_TRAIN} of the dataset me/set");
    let texts = table(
        "required binary text (UTF8); required int64 label;",
        &[Column::Text(vec!["a"]), Column::Long(vec![0])],
        None,
    );
    let refused = own([(OWN_TRAIN, texts)]).unwrap_err().to_string();
    let expected = "one with encoded images (bytes, or a group with bytes), called image or img";
    assert_eq!(refused, format!("{place}: found the columns text, label, expected {expected}"));
    let two = [Column::Images(vec![shade(1)]), Column::Images(vec![shade(1)])];
    let refused = own([(OWN_TRAIN, table("required binary left; required binary right;", &two, None))])
        .unwrap_err()
        .to_string();
    assert_eq!(refused, format!("{place}: found the columns left, right, expected {expected}"));
}

#[test]
fn images_of_several_sizes_or_of_another_form_are_refused_by_row_and_the_file_stays() {
    let cache = cache();
    let refused = |rows: &[(Vec<u8>, i64)]| {
        seed(cache.path(), OWN, "main", &files([(OWN_TRAIN, parquet(rows)), (OWN_TEST, parquet(rows))]));
        let refused = load_id(NOWHERE, cache.path(), "me/set").unwrap_err().to_string();
        assert_eq!(files_in(&cache.path().join(OWN).join("snapshots")).len(), 2);
        refused
    };
    let place = format!("{OWN_TEST} of the dataset me/set");
    let sizes = refused(&[(shade(1), 0), (gray(3, 2, 0), 0)]);
    assert_eq!(
        sizes,
        format!("{place}, row 1: found an image of 2 x 3, expected 28 x 28, as in {place}, row 0")
    );
    let webp = b"RIFF\x0c\0\0\0WEBPVP8 ".to_vec();
    assert_eq!(
        refused(&[(webp, 0)]),
        format!("{place}, row 0: found a WEBP image, expected a PNG, JPEG or BMP image")
    );
}

#[test]
fn of_several_configs_one_has_to_be_named() {
    let cache = cache();
    let rows = |shade: u8| parquet(&[(gray(1, 1, shade), 0)]);
    let all = [("a", "train", 1), ("a", "test", 2), ("b", "train", 3), ("b", "test", 4)];
    let all = all.map(|(config, split, shade)| (format!("{config}/{split}/0000.parquet"), rows(shade)));
    seed(cache.path(), OWN, CONVERTED, &all.into_iter().collect());
    let refused = load_id(NOWHERE, cache.path(), "me/set").unwrap_err().to_string();
    assert_eq!(refused, "dataset is me/set, allowed: me/set:a, me/set:b");
    let dataset = load_id(NOWHERE, cache.path(), "me/set:b").unwrap();
    assert_eq!(
        (shades(&dataset.train), shades(&dataset.test), dataset.name.as_str()),
        (vec![3], vec![4], "set-b")
    );
}

#[test]
fn arrow_files_that_python_has_left_are_named_and_not_read() {
    let home = cache();
    let folder = home.path().join("datasets/me___set");
    std::fs::create_dir_all(&folder).unwrap();
    let refused = offline(&home.path().join("hub")).load("me/set", |_, _, _| {}).unwrap_err().to_string();
    let said = format!("(there are Arrow files in {}, which are not read)", folder.display());
    assert!(refused.contains(&said), "{refused}");
}

/// Needs a filled cache: the folder that `HF_HOME` names.
#[test]
fn a_real_cache_gives_mnist_as_it_is_in_this_crate_and_the_others_with_their_classes() {
    let Some(home) = std::env::var_os("HF_HOME").map(std::path::PathBuf::from) else { return };
    let cache = home.join("hub");
    if !cache.join("datasets--ylecun--mnist").is_dir() {
        return;
    }
    let load = |name: &str| offline(&cache).load(name, |_, _, _| {}).unwrap();
    let (mnist, own) = (load("mnist"), Dataset::mnist().unwrap());
    assert_eq!(mnist.summary().unwrap().sha256, own.summary().unwrap().sha256);
    let fashion = load("fashion-mnist");
    assert_eq!((fashion.train.len(), fashion.test.len(), fashion.shape), (60_000, 10_000, own.shape));
    let cifar = load("cifar10");
    assert_eq!((cifar.train.len(), cifar.test.len(), cifar.classes()), (50_000, 10_000, 10));
    assert_eq!(cifar.shape.to_string(), "32 x 32 color");
}

#[test]
fn a_file_with_any_byte_changed_is_read_or_refused_but_never_a_panic() {
    let cache = cache();
    let whole = named(&[(gray(1, 1, 1), 0), (gray(1, 1, 2), 1)], Some(&["a", "b"]));
    let place = cache.path().join(OWN).join("snapshots").join(COMMIT).join(OWN_TRAIN);
    seed(cache.path(), OWN, "main", &files([(OWN_TRAIN, whole.clone()), (OWN_TEST, whole.clone())]));
    for byte in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[byte] ^= 0x15;
        std::fs::write(&place, bytes).unwrap();
        if let Err(error) = offline(cache.path()).load("me/set", |_, _, _| {}) {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
