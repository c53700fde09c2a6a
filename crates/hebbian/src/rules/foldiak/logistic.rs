//! `1 / (1 + e^(-slope x))` of every value: most of what settling costs, unless it is computed in vectors.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// The logistic function of `slope` times each value, f32 or f64, in the shape and type that they have.
pub fn logistic(values: &Tensor, slope: f64) -> Result<Tensor> {
    match values.device().is_cpu() {
        true => values.contiguous()?.apply_op1_no_bwd(&Logistic { slope }),
        false => graph(values, slope),
    }
}

/// Past ±80 it is 0 or 1 to the last bit of an f32, and the exponential stays finite.
fn graph(values: &Tensor, slope: f64) -> Result<Tensor> {
    let exponential = (values * -slope)?.clamp(-80.0, 80.0)?.exp()?;
    (exponential + 1.0)?.recip()
}

struct Logistic {
    slope: f64,
}

impl CustomOp1 for Logistic {
    fn name(&self) -> &'static str {
        "logistic"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("the tensor must be contiguous") };
        let storage = match storage {
            CpuStorage::F32(values) => CpuStorage::F32(self.in_blocks(&values[start..end], |y| y as f32)),
            CpuStorage::F64(values) => CpuStorage::F64(self.in_blocks(&values[start..end], |y| y)),
            _ => bail!("the tensor must be f32 or f64"),
        };
        Ok((storage, layout.shape().clone()))
    }
}

const BLOCK: usize = 4096;

impl Logistic {
    fn in_blocks<T>(&self, values: &[T], round: impl Fn(f64) -> T + Copy + Send + Sync) -> Vec<T>
    where
        T: Copy + Default + Into<f64> + Send + Sync,
    {
        let mut results = vec![T::default(); values.len()];
        results.par_chunks_mut(BLOCK).zip(values.par_chunks(BLOCK)).for_each(|(results, values)| {
            Arch::new().dispatch(Block { slope: self.slope, values, results, round });
        });
        results
    }
}

struct Block<'a, T, F> {
    slope: f64,
    values: &'a [T],
    results: &'a mut [T],
    round: F,
}

impl<T: Copy + Into<f64>, F: Fn(f64) -> T> WithSimd for Block<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (result, &value) in self.results.iter_mut().zip(self.values) {
            *result = (self.round)(squash(self.slope * value.into()));
        }
    }
}

/// The logistic function itself, to the last bits of an f64. Straight-line arithmetic, so that loops over it vectorize.
#[inline(always)]
pub(super) fn squash(value: f64) -> f64 {
    1.0 / (1.0 + exp(-value))
}

/// `e^x = 2^n e^r` with n whole and |r| at most ln 2 / 2, where a Taylor polynomial of degree 11 is off by 1e-14. Beyond
/// ±700, where the result would leave the range of an f64, x is taken for ±700; a NaN stays one.
///
/// The polynomial is summed in pairs (Estrin's scheme): while a pattern settles, nothing else can be done until the
/// exponential is there, and in a row its eleven products would be more than half of it.
#[inline(always)]
fn exp(x: f64) -> f64 {
    /// Added and subtracted again, it rounds to a whole number, which also stands in the lowest bits of the sum.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = if x > 700.0 { 700.0 } else { x };
    let x = if x < -700.0 { -700.0 } else { x };
    let shifted = x.mul_add(std::f64::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    let pair = |even: f64, odd: f64| r.mul_add(1.0 / odd, 1.0 / even);
    let (r2, r4) = (r * r, (r * r) * (r * r));
    let low = r2.mul_add(pair(2.0, 6.0), pair(1.0, 1.0));
    let middle = r2.mul_add(pair(720.0, 5_040.0), pair(24.0, 120.0));
    let high = r2.mul_add(pair(3_628_800.0, 39_916_800.0), pair(40_320.0, 362_880.0));
    let polynomial = (r4 * r4).mul_add(high, r4.mul_add(middle, low));
    f64::from_bits(polynomial.to_bits().wrapping_add(shifted.to_bits() << 52))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use proptest::prelude::*;

    #[test]
    fn far_from_zero_it_is_zero_or_one_and_a_nan_stays_one() -> Result<()> {
        let values = [f64::NEG_INFINITY, -1e300, -800.0, 0.0, 800.0, f64::INFINITY, f64::NAN];
        let values = logistic(&Tensor::new(&values, &Device::Cpu)?, 10.0)?.to_vec1::<f64>()?;
        assert!(values[..3].iter().all(|value| (0.0..1e-300).contains(value)), "{values:?}");
        assert_eq!(values[3..6], [0.5, 1.0, 1.0]);
        assert!(values[6].is_nan());
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_kernel_is_exact_to_thirteen_digits(value in -690f64..690.0) {
            prop_assert!((exp(value) / value.exp() - 1.0).abs() < 1e-13, "{value}");
            prop_assert!((squash(value) - 1.0 / (1.0 + (-value).exp())).abs() < 1e-13, "{value}");
        }

        #[test]
        fn kernel_and_graph_agree(values in prop::collection::vec(-30f64..30.0, 1..200), slope in 0.1f64..20.0) {
            let values = Tensor::new(values, &Device::Cpu).unwrap();
            for (dtype, most) in [(DType::F64, 1e-13), (DType::F32, 1e-5)] {
                let values = values.to_dtype(dtype).unwrap();
                let difference = (logistic(&values, slope).unwrap() - graph(&values, slope).unwrap()).unwrap();
                let largest = difference.abs().unwrap().max_all().unwrap().to_dtype(DType::F64).unwrap();
                prop_assert!(largest.to_scalar::<f64>().unwrap() < most);
            }
        }
    }
}
