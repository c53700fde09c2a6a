//! `e^x` in plain arithmetic, which vectorizes where a call into the C library does not.

/// `e^x`, to 2e-7 relative; `x` beyond ±87 is taken as ±87.
///
/// `e^x = 2^n e^r` with a whole n and `|r| <= ln 2 / 2`; the coefficients of `e^r` are those of Cephes (S. Moshier,
/// `expf.c`).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// 1.5 · 2^23: added to a small number, it leaves that number rounded to a whole one in the low bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with so few digits that its product with n is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const COEFFICIENTS: [f32; 6] =
        [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2[0] - n * LN_2[1];
    let series = COEFFICIENTS.iter().fold(0.0, |sum, coefficient| sum * r + coefficient);
    let power_of_two = f32::from_bits((shifted.to_bits().wrapping_add(127)) << 23);
    (series * r * r + r + 1.0) * power_of_two
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_library() {
        for step in -87_000..=87_000 {
            let x = step as f32 / 1000.0;
            let (ours, reference) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours / reference - 1.0).abs() < 2e-7, "{x}: {ours} and {reference}");
        }
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn what_would_overflow_is_held_at_the_largest_power() {
        assert_eq!((exp(1e9), exp(-1e9)), (exp(87.0), exp(-87.0)));
    }
}
