//! From features to class scores: the supervised readout that sits on a rule, backprop beside it, and the controls
//! that any learned feature must beat.
//!
//! All models are trained and judged by the same code, [`train`] and [`evaluate`], on the same batches.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use hebbian_classifier::{DescentConfig, Labeled, SoftmaxRegression, evaluate, train};
//! use hebbian_training::Generator;
//!
//! // Two classes on either side of a line.
//! let inputs = Generator::new(0, "inputs").uniform((400, 2), -1.0, 1.0, &Device::Cpu)?;
//! let labels: Vec<u32> = inputs.to_vec2::<f32>()?.iter().map(|x| u32::from(x[0] > x[1])).collect();
//! let examples = Labeled::new(inputs, Tensor::new(labels, &Device::Cpu)?)?;
//!
//! let readout = SoftmaxRegression::new(2, 2, &Device::Cpu)?;
//! let config = DescentConfig { epochs: 40, batch_size: 20, learning_rate: 0.1, ..Default::default() };
//! train(&readout, &config, 0, &examples, &[], &mut [])?;
//! assert!(evaluate(&readout, &examples, &config.loss)?.accuracy > 0.97);
//! # Ok::<(), candle_core::Error>(())
//! ```
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod adam;
mod argmax;
mod column_moments;
mod controls;
mod convolutional;
mod descent;
mod design;
mod dropout;
mod encode;
mod evaluation;
mod features;
mod flush;
mod input_layer;
mod labeled;
mod logistic_regression;
mod loss;
mod minibatches;
mod mlp;
mod normalized_regression;
mod rectifier;
mod rows;
mod softmax_regression;
mod sparse_binary;
mod winner_take_all;

pub use hebbian_training::Parameters;

pub use adam::Adam;
pub use argmax::first_largest;
pub use controls::{random_images, random_projection};
pub use convolutional::{ConvolutionalLayer, ConvolutionalNet, Pooling, PoolingKind};
pub use descent::{DescentConfig, Epoch, Network, train};
pub use design::{Dense, Design, Values};
pub use encode::{encode, encode_half};
pub use evaluation::{Evaluation, confusion_matrix, evaluate};
pub use features::{FeatureScale, Features, FeaturesConfig};
pub use labeled::Labeled;
pub use logistic_regression::{LogisticRegression, LogisticRegressionConfig};
pub use loss::Loss;
pub use mlp::Mlp;
pub use normalized_regression::NormalizedRegression;
pub use softmax_regression::SoftmaxRegression;
pub use sparse_binary::SparseBinary;
pub use winner_take_all::WinnerTakeAll;
