//! MNIST, which the package carries.

use anyhow::{Context, Result};
use hebbian_datasets::{Dataset, Examples};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

use crate::work::detached;

type Arrays<'py> = (Bound<'py, PyArray2<u8>>, Bound<'py, PyArray1<u32>>);

/// Pixels `(images, 784)` and labels `(images)`, for training and for testing.
#[pyfunction]
pub fn mnist(py: Python<'_>) -> PyResult<(Arrays<'_>, Arrays<'_>)> {
    let [train, test] = detached(py, None, |_| {
        let digits = Dataset::mnist()?;
        Ok([values(&digits.train)?, values(&digits.test)?])
    })?;
    Ok((arrays(py, train)?, arrays(py, test)?))
}

/// Pixels, how many an image has, and labels.
type Values = (Vec<u8>, usize, Vec<u32>);

fn values(examples: &Examples) -> Result<Values> {
    let (images, labels) = (examples.images(), examples.labels().context("labels")?);
    Ok((images.flatten_all()?.to_vec1()?, images.dim(1)?, labels.to_vec1()?))
}

fn arrays(py: Python<'_>, (pixels, inputs, labels): Values) -> PyResult<Arrays<'_>> {
    let images = PyArray1::from_vec(py, pixels).reshape((labels.len(), inputs))?;
    Ok((images, PyArray1::from_vec(py, labels)))
}
