//! How well each unit matches each sample, weighed by what else the unit could match.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use multiversion::multiversion;
use rayon::prelude::*;

use super::cpu;

/// The scores `(batch, units)` of `products` = `x wᵀ (batch, units)`:
///
/// ```text
/// c_bu = gate_u / max(1 - o_bu, 1e-6)        o_bu = (x_b · w_u) / (|x_b| |w_u|)
/// ```
///
/// for the `norms` |w| `(units)`, the `lengths` |x| `(batch)` (floored at 1e-12, so that a blank sample overlaps with
/// nothing) and the `gates (units)`. The floor in the denominator keeps a perfect match a very large positive score.
pub fn overlap_scores(products: &Tensor, norms: &Tensor, lengths: &Tensor, gates: &Tensor) -> Result<Tensor> {
    if !products.device().is_cpu() {
        return graph(products, norms, lengths, gates);
    }
    let inverse = |values: &Tensor| values.maximum(LENGTH_FLOOR)?.recip()?.to_vec1::<f32>();
    let scores = Scores {
        inverse_norms: inverse(norms)?,
        inverse_lengths: inverse(lengths)?,
        gates: gates.to_vec1::<f32>()?,
    };
    products.contiguous()?.apply_op1_no_bwd(&scores)
}

/// The smallest length that is divided by.
pub(crate) const LENGTH_FLOOR: f64 = 1e-12;
const DISTANCE_FLOOR: f32 = 1e-6;

fn graph(products: &Tensor, norms: &Tensor, lengths: &Tensor, gates: &Tensor) -> Result<Tensor> {
    let inverse = |values: &Tensor| values.maximum(LENGTH_FLOOR)?.recip();
    let overlaps =
        products.broadcast_mul(&inverse(norms)?)?.broadcast_mul(&inverse(lengths)?.unsqueeze(1)?)?;
    let distances = overlaps.affine(-1.0, 1.0)?.maximum(f64::from(DISTANCE_FLOOR))?;
    distances.recip()?.broadcast_mul(gates)
}

struct Scores {
    inverse_norms: Vec<f32>,
    inverse_lengths: Vec<f32>,
    gates: Vec<f32>,
}

const ROWS_A_TASK: usize = 8;

impl CustomOp1 for Scores {
    fn name(&self) -> &'static str {
        "overlap-scores"
    }

    fn cpu_fwd(&self, products: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, units) = layout.shape().dims2()?;
        let products = cpu::values(products, layout)?;
        let mut scores = vec![0f32; products.len()];
        let rows = scores.par_chunks_mut(units).zip(products.par_chunks(units)).zip(&self.inverse_lengths);
        rows.with_min_len(ROWS_A_TASK).for_each(|((scores, products), &inverse_length)| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    #[test]
    fn a_perfect_match_scores_highest_and_a_blank_sample_by_the_gate_alone() -> Result<()> {
        let products = Tensor::new(&[[2f32, 1.9], [0.0, 0.0]], &Device::Cpu)?;
        let vector = |values: [f32; 2]| Tensor::new(&values, &Device::Cpu);
        let scores =
            overlap_scores(&products, &vector([1.0, 1.0])?, &vector([2.0, 0.0])?, &vector([0.5, 0.75])?)?;
        let scores = scores.to_vec2::<f32>()?;
        assert_eq!(scores[0][0], 0.5 / 1e-6);
        assert_eq!(scores[1], [0.5, 0.75]);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn kernel_and_graph_agree(batch in 1usize..30, units in 1usize..90, seed in any::<u64>()) {
            let mut draws = Generator::new(seed, "overlap scores");
            let mut uniform = |shape: &[usize], low: f64| draws.uniform(shape, low, 1.0, &Device::Cpu).unwrap();
            let (products, norms) = (uniform(&[batch, units], -1.0), uniform(&[units], 0.5));
            let (lengths, gates) = (uniform(&[batch], 0.5), uniform(&[units], 0.0));
            let kernel = overlap_scores(&products, &norms, &lengths, &gates).unwrap();
            let graph = graph(&products, &norms, &lengths, &gates).unwrap();
            let relative = ((kernel - &graph).unwrap() / graph.affine(1.0, 1e-6).unwrap()).unwrap().abs().unwrap();
            prop_assert!(relative.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-3);
        }
    }
}
