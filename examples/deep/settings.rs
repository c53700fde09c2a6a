//! The settings.

use hebbian::{FitConfig, ImageSize, Parameters, Pool, PoolingConfig, SoftHebbConfig};
use hebbian_classifier::{DescentConfig, Pooling, PoolingKind};
use hebbian_experiment::{DataSettings, RunSettings};
use hebbian_training::{Invalid, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::receptive_field::Window;

/// Convolutional SoftHebb, depth by depth, beside random filters
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Which networks are compared.
    #[schemars(length(min = 1))]
    pub models: Vec<Model>,
    /// Images.
    pub data: DataSettings,
    /// What each layer has of its own; as many values as there are layers.
    pub layers: LayerSettings,
    /// What all layers have in common.
    pub rule: SoftHebbConfig,
    /// How they learn, all from every batch; the rates fall by themselves.
    pub fit: FitConfig,
    /// Softmax regression on the features of each depth.
    pub readout: DescentConfig,
    /// Backprop through a network of each depth, its classifier included.
    pub backprop: DescentConfig,
    /// The filters of Krotov and Hopfield, which learn from patches of length 1.
    pub krotov_hopfield: KrotovHopfieldSettings,
    /// What of the accuracy is left where test images are disturbed.
    pub robustness: RobustnessSettings,
    /// Device and seeds.
    pub run: RunSettings,
}

/// Where a network's filters come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// SoftHebb.
    SoftHebb,
    /// SoftHebb in which the winner takes all.
    HardWta,
    /// Krotov and Hopfield's rule.
    KrotovHopfield,
    /// Those that SoftHebb begins with.
    Random,
    /// Patches of training images.
    RandomPatches,
    /// Those that labels teach, by a gradient through all layers.
    Backprop,
}

impl Model {
    pub fn name(self) -> &'static str {
        match self {
            Self::SoftHebb => "soft-hebb",
            Self::HardWta => "hard-wta",
            Self::KrotovHopfield => "krotov-hopfield",
            Self::Random => "random",
            Self::RandomPatches => "random-patches",
            Self::Backprop => "backprop",
        }
    }

    /// Whether its filters learn by a rule.
    pub fn learns(self) -> bool {
        matches!(self, Self::SoftHebb | Self::HardWta | Self::KrotovHopfield)
    }
}

/// Krotov and Hopfield's rule under convolution (L. Grinberg et al. 2019), as
/// [`KrotovHopfieldConfig`](hebbian::KrotovHopfieldConfig) names its parameters.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KrotovHopfieldSettings {
    /// Lebesgue norm of the filters.
    #[schemars(range(min = 1.0))]
    pub p: f64,
    /// Rank of the repelled filter.
    #[schemars(range(min = 2))]
    pub k: usize,
    /// Strength with which it is repelled.
    #[schemars(range(min = 0.0))]
    pub delta: f64,
    /// Largest change of a weight in the first step; it falls linearly.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// Exponent of a positive response; what is negative counts as 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub power: f64,
    /// Passes over the images.
    #[schemars(range(min = 1))]
    pub epochs: usize,
    /// Images per step.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
}

impl Default for KrotovHopfieldSettings {
    fn default() -> Self {
        Self { p: 2.0, k: 2, delta: 0.2, learning_rate: 0.02, power: 4.0, epochs: 1, batch_size: 10 }
    }
}

/// How test images are disturbed. The values of an image are 0 for black to 1 for white.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RobustnessSettings {
    /// Test images, the first of all; 0 leaves all of this out.
    pub disturbed_images: usize,
    /// Deviations of normal noise that is added to each value.
    #[schemars(inner(range(min = 0.0)))]
    pub noise: Vec<f64>,
    /// Sides of a gray square that covers a part of the image, in pixels.
    pub occlusion: Vec<usize>,
    /// Degrees by which an image is turned, to the left or to the right.
    #[schemars(inner(range(min = 0.0, max = 180.0)))]
    pub rotation: Vec<f64>,
    /// By how much each value is moved so that the loss grows: with the sign of its gradient through the whole network.
    #[schemars(inner(range(min = 0.0)))]
    pub attack: Vec<f64>,
}

impl Default for RobustnessSettings {
    fn default() -> Self {
        Self {
            disturbed_images: 500,
            noise: vec![0.2, 0.4, 0.6],
            occlusion: vec![6, 10, 14],
            rotation: vec![15.0, 30.0, 45.0],
            attack: vec![0.05, 0.1, 0.2],
        }
    }
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerSettings {
    /// Filters.
    #[schemars(length(min = 1), inner(range(min = 1)))]
    pub units: Vec<usize>,
    /// Side of a filter, in pixels.
    #[schemars(length(min = 1), inner(range(min = 1)))]
    pub kernels: Vec<usize>,
    /// Rate of a filter of length 2.
    #[schemars(length(min = 1), inner(range(min = 0.0)))]
    pub learning_rates: Vec<f64>,
    /// Inverse temperature of the competition.
    #[schemars(length(min = 1), inner(range(min = 0.0)))]
    pub inverse_temperatures: Vec<f64>,
    /// Exponent of what of a response is above the mean.
    #[schemars(length(min = 1), inner(range(min = 0.0)))]
    pub powers: Vec<f64>,
    /// Pooling, KIND:KERNEL:STRIDE:PADDING.
    #[schemars(length(min = 1))]
    pub pools: Vec<PoolShape>,
    /// Pooling of what is read out of each layer, where layers above it see another.
    #[serde(default)]
    pub readout_pools: Vec<PoolShape>,
    /// Whether what is read out is the mean of what an image and its mirror image give; for images in which right and left
    /// mean the same.
    #[serde(default)]
    pub mirrored: bool,
}

const FORM: &str = "max or average:KERNEL:STRIDE:PADDING";

/// How a layer's responses are pooled, `max:4:2:1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(!try_from, !into, with = "String", inline, extend("x-allowed" = FORM))]
pub struct PoolShape {
    kind: Pool,
    sizes: [usize; 3],
}

impl PoolShape {
    pub fn is_max(self) -> bool {
        self.kind == Pool::Max
    }

    pub fn pooling(self) -> Pooling {
        let [kernel, stride, padding] = self.sizes;
        let kind = if self.is_max() { PoolingKind::Max } else { PoolingKind::Average };
        Pooling { kind, kernel, stride, padding }
    }

    pub fn window(self) -> Window {
        let [kernel, stride, padding] = self.sizes;
        Window { kernel, stride, padding }
    }

    pub fn of(self, input: ImageSize) -> PoolingConfig {
        let [kernel, stride, padding] = self.sizes;
        PoolingConfig { input, kind: self.kind, kernel, stride, padding }
    }
}

impl TryFrom<String> for PoolShape {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = || format!("`{text}` is not {FORM}");
        let (kind, sizes) = text.split_once(':').ok_or_else(refused)?;
        let kind = match kind {
            "max" => Pool::Max,
            "average" => Pool::Average,
            _ => return Err(refused()),
        };
        let sizes = sizes.split(':').map(|size| size.parse().ok()).collect::<Option<Vec<usize>>>();
        let sizes = sizes.and_then(|sizes| sizes.try_into().ok()).ok_or_else(refused)?;
        Ok(Self { kind, sizes })
    }
}

impl From<PoolShape> for String {
    fn from(PoolShape { kind, sizes: [kernel, stride, padding] }: PoolShape) -> Self {
        let kind = if kind == Pool::Max { "max" } else { "average" };
        format!("{kind}:{kernel}:{stride}:{padding}")
    }
}

impl Default for Settings {
    fn default() -> Self {
        let pool = PoolShape { kind: Pool::Max, sizes: [4, 2, 1] };
        let layers = LayerSettings {
            units: vec![32, 128],
            kernels: vec![5, 3],
            learning_rates: vec![0.08, 0.005],
            inverse_temperatures: vec![1.0, 0.65],
            powers: vec![0.7, 1.4],
            pools: vec![pool, pool],
            readout_pools: vec![],
            mirrored: false,
        };
        Self {
            models: vec![
                Model::SoftHebb,
                Model::HardWta,
                Model::KrotovHopfield,
                Model::Random,
                Model::RandomPatches,
                Model::Backprop,
            ],
            data: DataSettings {
                train_size: Some(20_000),
                validation_size: Some(5000),
                ..Default::default()
            },
            layers,
            rule: SoftHebbConfig::default(),
            fit: FitConfig { epochs: 1, batch_size: 10, schedule: Schedule::Constant, in_order: false },
            readout: DescentConfig { epochs: 15, ..Default::default() },
            backprop: DescentConfig {
                epochs: 3,
                batch_size: 50,
                learning_rate: 0.002,
                // To a quarter after each third.
                schedule: Schedule::Halving { shares: vec![0.34, 0.35, 0.67, 0.68] },
                ..Default::default()
            },
            krotov_hopfield: KrotovHopfieldSettings::default(),
            robustness: RobustnessSettings::default(),
            run: RunSettings::default(),
        }
    }
}

impl Parameters for Settings {
    fn check_together(&self) -> Result<(), Invalid> {
        let learns = self.models.iter().any(|model| model.learns());
        let named: Vec<&str> = self.models.iter().map(|model| model.name()).collect();
        let allowed =
            "soft-hebb, hard-wta or krotov-hopfield among them, which the checkpoint and the film are of";
        Invalid::unless(learns, "models", named.join(","), allowed)?;
        let LayerSettings {
            units,
            kernels,
            learning_rates,
            inverse_temperatures,
            powers,
            pools,
            readout_pools,
            mirrored: _,
        } = &self.layers;
        let lengths = [
            ("kernels", kernels.len()),
            ("learning_rates", learning_rates.len()),
            ("inverse_temperatures", inverse_temperatures.len()),
            ("powers", powers.len()),
            ("pools", pools.len()),
            ("readout_pools", if readout_pools.is_empty() { units.len() } else { readout_pools.len() }),
        ];
        for (name, length) in lengths {
            let allowed = format!("one value for each of {} layers", units.len());
            Invalid::unless(
                length == units.len(),
                &format!("layers.{name}"),
                format!("{length} values"),
                allowed,
            )?;
        }
        // A saved network is read out of what it gives.
        let last = |pools: &[PoolShape]| pools.last().copied().map(String::from).unwrap_or_default();
        let (read, seen) = (last(readout_pools), last(pools));
        let fits = readout_pools.is_empty() || read == seen;
        Invalid::unless(fits, "layers.readout_pools", read, format!("{seen}, as in pools, for the last"))?;
        let KrotovHopfieldSettings { k, .. } = self.krotov_hopfield;
        let fewest = units.iter().copied().min().unwrap_or(0);
        let named = self.models.contains(&Model::KrotovHopfield);
        let allowed = format!("2 to the filters of a layer ({fewest})");
        Invalid::unless(!named || k <= fewest, "krotov_hopfield.k", k, allowed)?;
        self.fit.check_as("fit")?;
        self.readout.check_as("readout")?;
        self.backprop.check_as("backprop")
    }
}
