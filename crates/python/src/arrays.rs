//! Tensors as NumPy's arrays.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

/// The values of `tensor`, and its columns: `(n)` becomes `(1, n)`, more dimensions than two become rows of the first.
pub fn matrix(tensor: &Tensor) -> Result<(Vec<f32>, usize)> {
    let tensor = tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
    let columns = match tensor.dims() {
        [] => 1,
        [columns] => *columns,
        [_, below @ ..] => below.iter().product(),
    };
    Ok((tensor.flatten_all()?.to_vec1()?, columns))
}

/// An array of `values` in so many `columns`, which takes their memory over.
pub fn array<'py>(py: Python<'py>, values: Vec<f32>, columns: usize) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let rows = values.len().checked_div(columns).unwrap_or(0);
    PyArray1::from_vec(py, values).reshape((rows, columns))
}
