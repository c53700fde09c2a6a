//! The card beside a published layer: what it is, what its file is worth, and how to use it.

use std::fmt::Write;

use anyhow::Result;
use hebbian_model::Encoding;
use hebbian_training::{Checkpoint, Training};
use serde_json::Value;

/// What a card is made from.
pub struct Card<'a> {
    pub name: &'a str,
    /// As the file has it.
    pub checkpoint: &'a Checkpoint,
    pub encoding: &'a Encoding,
    pub dataset: &'a str,
    /// Test images that the file's layer got right, that the whole layer got right, and how many there are; none without a
    /// readout.
    pub judged: Option<(usize, usize, usize)>,
    pub results: &'a Value,
    pub commit: Option<&'a str>,
}

impl Card<'_> {
    /// The card's text, for the `tensors` of the file (name, type, shape) and its length in `bytes`.
    pub fn text(&self, tensors: &[(String, String, Vec<usize>)], bytes: u64) -> Result<String> {
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
        let data = &self.results["dataset"];
        let images = data["train"].as_u64().map_or(String::new(), |images| format!("{images} images of "));
        let commit = self.commit.map(|commit| format!(", commit {commit}")).unwrap_or_default();
        let Some(Training { fit, epoch, generator, .. }) = &self.checkpoint.metadata.training else {
            return format!("{images}{}{commit}", self.dataset);
        };
        format!("{images}{}, {epoch} epochs, seed {}{commit}; {fit}", self.dataset, generator.seed)
    }

    fn result(&self) -> String {
        let Some((right, full, of)) = self.judged else {
            return "no readout; the file has every bit of the run's layer, whose measures are in \
                    `docs/results.md`."
                .to_owned();
        };
        let percent = 100.0 * right as f64 / of as f64;
        format!(
            "{percent:.2} % of the test images, {right} of {of}, measured with this very file; {full} before its weights were \
             made small."
        )
    }

    fn rust(&self) -> String {
        let name = self.name;
        let use_it = match self.judged {
            Some(_) => "let classes = model.predict(&images)?; // of u8 pixels (images, inputs)",
            None => "let layer = model.rule(); // a candle_nn::Module, inputs as in training",
        };
        let answers = match self.judged {
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
        match self.judged {
            None => {
                text += "for name, tensor in tensors.items():\n    print(name, tensor.dtype, tensor.shape)\n"
            }
            Some(_) => {
                text += if self.dataset == "mnist" { MNIST } else { IDX_FOLDER };
                text += match self.encoding {
                    Encoding::Power { .. } => POWER,
                    _ => CODES,
                };
                text += "print(np.mean(classes == labels))\n";
            }
        }
        if self.judged.is_some() && self.dataset != "mnist" {
            text = text.replace("import json, sys\n", "import gzip, json, os, sys\n");
        }
        if self.judged.is_some() && self.dataset == "mnist" {
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
