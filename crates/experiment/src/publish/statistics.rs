//! What is said of the values of several seeds.

/// Mean and, behind ±, sample standard deviation of `values` times `factor`. There are `digits` digits behind the point, or as
/// many as the first of the deviation needs, where that is at most three more.
pub(super) fn mean_and_deviation(values: &[f64], factor: f64, digits: usize) -> String {
    let mean = factor * mean(values);
    if values.len() < 2 {
        return format!("{mean:.digits$}");
    }
    let deviation = factor * deviation(values);
    let first = (-deviation.log10()).ceil().max(0.0) as usize;
    let digits = if first <= digits + 3 { digits.max(first) } else { digits };
    format!("{mean:.digits$} ± {deviation:.digits$}")
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0)).sqrt()
}

/// The 97.5th percentile of Student's distribution with 1 to 19 degrees of freedom.
const STUDENT: [f64; 19] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093,
];

/// The mean of the differences between pairs, and the ends of its interval of 95 % by Student's distribution: of 2 to 20
/// pairs, none of fewer or more.
pub(super) fn paired_interval(ones: &[f64], others: &[f64]) -> Option<(f64, [f64; 2])> {
    let differences: Vec<f64> = ones.iter().zip(others).map(|(one, other)| one - other).collect();
    let freedom = differences.len().checked_sub(1)?;
    if ones.len() != others.len() || freedom == 0 || freedom > STUDENT.len() {
        return None;
    }
    let mean = mean(&differences);
    let reach = STUDENT[freedom - 1] * deviation(&differences) / (differences.len() as f64).sqrt();
    Some((mean, [mean - reach, mean + reach]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_follow_the_deviation() {
        assert_eq!(mean_and_deviation(&[0.985, 0.986], 100.0, 2), "98.55 ± 0.07");
        assert_eq!(mean_and_deviation(&[0.1200, 0.1203], 1.0, 2), "0.1202 ± 0.0002");
        assert_eq!(mean_and_deviation(&[0.12, 0.1200001], 1.0, 2), "0.12 ± 0.00");
        assert_eq!(mean_and_deviation(&[0.5], 100.0, 1), "50.0");
    }

    #[test]
    fn a_paired_interval_is_that_of_students_test() {
        // scipy.stats.ttest_rel([3, 5, 4, 6], [2, 3, 4, 4]).confidence_interval() is (-0.273, 2.773).
        let (mean, [least, most]) = paired_interval(&[3.0, 5.0, 4.0, 6.0], &[2.0, 3.0, 4.0, 4.0]).unwrap();
        assert!((mean - 1.25).abs() < 1e-12);
        assert!((least + 0.273).abs() < 1e-3 && (most - 2.773).abs() < 1e-3, "{least} {most}");
        assert_eq!(paired_interval(&[1.0], &[2.0]), None);
        assert_eq!(paired_interval(&[1.0, 2.0], &[2.0]), None);
    }
}
