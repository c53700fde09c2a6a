//! Reading a directory of IDX files: every spelling of a good one, every way to be a bad one.

use std::fs;
use std::io::Write;
use std::path::{MAIN_SEPARATOR, Path};

use flate2::Compression;
use flate2::write::GzEncoder;
use hebbian_datasets::{Dataset, ImageShape, ReadOptions, Result};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tempfile::TempDir;

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";
const NAMES: [&str; 4] = [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS];

fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Three training and two test images of 2 x 2, in the order of `NAMES`.
fn small() -> [Vec<u8>; 4] {
    let pixels = Vec::from_iter(0..20);
    [
        idx(&[3, 2, 2], &pixels[..12]),
        idx(&[3], &[0, 4, 2]),
        idx(&[2, 2, 2], &pixels[12..]),
        idx(&[2], &[1, 3]),
    ]
}

/// The four files in a directory of their own, under the names that `rename` makes of the usual ones.
fn directory(files: [Vec<u8>; 4], rename: impl Fn(&str) -> String) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in NAMES.iter().zip(files) {
        fs::write(dir.path().join(rename(name)), bytes).unwrap();
    }
    dir
}

fn load(dir: &TempDir) -> Result<Dataset> {
    let mut options = ReadOptions::default();
    options.name = Some("small".to_owned());
    Dataset::from_dir(dir.path(), &options)
}

/// Loads the small dataset with one file in another form and gives the message, less the directory.
fn refusal(replaced: &str, name: &str, bytes: &[u8]) -> String {
    let dir = directory(small(), str::to_owned);
    fs::remove_file(dir.path().join(replaced)).unwrap();
    fs::write(dir.path().join(name), bytes).unwrap();
    message(&dir)
}

fn message(dir: &TempDir) -> String {
    let message = load(dir).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message.replace(&format!("{}{MAIN_SEPARATOR}", dir.path().display()), "")
}

fn assert_small(dataset: &Dataset) {
    assert_eq!(dataset.shape, ImageShape { height: 2, width: 2, channels: 1 });
    assert_eq!(dataset.classes(), 5);
    let train = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]];
    assert_eq!(dataset.train.images().to_vec2::<u8>().unwrap(), train);
    assert_eq!(dataset.train.labels().unwrap().to_vec1::<u32>().unwrap(), [0, 4, 2]);
    assert_eq!(dataset.test.images().to_vec2::<u8>().unwrap(), [[12, 13, 14, 15], [16, 17, 18, 19]]);
    assert_eq!(dataset.test.labels().unwrap().to_vec1::<u32>().unwrap(), [1, 3]);
}

#[test]
fn every_spelling_and_packing_of_the_files_is_read() {
    let dotted = |name: &str| name.replace("-idx", ".idx");
    assert_small(&load(&directory(small(), str::to_owned)).unwrap());
    assert_small(&load(&directory(small(), dotted)).unwrap());
    let packed = small().map(|bytes| gzip(&bytes));
    assert_small(&load(&directory(packed.clone(), |name| format!("{name}.gz"))).unwrap());
    assert_small(&load(&directory(packed, |name| format!("{}.gz", dotted(name)))).unwrap());
}

#[test]
fn a_gzip_file_in_several_members_is_read_whole() {
    let files = small().map(|bytes| {
        let (start, end) = bytes.split_at(7);
        [gzip(start), gzip(end)].concat()
    });
    assert_small(&load(&directory(files, |name| format!("{name}.gz"))).unwrap());
}

#[test]
fn the_plain_file_wins_over_the_gzipped_one() {
    let dir = directory(small(), str::to_owned);
    for name in NAMES {
        fs::write(dir.path().join(format!("{name}.gz")), "not gzip").unwrap();
    }
    assert_small(&load(&dir).unwrap());
}

#[test]
fn a_class_that_only_the_test_set_has_counts() {
    let dir = directory(small(), str::to_owned);
    fs::write(dir.path().join(TEST_LABELS), idx(&[2], &[1, 46])).unwrap();
    let dataset = load(&dir).unwrap();
    assert_eq!(dataset.class_names, ["0", "1", "2", "4", "46"]);
}

#[test]
fn a_missing_directory_is_named() {
    let message =
        Dataset::from_dir(Path::new("no/such/place"), &ReadOptions::default()).unwrap_err().to_string();
    assert_eq!(message, "there is no directory no/such/place");
}

#[test]
fn a_missing_file_is_named_in_every_accepted_spelling() {
    let dir = directory(small(), str::to_owned);
    fs::remove_file(dir.path().join(TEST_LABELS)).unwrap();
    let names = "t10k-labels-idx1-ubyte or t10k-labels.idx1-ubyte \
                 or t10k-labels-idx1-ubyte.gz or t10k-labels.idx1-ubyte.gz";
    assert_eq!(message(&dir), format!("{}: found no file named {names}", dir.path().display()));
}

#[test]
fn a_malformed_file_names_the_offset_what_was_found_and_what_was_expected() {
    let valid = idx(&[3, 2, 2], &[7; 12]);
    let with = |at: usize, byte: u8| {
        let mut bytes = valid.clone();
        bytes[at] = byte;
        bytes
    };
    let most = u32::MAX;
    for (bytes, message) in [
        (b"P5 2 2 255".to_vec(), "byte 0: found bytes 50 35, expected 00 00, as an IDX file begins"),
        (with(2, 0x0d), "byte 2: found element type 0x0d, expected 0x08, unsigned bytes"),
        (idx(&[3], &[7; 3]), "byte 3: found 1 dimensions, expected 3"),
        (vec![], "byte 0: found the end of the file, expected a header of 16 bytes"),
        (valid[..3].to_vec(), "byte 3: found the end of the file, expected a header of 16 bytes"),
        (valid[..15].to_vec(), "byte 15: found the end of the file, expected a header of 16 bytes"),
        (idx(&[0, 2, 2], &[]), "byte 4: found a dimension of 0, expected at least 1"),
        (idx(&[3, 2, 0], &[]), "byte 12: found a dimension of 0, expected at least 1"),
        (
            idx(&[most, most, most], &[7; 12]),
            "byte 4: found 4294967295 x 4294967295 x 4294967295, \
             expected dimensions whose product fits in 64 bits",
        ),
        (valid[..16].to_vec(), "byte 16: found the end of the file, expected 28 bytes for 3 x 2 x 2"),
        (valid[..27].to_vec(), "byte 27: found the end of the file, expected 28 bytes for 3 x 2 x 2"),
        (
            [&valid[..], &[0]].concat(),
            "byte 28: found further bytes, expected the end of the file after 3 x 2 x 2",
        ),
    ] {
        let packed = format!("{TRAIN_IMAGES}.gz");
        assert_eq!(refusal(TRAIN_IMAGES, TRAIN_IMAGES, &bytes), format!("{TRAIN_IMAGES}: at {message}"));
        assert_eq!(refusal(TRAIN_IMAGES, &packed, &gzip(&bytes)), format!("{packed}: at {message}"));
    }
}

#[test]
fn a_claim_that_no_memory_holds_is_refused_before_anything_is_unpacked() {
    let claim = idx(&[u32::MAX, u32::MAX, 1], &[7; 12]);
    let refused = refusal(TRAIN_IMAGES, TRAIN_IMAGES, &claim);
    assert!(
        refused.ends_with("expected 18446744065119617041 bytes for 4294967295 x 4294967295 x 1"),
        "{refused}"
    );
    let refused = refusal(TRAIN_IMAGES, &format!("{TRAIN_IMAGES}.gz"), &gzip(&claim));
    assert!(
        refused.contains("at byte 4: found 18446744065119617025 values need 18446744065.1 GB"),
        "{refused}"
    );
}

#[test]
fn files_that_do_not_agree_are_named() {
    for (name, bytes, message) in [
        (
            TRAIN_LABELS,
            idx(&[2], &[0, 1]),
            "train-labels-idx1-ubyte: found 2 labels, \
             expected 3, one for each image of train-images-idx3-ubyte",
        ),
        (
            TEST_LABELS,
            idx(&[3], &[0, 1, 2]),
            "t10k-labels-idx1-ubyte: found 3 labels, \
             expected 2, one for each image of t10k-images-idx3-ubyte",
        ),
        (
            TEST_IMAGES,
            idx(&[2, 1, 4], &[7; 8]),
            "t10k-images-idx3-ubyte: found images of 1 x 4 gray, \
             expected 2 x 2 gray, as in train-images-idx3-ubyte",
        ),
    ] {
        assert_eq!(refusal(name, name, &bytes), message);
    }
}

#[test]
fn corrupt_gzip_names_how_far_it_could_be_read() {
    let packed = gzip(&small()[0]);
    let mut wrong_sum = packed.clone();
    wrong_sum[packed.len() - 5] ^= 1;
    for (bytes, message) in [
        (packed[..packed.len() - 4].to_vec(), "28: unexpected end of file"),
        (wrong_sum, "28: corrupt gzip stream does not have a matching checksum"),
        ([&packed[..], b"more"].concat(), "28: unexpected end of file"),
    ] {
        let name = format!("{TRAIN_IMAGES}.gz");
        let expected = format!("{name}: cannot be read beyond byte {message}");
        assert_eq!(refusal(TRAIN_IMAGES, &name, &bytes), expected);
    }
}

#[test]
fn a_gzip_bomb_is_left_after_the_bytes_its_header_declares() {
    let bomb = gzip(&idx(&[3, 2, 2], &vec![0; 64 << 20]));
    let message = refusal(TRAIN_IMAGES, &format!("{TRAIN_IMAGES}.gz"), &bomb);
    assert!(
        message.ends_with("at byte 28: found further bytes, expected the end of the file after 3 x 2 x 2")
    );
}

/// No file of failures, no child processes, the same cases in every run.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(0), ..ProptestConfig::default() }
}

/// Loads the small dataset with file `which` replaced; what matters is that it returns.
fn load_with(which: usize, bytes: &[u8], packed: bool) -> Result<Dataset> {
    let dir = directory(small(), str::to_owned);
    if packed {
        fs::remove_file(dir.path().join(NAMES[which])).unwrap();
        fs::write(dir.path().join(format!("{}.gz", NAMES[which])), bytes).unwrap();
    } else {
        fs::write(dir.path().join(NAMES[which]), bytes).unwrap();
    }
    load(&dir)
}

fn mutate(bytes: &mut [u8], mutations: &[(prop::sample::Index, u8)]) {
    for (at, byte) in mutations {
        *at.get_mut(bytes) = *byte;
    }
}

/// Pixels and labels.
type Set = (Vec<u8>, Vec<u8>);

fn any_set(height: u32, width: u32) -> impl Strategy<Value = Set> {
    (1..5usize).prop_flat_map(move |count| {
        let pixels = count * (height * width) as usize;
        (prop::collection::vec(any::<u8>(), pixels), prop::collection::vec(any::<u8>(), count))
    })
}

fn any_sets() -> impl Strategy<Value = ((u32, u32), Set, Set)> {
    (1..6u32, 1..6u32).prop_flat_map(|size| (Just(size), any_set(size.0, size.1), any_set(size.0, size.1)))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arbitrary_bytes_never_panic(
        which in 0..4usize,
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        prop_assert!(load_with(which, &bytes, false).is_err());
        prop_assert!(load_with(which, &bytes, true).is_err());
        prop_assert!(load_with(which, &gzip(&bytes), true).is_err());
    }

    #[test]
    fn arbitrary_changes_to_a_valid_file_never_panic(
        which in 0..4usize,
        keep in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
    ) {
        let valid = small()[which].clone();
        for (original, packed) in [(valid.clone(), false), (gzip(&valid), true)] {
            let mut bytes = original.clone();
            bytes.truncate(keep.index(bytes.len()));
            prop_assert!(load_with(which, &bytes, packed).is_err());

            let mut bytes = original;
            mutate(&mut bytes, &mutations);
            if let Ok(dataset) = load_with(which, &bytes, packed) {
                prop_assert_eq!(dataset.train.images().dims(), [3, 4]);
                prop_assert_eq!(dataset.test.images().dims(), [2, 4]);
            }
        }
        let mut bytes = valid;
        mutate(&mut bytes, &mutations);
        let _ = load_with(which, &gzip(&bytes), true);
    }

    #[test]
    fn what_was_written_is_read(((height, width), train, test) in any_sets(), packed: bool) {
        let file = |dims: &[u32], data: &[u8]| {
            let bytes = idx(dims, data);
            if packed { gzip(&bytes) } else { bytes }
        };
        let images = |set: &Set| file(&[set.1.len() as u32, height, width], &set.0);
        let labels = |set: &Set| file(&[set.1.len() as u32], &set.1);
        let files = [images(&train), labels(&train), images(&test), labels(&test)];
        let dir = directory(files, |name| if packed { format!("{name}.gz") } else { name.to_owned() });

        let dataset = load(&dir).unwrap();
        prop_assert_eq!((dataset.shape.height, dataset.shape.width), (height as usize, width as usize));
        for (examples, (pixels, labels)) in [(&dataset.train, train), (&dataset.test, test)] {
            prop_assert_eq!(examples.images().flatten_all().unwrap().to_vec1::<u8>().unwrap(), pixels);
            let labels: Vec<String> = labels.into_iter().map(|label| label.to_string()).collect();
            let read = examples.labels().unwrap().to_vec1::<u32>().unwrap();
            let names: Vec<String> = read.iter().map(|&class| dataset.class_names[class as usize].clone()).collect();
            prop_assert_eq!(names, labels);
        }
    }
}
