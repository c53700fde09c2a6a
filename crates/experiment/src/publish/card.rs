//! The card beside a published layer: what it is, what its file is worth, and how to use it.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::Device;
use hebbian::Registry;
use hebbian_model::{Encoding, Model};
use hebbian_training::{Checkpoint, Training};
use serde::{Deserialize, Serialize};

/// What was measured of a published layer: `results/layers/NAME.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerNumbers {
    /// The dataset that it learned from.
    pub dataset: String,
    /// How many images of it.
    pub train: Option<u64>,
    /// The commit that the run was made at.
    pub commit: Option<String>,
    /// What it is worth; none without a readout.
    pub judged: Option<Judged>,
    /// CRC-32C of the file that it was measured of, in hexadecimal; none of a file from before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

/// The checksum of a layer's file.
pub fn checksum(file: &[u8]) -> String {
    format!("{:08x}", crc32c::crc32c(file))
}

/// Test images that a layer got right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// As it lies in the file.
    pub right: usize,
    /// Before it was made small.
    pub whole: usize,
    /// How many there are.
    pub of: usize,
}

/// The card of the layer `name` in the file at `path`: of what the file holds and what was measured of it, and of nothing else.
///
/// # Errors
/// If the numbers were measured of another file.
pub fn card(name: &str, path: &Path, numbers: &LayerNumbers) -> Result<String> {
    let checkpoint = &Checkpoint::load(path, &Device::Cpu)?;
    let model = Model::load(path, &Registry::builtin(), &Device::Cpu)?;
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    if numbers.checksum.as_ref().is_some_and(|measured| *measured != checksum(&bytes)) {
        bail!("{} is not the file that was measured: publish the layer again", path.display());
    }
    let card = Card { name, checkpoint, encoding: model.encoding(), numbers };
    card.text(&tensors_of(&bytes)?, bytes.len())
}

/// Name, type and shape of every tensor as it lies in a file.
fn tensors_of(file: &[u8]) -> Result<Vec<(String, String, Vec<usize>)>> {
    let file = safetensors::SafeTensors::deserialize(file)?;
    let tensors = file.iter().map(|(name, view)| {
        (name.to_owned(), format!("{:?}", view.dtype()).to_lowercase(), view.shape().to_vec())
    });
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort();
    Ok(tensors)
}

struct Card<'a> {
    name: &'a str,
    checkpoint: &'a Checkpoint,
    encoding: &'a Encoding,
    numbers: &'a LayerNumbers,
}

impl Card<'_> {
    /// The card's text, for the `tensors` of the file (name, type, shape) and its length in `bytes`.
    fn text(&self, tensors: &[(String, String, Vec<usize>)], bytes: usize) -> Result<String> {
        let metadata = &self.checkpoint.metadata;
        let (name, rule) = (self.name, &metadata.rule);
        let mut card = String::new();
        writeln!(card, "# {name}\n")?;
        writeln!(card, "<!-- Written by `cargo run --release --example publish -- layer`. -->\n")?;
        writeln!(
            card,
            "`{name}.safetensors`, {:.1} MB: a layer trained by the rule `{rule}`.\n",
            bytes as f64 / 1e6
        )?;
        writeln!(card, "* **Config**: `{}`", metadata.config)?;
        writeln!(card, "* **Trained**: {}", self.training())?;
        writeln!(card, "* **Result**: {}", self.result())?;
        writeln!(card, "* **Licence**: MIT or Apache-2.0, at your choice, for the weights as for the code.")?;
        writeln!(card, "\n| tensor | type | shape |\n|---|---|---|")?;
        for (name, dtype, shape) in tensors {
            let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
            let shape = if shape.is_empty() { "one number".to_owned() } else { shape.join(" x ") };
            let bits = metadata.bits.get(name).map(|columns| format!(", bits of {columns} columns"));
            writeln!(card, "| `{name}` | {dtype}{} | {} |", bits.unwrap_or_default(), shape)?;
        }
        card += &self.rust();
        card += &self.numpy();
        Ok(card)
    }

    fn training(&self) -> String {
        let LayerNumbers { dataset, train, commit, .. } = self.numbers;
        let images = train.map_or(String::new(), |images| format!("{images} images of "));
        let commit = commit.as_ref().map(|commit| format!(", commit {commit}")).unwrap_or_default();
        let Some(Training { fit, epoch, generator, .. }) = &self.checkpoint.metadata.training else {
            return format!("{images}{dataset}{commit}");
        };
        format!("{images}{dataset}, {epoch} epochs, seed {}{commit}; {fit}", generator.seed)
    }

    fn result(&self) -> String {
        let Some(Judged { right, whole, of }) = self.numbers.judged else {
            return "no readout; the file has every bit of the run's layer, whose measures are in \
                    `docs/results.md`."
                .to_owned();
        };
        let percent = 100.0 * right as f64 / of as f64;
        format!(
            "{percent:.2} % of the test images, {right} of {of}, measured with this very file; {whole} before its weights were \
             made small."
        )
    }

    fn rust(&self) -> String {
        let name = self.name;
        let use_it = match self.numbers.judged {
            Some(_) => "let classes = model.predict(&images)?; // of u8 pixels (images, inputs)",
            None => "let layer = model.rule(); // a candle_nn::Module, inputs as in training",
        };
        let answers = match self.numbers.judged {
            Some(_) => format!(
                "\nOr from the command line:\n\n```sh\ncargo run --release --example predict -- --pretrained {name} IMAGES...\n```\n"
            ),
            None => format!(
                "\nOr from the command line:\n\n```sh\ncargo run --release --example transform -- --pretrained {name} IMAGES... --out features.npy\n```\n"
            ),
        };
        format!(
            "\n## From Rust\n\n```rust,ignore\n\
             let file = std::path::Path::new(\"pretrained/{name}.safetensors\");\n\
             let registry = hebbian::Registry::builtin();\n\
             let model = hebbian_model::Model::load(file, &registry, &candle_core::Device::Cpu)?;\n\
             {use_it}\n\
             ```\n{answers}"
        )
    }

    /// The block that tests run too: it prints the accuracy.
    fn numpy(&self) -> String {
        let name = self.name;
        let mut text = format!("\n## From numpy\n\n```python\n{}", HEAD.replace("NAME", name));
        match self.numbers.judged {
            None => {
                text += "for name, tensor in tensors.items():\n    print(name, tensor.dtype, tensor.shape)\n"
            }
            Some(_) => {
                text += if self.numbers.dataset == "mnist" { MNIST } else { IDX_FOLDER };
                text += match self.encoding {
                    Encoding::Power { .. } => POWER,
                    _ => CODES,
                };
                text += "print(np.mean(classes == labels))\n";
            }
        }
        if self.numbers.judged.is_some() && self.numbers.dataset != "mnist" {
            text = text.replace("import json, sys\n", "import gzip, json, os, sys\n");
        }
        if self.numbers.judged.is_some() && self.numbers.dataset == "mnist" {
            text = text.replace("import numpy as np\n", "import numpy as np, zstandard\n");
        }
        let packages =
            if text.contains("zstandard") { "numpy safetensors zstandard" } else { "numpy safetensors" };
        let how = format!("```\n\n`pip install {packages}`.");
        let folder = if text.contains("gzip") {
            " The second argument is the folder of the dataset's four IDX files, gzipped or not."
        } else {
            ""
        };
        text + &how + folder + "\n"
    }
}

const HEAD: &str = r#"import json, sys
import numpy as np
from safetensors import safe_open

path = sys.argv[1] if len(sys.argv) > 1 else "pretrained/NAME.safetensors"
with safe_open(path, "np") as file:
    about = json.loads(file.metadata()["hebbian"])
    tensors = {name: file.get_tensor(name) for name in file.keys()}
"#;

const MNIST: &str = r#"
def idx(name, header):
    packed = open(f"crates/datasets/data/mnist/{name}.zst", "rb").read()
    return np.frombuffer(zstandard.decompress(packed), np.uint8, offset=header)

images = idx("t10k-images-idx3-ubyte", 16).reshape(10000, -1)
labels = idx("t10k-labels-idx1-ubyte", 8)
"#;

const IDX_FOLDER: &str = r#"
def idx(name, header):
    name = os.path.join(sys.argv[2], name)
    opened = open(name, "rb") if os.path.exists(name) else gzip.open(name + ".gz", "rb")
    return np.frombuffer(opened.read(), np.uint8, offset=header)

labels = idx("t10k-labels-idx1-ubyte", 8)
images = idx("t10k-images-idx3-ubyte", 16).reshape(len(labels), -1)
"#;

const POWER: &str = r#"
encoding = about["model"]["encoding"]["power"]
features = encoding["features"]
w = tensors["rule.weights"].astype(np.float32)
if encoding["weights"] == "synapses":
    w = np.sign(w) * np.abs(w) ** (about["config"]["p"] - 1)
x = images.astype(np.float32) / 255
if features["subtract_mean"]:
    x -= x.mean(axis=1, keepdims=True)
x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
h = np.maximum(x @ w.T, 0) ** features["power"] / tensors["feature.scale"]
classes = (h @ tensors["readout.weight"].astype(np.float32).T + tensors["readout.bias"]).argmax(1)
"#;

/// The answers of a pooler, the one published layer whose readout sees what its `forward` gives.
const CODES: &str = r#"
config, threshold = about["config"], about["model"]["preprocess"]["binarize"]
connected = np.unpackbits(tensors["rule.weights"], axis=1)[:, :images.shape[1]].astype(np.float32)
activity, active = tensors["rule.activity"], int(config["units"] * config["sparsity"])
towards = np.float32(config["sparsity"]) if config["boost_toward"] == "target" else activity.mean()
boosts = np.exp(np.float32(config["boost_strength"]) * (towards - activity))
least = max(config["min_activation"], np.finfo(np.float32).tiny if config["stimulus_threshold"] else 0)
weight = tensors["readout.weight"].astype(np.float32)
classes = []
for start in range(0, len(images), 500):
    part = images[start:start + 500].astype(np.int64)
    on = part * part.shape[1] >= part.sum(1, keepdims=True) if threshold == "mean" else part > int(threshold[6:])
    overlaps = on.astype(np.float32) @ connected.T
    boosted = np.where(overlaps >= config["stimulus_threshold"], overlaps * boosts, 0)
    winners = np.argsort(-boosted, axis=1, kind="stable")[:, :active]  # ties go to the lowest index
    codes = np.zeros_like(boosted)
    np.put_along_axis(codes, winners, np.take_along_axis(boosted, winners, 1) >= least, 1)
    classes.extend((codes @ weight.T + tensors["readout.bias"]).argmax(1))
classes = np.array(classes)
"#;
