//! Powers of many values on the CPU, in straight-line arithmetic that vectorizes, which `powf` does not.

use multiversion::multiversion;

/// Writes `sign(x) |x|^power` over each value, off by less than 1e-5 of it. What would be subnormal is 0.
#[multiversion(targets = "simd")]
pub(super) fn raise(values: &mut [f32], power: f64) {
    if power == 1.0 {
        return;
    }
    let least = f64::from(f32::MIN_POSITIVE).powf(1.0 / power).max(f64::from(f32::MIN_POSITIVE)) as f32;
    let power = power as f32;
    for value in values {
        let size = value.abs();
        let raised = exp_2(power * log_2(size));
        let raised = if size < least { 0.0 } else { raised };
        // What is not finite stays so.
        *value = if size.is_finite() { raised.copysign(*value) } else { *value };
    }
}

/// The logarithm of a positive number that is not subnormal: its exponent, and a series of what its mantissa, from √½ to √2,
/// is the quotient of.
#[inline(always)]
fn log_2(value: f32) -> f32 {
    const ROOT_OF_HALF: u32 = 0x3f35_04f3;
    let exponent = (value.to_bits().wrapping_sub(ROOT_OF_HALF) as i32) >> 23;
    let mantissa = f32::from_bits(value.to_bits().wrapping_sub((exponent << 23) as u32));
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let mut series = 1.0 / 9.0;
    for odd in [7.0, 5.0, 3.0, 1.0] {
        series = square.mul_add(series, 1.0 / odd);
    }
    (2.0 * std::f32::consts::LOG2_E * ratio).mul_add(series, exponent as f32)
}

/// 2 to a power of at least -126; infinite from 128 on. The whole part becomes an exponent, a Taylor polynomial of degree 7
/// gives the rest.
#[inline(always)]
fn exp_2(power: f32) -> f32 {
    /// Added and subtracted again, it rounds to a whole number, which also stands in the lowest bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let clamped = power.clamp(-126.0, 127.0);
    let shifted = clamped + ROUND;
    let rest = (clamped - (shifted - ROUND)) * std::f32::consts::LN_2;
    let mut polynomial = 1.0 / 5_040.0;
    for factorial in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        polynomial = rest.mul_add(polynomial, 1.0 / factorial);
    }
    let raised = f32::from_bits(polynomial.to_bits().wrapping_add(shifted.to_bits() << 23));
    if power >= 128.0 { f32::INFINITY } else { raised }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_the_power_to_rounding(exponent in -12f64..12.0, power in 0.1f64..6.0, negative: bool) {
            let value = (10f64.powf(exponent) as f32) * if negative { -1.0 } else { 1.0 };
            let mut ours = [value];
            raise(&mut ours, power);
            let exact = f64::from(value.abs()).powf(power).copysign(f64::from(value));
            if exact.abs() < f64::from(f32::MIN_POSITIVE) {
                prop_assert_eq!(ours[0], 0.0);
            } else if exact.abs() < 1e37 {
                prop_assert!((f64::from(ours[0]) / exact - 1.0).abs() < 1e-5, "{} {exact}", ours[0]);
            }
        }
    }

    #[test]
    fn what_is_zero_or_not_finite_stays_so_and_what_is_too_large_is_infinite() {
        let mut values = [0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, 1.0];
        raise(&mut values, 0.7);
        assert_eq!(values[..3], [0.0, f32::INFINITY, f32::NEG_INFINITY]);
        assert!(values[3].is_nan() && values[4].is_finite() && values[5] == 1.0);
        raise(&mut values, 6.0);
        assert_eq!(values[4], f32::INFINITY);
    }
}
