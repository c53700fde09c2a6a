//! The product of a batch with weights that change a few rows at a time.

use candle_core::{DType, Result, Tensor};
use hebbian_sparse::{Panels, SparseRows};

use super::check::{check_arguments, check_contiguous, check_rows};
use super::signed_power::{raise_row, refresh_signed_power};

/// `I = x f(w)ᵀ` with `f(w) = sign(w) |w|^exponent`, and the copies of `f(w)` that it is computed from.
///
/// A sparse batch on the CPU goes over panels, any other through candle's matmul; each has its own copy, in its own order.
/// Both are kept once they were needed, since batches may be sparse and dense by turns, and only the rows that changed are
/// brought up to date, when a copy is used again. No copy is saved: a restored rule makes it anew, with the same bits.
#[derive(Debug)]
pub struct Currents {
    exponent: f64,
    /// The batch, if it is sparse.
    on: SparseRows,
    /// `f(w)` for sparse batches.
    panels: Option<Panels>,
    /// `f(w) (units, inputs)` for others; at exponent 1 the weights themselves serve.
    rows: Option<Rows>,
}

/// A copy of `f(w)`, and which of its rows have changed since; `None` means any.
#[derive(Debug)]
struct Rows {
    powers: Tensor,
    stale: Option<Vec<u32>>,
}

impl Currents {
    /// Currents through `sign(w) |w|^exponent`; 1 is the plain product.
    pub fn new(exponent: f64) -> Self {
        Self { exponent, on: SparseRows::default(), panels: None, rows: None }
    }

    /// `I (batch, units)` of `inputs (batch, inputs)` and `weights (units, inputs)`, both f32 and on one device; `weights`
    /// must be contiguous and always of the same shape. Anything else is an error.
    pub fn of(&mut self, weights: &Tensor, inputs: &Tensor) -> Result<Tensor> {
        let shape = weights.dims2()?;
        let batch = inputs.dim(0)?;
        let arguments = [
            ("weights", weights, DType::F32, shape.into()),
            ("inputs", inputs, DType::F32, (batch, shape.1).into()),
        ];
        check_arguments("currents", weights.device(), arguments)?;
        check_contiguous("currents", "weights", weights)?;
        match self.on.list(inputs)? {
            true => self.sparse(weights),
            false => self.dense(weights, inputs),
        }
    }

    /// Must be told which rows of the weights (ascending, distinct) changed since the last product; `None` means any.
    pub fn changed(&mut self, weights: &Tensor, rows: Option<&[u32]>) -> Result<()> {
        if let Some(rows) = rows {
            check_rows("currents", rows, weights.dim(0)?)?;
        }
        if let Some(panels) = &mut self.panels {
            panels.mark(rows)?;
        }
        if let Some(copy) = &mut self.rows {
            copy.mark(rows);
        }
        Ok(())
    }

    fn sparse(&mut self, weights: &Tensor) -> Result<Tensor> {
        let (units, inputs) = weights.dims2()?;
        let panels = self.panels.get_or_insert_with(|| Panels::new(units, inputs));
        let exponent = self.exponent;
        panels.refreshed_product(&self.on, weights, &|weights, row| raise_row(row, weights, exponent))
    }

    fn dense(&mut self, weights: &Tensor, inputs: &Tensor) -> Result<Tensor> {
        if self.exponent == 1.0 {
            return inputs.matmul(&weights.t()?);
        }
        let mut copy = match self.rows.take() {
            Some(copy) => copy,
            None => Rows { powers: weights.zeros_like()?, stale: None },
        };
        refresh_signed_power(&copy.powers, weights, self.exponent, copy.stale.as_deref())?;
        copy.stale = Some(Vec::new());
        inputs.matmul(&self.rows.insert(copy).powers.t()?)
    }
}

impl Rows {
    fn mark(&mut self, rows: Option<&[u32]>) {
        match (&mut self.stale, rows) {
            (Some(stale), Some(rows)) => {
                stale.extend_from_slice(rows);
                stale.sort_unstable();
                stale.dedup();
            }
            (stale, _) => *stale = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::signed_power::signed_power;
    use candle_core::Device;
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

    #[test]
    fn batches_that_are_sparse_and_dense_by_turns_have_the_bits_of_new_copies() -> Result<()> {
        let (weights, mut kept) = (weights()?, Currents::new(1.5));
        for (step, share) in [0.2, 0.9, 0.2, 0.2, 0.9, 0.9].into_iter().enumerate() {
            let inputs = inputs(share)?;
            let (ours, new) = (kept.of(&weights, &inputs)?, Currents::new(1.5).of(&weights, &inputs)?);
            assert_eq!(ours.to_vec2::<f32>()?, new.to_vec2::<f32>()?, "step {step}");
            weights.slice_set(&weights.narrow(0, 100, 2)?.affine(0.5, 0.1)?, 0, 50 * step)?;
            kept.changed(&weights, Some(&[50 * step as u32, 50 * step as u32 + 1]))?;
        }
        Ok(())
    }

    #[test]
    fn inputs_of_another_length_and_rows_out_of_range_are_refused() -> Result<()> {
        let (mut currents, weights) = (Currents::new(2.0), weights()?);
        let narrow = inputs(0.2)?.narrow(1, 0, 199)?;
        let refused = currents.of(&weights, &narrow).unwrap_err().to_string();
        assert!(refused.starts_with("currents: inputs is F32 [7, 199]; allowed: F32 [7, 200]"), "{refused}");
        let refused = currents.changed(&weights, Some(&[300])).unwrap_err().to_string();
        assert!(refused.starts_with("currents: row 300; allowed: below 300"), "{refused}");
        let refused = currents.changed(&weights, Some(&[2, 1])).unwrap_err().to_string();
        assert!(refused.starts_with("currents: row 2 comes before row 1"), "{refused}");
        Ok(())
    }
}
