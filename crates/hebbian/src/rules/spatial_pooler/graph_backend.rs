//! The pooler as a graph of candle ops: what a step is, and what runs on any device, a minibatch of inputs at a time.

use candle_core::{DType, Result, Tensor};

use super::bit_backend::check_binary;
use super::overlap_counts::overlap_counts;
use super::{Backend, BoostToward, Columns, NO_COLUMN, RAISE, SpatialPoolerConfig, Starved};
use crate::ops::{minibatches, no_update, running_average_from, size_or_fault, top_k, total, unless_fault};

#[derive(Debug)]
pub(super) struct GraphBackend {
    columns: Columns,
    /// The pool as f32.
    pool: Tensor,
    boosts: Tensor,
    zero: Tensor,
    one: Tensor,
    /// The crossings of the last call, which tell on a GPU whether all inputs were finite.
    last_crossings: Tensor,
}

/// The winners `(batch, active)`, which of them are above all thresholds, and the overlaps that led there.
struct Competition {
    winners: Tensor,
    active: Tensor,
    overlaps: Tensor,
    boosted: Tensor,
}

impl GraphBackend {
    pub(super) fn new(config: &SpatialPoolerConfig, columns: Columns) -> Result<Self> {
        let pool = columns.pool.to_dtype(DType::F32)?;
        let one = Tensor::ones(1, DType::F32, pool.device())?;
        let boosts = columns.activity.ones_like()?;
        let last_crossings = no_update(pool.device())?;
        let mut backend = Self { columns, pool, boosts, zero: one.zeros_like()?, one, last_crossings };
        backend.refresh_boosts(config)?;
        Ok(backend)
    }

    /// 1 where a synapse is connected.
    fn connected(&self, config: &SpatialPoolerConfig) -> Result<Tensor> {
        self.columns.weights.ge(config.connected)?.to_dtype(DType::F32)
    }

    fn compete(&self, config: &SpatialPoolerConfig, inputs: &Tensor) -> Result<Competition> {
        let overlaps = overlap_counts(inputs, &self.columns.weights, config.connected)?;
        let counted = overlaps.ge(f64::from(config.stimulus_threshold))?.to_dtype(DType::F32)?;
        let boosted = (&overlaps * counted)?.broadcast_mul(&self.boosts)?;
        let winners = top_k(&boosted, config.active())?;
        let above = boosted.gather(&winners, 1)?.ge(f64::from(config.least_activation()))?;
        let winners =
            above.where_cond(&winners, &Tensor::full(NO_COLUMN, winners.shape(), inputs.device())?)?;
        let active = dense(&winners, config.units)?;
        Ok(Competition { winners, active, overlaps, boosted })
    }

    /// Learns from a minibatch `(inputs, inputs)`, all of which meet the columns as they are, and returns the winners and
    /// how many synapses crossed the threshold. What the inputs add to the permanences is summed; the duty cycles follow
    /// input by input.
    fn learn_minibatch(
        &mut self,
        config: &SpatialPoolerConfig,
        rate_scale: f64,
        inputs: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let Competition { winners, active, overlaps, boosted } = self.compete(config, inputs)?;
        let (increment, decrement) = (config.increment * rate_scale, config.decrement * rate_scale);
        let gains = inputs.affine(increment + decrement, -decrement)?;
        let mut crossings = self.move_by(config, &active.t()?.matmul(&gains)?)?;
        self.columns.activity = follow(&self.columns.activity, &active, config.activity_period)?;
        self.refresh_boosts(config)?;
        if let Some(starved) = self.starved(config, &overlaps, &boosted)? {
            let raise = RAISE * config.connected * rate_scale * inputs.dim(0)? as f64;
            crossings = (crossings + self.move_by(config, &(starved.unsqueeze(1)? * raise)?)?)?;
        }
        Ok((winners, crossings))
    }

    /// Adds `gains`, `(units, inputs)` or one per column, inside the pools, and returns how many synapses crossed the
    /// threshold.
    fn move_by(&mut self, config: &SpatialPoolerConfig, gains: &Tensor) -> Result<Tensor> {
        let before = self.connected(config)?;
        let moved = (&self.columns.weights + self.pool.broadcast_mul(gains)?)?;
        self.columns.weights = moved.broadcast_maximum(&self.zero)?.broadcast_minimum(&self.one)?;
        total(&(self.connected(config)? - before)?.abs()?)
    }

    fn refresh_boosts(&mut self, config: &SpatialPoolerConfig) -> Result<()> {
        let activity = &self.columns.activity;
        let excess = match config.boost_toward {
            BoostToward::Mean => activity.broadcast_sub(&activity.mean_keepdim(0)?)?,
            BoostToward::Target => (activity - config.sparsity)?,
        };
        self.boosts = (excess * -config.boost_strength)?.exp()?;
        Ok(())
    }

    /// 1 for each column that the input hardly reaches, `(units)`.
    fn starved(
        &mut self,
        config: &SpatialPoolerConfig,
        overlaps: &Tensor,
        boosted: &Tensor,
    ) -> Result<Option<Tensor>> {
        let mean = |newest: &Tensor| follow(&self.columns.overlap, newest, config.overlap_period);
        match config.starved {
            Starved::Left => Ok(None),
            Starved::Lowest { .. } => {
                let overlap = mean(boosted)?;
                self.columns.overlap = overlap.clone();
                if config.lowest() == 0 {
                    return Ok(None);
                }
                let lowest = top_k(&overlap.neg()?.unsqueeze(0)?, config.lowest())?;
                dense(&lowest, config.units)?.squeeze(0).map(Some)
            }
            Starved::BelowBest { fraction } => {
                let reached =
                    overlaps.ge(f64::from(config.stimulus_threshold.max(1)))?.to_dtype(DType::F32)?;
                let overlap = mean(&reached)?;
                let least = (overlap.max_keepdim(0)? * fraction)?;
                let starved = overlap.broadcast_lt(&least)?.to_dtype(DType::F32)?;
                self.columns.overlap = overlap;
                Ok(Some(starved))
            }
        }
    }
}

/// The means `(units)` over about `period` inputs, after each of the `newest (batch, units)`.
fn follow(means: &Tensor, newest: &Tensor, period: f64) -> Result<Tensor> {
    running_average_from(means, newest, 1.0 / period)?.get(newest.dim(0)? - 1)
}

/// 1 at the named columns, `(batch, units)` f32.
pub(super) fn dense(winners: &Tensor, units: usize) -> Result<Tensor> {
    let zeros = Tensor::zeros((winners.dim(0)?, units), DType::F32, winners.device())?;
    let ones = Tensor::ones(winners.shape(), DType::F32, winners.device())?;
    zeros.scatter_set(&winners.contiguous()?, &ones, 1)?;
    Ok(zeros)
}

impl Backend for GraphBackend {
    fn learn(
        &mut self,
        config: &SpatialPoolerConfig,
        rate_scale: f64,
        inputs: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        check_binary_here(inputs)?;
        let inputs = inputs.to_dtype(DType::F32)?;
        let before = self.columns.clone();
        let mut crossings = zero_if_binary(&inputs)?;
        let mut winners = Vec::new();
        for inputs in minibatches(&inputs, config.minibatch)? {
            let (won, crossed) = self.learn_minibatch(config, rate_scale, &inputs)?;
            crossings = (crossings + crossed)?;
            winners.push(won);
        }
        let crossings = size_or_fault(&crossings, &self.last_crossings)?;
        if !inputs.device().is_cpu() {
            let Columns { weights, activity, overlap, .. } = &mut self.columns;
            for (now, before) in
                [(weights, &before.weights), (activity, &before.activity), (overlap, &before.overlap)]
            {
                *now = unless_fault(&crossings, now, before)?;
            }
            self.refresh_boosts(config)?;
        }
        self.last_crossings = crossings.clone();
        Ok((ascending(&Tensor::cat(&winners, 0)?)?, crossings))
    }

    fn encode(&self, config: &SpatialPoolerConfig, inputs: &Tensor) -> Result<Tensor> {
        check_binary_here(inputs)?;
        ascending(&self.compete(config, &inputs.to_dtype(DType::F32)?)?.winners)
    }

    fn overlaps(&self, config: &SpatialPoolerConfig, inputs: &Tensor) -> Result<Tensor> {
        check_binary_here(inputs)?;
        Ok(self.compete(config, &inputs.to_dtype(DType::F32)?)?.boosted)
    }

    fn boosts(&self) -> Result<Tensor> {
        self.boosts.copy()
    }

    fn columns(&self) -> Result<Columns> {
        self.columns.copy()
    }
}

/// Refuses inputs that are not 0 or 1 where they can be read at no cost.
fn check_binary_here(inputs: &Tensor) -> Result<()> {
    if inputs.device().is_cpu() { check_binary(inputs) } else { Ok(()) }
}

/// A scalar 0 on the device of `inputs` if all are 0 or 1, or else a value that is not a number.
fn zero_if_binary(inputs: &Tensor) -> Result<Tensor> {
    let off = total(&(inputs * inputs.affine(-1.0, 1.0)?)?.abs()?)?;
    off.gt(0.0)?.where_cond(&(off.ones_like()? * f64::NAN)?, &(off * 0.0)?)
}

fn ascending(winners: &Tensor) -> Result<Tensor> {
    Ok(winners.contiguous()?.sort_last_dim(true)?.0)
}
