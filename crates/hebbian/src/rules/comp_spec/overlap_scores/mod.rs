//! How well each unit matches each sample, weighed by what else the unit could match.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{DType, Device, Result, Tensor};

use crate::ops::LENGTH_FLOOR;
use crate::ops::check::check_arguments;

/// The scores `(batch, units)` of `products` = `x wᵀ (batch, units)`:
///
/// ```text
/// c_bu = gate_u / max(1 - o_bu, 1e-6)        o_bu = (x_b · w_u) / (|x_b| |w_u|)
/// ```
///
/// for the `norms` |w| `(units)`, the `lengths` |x| `(batch)` (floored at 1e-12, so that a blank sample overlaps with
/// nothing) and the `gates (units)`. The floor in the denominator keeps a perfect match a very large positive score.
/// All are f32 and on one device.
pub(super) fn overlap_scores(
    products: &Tensor,
    norms: &Tensor,
    lengths: &Tensor,
    gates: &Tensor,
) -> Result<Tensor> {
    let (batch, units) = products.dims2()?;
    let arguments = [
        ("products", products, DType::F32, (batch, units).into()),
        ("norms", norms, DType::F32, units.into()),
        ("lengths", lengths, DType::F32, batch.into()),
        ("gates", gates, DType::F32, units.into()),
    ];
    check_arguments("overlap_scores", products.device(), arguments)?;
    if products.elem_count() == 0 {
        return products.zeros_like();
    }
    match products.device() {
        Device::Cpu => cpu::overlap_scores(products, norms, lengths, gates),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => cuda::overlap_scores(products, norms, lengths, gates),
        _ => graph(products, norms, lengths, gates),
    }
}

const DISTANCE_FLOOR: f32 = 1e-6;

fn graph(products: &Tensor, norms: &Tensor, lengths: &Tensor, gates: &Tensor) -> Result<Tensor> {
    let inverse = |values: &Tensor| values.maximum(LENGTH_FLOOR)?.recip();
    let overlaps =
        products.broadcast_mul(&inverse(norms)?)?.broadcast_mul(&inverse(lengths)?.unsqueeze(1)?)?;
    let distances = overlaps.affine(-1.0, 1.0)?.maximum(f64::from(DISTANCE_FLOOR))?;
    distances.recip()?.broadcast_mul(gates)
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn arguments_of_other_lengths_are_refused() -> Result<()> {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
        let (products, units, batch) = (zeros(&[2, 3])?, zeros(&[3])?, zeros(&[2])?);
        for (norms, lengths, gates, expected) in [
            (&batch, &batch, &units, "overlap_scores: norms is F32 [2]; allowed: F32 [3]"),
            (&units, &units, &units, "overlap_scores: lengths is F32 [3]; allowed: F32 [2]"),
            (&units, &batch, &batch, "overlap_scores: gates is F32 [2]; allowed: F32 [3]"),
        ] {
            let refused = overlap_scores(&products, norms, lengths, gates).unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
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
