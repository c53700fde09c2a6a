//! How much each unit learns from a sample: a softmax with the sign of who won.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::ops::check::check_arguments;
use crate::ops::cpu::values;
use crate::ops::{NEGLIGIBLE, sum_of, top_k};

/// The softmax of `inverse_temperature` times the `currents (samples, units)` over the units; where it is `anti_hebbian`,
/// all but each sample's first maximum are negative. What is below 1e-30 is 0, since products with subnormal numbers take
/// many times longer.
pub(super) fn compete(currents: &Tensor, inverse_temperature: f64, anti_hebbian: bool) -> Result<Tensor> {
    let shape = currents.dims2()?;
    check_arguments("compete", currents.device(), [("currents", currents, DType::F32, shape.into())])?;
    match currents.device().is_cpu() {
        true => {
            let (inverse_temperature, units) = (inverse_temperature as f32, shape.1);
            currents.contiguous()?.apply_op1_no_bwd(&Compete { inverse_temperature, anti_hebbian, units })
        }
        false => graph(currents, inverse_temperature, anti_hebbian),
    }
}

fn graph(currents: &Tensor, inverse_temperature: f64, anti_hebbian: bool) -> Result<Tensor> {
    let largest = currents.max_keepdim(1)?;
    let exponential = (currents.broadcast_sub(&largest)? * inverse_temperature)?.exp()?;
    let activity = exponential.broadcast_div(&exponential.sum_keepdim(1)?)?;
    let activity = (&activity * activity.ge(f64::from(NEGLIGIBLE))?.to_dtype(DType::F32)?)?;
    if !anti_hebbian {
        return Ok(activity);
    }
    let units = Tensor::arange(0, currents.dim(1)? as u32, currents.device())?.unsqueeze(0)?;
    let sign = units.broadcast_eq(&top_k(currents, 1)?)?.to_dtype(DType::F32)?.affine(2.0, -1.0)?;
    activity * sign
}

struct Compete {
    inverse_temperature: f32,
    anti_hebbian: bool,
    units: usize,
}

/// Samples that are handed to another thread at once.
const SAMPLES_PER_TASK: usize = 16;

impl CustomOp1 for Compete {
    fn name(&self) -> &'static str {
        "compete"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let currents = values(storage, layout)?;
        let mut activity = vec![0f32; currents.len()];
        let block = (SAMPLES_PER_TASK * self.units).max(1);
        let blocks = activity.par_chunks_mut(block).zip(currents.par_chunks(block));
        blocks.for_each(|(activity, currents)| Arch::new().dispatch(Block { op: self, currents, activity }));
        Ok((CpuStorage::F32(activity), layout.shape().clone()))
    }
}

struct Block<'a> {
    op: &'a Compete,
    currents: &'a [f32],
    activity: &'a mut [f32],
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { op, currents, activity } = self;
        for (activity, currents) in activity.chunks_mut(op.units).zip(currents.chunks(op.units)) {
            op.sample(activity, currents);
        }
    }
}

impl Compete {
    #[inline(always)]
    fn sample(&self, activity: &mut [f32], currents: &[f32]) {
        let largest = currents.iter().fold(f32::NEG_INFINITY, |most, &current| most.max(current));
        for (activity, current) in activity.iter_mut().zip(currents) {
            *activity = exp_of_negative((current - largest) * self.inverse_temperature);
        }
        let total = sum_of(activity, |value| value);
        let sign = if self.anti_hebbian { -1.0 } else { 1.0 };
        for activity in activity.iter_mut() {
            let share = *activity / total;
            // A sum that is not a number is kept: the step then fails.
            *activity = if share < NEGLIGIBLE { 0.0 } else { sign * share };
        }
        if let Some(winner) = currents.iter().position(|&current| current == largest) {
            activity[winner] = activity[winner].abs();
        }
    }
}

/// `e^x` for an x of at most 0, to the last bits of an f32; 0 where it is negligible. Straight-line arithmetic, so that
/// loops over it vectorize: `2^n e^r` with n whole and |r| at most ln 2 / 2, where a Taylor polynomial of degree 7 is off by
/// 5e-9.
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    /// Added and subtracted again, it rounds to a whole number, which also stands in the lowest bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const LEAST: f32 = -80.0;
    let clamped = if x < LEAST { LEAST } else { x };
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, clamped));
    let mut polynomial = 1.0 / 5_040.0;
    for factorial in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        polynomial = r.mul_add(polynomial, 1.0 / factorial);
    }
    let power = f32::from_bits(polynomial.to_bits().wrapping_add(shifted.to_bits() << 23));
    if x < LEAST { 0.0 } else { power }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    fn currents(rows: usize, units: usize, size: f64) -> Tensor {
        Generator::new(0, "currents").normal((rows, units), 0.0, size, &Device::Cpu).unwrap()
    }

    #[test]
    fn kernel_and_graph_agree() {
        for (rows, units, size) in [(1, 1, 1.0), (40, 96, 25.0), (7, 33, 3.0), (3, 200, 1e3)] {
            for (temperature, anti_hebbian) in [(1.0, true), (12.0, false), (0.25, true), (1e6, true)] {
                let currents = currents(rows, units, size);
                let kernel = compete(&currents, temperature, anti_hebbian).unwrap().to_vec2::<f32>().unwrap();
                let graph = graph(&currents, temperature, anti_hebbian).unwrap().to_vec2::<f32>().unwrap();
                for (kernel, graph) in kernel.iter().flatten().zip(graph.iter().flatten()) {
                    assert!((kernel - graph).abs() <= 2e-6 * graph.abs().max(1e-6), "{kernel} and {graph}");
                }
            }
        }
    }

    #[test]
    fn the_first_of_equal_currents_wins_and_the_activity_of_a_sample_is_one() {
        let currents = Tensor::new(&[[1f32, 3.0, 3.0, -200.0]], &Device::Cpu).unwrap();
        let activity = compete(&currents, 1.0, true).unwrap().to_vec2::<f32>().unwrap().remove(0);
        assert!(activity[1] > 0.0 && activity[2] == -activity[1] && activity[0] < 0.0);
        assert!(activity[3] == 0.0, "what is negligible is nothing: {activity:?}");
        let total: f32 = activity.iter().map(|share| share.abs()).sum();
        assert!((total - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let currents = Tensor::new(&[[1f32, f32::NAN, 0.0]], &Device::Cpu).unwrap();
        let activity = compete(&currents, 1.0, true).unwrap().to_vec2::<f32>().unwrap();
        assert!(activity[0].iter().any(|share| share.is_nan()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_exponential_is_exact_to_the_last_bits(x in -79f32..=0.0) {
            let exact = f64::from(x).exp();
            prop_assert!((f64::from(exp_of_negative(x)) / exact - 1.0).abs() < 3e-7, "{x}");
        }
    }
}
