//! Sanger's rule: the principal components of the inputs, the largest first.
//!
//! ```text
//! y_bu = Σ_i w_ui x_bi
//! w_ui ← w_ui + rate / batch Σ_b y_bu (x_bi - Σ_{v <= u} y_bv w_vi)
//! ```
//!
//! Source: T. D. Sanger, "Optimal unsupervised learning in a single-layer linear feedforward neural network", Neural
//! Networks 2 (1989), [doi:10.1016/0893-6080(89)90044-0](https://doi.org/10.1016/0893-6080(89)90044-0), equation 3.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::Module;
use hebbian::ops::check_batch;
use hebbian::{Learned, LearningRule, Rule, check_finite, check_state};
use hebbian_training::{Generator, Parameters, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The parameters of [`Sanger`]. Each says what it means, what is allowed and what it is unless given: errors are made of
/// that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SangerConfig {
    /// Number of components.
    #[schemars(range(min = 1))]
    pub units: usize,
    /// How far a step goes.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// Standard deviation of the normal draws that the weights begin with.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub init_std: f64,
}

impl Default for SangerConfig {
    fn default() -> Self {
        Self { units: 16, learning_rate: 0.01, init_std: 0.1 }
    }
}

impl Parameters for SangerConfig {}

/// A layer whose units become the first principal components. Its state is `weights (units, inputs)`.
#[derive(Debug)]
pub struct Sanger {
    config: SangerConfig,
    rate_scale: f64,
    weights: Tensor,
}

impl Module for Sanger {
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        inputs.matmul(&self.weights.t()?)
    }
}

impl Rule for Sanger {
    const NAME: &'static str = "sanger";
    type Config = SangerConfig;

    fn new(config: SangerConfig, inputs: usize, generator: &mut Generator, device: &Device) -> Result<Self> {
        config.validate()?;
        let weights = generator.normal((config.units, inputs), 0.0, config.init_std, device)?;
        Ok(Self { config, rate_scale: 1.0, weights })
    }

    fn from_state(config: SangerConfig, state: State) -> Result<Self> {
        config.validate()?;
        let inputs = state.get("weights").map_or(Ok(0), |weights| weights.dim(D::Minus1))?;
        check_state(&state, &[("weights", (config.units, inputs).into())])?;
        Ok(Self { config, rate_scale: 1.0, weights: state["weights"].clone() })
    }
}

impl LearningRule for Sanger {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!(self.config)
    }

    fn inputs(&self) -> usize {
        self.weights.dims()[1]
    }

    fn units(&self) -> usize {
        self.config.units
    }

    fn learning_rate(&self) -> Option<f64> {
        Some(self.config.learning_rate * self.rate_scale)
    }

    fn set_rate_scale(&mut self, scale: f64) {
        self.rate_scale = scale;
    }

    /// Passes y upward; measures `largest_update`, the largest change of a weight. No unit wins.
    fn learn(&mut self, inputs: &Tensor) -> Result<Learned> {
        let (batch, _) = check_batch(inputs, self.inputs())?;
        let outputs = self.forward(inputs)?;
        let products = outputs.t()?.matmul(&outputs)?;
        let lower = products.mul(&Tensor::tril2(self.config.units, DType::F32, inputs.device())?)?;
        let direction = (outputs.t()?.matmul(inputs)? - lower.matmul(&self.weights)?)?;
        let rate = self.config.learning_rate * self.rate_scale / batch as f64;
        let update = (direction * rate)?;
        let weights = (&self.weights + &update)?;
        if inputs.device().is_cpu() {
            check_finite("weights", &weights)?; // A step that fails changes nothing.
        }
        self.weights = weights;
        Ok(Learned::new(outputs).measured("largest_update", update.abs()?.max_all()?))
    }

    fn weights(&self) -> Result<Tensor> {
        self.weights.copy()
    }

    fn tensors(&self) -> Result<State> {
        Ok(State::from([("weights".to_owned(), self.weights.clone())]))
    }

    fn restore(&mut self, state: State) -> Result<()> {
        check_state(&state, &[("weights", self.weights.shape().clone())])?;
        self.weights = state["weights"].to_device(self.weights.device())?;
        Ok(())
    }
}
