//! All that a pooler has learned, drawn or taken from a state.

use candle_core::{D, DType, Device, Result, Tensor, bail};
use hebbian_training::{Generator, State};

use super::SpatialPoolerConfig;
use crate::rule::check_state;

/// Whether a state has permanences, and not connections alone, as that of a published pooler.
pub(super) fn has_permanences(state: &State) -> bool {
    state.contains_key("pool")
}

/// All that a pooler has learned.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// Permanences `(units, inputs)`, 0 outside the pools.
    pub(super) weights: Tensor,
    /// The potential pools `(units, inputs)` u8.
    pub(super) pool: Tensor,
    /// The activity duty cycles `(units)`.
    pub(super) activity: Tensor,
    /// The overlap duty cycles `(units)`.
    pub(super) overlap: Tensor,
}

impl Columns {
    pub(super) fn drawn(
        config: &SpatialPoolerConfig,
        inputs: usize,
        generator: &mut Generator,
    ) -> Result<Self> {
        let pool = config.pool.draw(config.units, inputs, generator)?;
        let weights = generator.uniform(pool.shape(), 0.0, 1.0, &Device::Cpu)?;
        Ok(Self {
            weights: (weights * pool.to_dtype(DType::F32)?)?,
            pool,
            activity: Tensor::full(config.sparsity as f32, config.units, &Device::Cpu)?,
            overlap: Tensor::ones(config.units, DType::F32, &Device::Cpu)?,
        })
    }

    /// How many inputs the largest pool has.
    pub(super) fn largest_pool(&self) -> Result<usize> {
        Ok(self.pool.to_dtype(DType::U32)?.sum(1)?.max(0)?.to_scalar::<u32>()? as usize)
    }

    pub(super) fn to_device(&self, device: &Device) -> Result<Self> {
        Ok(Self {
            weights: self.weights.to_device(device)?,
            pool: self.pool.to_device(device)?,
            activity: self.activity.to_device(device)?,
            overlap: self.overlap.to_device(device)?,
        })
    }

    pub(super) fn copy(&self) -> Result<Self> {
        Ok(Self {
            weights: self.weights.copy()?,
            pool: self.pool.copy()?,
            activity: self.activity.copy()?,
            overlap: self.overlap.copy()?,
        })
    }

    /// The columns of a saved state, for any number of inputs. A published pooler's has no pools, and permanences of 0 and 1:
    /// what is connected is then all that could be.
    pub(super) fn checked(config: &SpatialPoolerConfig, mut state: State) -> Result<Self> {
        let inputs = state.get("weights").map_or(Ok(0), |weights| weights.dim(D::Minus1))?;
        let shape = (config.units, inputs);
        let pool = match (state.remove("pool"), state.get("weights")) {
            (Some(pool), _) => pool,
            (None, Some(weights)) if is_binary(weights)? => weights.to_dtype(DType::U8)?,
            _ => bail!("state: tensor `pool` is missing"),
        };
        let units = config.units;
        let duty_cycles = [("activity", units.into()), ("overlap", units.into())];
        check_state(&state, &[&[("weights", shape.into())][..], &duty_cycles].concat())?;
        if pool.dims2()? != shape || pool.dtype() != DType::U8 {
            bail!("state: tensor `pool` is {:?} {:?}, expected U8 {shape:?}", pool.dtype(), pool.dims());
        }
        if pool.max_all()?.to_scalar::<u8>()? > 1 {
            bail!("state: tensor `pool` holds a value other than 0 and 1");
        }
        let [weights, activity, overlap] = ["weights", "activity", "overlap"].map(|name| state[name].clone());
        for (name, tensor, most) in
            [("weights", &weights, 1.0), ("activity", &activity, f32::MAX), ("overlap", &overlap, f32::MAX)]
        {
            let (low, high) = (tensor.min_all()?.to_scalar::<f32>()?, tensor.max_all()?.to_scalar::<f32>()?);
            if low < 0.0 || high > most {
                bail!("state: tensor `{name}` reaches from {low} to {high}, allowed: 0 to {most}");
            }
        }
        let outside = (&weights * pool.eq(0u8)?.to_dtype(DType::F32)?)?;
        if outside.max_all()?.to_scalar::<f32>()? > 0.0 {
            bail!("state: tensor `weights` has a permanence outside its column's pool");
        }
        Ok(Self { weights, pool, activity, overlap })
    }
}

/// Whether all values are 0 or 1.
pub(super) fn is_binary(tensor: &Tensor) -> Result<bool> {
    let between = tensor.ne(0f32)?.mul(&tensor.ne(1f32)?)?;
    Ok(tensor.elem_count() == 0 || between.flatten_all()?.max(0)?.to_scalar::<u8>()? == 0)
}
