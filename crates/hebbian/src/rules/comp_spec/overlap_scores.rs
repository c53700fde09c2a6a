//! How well each unit matches each sample, weighed by what else the unit could match.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor};
#[cfg(feature = "cuda")]
use candle_core::{
    CudaStorage, CustomOp3,
    cuda_backend::{WrapErr, cudarc::driver::PushKernelArg},
};
use multiversion::multiversion;
use rayon::prelude::*;

#[cfg(feature = "cuda")]
use crate::ops::cuda;
use crate::ops::{LENGTH_FLOOR, cpu};

/// The scores `(batch, units)` of `products` = `x wᵀ (batch, units)`:
///
/// ```text
/// c_bu = gate_u / max(1 - o_bu, 1e-6)        o_bu = (x_b · w_u) / (|x_b| |w_u|)
/// ```
///
/// for the `norms` |w| `(units)`, the `lengths` |x| `(batch)` (floored at 1e-12, so that a blank sample overlaps with
/// nothing) and the `gates (units)`. The floor in the denominator keeps a perfect match a very large positive score.
pub fn overlap_scores(products: &Tensor, norms: &Tensor, lengths: &Tensor, gates: &Tensor) -> Result<Tensor> {
    match products.device() {
        Device::Cpu => {}
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => {
            let scores = OnCuda { gates: &gates.contiguous()? };
            return products.contiguous()?.apply_op3_no_bwd(
                &norms.contiguous()?,
                &lengths.contiguous()?,
                &scores,
            );
        }
        _ => return graph(products, norms, lengths, gates),
    }
    let inverse = |values: &Tensor| values.maximum(LENGTH_FLOOR)?.recip()?.to_vec1::<f32>();
    let scores = Scores {
        inverse_norms: inverse(norms)?,
        inverse_lengths: inverse(lengths)?,
        gates: gates.to_vec1::<f32>()?,
    };
    products.contiguous()?.apply_op1_no_bwd(&scores)
}

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

#[cfg(feature = "cuda")]
struct OnCuda<'a> {
    gates: &'a Tensor,
}

#[cfg(feature = "cuda")]
impl CustomOp3 for OnCuda<'_> {
    fn name(&self) -> &'static str {
        "overlap-scores"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        candle_core::bail!("the CPU has a kernel of its own")
    }

    fn cuda_fwd(
        &self,
        products: &CudaStorage,
        layout: &Layout,
        norms: &CudaStorage,
        norms_layout: &Layout,
        lengths: &CudaStorage,
        lengths_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (batch, units) = layout.shape().dims2()?;
        let device = &products.device;
        let mut scores = device.alloc_zeros::<f32>(batch * units)?;
        let products = cuda::values::<f32>(products, layout)?;
        let (norms, lengths) =
            (cuda::values::<f32>(norms, norms_layout)?, cuda::values::<f32>(lengths, lengths_layout)?);
        let gates = cuda::address::<f32>(Some(self.gates))?;
        let module = ("hebbian-overlap-scores", cuda::OVERLAP_SCORES);
        let kernel = device.get_or_load_custom_func("overlap_scores", module.0, module.1)?;
        let width = units as u32;
        let mut launch = kernel.builder();
        launch.arg(&products).arg(&norms).arg(&lengths).arg(&gates).arg(&mut scores).arg(&width);
        // SAFETY: the arguments are those of the kernel, which writes `batch * units` scores; the gates live until the
        // launch is queued.
        unsafe { launch.launch(cuda::blocks(batch, units.div_ceil(128), 128)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(scores, device.clone()), layout.shape().clone()))
    }
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
