//! How well the two layers say what passes by, and how evenly they use their units.

use anyhow::Result;
use candle_core::Tensor;
use candle_nn::Module;
use hebbian::LearningRule;
use hebbian::ops::top_k;
use hebbian_experiment::codes::{effective_units, idle, quantiles, shift_variance, wins};

use crate::Layers;
use crate::streams::{SHIFTS, Streams};

pub(crate) fn of_sparse(layers: &Layers, data: &Streams) -> Result<Vec<(&'static str, f64)>> {
    let winners = layers.sparse.winners(&data.train)?;
    let units = layers.sparse.weights()?.dim(0)?;
    let mut measures = errors(data, |frames| Ok(layers.sparse.relative_error(frames)?))?;
    measures.push(("dead_units", idle(&wins(&winners, units)?) as f64));
    measures.push(("effective_units", effective_units(&wins(&winners.narrow(1, 0, 1)?, units)?)));
    measures.push(("shift_variance", shift_variance(&layers.code(&data.shifts)?, SHIFTS)?));
    Ok(measures)
}

pub(crate) fn of_invariance(layers: &Layers, data: &Streams) -> Result<Vec<(&'static str, f64)>> {
    let averages = layers.invariance.forward(&layers.code(&data.train)?)?;
    let first = wins(&top_k(&averages, 1)?, averages.dim(1)?)?;
    let usage = quantiles(&layers.usage()?, &[0.0, 0.5, 1.0])?;
    let mut measures = errors(data, |frames| Ok(layers.invariance.relative_error(&layers.code(frames)?)?))?;
    measures.push(("dead_units", idle(&first) as f64));
    measures.push(("effective_units", effective_units(&first)));
    let names = ["usage_min", "usage_median", "usage_max"];
    measures.extend(names.into_iter().zip(usage.into_iter().map(f64::from)));
    let response = layers.invariance.drive(&layers.code(&data.shifts)?)?;
    measures.push(("shift_variance", shift_variance(&response, SHIFTS)?));
    Ok(measures)
}

/// A layer's relative error on each stream.
fn errors(data: &Streams, error: impl Fn(&Tensor) -> Result<f64>) -> Result<Vec<(&'static str, f64)>> {
    let streams = [
        ("relative_mse", Some(&data.train)),
        ("validation_relative_mse", data.validation.as_ref()),
        ("held_out_relative_mse", Some(&data.held_out)),
        ("unseen_relative_mse", Some(&data.unseen)),
    ];
    let streams = streams.into_iter().filter_map(|(name, stream)| Some((name, stream?)));
    streams.map(|(name, stream)| Ok((name, error(stream)?))).collect()
}
