//! MNIST, Fashion-MNIST and CIFAR-10 from the Hugging Face hub, or from its cache on disk.
//!
//! The hub's client trusts whatever lies in its cache, and the loaders of candle-datasets leave out the rows that they
//! cannot read. Here a file counts only once all of its rows are decoded: one that is broken is taken out of the cache and
//! fetched again, so that no later run can trust it.

use std::env;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use hf_hub::{HFClient, HFClientSync, HFError};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

use crate::{Dataset, Error, Examples, ImageShape, Result};

/// A server, and the folder that keeps what it gave.
pub struct Hub {
    client: HFClientSync,
    endpoint: String,
    cache: PathBuf,
}

/// One dataset as the hub has it, each set a parquet file.
struct Published {
    name: &'static str,
    owner: &'static str,
    repository: &'static str,
    folder: &'static str,
    shape: ImageShape,
}

const GRAY: ImageShape = ImageShape { height: 28, width: 28, channels: 1 };
const COLOR: ImageShape = ImageShape { height: 32, width: 32, channels: 3 };
const REVISION: &str = "refs/convert/parquet";
const CLASSES: usize = 10;

const PUBLISHED: [Published; 3] = [
    Published { name: "mnist", owner: "ylecun", repository: "mnist", folder: "mnist", shape: GRAY },
    Published {
        name: "fashion-mnist",
        owner: "zalando-datasets",
        repository: "fashion_mnist",
        folder: "fashion_mnist",
        shape: GRAY,
    },
    Published { name: "cifar10", owner: "", repository: "cifar10", folder: "plain_text", shape: COLOR },
];

/// How often a file that did not arrive whole is asked for.
const ATTEMPTS: usize = 2;

/// Who is told about downloads: the file, the bytes that have come, and all bytes (0 if unknown).
pub type Watcher = fn(file: &str, bytes: u64, of: u64);

impl Hub {
    /// The hub and the cache that the environment names: `HF_ENDPOINT`, and `HF_HUB_CACHE` or the folder `hub` in `HF_HOME`.
    ///
    /// # Errors
    /// If the endpoint is no URL.
    pub fn from_env() -> Result<Self> {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let home = || {
            let user = variable("HOME").or_else(|| variable("USERPROFILE")).unwrap_or_default();
            PathBuf::from(user).join(".cache/huggingface")
        };
        let cache = variable("HF_HUB_CACHE").map(PathBuf::from);
        let cache = cache.unwrap_or_else(|| variable("HF_HOME").map_or_else(home, PathBuf::from).join("hub"));
        let endpoint = env::var("HF_ENDPOINT").unwrap_or_else(|_| "https://huggingface.co".to_owned());
        Self::new(&endpoint, &cache)
    }

    /// The hub at the URL `endpoint`, with the cache in the folder `cache`.
    ///
    /// # Errors
    /// If the endpoint is no URL.
    pub fn new(endpoint: &str, cache: &Path) -> Result<Self> {
        let client = HFClient::builder()
            .endpoint(endpoint)
            .cache_dir(cache)
            .retry_max_attempts(3)
            .retry_base_delay(Duration::from_millis(10));
        let client = client.build().and_then(HFClientSync::from_inner);
        let (endpoint, cache) = (endpoint.to_owned(), cache.to_owned());
        match client {
            Ok(client) => Ok(Self { client, endpoint, cache }),
            Err(error) => {
                Err(Error::Hub { file: "the hub".to_owned(), endpoint, cache, reason: error.to_string() })
            }
        }
    }

    /// Loads `mnist`, `fashion-mnist` or `cifar10`: from the cache if it is there whole, else from the server.
    ///
    /// # Errors
    /// If there is no such dataset, or a file is neither in the cache nor to be had whole from the server.
    pub fn load(&self, name: &str, watcher: Watcher) -> Result<Dataset> {
        let Some(published) = PUBLISHED.iter().find(|published| published.name == name) else {
            let names = PUBLISHED.map(|published| published.name).join(", ");
            return Err(Error::setting("dataset", name, names));
        };
        let set =
            |set: &str| self.set(published, &format!("{}/{set}/0000.parquet", published.folder), watcher);
        Ok(Dataset {
            name: published.name.to_owned(),
            shape: published.shape,
            classes: CLASSES,
            train: set("train")?,
            test: set("test")?,
        })
    }

    fn set(&self, published: &Published, file: &str, watcher: Watcher) -> Result<Examples> {
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            let path = match self.path(published, file, watcher) {
                Ok(path) => path,
                Err(error) => {
                    reason = error.to_string();
                    match is_final(&error) {
                        true => break,
                        false => continue,
                    }
                }
            };
            match decode(&path, published.shape) {
                Ok((pixels, labels)) => return examples(pixels, labels, published.shape),
                Err(broken) => reason = format!("the file is broken ({broken}){}", forget(&path)),
            }
        }
        let file = format!("{file} of the dataset {}/{}", published.owner, published.repository);
        let (endpoint, cache) = (self.endpoint.clone(), self.cache.clone());
        Err(Error::Hub { file: file.replace(" /", " "), endpoint, cache, reason })
    }

    /// Where the file lies in the cache, after a download if need be.
    fn path(
        &self,
        published: &Published,
        file: &str,
        watcher: Watcher,
    ) -> std::result::Result<PathBuf, HFError> {
        let repository = self.client.dataset(published.owner, published.repository);
        let download = repository.download_file().filename(file).revision(REVISION);
        let cached = download.clone().local_files_only(true).send();
        // The cache remembers what was not found, too; the server may have it by now.
        cached.or_else(|_| download.progress(Watch(watcher)).send())
    }
}

/// Whether asking again would bring the same.
fn is_final(error: &HFError) -> bool {
    use HFError::{EntryNotFound, RepoNotFound, RevisionNotFound};
    matches!(error, EntryNotFound { .. } | RepoNotFound { .. } | RevisionNotFound { .. })
}

/// Takes a file out of the cache, and what it links to.
fn forget(path: &Path) -> String {
    let linked = fs::canonicalize(path);
    let removed = fs::remove_file(path).and(linked).map(|linked| match linked.exists() {
        true => fs::remove_file(linked),
        false => Ok(()),
    });
    match removed {
        Ok(Ok(())) => String::new(),
        _ => format!("; remove {} yourself", path.display()),
    }
}

struct Watch(Watcher);

impl ProgressHandler for Watch {
    fn on_progress(&self, event: &ProgressEvent) {
        if let ProgressEvent::Download(DownloadEvent::Progress { files }) = event {
            for file in files {
                (self.0)(&file.filename, file.bytes_completed, file.total_bytes);
            }
        }
    }
}

fn examples(pixels: Vec<u8>, labels: Vec<u32>, shape: ImageShape) -> Result<Examples> {
    let count = labels.len();
    let images = Tensor::from_vec(pixels, (count, shape.inputs()), &Device::Cpu)?;
    Examples::new(images, Tensor::from_vec(labels, count, &Device::Cpu)?, CLASSES)
}

type Decoded = std::result::Result<(Vec<u8>, Vec<u32>), String>;

/// The pixels and labels of all rows of a parquet file, or what is wrong with it. The parquet library may panic on a
/// malformed file, which is a file that is wrong like any other.
fn decode(path: &Path, shape: ImageShape) -> Decoded {
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_rows(path, shape)));
    decoded.unwrap_or_else(|_| Err("not readable as parquet".to_owned()))
}

fn decode_rows(path: &Path, shape: ImageShape) -> Decoded {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let file = File::open(path).map_err(|error| said(&error))?;
    let reader = SerializedFileReader::new(file).map_err(|error| said(&error))?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (number, row) in reader.get_row_iter(None).map_err(|error| said(&error))?.enumerate() {
        let row = row.map_err(|error| format!("row {number}: {error}"))?;
        let (image, label) =
            columns(&row).ok_or_else(|| format!("row {number}: no image or no label below 10"))?;
        pixels.extend(pixels_of(image, shape).map_err(|reason| format!("row {number}: {reason}"))?);
        labels.push(label);
    }
    let promised = reader.metadata().file_metadata().num_rows();
    match labels.len() {
        0 => Err("no rows".to_owned()),
        rows if rows as i64 == promised => Ok((pixels, labels)),
        rows => Err(format!("{rows} of {promised} rows")),
    }
}

/// The encoded image and the label of a row.
fn columns(row: &Row) -> Option<(&[u8], u32)> {
    let (mut image, mut label) = (None, None);
    for (_, field) in row.get_column_iter() {
        match field {
            Field::Group(group) => {
                image = group.get_column_iter().find_map(|(_, field)| match field {
                    Field::Bytes(bytes) => Some(bytes.data()),
                    _ => None,
                });
            }
            Field::Long(number) => {
                label = u32::try_from(*number).ok().filter(|&label| label < CLASSES as u32)
            }
            _ => {}
        }
    }
    Some((image?, label?))
}

fn pixels_of(encoded: &[u8], shape: ImageShape) -> std::result::Result<Vec<u8>, String> {
    let image = image::load_from_memory(encoded).map_err(|error| error.to_string())?;
    if (image.height() as usize, image.width() as usize) != (shape.height, shape.width) {
        return Err(format!("an image of {} x {}", image.height(), image.width()));
    }
    Ok(if shape.channels == 1 { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() })
}

/// The dataset as candle-datasets has it: f32 images in \[0, 1\], `(images, inputs)` if gray and `(images, 3, height, width)`
/// if in color (upright, which that crate's own CIFAR-10 from the hub is not), and u8 labels.
impl TryFrom<&Dataset> for candle_datasets::vision::Dataset {
    type Error = Error;

    fn try_from(dataset: &Dataset) -> Result<Self> {
        let ImageShape { height, width, channels } = dataset.shape;
        let images = |examples: &Examples| -> Result<Tensor> {
            let images = crate::transforms::scale(examples.images(), &Device::Cpu)?;
            match channels {
                1 => Ok(images),
                _ => {
                    Ok(images.reshape(((), height, width, channels))?.permute((0, 3, 1, 2))?.contiguous()?)
                }
            }
        };
        let labels = |examples: &Examples| examples.labels().to_dtype(DType::U8);
        Ok(Self {
            train_images: images(&dataset.train)?,
            train_labels: labels(&dataset.train)?,
            test_images: images(&dataset.test)?,
            test_labels: labels(&dataset.test)?,
            labels: dataset.classes,
        })
    }
}
