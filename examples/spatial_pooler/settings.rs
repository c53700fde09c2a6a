//! The settings, and the library's configs that they make.

use anyhow::Result;
use clap::{Parser, ValueEnum};
use hebbian::{BoostToward, FitConfig, Parameters, PotentialPool, SpatialPoolerConfig, Starved};
use hebbian_classifier::LogisticRegressionConfig;
use hebbian_datasets::transforms::Threshold;
use hebbian_experiment::{Common, Data, flagged};
use hebbian_training::Schedule;
use serde::{Serialize, Serializer};

/// The spatial pooler beside raw pixels, untrained columns and columns without boosting
#[derive(Parser, Clone, Serialize)]
#[command(version)]
#[command(mut_arg("units", |arg| arg.default_value("6272").help("Columns")))]
#[command(mut_arg("epochs", |arg| arg.default_value("3")))]
#[command(mut_arg("readout_epochs", |arg| arg.hide(true)))]
pub struct Arguments {
    #[command(flatten)]
    #[serde(flatten)]
    pub common: Common,

    /// Which pixels are on: mean (of their own image) or above:N
    #[arg(long, default_value_t = Threshold::Above(30))]
    #[serde(serialize_with = "as_text")]
    pub binarize: Threshold,
    /// Share of the columns that win
    #[arg(long, default_value_t = 0.05)]
    pub sparsity: f64,
    /// Where the inputs of a column may lie
    #[arg(long, value_enum, default_value_t = Pool::Square)]
    pool: Pool,
    /// Share of those inputs that a column could connect to
    #[arg(long, default_value_t = 0.15)]
    pool_fraction: f64,
    /// How far a square reaches from its center
    #[arg(long, default_value_t = 6)]
    pool_radius: usize,
    /// Whether a square goes on at the opposite edge
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pool_wrap: bool,
    /// Permanence from which a synapse is connected
    #[arg(long, default_value_t = 0.5)]
    connected: f64,
    /// What a winner's permanence gains where the input is on
    #[arg(long, default_value_t = 0.1)]
    increment: f64,
    /// What it loses where the input is off
    #[arg(long, default_value_t = 0.03)]
    decrement: f64,
    /// Overlap below which a column does not compete
    #[arg(long, default_value_t = 5)]
    stimulus_threshold: u32,
    /// Boosted overlap below which a winner is dropped
    #[arg(long, default_value_t = 0.0)]
    min_activation: f64,
    /// What a column's activity is held against
    #[arg(long, value_enum, default_value_t = Toward::Target)]
    boost_toward: Toward,
    /// How strongly seldom active columns are favored
    #[arg(long, default_value_t = 15.0)]
    boost_strength: f64,
    /// Period of the activity duty cycle, in images
    #[arg(long, default_value_t = 1400.0)]
    activity_period: f64,
    /// Which columns are helped to synapses: none, those of the lowest overlap, or those far below the best
    #[arg(long, value_enum, default_value_t = Raised::None)]
    raised: Raised,
    /// The share of the columns, or of the best column's overlap duty cycle
    #[arg(long, default_value_t = 0.05)]
    raised_share: f64,
    /// Period of the overlap duty cycle, in images
    #[arg(long, default_value_t = 1000.0)]
    overlap_period: f64,
    /// Inputs per step: more than 1 learn faster on a GPU, and not quite the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[serde(skip_serializing_if = "is_one")]
    minibatch: usize,
    /// Take the training codes from one more pass that goes on learning, as the notebook does
    #[arg(long, value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set)]
    pub record_while_learning: bool,

    /// Penalty of the logistic regression on its squared weights; 1 / C
    #[arg(long, default_value_t = 3.0)]
    penalty: f64,
    /// Length of the gradient at which it is done
    #[arg(long, default_value_t = 0.001)]
    tolerance: f64,
    /// Steps that it may take
    #[arg(long, default_value_t = 100)]
    max_iterations: u64,
}

/// Where potential synapses lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// Anywhere in the image
    Anywhere,
    /// In a square around the column's place over the image
    Square,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Toward {
    /// The mean activity
    Mean,
    /// The sparsity
    Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Raised {
    None,
    Lowest,
    BelowBest,
}

fn as_text<S: Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

/// Left out of a run's config: those from before there were minibatches can be resumed.
fn is_one(minibatch: &usize) -> bool {
    *minibatch == 1
}

/// The refusal of a setting, by the flag that it came from.
pub fn validated(config: &SpatialPoolerConfig) -> Result<()> {
    flagged(
        "",
        config.validate().map_err(|mut invalid| {
            invalid.field = match invalid.field.as_str() {
                "starved.share" | "starved.fraction" => "raised_share".to_owned(),
                "pool.grid" => "units".to_owned(),
                field => field.replace("pool.", "pool_"),
            };
            invalid
        }),
    )
}

impl Arguments {
    pub fn pooler(&self, data: &Data) -> SpatialPoolerConfig {
        let image = [data.shape.height, data.shape.width];
        let (radius, wrap, fraction) = (self.pool_radius, self.pool_wrap, self.pool_fraction);
        SpatialPoolerConfig {
            units: self.common.units.all()[0],
            sparsity: self.sparsity,
            pool: match self.pool {
                Pool::Anywhere => PotentialPool::Anywhere { fraction },
                Pool::Square => PotentialPool::Neighborhood { image, grid: image, radius, wrap, fraction },
            },
            connected: self.connected,
            increment: self.increment,
            decrement: self.decrement,
            stimulus_threshold: self.stimulus_threshold,
            min_activation: self.min_activation,
            boost_toward: match self.boost_toward {
                Toward::Mean => BoostToward::Mean,
                Toward::Target => BoostToward::Target,
            },
            boost_strength: self.boost_strength,
            activity_period: self.activity_period,
            starved: match self.raised {
                Raised::None => Starved::Left,
                Raised::Lowest => Starved::Lowest { share: self.raised_share },
                Raised::BelowBest => Starved::BelowBest { fraction: self.raised_share },
            },
            overlap_period: self.overlap_period,
            minibatch: self.minibatch,
        }
    }

    pub fn fit(&self) -> FitConfig {
        let Common { epochs, batch_size, .. } = self.common;
        FitConfig { epochs, batch_size, schedule: Schedule::Constant, ..Default::default() }
    }

    pub fn readout(&self) -> LogisticRegressionConfig {
        let Self { penalty, tolerance, max_iterations, .. } = *self;
        LogisticRegressionConfig { penalty, tolerance, max_iterations }
    }
}
