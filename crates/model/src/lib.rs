//! A trained layer as one value: how images become its inputs, the layer, how its answer becomes features, the readout on
//! them, and what the classes are called. It is saved, loaded, asked and made small here.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use hebbian::{KrotovHopfield, KrotovHopfieldConfig, Registry, Rule};
//! use hebbian_classifier::SoftmaxRegression;
//! use hebbian_model::{Encoding, FeatureWeights, Model};
//! use hebbian_training::Generator;
//!
//! // Nine images of 16 pixels, and a layer that has seen none yet.
//! let images = Tensor::arange(0u8, 144, &Device::Cpu)?.reshape((9, 16))?;
//! let config = KrotovHopfieldConfig { units: 5, k: 2, ..Default::default() };
//! let rule = KrotovHopfield::new(config, 16, &mut Generator::new(0, "weights"), &Device::Cpu)?;
//!
//! let model = Model::new(Box::new(rule))?;
//! let inputs = hebbian_datasets::transforms::scale(&images, &Device::Cpu)?;
//! let encoding = Encoding::Power { features: Default::default(), weights: FeatureWeights::Plain };
//! let model = model.with_encoding(encoding, &inputs)?;
//! // Here a readout learns from `model.encoder()`.
//! let readout = SoftmaxRegression::new(5, 3, &Device::Cpu)?;
//! let model = model.with_readout(&readout.state()?)?;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("model.safetensors");
//! model.save(&path)?;
//! let loaded = Model::load(&path, &Registry::builtin(), &Device::Cpu)?;
//! assert_eq!(loaded.predict(&images)?, [0; 9]); // equal scores: the lowest class
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The file
//!
//! A safetensors file with these tensors, f32 or, in a [small](Model::shrunk) file, f16:
//!
//! | tensor | shape | |
//! |---|---|---|
//! | `rule.NAME` | the rule's own | its state; `rule.weights (units, inputs)` for most |
//! | `feature.scale` | one number | what all features are divided by, with the encoding `power` |
//! | `readout.weight` | `(classes, features)` | with a readout |
//! | `readout.bias` | `(classes)` | with a readout that has one |
//!
//! and one metadata entry, `hebbian`, which is this JSON. A field that is not listed is refused:
//!
//! | field | type | |
//! |---|---|---|
//! | `checksum` | text | CRC-32C of all bytes of the file, eight hexadecimal digits, which count as zeros in it; the first field |
//! | `format` | 3 | the version of this table |
//! | `rule` | text | the rule's name |
//! | `config` | object | the rule's config, every field |
//! | `training` | object, optional | `fit` (epochs, batch size, schedule), `epoch`, `step`, `generator`: what it takes to go on exactly; in a run's folder `run`, which it goes on in |
//! | `bits` | object, optional | of each tensor of zeros and ones that lies as `numpy.packbits(tensor, axis=1)`, the number of columns |
//! | `model` | object, optional | the fields below |
//! | `model.preprocess` | text or object | [`Preprocess`]: `"scale"`, `{"binarize": "mean"}`, `{"binarize": "above:30"}`, `"none"` |
//! | `model.encoding` | text or object | [`Encoding`]: `"layer"`, `{"power": {"features": {"power": 4.5, "subtract_mean": false, "scale": "rms"}, "weights": "plain"}}` |
//! | `model.image` | three integers, optional | height, width, values per pixel |
//! | `model.class_names` | texts, optional | from class 0 on |
//! | `model.dataset` | object, optional | what it has learned from: `name`, `train`, `test`, `shape`, `dtype`, `range`, `classes`, `sha256` |
//!
//! Files of formats 1 and 2, which have no checksum, are read too.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod description;
mod encoding;
mod error;
mod file;
mod model;
mod preprocess;

pub use description::Description;
pub use encoding::{Encoding, FeatureWeights};
pub use error::{Error, Result};
pub use model::Model;
pub use preprocess::Preprocess;
