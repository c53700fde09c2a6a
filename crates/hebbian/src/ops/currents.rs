//! The product of a batch with weights that change a few rows at a time.

use candle_core::{Result, Tensor};
use hebbian_sparse::{Panels, SparseRows};

use super::signed_power::{raise_row, refresh_signed_power};

/// `I = x f(w)ᵀ` with `f(w) = sign(w) |w|^exponent`, and the copy of `f(w)` that it is computed from.
///
/// A sparse batch on the CPU goes over panels, any other through candle's matmul; each has its own copy, in its own
/// order, and only the one in use is kept. The copy is never saved: a restored rule makes it anew, with the same bits.
#[derive(Debug)]
pub struct Currents {
    exponent: f64,
    /// The batch, if it is sparse.
    on: SparseRows,
    /// `f(w)` for sparse batches.
    panels: Option<Panels>,
    /// `f(w) (units, inputs)` for others; at exponent 1 the weights themselves serve.
    rows: Option<Tensor>,
}

impl Currents {
    /// Currents through `sign(w) |w|^exponent`; 1 is the plain product.
    pub fn new(exponent: f64) -> Self {
        Self { exponent, on: SparseRows::default(), panels: None, rows: None }
    }

    /// `I (batch, units)` of `inputs (batch, inputs)` and `weights (units, inputs)`.
    pub fn of(&mut self, weights: &Tensor, inputs: &Tensor) -> Result<Tensor> {
        match self.on.list(inputs)? {
            true => self.sparse(weights),
            false => self.dense(weights, inputs),
        }
    }

    /// Must be told which rows of the weights changed since the last product; `None` means any.
    pub fn changed(&mut self, weights: &Tensor, rows: Option<&[u32]>) -> Result<()> {
        if let Some(panels) = &mut self.panels {
            panels.mark(rows)?;
        }
        match &self.rows {
            Some(powers) => refresh_signed_power(powers, weights, self.exponent, rows),
            None => Ok(()),
        }
    }

    fn sparse(&mut self, weights: &Tensor) -> Result<Tensor> {
        let (units, inputs) = weights.dims2()?;
        self.rows = None;
        let panels = self.panels.get_or_insert_with(|| Panels::new(units, inputs));
        let exponent = self.exponent;
        panels.refreshed_product(&self.on, weights, &|weights, row| raise_row(row, weights, exponent))
    }

    fn dense(&mut self, weights: &Tensor, inputs: &Tensor) -> Result<Tensor> {
        self.panels = None;
        if self.exponent == 1.0 {
            return inputs.matmul(&weights.t()?);
        }
        let powers = match self.rows.take() {
            Some(powers) => powers,
            None => {
                let powers = weights.zeros_like()?;
                refresh_signed_power(&powers, weights, self.exponent, None)?;
                powers
            }
        };
        inputs.matmul(&self.rows.insert(powers).t()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::signed_power;
    use candle_core::{DType, Device};
    use hebbian_training::Generator;

    fn weights() -> Result<Tensor> {
        Generator::new(0, "currents").normal((300, 200), 0.0, 1.0, &Device::Cpu)
    }

    /// Inputs of which this share is on.
    fn inputs(share: f64) -> Result<Tensor> {
        let mut generator = Generator::new(1, "currents");
        let inputs = generator.uniform((7, 200), 0.0, 1.0, &Device::Cpu)?;
        let on = generator.uniform((7, 200), 0.0, 1.0, &Device::Cpu)?.lt(share)?;
        inputs * on.to_dtype(DType::F32)?
    }

    #[test]
    fn sparse_and_dense_batches_give_the_product_while_rows_change() -> Result<()> {
        for exponent in [1.0, 2.0, 1.5] {
            let (mut currents, weights) = (Currents::new(exponent), weights()?);
            for share in [0.2, 0.2, 0.9, 0.9, 0.2] {
                let inputs = inputs(share)?;
                for row in [0u32, 127, 128, 299] {
                    weights.slice_set(&weights.narrow(0, 5, 1)?.affine(-1.0, 0.0)?, 0, row as usize)?;
                    currents.changed(&weights, Some(&[row]))?;
                    let product = inputs.matmul(&signed_power(&weights, exponent)?.t()?)?;
                    let difference = (currents.of(&weights, &inputs)? - &product)?.abs()?.max_all()?;
                    let scale = product.abs()?.max_all()?.to_scalar::<f32>()?;
                    assert!(
                        difference.to_scalar::<f32>()? <= 1e-6 * scale,
                        "exponent {exponent}, {share} on"
                    );
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_copy_that_was_kept_up_to_date_has_the_bits_of_a_new_one() -> Result<()> {
        for share in [0.2, 0.9] {
            let (weights, inputs) = (weights()?, inputs(share)?);
            let mut kept = Currents::new(2.0);
            kept.of(&weights, &inputs)?;
            weights.slice_set(&weights.narrow(0, 100, 3)?.affine(0.5, 0.1)?, 0, 126)?;
            kept.changed(&weights, Some(&[126, 127]))?;
            kept.changed(&weights, Some(&[128]))?;
            let (kept, new) = (kept.of(&weights, &inputs)?, Currents::new(2.0).of(&weights, &inputs)?);
            assert_eq!(kept.to_vec2::<f32>()?, new.to_vec2::<f32>()?);
        }
        Ok(())
    }
}
