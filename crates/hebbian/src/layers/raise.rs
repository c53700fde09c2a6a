//! Powers of many values on the CPU, in straight-line arithmetic that vectorizes, which `powf` does not.

use multiversion::multiversion;

use crate::ops::exp;

/// The largest logarithm whose power [`exp`] gives.
const LARGEST: f32 = 87.0;

/// Writes `sign(x) |x|^power` over each value, off by less than 1e-6 of it, and 3e-7 more for each unit of its logarithm. A
/// power below 2e-38 is 0, one above 6e37 is infinite, and a subnormal value counts as 0.
#[multiversion(targets = "simd")]
pub(super) fn raise(values: &mut [f32], power: f64) {
    if power == 1.0 {
        return;
    }
    let power = power as f32;
    for value in values {
        let size = value.abs();
        let logarithm = power * ln(size);
        let raised = if logarithm > LARGEST { f32::INFINITY } else { exp(logarithm) };
        let vanishes = logarithm < -LARGEST || size < f32::MIN_POSITIVE;
        let raised = if vanishes { 0.0 } else { raised };
        // What is not finite stays so.
        *value = if size.is_finite() { raised.copysign(*value) } else { *value };
    }
}

/// The natural logarithm of a positive number that is not subnormal: that of its power of two, and for the mantissa m, from √½
/// to √2, the series of `2 artanh((m - 1) / (m + 1))`.
#[inline(always)]
fn ln(value: f32) -> f32 {
    const ROOT_OF_HALF: u32 = 0x3f35_04f3;
    let exponent = (value.to_bits().wrapping_sub(ROOT_OF_HALF) as i32) >> 23;
    let mantissa = f32::from_bits(value.to_bits().wrapping_sub((exponent << 23) as u32));
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let mut series = 1.0 / 9.0;
    for odd in [7.0, 5.0, 3.0, 1.0] {
        series = square.mul_add(series, 1.0 / odd);
    }
    (2.0 * ratio).mul_add(series, exponent as f32 * std::f32::consts::LN_2)
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
            if exact.abs() < 1e-38 {
                prop_assert_eq!(ours[0], 0.0);
            } else if (2e-38..1e37).contains(&exact.abs()) {
                let allowed = 1e-6 + 3e-7 * exact.abs().ln().abs();
                prop_assert!((f64::from(ours[0]) / exact - 1.0).abs() < allowed, "{} {exact}", ours[0]);
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
