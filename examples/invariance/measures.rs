//! How well the two layers say what passes by, and how evenly they use their units.

use anyhow::Result;
use candle_core::Tensor;
use candle_nn::Module;
use hebbian::LearningRule;
use hebbian::ops::top_k;

use crate::Layers;
use crate::streams::{SHIFTS, Streams};

/// How often each of `units` is in `winners`.
pub(crate) fn wins(winners: &Tensor, units: usize) -> Result<Vec<usize>> {
    let mut wins = vec![0; units];
    winners.flatten_all()?.to_vec1::<u32>()?.into_iter().for_each(|unit| wins[unit as usize] += 1);
    Ok(wins)
}

pub(crate) fn idle(wins: &[usize]) -> usize {
    wins.iter().filter(|&&wins| wins == 0).count()
}

/// The number of units that would share the wins equally with the same entropy.
fn effective(wins: &[usize]) -> f64 {
    let all = wins.iter().sum::<usize>().max(1) as f64;
    let shares = wins.iter().filter(|&&wins| wins > 0).map(|&wins| wins as f64 / all);
    (-shares.map(|share| share * share.ln()).sum::<f64>()).exp()
}

/// Of the variance of the responses `(digits · shifts, features)`, the share within the shifts of one digit: 0 where a
/// response tells digits and no shifts.
pub(crate) fn shift_variance(responses: &Tensor) -> Result<f64> {
    let (rows, features) = responses.dims2()?;
    let responses = responses.reshape((rows / SHIFTS, SHIFTS, features))?;
    let means = responses.mean_keepdim(1)?;
    let sum = |tensor: Tensor| anyhow::Ok(f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?));
    let within = sum(responses.broadcast_sub(&means)?)?;
    let between = SHIFTS as f64 * sum(means.broadcast_sub(&means.mean_keepdim(0)?)?)?;
    Ok(within / (within + between))
}

pub(crate) fn of_sparse(layers: &Layers, data: &Streams) -> Result<Vec<(&'static str, f64)>> {
    let winners = layers.sparse.winners(&data.train)?;
    let units = layers.sparse.weights()?.dim(0)?;
    let mut measures = errors(data, |frames| Ok(layers.sparse.relative_error(frames)?))?;
    measures.push(("dead_units", idle(&wins(&winners, units)?) as f64));
    measures.push(("effective_units", effective(&wins(&winners.narrow(1, 0, 1)?, units)?)));
    measures.push(("shift_variance", shift_variance(&layers.code(&data.shifts)?)?));
    Ok(measures)
}

pub(crate) fn of_invariance(layers: &Layers, data: &Streams) -> Result<Vec<(&'static str, f64)>> {
    let averages = layers.invariance.forward(&layers.code(&data.train)?)?;
    let first = wins(&top_k(&averages, 1)?, averages.dim(1)?)?;
    let mut usage = layers.usage()?;
    usage.sort_by(f32::total_cmp);
    let mut measures = errors(data, |frames| Ok(layers.invariance.relative_error(&layers.code(frames)?)?))?;
    measures.push(("dead_units", idle(&first) as f64));
    measures.push(("effective_units", effective(&first)));
    measures.push(("usage_min", f64::from(usage[0])));
    measures.push(("usage_median", f64::from(usage[usage.len() / 2])));
    measures.push(("usage_max", f64::from(usage[usage.len() - 1])));
    let response = layers.invariance.drive(&layers.code(&data.shifts)?)?;
    measures.push(("shift_variance", shift_variance(&response)?));
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
