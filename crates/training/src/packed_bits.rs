//! Zeros and ones eight to a byte, for files: as `numpy.packbits(tensor, axis=1)` packs them.

use candle_core::{DType, Device, Result, Tensor, bail};

/// The rows of `tensor (rows, columns)`, whose values are 0 and 1, each packed into bytes from the highest bit on:
/// `(rows, columns / 8 rounded up)` u8.
pub(crate) fn pack(tensor: &Tensor) -> Result<Tensor> {
    let (rows, columns) = tensor.dims2()?;
    let values = tensor.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    if let Some(value) = values.iter().flatten().find(|&&value| value != 0.0 && value != 1.0) {
        bail!("holds {value}, but only 0 and 1 can be kept as bits");
    }
    let byte =
        |bits: &[f32]| bits.iter().enumerate().fold(0, |byte, (at, &bit)| byte | (bit as u8) << (7 - at));
    let bytes: Vec<u8> = values.iter().flat_map(|row| row.chunks(8).map(byte)).collect();
    Tensor::from_vec(bytes, (rows, columns.div_ceil(8)), &Device::Cpu)
}

/// The first `columns` bits of each row of `bytes`, as f32 `(rows, columns)`.
pub(crate) fn unpack(bytes: &Tensor, columns: usize) -> Result<Tensor> {
    let (rows, width) = bytes.dims2()?;
    if bytes.dtype() != DType::U8 || width != columns.div_ceil(8) || columns == 0 {
        let (dtype, dims) = (bytes.dtype(), bytes.dims());
        bail!(
            "is {dtype:?} {dims:?}, expected U8 with {} bytes per row for {columns} bits",
            columns.div_ceil(8)
        );
    }
    let bits = |row: Vec<u8>| (0..columns).map(move |at| f32::from(row[at / 8] >> (7 - at % 8) & 1));
    let values: Vec<f32> = bytes.to_vec2::<u8>()?.into_iter().flat_map(bits).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Generator;

    #[test]
    fn what_is_packed_is_unpacked_whatever_the_width() -> Result<()> {
        for columns in [1, 7, 8, 9, 784] {
            let drawn = Generator::new(0, "bits").uniform((5, columns), 0.0, 1.0, &Device::Cpu)?;
            let bits = drawn.ge(0.5)?.to_dtype(DType::F32)?;
            assert_eq!(unpack(&pack(&bits)?, columns)?.to_vec2::<f32>()?, bits.to_vec2::<f32>()?);
        }
        Ok(())
    }

    #[test]
    fn the_first_column_is_the_highest_bit() -> Result<()> {
        let packed = pack(&Tensor::new(&[[1u8, 0, 0, 0, 0, 0, 0, 1, 1]], &Device::Cpu)?)?;
        assert_eq!(packed.to_vec2::<u8>()?, [[0b1000_0001, 0b1000_0000]]);
        Ok(())
    }

    #[test]
    fn a_value_between_and_a_width_that_does_not_fit_are_refused() -> Result<()> {
        let between = pack(&Tensor::new(&[[0f32, 0.5]], &Device::Cpu)?).unwrap_err().to_string();
        assert!(between.starts_with("holds 0.5"), "{between}");
        let narrow = unpack(&Tensor::zeros((2, 3), DType::U8, &Device::Cpu)?, 25).unwrap_err().to_string();
        assert!(narrow.starts_with("is U8 [2, 3], expected U8 with 4 bytes per row for 25 bits"), "{narrow}");
        Ok(())
    }
}
