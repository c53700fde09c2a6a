//! What an operation is given, checked before anything is read, launched or written.

use candle_core::{DType, Device, Result, Shape, Tensor, bail};

/// Refuses the first of `arguments` that is not of the named type and shape, or not on `device`.
pub(crate) fn check_arguments<const N: usize>(
    operation: &str,
    device: &Device,
    arguments: [(&str, &Tensor, DType, Shape); N],
) -> Result<()> {
    for (name, tensor, dtype, shape) in arguments {
        if tensor.dtype() != dtype || *tensor.shape() != shape {
            let given = (tensor.dtype(), tensor.dims());
            bail!(
                "{operation}: {name} is {:?} {:?}; allowed: {dtype:?} {:?}",
                given.0,
                given.1,
                shape.dims()
            );
        }
        let (given, allowed) = (tensor.device().location(), device.location());
        if given != allowed {
            bail!("{operation}: {name} is on {given:?}; allowed: {allowed:?}");
        }
    }
    Ok(())
}

/// Refuses a tensor that is to be written in place and does not lie in one piece.
pub(crate) fn check_contiguous(operation: &str, name: &str, tensor: &Tensor) -> Result<()> {
    match tensor.is_contiguous() {
        true => Ok(()),
        false => bail!(
            "{operation}: {name} is not contiguous; allowed: a contiguous tensor, which is changed in place"
        ),
    }
}

/// Refuses `rows` that are not ascending, distinct and below `count`.
pub(crate) fn check_rows(operation: &str, rows: &[u32], count: usize) -> Result<()> {
    if let Some(pair) = rows.windows(2).find(|pair| pair[0] >= pair[1]) {
        bail!("{operation}: row {} comes before row {}; allowed: ascending, each once", pair[0], pair[1]);
    }
    check_below(operation, "row", rows.last().copied(), count)
}

/// Refuses a number that is not below `count`.
pub(crate) fn check_below(operation: &str, name: &str, number: Option<u32>, count: usize) -> Result<()> {
    match number {
        Some(number) if number as usize >= count => {
            bail!("{operation}: {name} {number}; allowed: below {count}")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_line<T: std::fmt::Debug>(refused: Result<T>) -> String {
        refused.unwrap_err().to_string().lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn an_argument_of_another_shape_or_type_is_named() -> Result<()> {
        let given = Tensor::zeros((2, 3), DType::F32, &Device::Cpu)?;
        let check = |dtype, shape: (usize, usize)| {
            check_arguments("an operation", &Device::Cpu, [("x", &given, dtype, shape.into())])
        };
        check(DType::F32, (2, 3))?;
        assert_eq!(
            first_line(check(DType::F32, (3, 2))),
            "an operation: x is F32 [2, 3]; allowed: F32 [3, 2]"
        );
        assert_eq!(
            first_line(check(DType::U32, (2, 3))),
            "an operation: x is F32 [2, 3]; allowed: U32 [2, 3]"
        );
        Ok(())
    }

    #[test]
    fn rows_are_ascending_distinct_and_in_range() -> Result<()> {
        check_rows("refresh", &[0, 3, 4], 5)?;
        check_rows("refresh", &[], 0)?;
        let refusal = |rows: &[u32]| first_line(check_rows("refresh", rows, 5));
        assert_eq!(refusal(&[3, 1]), "refresh: row 3 comes before row 1; allowed: ascending, each once");
        assert_eq!(refusal(&[3, 3]), "refresh: row 3 comes before row 3; allowed: ascending, each once");
        assert_eq!(refusal(&[3, 5]), "refresh: row 5; allowed: below 5");
        Ok(())
    }
}
