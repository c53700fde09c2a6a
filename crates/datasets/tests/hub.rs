//! The hub, played by a server on this machine: what it gives is read, what it breaks is told and never kept.
#![cfg(feature = "hub")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hebbian_datasets::{Dataset, Hub, ImageShape, Result};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

const TRAIN: &str = "fashion_mnist/train/0000.parquet";
const TEST: &str = "fashion_mnist/test/0000.parquet";
const COMMIT: &str = "0123456789012345678901234567890123456789";

fn png(width: u32, height: u32, color: png::ColorType, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

/// A gray image of 28 by 28 in one shade.
fn shade(shade: u8) -> Vec<u8> {
    png(28, 28, png::ColorType::Grayscale, &[shade; 784])
}

/// A parquet file with rows of an image and a label, as the hub's.
fn parquet(rows: &[(Vec<u8>, i64)]) -> Vec<u8> {
    let schema = "message schema { required group image { required binary bytes; } required int64 label; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::new())).unwrap();
    let mut group = file.next_row_group().unwrap();
    let images: Vec<ByteArray> = rows.iter().map(|row| ByteArray::from(row.0.clone())).collect();
    let labels: Vec<i64> = rows.iter().map(|row| row.1).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&images, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&labels, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
    bytes
}

fn good() -> HashMap<&'static str, Vec<u8>> {
    HashMap::from([(TRAIN, parquet(&[(shade(7), 3), (shade(9), 0)])), (TEST, parquet(&[(shade(1), 9)]))])
}

/// What a server does with the next requests for the training file, before it serves it as it should.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// The status, of any request.
    Status(u16),
    /// The body ends early, though its length was promised.
    Cut,
    /// The body ends early, and so does the promise.
    Short,
    /// Bytes in the middle are others.
    Corrupt,
}

struct Server {
    endpoint: String,
    faults: Arc<Mutex<Vec<Fault>>>,
}

impl Server {
    fn start(files: HashMap<&'static str, Vec<u8>>, faults: &[Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let faults = Arc::new(Mutex::new(faults.to_vec()));
        let shared = faults.clone();
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &files, &shared);
            }
        });
        Self { endpoint, faults }
    }
}

fn answer(
    mut stream: TcpStream,
    files: &HashMap<&'static str, Vec<u8>>,
    faults: &Mutex<Vec<Fault>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let (is_head, found) =
        (request.starts_with("HEAD"), files.iter().find(|(name, _)| request.contains(&format!("/{name} "))));
    let refuse = |stream: &mut TcpStream, status: u16| {
        let code = if status == 404 { "X-Error-Code: EntryNotFound\r\n" } else { "" };
        write!(stream, "HTTP/1.1 {status} no\r\n{code}Content-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let Some((name, body)) = found else { return refuse(&mut stream, 404) };
    let mut body = body.clone();
    let mut faults = faults.lock().unwrap();
    let fault = faults
        .first()
        .copied()
        .filter(|fault| *name == TRAIN && (!is_head || matches!(fault, Fault::Status(_) | Fault::Short)));
    if fault.is_some() && (!is_head || matches!(fault, Some(Fault::Status(_)))) {
        faults.remove(0);
    }
    let mut length = body.len();
    match fault {
        Some(Fault::Status(status)) => return refuse(&mut stream, status),
        Some(Fault::Cut) => body.truncate(length / 2),
        Some(Fault::Short) => {
            body.truncate(length / 2);
            length = body.len();
        }
        Some(Fault::Corrupt) => body[40..80].fill(0xff),
        None => {}
    }
    let etag = name.replace('/', "-");
    write!(stream, "HTTP/1.1 200 OK\r\nETag: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\n")?;
    write!(stream, "Content-Length: {length}\r\nConnection: close\r\n\r\n")?;
    if !is_head {
        stream.write_all(&body)?;
    }
    Ok(())
}

fn load(endpoint: &str, cache: &Path) -> Result<Dataset> {
    Hub::new(endpoint, cache)?.load("fashion-mnist", |_, _, _| {})
}

const NOWHERE: &str = "http://127.0.0.1:1";

fn assert_good(dataset: &Dataset) {
    assert_eq!(dataset.shape, ImageShape { height: 28, width: 28, channels: 1 });
    assert_eq!(dataset.train.labels().to_vec1::<u32>().unwrap(), [3, 0]);
    assert_eq!(dataset.train.images().to_vec2::<u8>().unwrap(), [[7; 784], [9; 784]]);
    assert_eq!(dataset.test.images().to_vec2::<u8>().unwrap(), [[1; 784]]);
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

/// What a later run would take for the training file.
fn kept(cache: &Path) -> Vec<PathBuf> {
    let mut files = files_in(cache);
    files.retain(|path| path.to_string_lossy().contains("snapshots") && path.ends_with("train/0000.parquet"));
    files
}

/// A cache as the hub's client lays it out, with plain files where it has links.
fn seed(cache: &Path, repository: &str, files: &HashMap<&'static str, Vec<u8>>) {
    let repository = cache.join(repository);
    let reference = repository.join("refs/refs/convert/parquet");
    fs::create_dir_all(reference.parent().unwrap()).unwrap();
    fs::write(reference, COMMIT).unwrap();
    for (name, bytes) in files {
        let path = repository.join("snapshots").join(COMMIT).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

const FASHION: &str = "datasets--zalando-datasets--fashion_mnist";

fn cache() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_filled_cache_needs_no_server() {
    let cache = cache();
    seed(cache.path(), FASHION, &good());
    assert_good(&load(NOWHERE, cache.path()).unwrap());
}

#[test]
fn color_images_are_upright_here_and_in_candles_own_form() {
    let mut pixels = vec![0; 3072];
    // Row 0, column 5 is red 200.
    pixels[15] = 200;
    let image = png(32, 32, png::ColorType::Rgb, &pixels);
    let cache = cache();
    let files = ["plain_text/train/0000.parquet", "plain_text/test/0000.parquet"];
    let files = files.map(|file| (file, parquet(&[(image.clone(), 5)])));
    seed(cache.path(), "datasets--cifar10", &HashMap::from(files));
    let dataset = Hub::new(NOWHERE, cache.path()).unwrap().load("cifar10", |_, _, _| {}).unwrap();
    assert_eq!(dataset.train.images().to_vec2::<u8>().unwrap()[0], pixels);
    let candle = candle_datasets::vision::Dataset::try_from(&dataset).unwrap();
    assert_eq!(candle.train_images.dims(), [1, 3, 32, 32]);
    let red = candle.train_images.get(0).unwrap().get(0).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(red[0][5], 200.0 / 255.0);
    assert_eq!(candle.test_labels.to_vec1::<u8>().unwrap(), [5]);
}

#[test]
fn without_cache_and_server_the_error_says_what_was_looked_for_and_where() {
    let cache = cache();
    let message = load(NOWHERE, cache.path()).unwrap_err().to_string();
    let place = cache.path().display();
    let expected = format!(
        "{TRAIN} of the dataset zalando-datasets/fashion_mnist is not in the cache {place}, and {NOWHERE} did not give it: "
    );
    assert!(message.starts_with(&expected), "{message}");
}

#[test]
fn what_the_server_gives_is_kept_and_needed_no_more() {
    let (server, cache) = (Server::start(good(), &[]), cache());
    assert_good(&load(&server.endpoint, cache.path()).unwrap());
    assert_good(&load(NOWHERE, cache.path()).unwrap());
}

#[test]
fn one_fault_is_made_good_by_asking_again() {
    for fault in [Fault::Status(500), Fault::Status(503), Fault::Cut, Fault::Short, Fault::Corrupt] {
        let (server, cache) = (Server::start(good(), &[fault]), cache());
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
        let (server, cache) = (Server::start(good(), &[fault; 40]), cache());
        let message = load(&server.endpoint, cache.path()).unwrap_err().to_string();
        assert!(message.starts_with(TRAIN) && message.contains(expected), "{message}");
        assert_eq!(kept(cache.path()), [] as [PathBuf; 0]);
        server.faults.lock().unwrap().clear();
        assert_good(&load(&server.endpoint, cache.path()).unwrap());
    }
}

#[test]
fn a_broken_file_in_the_cache_is_fetched_anew() {
    let whole = &good()[TRAIN];
    let blank = png(3, 3, png::ColorType::Grayscale, &[0; 9]);
    for (broken, reason) in [
        (whole[..whole.len() / 2].to_vec(), "the file is broken"),
        (b"no parquet".to_vec(), "the file is broken"),
        (parquet(&[(blank, 1)]), "row 0: an image of 3 x 3"),
        (parquet(&[(b"no image".to_vec(), 1)]), "row 0: "),
        (parquet(&[(shade(1), 10)]), "row 0: no image or no label below 10"),
        (parquet(&[]), "no rows"),
    ] {
        let (server, cache) = (Server::start(good(), &[]), cache());
        seed(cache.path(), FASHION, &HashMap::from([(TRAIN, broken.clone())]));
        assert_good(&load(&server.endpoint, cache.path()).unwrap());
        seed(cache.path(), FASHION, &HashMap::from([(TRAIN, broken)]));
        let bad = Server::start(good(), &[Fault::Status(404); 40]);
        let message = load(&bad.endpoint, cache.path()).unwrap_err().to_string();
        assert!(message.contains("not found") || message.contains(reason), "{message}");
        assert_eq!(kept(cache.path()), [] as [PathBuf; 0]);
    }
}

#[test]
fn a_dataset_that_the_hub_is_not_asked_for_is_refused_by_name() {
    let message =
        Hub::new(NOWHERE, cache().path()).unwrap().load("svhn", |_, _, _| {}).unwrap_err().to_string();
    assert_eq!(message, "dataset is svhn, expected mnist, fashion-mnist, cifar10");
}
