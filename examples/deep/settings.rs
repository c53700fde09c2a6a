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
            Self::Random => "random",
            Self::RandomPatches => "random-patches",
            Self::Backprop => "backprop",
        }
    }

    /// Whether its filters learn by the rule.
    pub fn learns(self) -> bool {
        matches!(self, Self::SoftHebb | Self::HardWta)
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
        };
        Self {
            models: vec![
                Model::SoftHebb,
                Model::HardWta,
                Model::Random,
                Model::RandomPatches,
                Model::Backprop,
            ],
            data: DataSettings { train_size: Some(20_000), ..Default::default() },
            layers,
            rule: SoftHebbConfig::default(),
            fit: FitConfig { epochs: 1, batch_size: 10, schedule: Schedule::Constant, in_order: false },
            readout: DescentConfig { epochs: 20, ..Default::default() },
            backprop: DescentConfig {
                epochs: 3,
                batch_size: 50,
                learning_rate: 0.002,
                // To a quarter after each third.
                schedule: Schedule::Halving { shares: vec![0.34, 0.35, 0.67, 0.68] },
                ..Default::default()
            },
            run: RunSettings::default(),
        }
    }
}

impl Parameters for Settings {
    fn check_together(&self) -> Result<(), Invalid> {
        let learns = self.models.iter().any(|model| model.learns());
        let named: Vec<&str> = self.models.iter().map(|model| model.name()).collect();
        let allowed = "soft-hebb or hard-wta among them, which the checkpoint and the film are of";
        Invalid::unless(learns, "models", named.join(","), allowed)?;
        let LayerSettings {
            units,
            kernels,
            learning_rates,
            inverse_temperatures,
            powers,
            pools,
            readout_pools,
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
        self.fit.check_as("fit")?;
        self.readout.check_as("readout")?;
        self.backprop.check_as("backprop")
    }
}
