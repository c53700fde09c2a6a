//! The hub, played by a server on this machine: what it gives is read, what it breaks is told and never kept.
#![cfg(feature = "hub")]

mod cached;
mod files;
mod server;

use std::path::{Path, PathBuf};

use files::*;
use hebbian_datasets::{Dataset, Hub, ImageShape, Result};
use server::{Fault, Server};
use tempfile::TempDir;

const CONVERTED: &str = "refs/convert/parquet";
const TRAIN: &str = "fashion_mnist/train/0000.parquet";
const TEST: &str = "fashion_mnist/test/0000.parquet";
const FASHION: &str = "datasets--zalando-datasets--fashion_mnist";
const NOWHERE: &str = "http://127.0.0.1:1";

fn good() -> Files {
    files([(TRAIN, parquet(&[(shade(7), 3), (shade(9), 0)])), (TEST, parquet(&[(shade(1), 9)]))])
}

fn start(files: Files, faults: &[Fault]) -> Server {
    Server::start(CONVERTED, files, faults)
}

fn load(endpoint: &str, cache: &Path) -> Result<Dataset> {
    load_id(endpoint, cache, "fashion-mnist")
}

fn load_id(endpoint: &str, cache: &Path, id: &str) -> Result<Dataset> {
    Hub::new(endpoint, cache)?.load(id, |_, _, _| {})
}

fn labels(examples: &hebbian_datasets::Examples) -> Vec<u32> {
    examples.labels().unwrap().to_vec1().unwrap()
}

/// The first value of each image.
fn shades(examples: &hebbian_datasets::Examples) -> Vec<u8> {
    examples.images().narrow(1, 0, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_good(dataset: &Dataset) {
    assert_eq!(dataset.shape, ImageShape { height: 28, width: 28, channels: 1 });
    assert_eq!(dataset.class_names[7..], ["Sneaker", "Bag", "Ankle boot"]);
    assert_eq!((labels(&dataset.train), labels(&dataset.test)), (vec![3, 0], vec![9]));
    assert_eq!(dataset.train.images().to_vec2::<u8>().unwrap(), [[7; 784], [9; 784]]);
    assert_eq!(dataset.test.images().to_vec2::<u8>().unwrap(), [[1; 784]]);
}

/// What a later run would take for the training file.
fn kept(cache: &Path) -> Vec<PathBuf> {
    let mut files = files_in(cache);
    files.retain(|path| path.to_string_lossy().contains("snapshots") && path.ends_with("train/0000.parquet"));
    files
}

fn cache() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn without_cache_and_server_the_error_says_what_was_looked_for_and_where() {
    let cache = cache();
    let message = load(NOWHERE, cache.path()).unwrap_err().to_string();
    let place = cache.path().display();
    let expected = format!(
        "the dataset zalando-datasets/fashion_mnist is not in the cache {place}, and {NOWHERE} did not give it: "
    );
    assert!(message.starts_with(&expected) && !message.contains('\n'), "{message}");
}

#[test]
fn what_the_server_gives_is_kept_and_needed_no_more() {
    let (server, cache) = (start(good(), &[]), cache());
    assert_good(&load(&server.endpoint, cache.path()).unwrap());
    assert_good(&load(NOWHERE, cache.path()).unwrap());
}

#[test]
fn files_that_the_hub_has_not_converted_come_from_the_main_revision() {
    let files = files([
        ("data/train-00000-of-00002.parquet", parquet(&[(shade(7), 3)])),
        ("data/train-00001-of-00002.parquet", parquet(&[(shade(9), 0)])),
        ("data/test-00000-of-00001.parquet", parquet(&[(shade(1), 9)])),
    ]);
    let (server, cache) = (Server::start("main", files, &[]), cache());
    assert_good(&load(&server.endpoint, cache.path()).unwrap());
    assert_good(&load(NOWHERE, cache.path()).unwrap());
}

#[test]
fn the_first_training_file_is_fetched_last_so_that_a_download_cut_short_is_not_taken_for_all() {
    let train = |number: usize| format!("default/train/000{number}.parquet");
    let (first, second) = (train(0), train(1));
    let files = files([
        (&first, parquet(&[(shade(1), 1)])),
        (&second, parquet(&[(shade(2), 0)])),
        ("default/test/0000.parquet", parquet(&[(shade(3), 1)])),
    ]);
    let (server, cache) = (start(files, &[]), cache());
    let dataset = load_id(&server.endpoint, cache.path(), "me/set").unwrap();
    assert_eq!((shades(&dataset.train), shades(&dataset.test)), (vec![1, 2], vec![3]));
    let requests = server.requests.lock().unwrap();
    let fetched: Vec<&str> =
        requests.iter().filter_map(|line| line.strip_prefix("GET ")?.split("parquet/").nth(1)).collect();
    assert!(
        fetched[0].starts_with("default/test/")
            && fetched[1].starts_with(&second)
            && fetched[2].starts_with(&first)
    );
}

#[test]
fn one_fault_is_made_good_by_asking_again() {
    for fault in [Fault::Status(500), Fault::Status(503), Fault::Cut, Fault::Short, Fault::Corrupt] {
        let (server, cache) = (start(good(), &[fault]), cache());
        assert_good(&load(&server.endpoint, cache.path()).unwrap());
        assert!(server.faults.lock().unwrap().is_empty());
        assert_good(&load(NOWHERE, cache.path()).unwrap());
    }
}

#[test]
fn a_fault_that_lasts_is_told_and_leaves_nothing_that_a_later_run_would_trust() {
    for (fault, expected) in [
        (Fault::Status(404), "Entry not found"),
        (Fault::Status(500), "500"),
        (Fault::Cut, "did not give it: "),
        (Fault::Short, "the file is broken ("),
        (Fault::Corrupt, "the file is broken ("),
    ] {
        let (server, cache) = (start(good(), &[fault; 40]), cache());
        let message = load(&server.endpoint, cache.path()).unwrap_err().to_string();
        assert!(message.starts_with(TRAIN) && message.contains(expected), "{message}");
        assert_eq!(kept(cache.path()), [] as [PathBuf; 0]);
        server.faults.lock().unwrap().clear();
        assert_good(&load(&server.endpoint, cache.path()).unwrap());
    }
}

/// Files that another copy may be better than.
fn broken() -> [(Vec<u8>, &'static str); 4] {
    let whole = &good()[TRAIN];
    [
        (whole[..whole.len() / 2].to_vec(), "the file is broken"),
        (b"no parquet".to_vec(), "the file is broken"),
        (parquet(&[(b"no image".to_vec(), 1)]), "row 0: "),
        (parquet(&[]), "no rows"),
    ]
}

#[test]
fn a_broken_file_in_the_cache_is_fetched_anew() {
    for (broken, reason) in broken() {
        let (server, cache) = (start(good(), &[]), cache());
        let mut all = good();
        all.insert(TRAIN.to_owned(), broken);
        seed(cache.path(), FASHION, CONVERTED, &all);
        assert_good(&load(&server.endpoint, cache.path()).unwrap());
        seed(cache.path(), FASHION, CONVERTED, &all);
        let bad = start(good(), &[Fault::Status(404); 40]);
        let message = load(&bad.endpoint, cache.path()).unwrap_err().to_string();
        assert!(message.contains("not found") || message.contains(reason), "{message}");
        assert_eq!(kept(cache.path()), [] as [PathBuf; 0]);
    }
}

#[test]
fn a_broken_file_stays_where_the_hub_may_not_be_asked() {
    for (broken, _) in broken() {
        let cache = cache();
        let mut all = good();
        all.insert(TRAIN.to_owned(), broken);
        seed(cache.path(), FASHION, CONVERTED, &all);
        let hub = Hub::new(NOWHERE, cache.path()).unwrap().offline("HF_HUB_OFFLINE is set");
        let message = hub.load("fashion-mnist", |_, _, _| {}).unwrap_err().to_string();
        let start = format!("{TRAIN} of the dataset zalando-datasets/fashion_mnist is broken (");
        let end = format!(
            ") in the cache {}, and the hub cannot be asked: HF_HUB_OFFLINE is set",
            cache.path().display()
        );
        assert!(message.starts_with(&start) && message.ends_with(&end), "{message}");
        assert_eq!(kept(cache.path()).len(), 1);
    }
}

#[test]
fn offline_the_server_is_not_asked_and_the_error_says_why_and_where_it_looked() {
    let (server, cache) = (start(good(), &[]), cache());
    let hub = Hub::new(&server.endpoint, cache.path()).unwrap().offline("HF_HUB_OFFLINE is set");
    let message = hub.load("fashion-mnist", |_, _, _| {}).unwrap_err().to_string();
    let place = cache.path().display();
    let expected = format!(
        "the dataset zalando-datasets/fashion_mnist is not in the cache {place}, and the hub cannot be asked: \
         HF_HUB_OFFLINE is set"
    );
    assert_eq!(message, expected);
    assert!(server.requests.lock().unwrap().is_empty());
}

#[test]
fn a_missing_shard_is_fetched_or_refused_by_name() {
    let (first, second) = ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet");
    let all = files([
        (first, parquet(&[(shade(7), 3)])),
        (second, parquet(&[(shade(9), 0)])),
        ("data/test-00000-of-00001.parquet", parquet(&[(shade(1), 9)])),
    ]);
    let cache = cache();
    let mut some = all.clone();
    some.remove(second);
    seed(cache.path(), FASHION, "main", &some);
    let hub = Hub::new(NOWHERE, cache.path()).unwrap().offline("HF_HUB_OFFLINE is set");
    let message = hub.load("fashion-mnist", |_, _, _| {}).unwrap_err().to_string();
    assert!(
        message.starts_with(&format!(
            "{second} of the dataset zalando-datasets/fashion_mnist is not in the cache"
        )),
        "{message}"
    );
    let server = Server::start("main", all, &[]);
    assert_good(&load(&server.endpoint, cache.path()).unwrap());
    assert_good(&load(NOWHERE, cache.path()).unwrap());
}

#[test]
fn a_cache_without_a_test_set_is_completed_if_the_hub_has_one() {
    let cache = cache();
    let mut some = good();
    some.remove(TEST);
    seed(cache.path(), "datasets--me--set", CONVERTED, &some);
    let server = start(good(), &[]);
    let dataset = load_id(&server.endpoint, cache.path(), "me/set").unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len()), (2, 1));
}

#[test]
fn what_is_no_dataset_of_the_hub_is_refused() {
    let message = load_id(NOWHERE, cache().path(), "a/b/c").unwrap_err().to_string();
    assert_eq!(
        message,
        "dataset is a/b/c, allowed: mnist, fashion-mnist, cifar10, or OWNER/NAME as at the hub"
    );
}
