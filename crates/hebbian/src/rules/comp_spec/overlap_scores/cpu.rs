//! The scores on the CPU.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use multiversion::multiversion;
use rayon::prelude::*;

use super::DISTANCE_FLOOR;
use crate::ops::{LENGTH_FLOOR, cpu};

/// The scores of checked arguments.
pub(super) fn overlap_scores(
    products: &Tensor,
    norms: &Tensor,
    lengths: &Tensor,
    gates: &Tensor,
) -> Result<Tensor> {
    let inverse = |values: &Tensor| values.maximum(LENGTH_FLOOR)?.recip()?.to_vec1::<f32>();
    let scores = Scores {
        inverse_norms: inverse(norms)?,
        inverse_lengths: inverse(lengths)?,
        gates: gates.to_vec1::<f32>()?,
    };
    products.contiguous()?.apply_op1_no_bwd(&scores)
}

struct Scores {
    inverse_norms: Vec<f32>,
    inverse_lengths: Vec<f32>,
    gates: Vec<f32>,
}

/// Below this, handing rows to another thread costs more than it saves.
const ROWS_PER_TASK: usize = 8;

impl CustomOp1 for Scores {
    fn name(&self) -> &'static str {
        "overlap-scores"
    }

    fn cpu_fwd(&self, products: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, units) = layout.shape().dims2()?;
        let products = cpu::values(products, layout)?;
        let mut scores = vec![0f32; products.len()];
        let rows = scores.par_chunks_mut(units).zip(products.par_chunks(units)).zip(&self.inverse_lengths);
        rows.with_min_len(ROWS_PER_TASK).for_each(|((scores, products), &inverse_length)| {
            score_row(self, scores, products, inverse_length);
        });
        Ok((CpuStorage::F32(scores), layout.shape().clone()))
    }
}

#[multiversion(targets = "simd")]
fn score_row(of: &Scores, scores: &mut [f32], products: &[f32], inverse_length: f32) {
    let units = products.iter().zip(&of.inverse_norms).zip(&of.gates);
    for (score, ((product, inverse_norm), gate)) in scores.iter_mut().zip(units) {
        let distance = 1.0 - product * inverse_norm * inverse_length;
        // A NaN stays one: it must reach the update, which refuses it.
        *score = gate / if distance < DISTANCE_FLOOR { DISTANCE_FLOOR } else { distance };
    }
}
