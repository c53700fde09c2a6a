//! Softmax regression on the examples themselves: what a layer's features must be better than.

use std::time::Instant;

use anyhow::Result;
use hebbian_classifier::{
    Dense, DescentConfig, Labeled, LogisticRegression, LogisticRegressionConfig, NormalizedRegression,
};
use hebbian_datasets::Dataset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Row, RunKey, Session, Steering, Subject};

/// The name of its row.
pub const LINEAR_CONTROL: &str = "linear-control";

/// Training examples of which there are fewer when descent is too short to come near its optimum.
const FEW: usize = 10_000;

/// How the linear control is fitted.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinearSettings {
    /// What finds its weights; exact for fewer than 10000 training examples if nothing is said of the control.
    pub solver: Solver,
}

/// What finds the weights of a linear control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// Adam, on batch-normalized inputs.
    #[default]
    Descent,
    /// L-BFGS, to the optimum with an L2 penalty of 1: scikit-learn's LogisticRegression.
    Exact,
}

/// What a row says of a `model` whose search was cut short.
pub fn unconverged(model: &LogisticRegression) -> Option<String> {
    let steps = model.iterations();
    (!model.converged()).then(|| format!("logistic regression was cut short after {steps} steps"))
}

impl Steering {
    /// The settings of a linear control in the table `linear` that follow from the dataset `raw`, where neither they nor the
    /// `descent`'s are given.
    pub fn linear_control(&self, raw: &Dataset, descent: &str) -> Vec<(&'static str, Value)> {
        let is_given = self.given.iter().any(|path| path.split('.').next() == Some(descent));
        let few = raw.train.len() < FEW && !is_given;
        few.then(|| ("linear.solver", json!(Solver::Exact))).into_iter().collect()
    }
}

impl Session {
    /// Fits the linear control, by `descent` where the settings say so, and evaluates it on all three sets.
    pub fn linear_control(
        &mut self,
        key: RunKey<'_>,
        linear: &LinearSettings,
        descent: &DescentConfig,
    ) -> Result<Row> {
        let row = match linear.solver {
            Solver::Exact => self.fit_exactly()?,
            Solver::Descent => {
                let inputs = self.data.inputs().dim(1)?;
                let network = NormalizedRegression::new(inputs, self.data.classes, &self.device)?;
                self.learn_supervised(key, &network, descent, false)?
            }
        };
        Ok(Row { model: LINEAR_CONTROL.to_owned(), ..row })
    }

    fn fit_exactly(&self) -> Result<Row> {
        let begin = Instant::now();
        let config = LogisticRegressionConfig { tolerance: 1e-4, max_iterations: 1000, ..Default::default() };
        let train = &self.data.train;
        let examples = Dense::of(train.inputs())?;
        let model = LogisticRegression::fit(&examples, train.labels(), self.data.classes, config)?;
        let learn_seconds = Some(begin.elapsed().as_secs_f64());
        let accuracy = |set: &Labeled| model.accuracy(&Dense::of(set.inputs())?, set.labels());
        Ok(Row {
            train_accuracy: Some(model.accuracy(&examples, train.labels())?),
            validation_accuracy: self.data.validation.as_ref().map(accuracy).transpose()?,
            test_accuracy: Some(accuracy(&self.data.test)?),
            learn_seconds,
            notes: unconverged(&model).into_iter().collect(),
            ..Row::default()
        })
    }
}
