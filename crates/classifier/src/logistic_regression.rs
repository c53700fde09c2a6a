//! Multinomial logistic regression on a [`Design`], sparse 0/1 features or any numbers, by L-BFGS.
//!
//! Minimizes, over weights `W` and biases `b`,
//!
//! ```text
//! (1/n) Σ_i -log softmax(W x_i + b)[y_i]  +  penalty / (2n) |W|²
//! ```
//!
//! which is scikit-learn's `LogisticRegression` with `C = 1 / penalty`: the bias is not penalized. The whole set is one
//! step, so there is nothing to draw and no rate to choose.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use hebbian_classifier::{LogisticRegression, LogisticRegressionConfig, SparseBinary};
//!
//! let mut features = SparseBinary::new(3);
//! features.push_dense(&Tensor::new(&[[1u8, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0]], &Device::Cpu)?)?;
//! let labels = Tensor::new(&[0u32, 0, 1, 1], &Device::Cpu)?;
//!
//! let model = LogisticRegression::fit(&features, &labels, 2, LogisticRegressionConfig::default())?;
//! assert_eq!(model.predict(&features)?, [0, 0, 1, 1]);
//! assert_eq!(model.accuracy(&features, &labels)?, 1.0);
//! # Ok::<(), candle_core::Error>(())
//! ```

use std::cell::{Ref, RefCell};
use std::ops::Range;

use argmin::core::{CostFunction, Error, Executor, Gradient, State as _};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use candle_core::{Device, Result, Tensor, bail};
use hebbian_training::{Parameters, State};
use multiversion::multiversion;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::design::{Design, Values};
use crate::first_largest;

/// How hard [`LogisticRegression`] is held back, and when it is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogisticRegressionConfig {
    /// Weight of the squared weights against the summed loss; 1 / C.
    #[schemars(range(min = 0.0))]
    pub penalty: f64,
    /// Length of the gradient at which the search ends.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tolerance: f64,
    /// Steps after which it ends in any case.
    #[schemars(range(min = 1))]
    pub max_iterations: u64,
}

impl Default for LogisticRegressionConfig {
    fn default() -> Self {
        Self { penalty: 1.0, tolerance: 1e-3, max_iterations: 100 }
    }
}

impl Parameters for LogisticRegressionConfig {}

/// Classes whose scores are summed together: two AVX-512 registers of f64.
const LANES: usize = 16;
/// Parts that the examples are summed in at most, and examples of a part at least, whatever the number of threads: the bits do
/// not depend on it.
const PARTS: usize = 16;
const LEAST: usize = 64;
/// Pairs of steps and gradients that L-BFGS remembers.
const MEMORY: usize = 10;

/// A fitted model.
#[derive(Clone, Debug)]
pub struct LogisticRegression {
    scores: Scores,
    parameters: Vec<f64>,
    iterations: u64,
    converged: bool,
}

impl LogisticRegression {
    /// The model that fits `labels (examples)` u32 best.
    pub fn fit(
        features: &impl Design,
        labels: &Tensor,
        classes: usize,
        config: LogisticRegressionConfig,
    ) -> Result<Self> {
        config.validate()?;
        let labels = checked(features, labels, classes)?;
        let scores = Scores { features: features.features(), classes };
        let objective = Objective { scores, examples: features, labels, penalty: config.penalty };
        let (parameters, iterations) = minimize(objective, &config)
            .map_err(|error| candle_core::Error::msg(format!("logistic regression: {error}")))?;
        Ok(Self { scores, parameters, iterations, converged: iterations < config.max_iterations })
    }

    /// Steps that the search took.
    pub fn iterations(&self) -> u64 {
        self.iterations
    }

    /// Whether it ended because the gradient was short, and not because there were enough steps.
    pub fn converged(&self) -> bool {
        self.converged
    }

    /// The most probable class of each example; of equals the lowest.
    pub fn predict(&self, features: &impl Design) -> Result<Vec<u32>> {
        if features.features() != self.scores.features {
            bail!("the examples have {} features, expected {}", features.features(), self.scores.features);
        }
        let class = |example: usize| {
            let mut scores = self.scores.buffer();
            self.scores.of(features.row(example), &self.parameters, &mut scores);
            first_largest(&scores.as_flattened()[..self.scores.classes]) as u32
        };
        Ok((0..features.examples()).into_par_iter().map(class).collect())
    }

    /// Share of the examples whose most probable class is their label.
    pub fn accuracy(&self, features: &impl Design, labels: &Tensor) -> Result<f64> {
        let labels = checked(features, labels, self.scores.classes)?;
        let right = self.predict(features)?.iter().zip(&labels).filter(|(ours, label)| ours == label).count();
        Ok(right as f64 / labels.len() as f64)
    }

    /// `weight (classes, features)` and `bias (classes)`, f32.
    pub fn state(&self) -> Result<State> {
        let Scores { features, classes } = self.scores;
        let stride = self.scores.stride();
        let column = |class: usize| self.parameters.iter().skip(class).step_by(stride).map(|&w| w as f32);
        let weight: Vec<f32> = (0..classes).flat_map(|class| column(class).take(features)).collect();
        let bias: Vec<f32> = (0..classes).filter_map(|class| column(class).nth(features)).collect();
        Ok(State::from([
            ("weight".to_owned(), Tensor::from_vec(weight, (classes, features), &Device::Cpu)?),
            ("bias".to_owned(), Tensor::from_vec(bias, classes, &Device::Cpu)?),
        ]))
    }
}

fn checked(features: &impl Design, labels: &Tensor, classes: usize) -> Result<Vec<u32>> {
    let labels = labels.to_vec1::<u32>()?;
    let examples = features.examples();
    if examples == 0 || labels.len() != examples {
        bail!("{} labels for {examples} examples, expected as many and at least one", labels.len());
    }
    match labels.iter().find(|&&label| label as usize >= classes) {
        Some(label) => bail!("label {label} is not among the {classes} classes"),
        None => Ok(labels),
    }
}

fn minimize<D: Design>(
    objective: Objective<'_, D>,
    config: &LogisticRegressionConfig,
) -> std::result::Result<(Vec<f64>, u64), Error> {
    let start = vec![0.0; (objective.scores.features + 1) * objective.scores.stride()];
    let problem = Problem { objective, last: RefCell::default() };
    let solver = LBFGS::new(MoreThuenteLineSearch::new(), MEMORY).with_tolerance_grad(config.tolerance)?;
    let executor = Executor::new(problem, solver)
        .configure(|state| state.param(start.clone()).max_iters(config.max_iterations))
        .timer(false);
    let state = executor.run()?.state;
    let iterations = state.get_iter();
    Ok((state.best_param.unwrap_or(start), iterations))
}

/// How parameters become scores. They lie feature by feature, a row of classes each, filled up to whole lanes; the row
/// after the last feature is the bias.
#[derive(Clone, Copy, Debug)]
struct Scores {
    features: usize,
    classes: usize,
}

impl Scores {
    fn stride(&self) -> usize {
        self.classes.next_multiple_of(LANES)
    }

    fn buffer(&self) -> Vec<[f64; LANES]> {
        vec![[0.0; LANES]; self.stride() / LANES]
    }

    /// The scores of the classes for a row of features.
    fn of(&self, features: (&[u32], Values<'_>), parameters: &[f64], scores: &mut [[f64; LANES]]) {
        let rows = parameters.as_chunks::<LANES>().0;
        let (rows, bias) = rows.split_at(self.features * scores.len());
        scores.copy_from_slice(bias);
        let blocks = scores.len();
        for (block, scores) in scores.iter_mut().enumerate() {
            gather(features, rows, (block, blocks), scores);
        }
    }

    /// Adds `residual` to the gradients of all parameters that took part.
    fn spread(&self, features: (&[u32], Values<'_>), residual: &[[f64; LANES]], gradient: &mut [f64]) {
        let rows = gradient.as_chunks_mut::<LANES>().0;
        let (rows, bias) = rows.split_at_mut(self.features * residual.len());
        let blocks = residual.len();
        for (block, residual) in residual.iter().enumerate() {
            scatter(features, residual, (block, blocks), rows);
            bias[block].iter_mut().zip(residual).for_each(|(bias, residual)| *bias += residual);
        }
    }
}

#[multiversion(targets = "simd")]
fn gather(
    (active, values): (&[u32], Values<'_>),
    rows: &[[f64; LANES]],
    (block, blocks): (usize, usize),
    sum: &mut [f64; LANES],
) {
    let mut scores = *sum;
    match values {
        Values::Ones => {
            for &feature in active {
                let row = &rows[feature as usize * blocks + block];
                for lane in 0..LANES {
                    scores[lane] += row[lane];
                }
            }
        }
        Values::Numbers(values) => {
            for (&feature, &value) in active.iter().zip(values) {
                let row = &rows[feature as usize * blocks + block];
                for lane in 0..LANES {
                    scores[lane] += f64::from(value) * row[lane];
                }
            }
        }
    }
    *sum = scores;
}

#[multiversion(targets = "simd")]
fn scatter(
    (active, values): (&[u32], Values<'_>),
    residual: &[f64; LANES],
    (block, blocks): (usize, usize),
    rows: &mut [[f64; LANES]],
) {
    let residual = *residual;
    match values {
        Values::Ones => {
            for &feature in active {
                let row = &mut rows[feature as usize * blocks + block];
                for lane in 0..LANES {
                    row[lane] += residual[lane];
                }
            }
        }
        Values::Numbers(values) => {
            for (&feature, &value) in active.iter().zip(values) {
                let row = &mut rows[feature as usize * blocks + block];
                for lane in 0..LANES {
                    row[lane] += f64::from(value) * residual[lane];
                }
            }
        }
    }
}

/// What is minimized.
struct Objective<'a, D> {
    scores: Scores,
    examples: &'a D,
    labels: Vec<u32>,
    penalty: f64,
}

#[derive(Default)]
struct Evaluation {
    parameters: Vec<f64>,
    loss: f64,
    gradient: Vec<f64>,
}

impl<D: Design> Objective<'_, D> {
    fn evaluate(&self, parameters: &[f64]) -> Evaluation {
        let examples = self.examples.examples();
        let parts = (examples / LEAST).clamp(1, PARTS);
        let start = |part: usize| (part * examples.div_ceil(parts)).min(examples);
        let parts =
            (0..parts).into_par_iter().map(|part| self.part(parameters, start(part)..start(part + 1)));
        let (mut loss, mut gradient) = (0.0, vec![0.0; parameters.len()]);
        for (part_loss, part) in parts.collect::<Vec<_>>() {
            loss += part_loss;
            gradient.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        let weights = &parameters[..self.scores.features * self.scores.stride()];
        loss += 0.5 * self.penalty * weights.iter().map(|w| w * w).sum::<f64>();
        gradient.iter_mut().zip(weights).for_each(|(g, w)| *g += self.penalty * w);
        let n = examples as f64;
        gradient.iter_mut().for_each(|g| *g /= n);
        Evaluation { parameters: parameters.to_vec(), loss: loss / n, gradient }
    }

    /// Summed loss and gradient of some examples.
    fn part(&self, parameters: &[f64], examples: Range<usize>) -> (f64, Vec<f64>) {
        let (mut loss, mut gradient) = (0.0, vec![0.0; parameters.len()]);
        let mut scores = self.scores.buffer();
        for example in examples {
            let row = self.examples.row(example);
            self.scores.of(row, parameters, &mut scores);
            loss += residual(
                &mut scores.as_flattened_mut()[..self.scores.classes],
                self.labels[example] as usize,
            );
            self.scores.spread(row, &scores, &mut gradient);
        }
        (loss, gradient)
    }
}

/// Turns scores into probabilities less the truth, and returns the loss.
fn residual(scores: &mut [f64], label: usize) -> f64 {
    let highest = scores.iter().fold(f64::NEG_INFINITY, |most, &score| most.max(score));
    let own = scores[label] - highest;
    scores.iter_mut().for_each(|score| *score = (*score - highest).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
    scores[label] -= 1.0;
    sum.ln() - own
}

/// The objective as argmin asks for it: loss and gradient apart, though they share a pass. The last one is kept.
struct Problem<'a, D> {
    objective: Objective<'a, D>,
    last: RefCell<Evaluation>,
}

impl<D: Design> Problem<'_, D> {
    fn at(&self, parameters: &[f64]) -> Ref<'_, Evaluation> {
        if self.last.borrow().parameters != parameters {
            *self.last.borrow_mut() = self.objective.evaluate(parameters);
        }
        self.last.borrow()
    }
}

impl<D: Design> CostFunction for Problem<'_, D> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, parameters: &Vec<f64>) -> std::result::Result<f64, Error> {
        Ok(self.at(parameters).loss)
    }
}

impl<D: Design> Gradient for Problem<'_, D> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, parameters: &Vec<f64>) -> std::result::Result<Vec<f64>, Error> {
        Ok(self.at(parameters).gradient.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dense, SparseBinary};
    use hebbian_training::Generator;

    /// Examples whose class is that of the third of the features that holds most of theirs, but for some noise.
    fn examples(classes: usize) -> Result<(SparseBinary, Tensor)> {
        let mut draws = Generator::new(0, "logistic regression");
        let labels: Vec<u32> = draws.permutation(300).into_iter().map(|n| n % classes as u32).collect();
        let dense = draws.uniform((300, 3 * classes), 0.0, 1.0, &Device::Cpu)?.to_vec2::<f32>()?;
        let own = |label: u32, feature: usize| feature / 3 == label as usize;
        let rows = dense.iter().zip(&labels).flat_map(|(row, &label)| {
            row.iter()
                .enumerate()
                .map(move |(feature, &x)| u8::from(x < if own(label, feature) { 0.8 } else { 0.2 }))
        });
        let mut features = SparseBinary::new(3 * classes);
        features.push_dense(&Tensor::from_iter(rows, &Device::Cpu)?.reshape((300, 3 * classes))?)?;
        Ok((features, Tensor::new(labels, &Device::Cpu)?))
    }

    fn objective<'a>(
        features: &'a SparseBinary,
        labels: &Tensor,
        classes: usize,
    ) -> Result<Objective<'a, SparseBinary>> {
        let scores = Scores { features: features.features(), classes };
        Ok(Objective { scores, examples: features, labels: labels.to_vec1()?, penalty: 0.7 })
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() -> Result<()> {
        for classes in [2, 17] {
            let (features, labels) = examples(classes)?;
            let objective = objective(&features, &labels, classes)?;
            let stride = objective.scores.stride();
            let mut parameters = vec![0.0; (3 * classes + 1) * stride];
            for (feature, row) in parameters.chunks_mut(stride).enumerate() {
                (0..classes)
                    .for_each(|class| row[class] = ((feature * 7 + class * 3) % 11) as f64 / 11.0 - 0.5);
            }
            let gradient = objective.evaluate(&parameters).gradient;
            for at in [0, 1, stride, 3 * classes * stride, 3 * classes * stride + classes - 1] {
                let loss = |step: f64| {
                    let mut moved = parameters.clone();
                    moved[at] += step;
                    objective.evaluate(&moved).loss
                };
                let slope = (loss(1e-5) - loss(-1e-5)) / 2e-5;
                assert!((slope - gradient[at]).abs() < 1e-8, "{at}: {slope} and {}", gradient[at]);
            }
        }
        Ok(())
    }

    #[test]
    fn the_search_ends_where_the_gradient_is_short() -> Result<()> {
        let (features, labels) = examples(4)?;
        let config = LogisticRegressionConfig { penalty: 0.7, tolerance: 1e-6, ..Default::default() };
        let model = LogisticRegression::fit(&features, &labels, 4, config)?;
        let objective = objective(&features, &labels, 4)?;
        let gradient = objective.evaluate(&model.parameters).gradient;
        let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!(length < 1e-6 && model.converged(), "{length} after {} steps", model.iterations());
        assert!(model.accuracy(&features, &labels)? > 0.9);
        Ok(())
    }

    #[test]
    fn numbers_that_are_zeros_and_ones_are_fitted_as_those() -> Result<()> {
        let (features, labels) = examples(3)?;
        let mut dense = vec![0f32; 300 * 9];
        for (example, row) in features.rows().enumerate() {
            row.iter().for_each(|&feature| dense[example * 9 + feature as usize] = 1.0);
        }
        let dense = Dense::of(&Tensor::from_vec(dense, (300, 9), &Device::Cpu)?)?;
        let config = LogisticRegressionConfig::default();
        let of_ones = LogisticRegression::fit(&features, &labels, 3, config.clone())?;
        let of_numbers = LogisticRegression::fit(&dense, &labels, 3, config)?;
        let pairs = of_ones.parameters.iter().zip(&of_numbers.parameters);
        assert!(pairs.into_iter().all(|(one, other)| (one - other).abs() < 1e-9));
        assert_eq!(of_ones.predict(&features)?, of_numbers.predict(&dense)?);
        Ok(())
    }

    #[test]
    fn a_search_that_was_cut_short_says_so() -> Result<()> {
        let (features, labels) = examples(4)?;
        let config = LogisticRegressionConfig { max_iterations: 2, ..Default::default() };
        let model = LogisticRegression::fit(&features, &labels, 4, config)?;
        assert_eq!((model.iterations(), model.converged()), (2, false));
        Ok(())
    }

    #[test]
    fn the_number_of_threads_makes_no_difference() -> Result<()> {
        let (features, labels) = examples(3)?;
        let fit = |threads: usize| -> Result<Vec<f64>> {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .map_err(candle_core::Error::wrap)?;
            let config = LogisticRegressionConfig::default();
            Ok(pool.install(|| LogisticRegression::fit(&features, &labels, 3, config))?.parameters)
        };
        assert_eq!(fit(1)?, fit(3)?);
        Ok(())
    }

    #[test]
    fn its_state_scores_as_it_does() -> Result<()> {
        let (features, labels) = examples(3)?;
        let model = LogisticRegression::fit(&features, &labels, 3, LogisticRegressionConfig::default())?;
        let state = model.state()?;
        let weight = state["weight"].to_vec2::<f32>()?;
        let bias = state["bias"].to_vec1::<f32>()?;
        for (row, predicted) in features.rows().zip(model.predict(&features)?) {
            let score =
                |class: usize| bias[class] + row.iter().map(|&i| weight[class][i as usize]).sum::<f32>();
            assert!((0..3).all(|class| score(predicted as usize) >= score(class) - 1e-5));
        }
        Ok(())
    }

    #[test]
    fn labels_that_do_not_fit_and_settings_out_of_range_are_refused() -> Result<()> {
        let (features, labels) = examples(3)?;
        let fit = |labels: &Tensor, config| {
            LogisticRegression::fit(&features, labels, 2, config).unwrap_err().to_string()
        };
        let config = LogisticRegressionConfig::default();
        assert!(fit(&labels, config.clone()).contains("label 2 is not among the 2 classes"));
        assert!(fit(&labels.narrow(0, 0, 5)?, config.clone()).contains("5 labels for 300 examples"));
        let negative = LogisticRegressionConfig { penalty: -1.0, ..config };
        assert!(fit(&labels, negative).contains("penalty = -1 is not allowed: a number of at least 0"));
        Ok(())
    }
}
