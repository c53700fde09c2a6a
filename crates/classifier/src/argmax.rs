//! The largest of some values, and of equals the first: candle's argmax treats ties differently from device to device.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// Where the largest of `values` is, the lowest of equals; 0 where there are none.
pub fn first_largest<T: PartialOrd>(values: &[T]) -> usize {
    (1..values.len()).fold(0, |best, index| if values[index] > values[best] { index } else { best })
}

/// Where the largest of each row of `values (rows, columns)` f32 is.
pub(crate) fn first_largest_by_row(values: &Tensor) -> Result<Vec<u32>> {
    let rows = values.to_vec2::<f32>()?;
    Ok(rows.par_iter().map(|row| first_largest(row) as u32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_go_to_the_lowest_index() {
        assert_eq!(first_largest(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(first_largest(&[0, 0]), 0);
        assert_eq!(first_largest::<f64>(&[]), 0);
    }
}
