//! The pooler as a graph of candle ops: what a step is, and what runs on any device.

use candle_core::{DType, Result, Tensor};

use super::{BoostToward, Columns, NO_COLUMN, RAISE, Region, SpatialPoolerConfig, Starved};
use crate::ops::top_k;

#[derive(Debug)]
pub(super) struct GraphRegion {
    columns: Columns,
    /// The pool as f32.
    pool: Tensor,
    boosts: Tensor,
    zero: Tensor,
    one: Tensor,
}

/// The winners `(batch, active)`, which of them are above all thresholds, and the overlaps that led there.
struct Competition {
    winners: Tensor,
    active: Tensor,
    overlaps: Tensor,
    boosted: Tensor,
}

impl GraphRegion {
    pub(super) fn new(config: &SpatialPoolerConfig, columns: Columns) -> Result<Self> {
        let pool = columns.pool.to_dtype(DType::F32)?;
        let one = Tensor::ones(1, DType::F32, pool.device())?;
        let boosts = columns.activity.ones_like()?;
        let mut region = Self { columns, pool, boosts, zero: one.zeros_like()?, one };
        region.refresh_boosts(config)?;
        Ok(region)
    }

    /// 1 where a synapse is connected.
    fn connected(&self, config: &SpatialPoolerConfig) -> Result<Tensor> {
        self.columns.weights.ge(config.connected)?.to_dtype(DType::F32)
    }

    fn compete(&self, config: &SpatialPoolerConfig, inputs: &Tensor) -> Result<Competition> {
        let overlaps = inputs.matmul(&self.connected(config)?.t()?)?;
        let counted = overlaps.ge(f64::from(config.stimulus_threshold))?.to_dtype(DType::F32)?;
        let boosted = (&overlaps * counted)?.broadcast_mul(&self.boosts)?;
        let winners = top_k(&boosted, config.active())?;
        let above = boosted.gather(&winners, 1)?.ge(f64::from(config.least_activation()))?;
        let winners =
            above.where_cond(&winners, &Tensor::full(NO_COLUMN, winners.shape(), inputs.device())?)?;
        let active = dense(&winners, config.units)?;
        Ok(Competition { winners, active, overlaps, boosted })
    }

    /// Learns from one input `(1, inputs)`, and returns the winners and how many synapses crossed the threshold.
    fn learn_one(
        &mut self,
        config: &SpatialPoolerConfig,
        anneal: f64,
        input: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let Competition { winners, active, overlaps, boosted } = self.compete(config, input)?;
        let (increment, decrement) = (config.increment * anneal, config.decrement * anneal);
        let gains = input.affine(increment + decrement, -decrement)?;
        let mut crossings = self.move_by(config, &active.t()?.matmul(&gains)?)?;
        let kept = (config.activity_period - 1.0) / config.activity_period;
        let share = (active.squeeze(0)? * (1.0 / config.activity_period))?;
        self.columns.activity = ((&self.columns.activity * kept)? + share)?;
        self.refresh_boosts(config)?;
        if let Some(starved) = self.starved(config, &overlaps, &boosted)? {
            let gains = (starved.unsqueeze(1)? * (RAISE * config.connected * anneal))?;
            crossings = (crossings + self.move_by(config, &gains)?)?;
        }
        Ok((winners, crossings))
    }

    /// Adds `gains`, `(units, inputs)` or one a column, inside the pools, and returns how many synapses crossed the
    /// threshold.
    fn move_by(&mut self, config: &SpatialPoolerConfig, gains: &Tensor) -> Result<Tensor> {
        let before = self.connected(config)?;
        let moved = (&self.columns.weights + self.pool.broadcast_mul(gains)?)?;
        self.columns.weights = moved.broadcast_maximum(&self.zero)?.broadcast_minimum(&self.one)?;
        (self.connected(config)? - before)?.abs()?.sum_all()
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
        let overlap = &self.columns.overlap;
        let mean =
            |newest: Tensor| overlap + ((newest.squeeze(0)? - overlap)? * (1.0 / config.overlap_period))?;
        match config.starved {
            Starved::Left => Ok(None),
            Starved::Lowest { .. } => {
                let overlap = mean(boosted.clone())?;
                let lowest = top_k(&overlap.neg()?.unsqueeze(0)?, config.lowest())?;
                self.columns.overlap = overlap;
                dense(&lowest, config.units)?.squeeze(0).map(Some)
            }
            Starved::BelowBest { fraction } => {
                let reached =
                    overlaps.ge(f64::from(config.stimulus_threshold.max(1)))?.to_dtype(DType::F32)?;
                let overlap = mean(reached)?;
                let least = (overlap.max_keepdim(0)? * fraction)?;
                let starved = overlap.broadcast_lt(&least)?.to_dtype(DType::F32)?;
                self.columns.overlap = overlap;
                Ok(Some(starved))
            }
        }
    }
}

/// 1 at the named columns, `(batch, units)` f32.
pub(super) fn dense(winners: &Tensor, units: usize) -> Result<Tensor> {
    let zeros = Tensor::zeros((winners.dim(0)?, units), DType::F32, winners.device())?;
    let ones = Tensor::ones(winners.shape(), DType::F32, winners.device())?;
    zeros.scatter_set(&winners.contiguous()?, &ones, 1)?;
    Ok(zeros)
}

impl Region for GraphRegion {
    fn learn(
        &mut self,
        config: &SpatialPoolerConfig,
        anneal: f64,
        inputs: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let inputs = inputs.to_dtype(DType::F32)?;
        let mut crossings = Tensor::zeros((), DType::F32, inputs.device())?;
        let mut winners = Vec::new();
        for row in 0..inputs.dim(0)? {
            let (won, crossed) = self.learn_one(config, anneal, &inputs.narrow(0, row, 1)?)?;
            crossings = (crossings + crossed)?;
            winners.push(won);
        }
        Ok((ascending(&Tensor::cat(&winners, 0)?)?, crossings))
    }

    fn encode(&self, config: &SpatialPoolerConfig, inputs: &Tensor) -> Result<Tensor> {
        ascending(&self.compete(config, &inputs.to_dtype(DType::F32)?)?.winners)
    }

    fn overlaps(&self, config: &SpatialPoolerConfig, inputs: &Tensor) -> Result<Tensor> {
        Ok(self.compete(config, &inputs.to_dtype(DType::F32)?)?.boosted)
    }

    fn boosts(&self) -> Result<Tensor> {
        self.boosts.copy()
    }

    fn columns(&self) -> Result<Columns> {
        self.columns.copy()
    }
}

fn ascending(winners: &Tensor) -> Result<Tensor> {
    Ok(winners.contiguous()?.sort_last_dim(true)?.0)
}
