//! What codes are like: how evenly they use their units, how alike those are, what a shift changes.

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};

/// How often each of `units` is in `winners`, which holds numbers of units, u32 of any shape.
pub fn wins(winners: &Tensor, units: usize) -> Result<Vec<usize>> {
    let mut wins = vec![0; units];
    for unit in winners.flatten_all()?.to_vec1::<u32>()? {
        ensure!((unit as usize) < units, "a winner is unit {unit} of {units}");
        wins[unit as usize] += 1;
    }
    Ok(wins)
}

/// Units that never won.
pub fn idle(wins: &[usize]) -> usize {
    wins.iter().filter(|&&wins| wins == 0).count()
}

/// The entropy of the shares that units have of all wins, in bits.
pub fn entropy_bits(wins: &[usize]) -> f64 {
    let all = wins.iter().sum::<usize>().max(1) as f64;
    let shares = wins.iter().filter(|&&wins| wins > 0).map(|&wins| wins as f64 / all);
    shares.map(|share| -share * share.log2()).sum()
}

/// The number of units that would share the wins equally with the same entropy.
pub fn effective_units(wins: &[usize]) -> f64 {
    entropy_bits(wins).exp2()
}

/// The correlation of each two columns of `outputs (samples, units)`, of those that are not constant.
pub fn correlations(outputs: &Tensor) -> Result<Vec<f64>> {
    let outputs = outputs.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    let centered = outputs.broadcast_sub(&outputs.mean_keepdim(0)?)?;
    pairs(&centered.t()?.matmul(&centered)?)
}

/// The cosine of each two rows of `weights (units, inputs)`, of those that are not zero.
pub fn row_cosines(weights: &Tensor) -> Result<Vec<f64>> {
    let weights = weights.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    pairs(&weights.matmul(&weights.t()?)?)
}

/// The products of all pairs over the lengths of both; pairs with a vector of length 0 are left out.
fn pairs(products: &Tensor) -> Result<Vec<f64>> {
    let products = products.to_vec2::<f64>()?;
    let length = |unit: usize| products[unit][unit].sqrt();
    let all = (0..products.len()).flat_map(|unit| (0..unit).map(move |other| (unit, other)));
    let cosine = |(unit, other): (usize, usize)| {
        let lengths = length(unit) * length(other);
        (lengths > 1e-12).then(|| products[unit][other] / lengths)
    };
    Ok(all.filter_map(cosine).collect())
}

/// Of the variance of the responses `(samples · shifts, features)`, those to one sample together, the share within the
/// shifts of one sample: 0 where a response tells samples and no shifts.
pub fn shift_variance(responses: &Tensor, shifts: usize) -> Result<f64> {
    let (rows, features) = responses.dims2()?;
    ensure!(shifts > 0 && rows % shifts == 0, "{rows} responses are not to {shifts} shifts of each sample");
    let responses = responses.reshape((rows / shifts, shifts, features))?;
    let means = responses.mean_keepdim(1)?;
    let sum = |tensor: Tensor| anyhow::Ok(f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?));
    let within = sum(responses.broadcast_sub(&means)?)?;
    let between = shifts as f64 * sum(means.broadcast_sub(&means.mean_keepdim(0)?)?)?;
    Ok(within / (within + between))
}

/// The values that are larger than these shares of all: 0 the least, 0.5 the median, 1 the largest.
pub fn quantiles(values: &Tensor, shares: &[f64]) -> Result<Vec<f32>> {
    let mut values = values.flatten_all()?.to_vec1::<f32>()?;
    ensure!(!values.is_empty(), "there are no values to sort");
    values.sort_by(f32::total_cmp);
    Ok(shares.iter().map(|share| values[((values.len() - 1) as f64 * share).round() as usize]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor<const ROWS: usize, const COLUMNS: usize>(rows: [[f32; COLUMNS]; ROWS]) -> Tensor {
        Tensor::from_vec(rows.concat(), (ROWS, COLUMNS), &Device::Cpu).unwrap()
    }

    #[test]
    fn units_that_win_equally_often_are_all_effective() {
        let wins = wins(&Tensor::new(&[[0u32, 2], [2, 0]], &Device::Cpu).unwrap(), 4).unwrap();
        assert_eq!(wins, [2, 0, 2, 0]);
        assert_eq!((idle(&wins), entropy_bits(&wins), effective_units(&wins)), (2, 1.0, 2.0));
        assert_eq!(effective_units(&[0, 0]), 1.0);
        assert!(super::wins(&Tensor::new(&[4u32], &Device::Cpu).unwrap(), 4).is_err());
    }

    #[test]
    fn correlations_and_cosines_leave_out_what_has_none() {
        let outputs = tensor([[0.0, 1.0, 5.0], [1.0, 0.0, 5.0]]);
        let correlations = correlations(&outputs).unwrap();
        assert!(correlations.len() == 1 && (correlations[0] + 1.0).abs() < 1e-12);
        let cosines = row_cosines(&tensor([[3.0, 4.0], [0.0, 0.0], [4.0, 3.0]])).unwrap();
        assert!(cosines.len() == 1 && (cosines[0] - 0.96).abs() < 1e-12);
    }

    #[test]
    fn a_response_that_no_shift_changes_has_no_variance_within_a_sample() {
        assert_eq!(shift_variance(&tensor([[1.0], [1.0], [3.0], [3.0]]), 2).unwrap(), 0.0);
        assert_eq!(shift_variance(&tensor([[1.0], [3.0], [1.0], [3.0]]), 2).unwrap(), 1.0);
        assert!(shift_variance(&tensor([[1.0], [3.0], [1.0]]), 2).is_err());
    }

    #[test]
    fn quantiles_are_values_that_there_are() {
        let values = tensor([[3.0, 1.0, 2.0, 9.0, 5.0]]);
        assert_eq!(quantiles(&values, &[0.0, 0.5, 1.0]).unwrap(), [1.0, 3.0, 9.0]);
    }
}
