//! How sparse, how independent and how readable a code is.

use anyhow::Result;
use candle_core::{DType, Tensor};
use candle_nn::Module;
use hebbian::{Foldiak, LearningRule};
use hebbian_experiment::codes::{correlations, quantiles, row_cosines};
use serde_json::{Map, Value, json};

use crate::patterns::Patterns;

/// Mean output, mean magnitude of the correlation of two units' outputs (of units that do not always give the same), and
/// mean cosine of two units' weights.
pub fn of_patterns(rule: &Foldiak, patterns: &Tensor) -> Result<Map<String, Value>> {
    let activities = activities(rule, patterns)?;
    let correlations = correlations(&rule.forward(patterns)?)?;
    let mut measures = Map::new();
    measures.insert("mean_activity".into(), json!(mean(activities)));
    measures.insert("mean_abs_correlation".into(), json!(mean(correlations.into_iter().map(f64::abs))));
    measures.insert("mean_row_cosine".into(), json!(mean(row_cosines(&rule.weights()?)?)));
    Ok(measures)
}

/// How many lines are covered, and the share of the test patterns' lines that the code tells right. A line is covered when
/// it alone turns on one unit, which no other line turns on; the code says that it is there when that unit fires.
pub fn of_lines(rule: &Foldiak, patterns: &Patterns) -> Result<Map<String, Value>> {
    let mut measures = Map::new();
    let Some((present, single)) = &patterns.lines else { return Ok(measures) };
    let owners = owners(rule, single)?;
    let (codes, present) = (fired(rule, &patterns.test)?, present.to_vec2::<u8>()?);
    let right = codes.iter().zip(&present).flat_map(|(code, present)| {
        let told = owners.iter().map(|owner| owner.is_some_and(|unit| code[unit]));
        told.zip(present).map(|(told, &present)| f64::from(u8::from(told == (present == 1))))
    });
    measures.insert("lines_covered".into(), json!(covered(&owners)));
    measures.insert("bit_accuracy".into(), json!(mean(right)));
    Ok(measures)
}

/// After so many `patterns`: the largest, the median and the smallest threshold, and how many lines have a unit of their
/// own, where there are lines.
pub fn look(patterns: usize, rule: &Foldiak, single: Option<&Tensor>) -> Result<Value> {
    let thresholds = quantiles(&rule.thresholds()?, &[1.0, 0.5, 0.0])?;
    let [largest, median, smallest] = [0, 1, 2].map(|at| f64::from(thresholds[at]));
    let lines = single.map(|single| anyhow::Ok(covered(&owners(rule, single)?))).transpose()?;
    Ok(json!([patterns, largest, median, smallest, lines]))
}

/// The unit that stands for each line and no other, where there is one.
fn owners(rule: &Foldiak, single: &Tensor) -> Result<Vec<Option<usize>>> {
    let codes = fired(rule, single)?;
    let alone = |code: &Vec<bool>| {
        let mut units = (0..code.len()).filter(|&unit| code[unit]);
        units.next().filter(|_| units.next().is_none())
    };
    let owner =
        |code: &Vec<bool>| alone(code).filter(|&unit| codes.iter().filter(|code| code[unit]).count() == 1);
    Ok(codes.iter().map(owner).collect())
}

/// How many lines have an owner.
fn covered(owners: &[Option<usize>]) -> f64 {
    owners.iter().flatten().count() as f64
}

fn fired(rule: &Foldiak, patterns: &Tensor) -> Result<Vec<Vec<bool>>> {
    let code = rule.forward(patterns)?.to_vec2::<f32>()?;
    Ok(code.into_iter().map(|code| code.into_iter().map(|output| output > 0.5).collect()).collect())
}

/// The mean output of each unit.
pub fn activities(rule: &Foldiak, patterns: &Tensor) -> Result<Vec<f64>> {
    let mean = rule.forward(patterns)?.mean(0)?.to_dtype(DType::F64)?;
    Ok(mean.to_vec1()?)
}

/// `None`, which becomes null, of nothing.
fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.into_iter().fold((0u64, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}
