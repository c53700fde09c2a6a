//! The native half of the Python package `hebbian`: rules, readouts and models on NumPy's arrays. The other half, in
//! `python/hebbian`, is what people see of it.
#![forbid(unsafe_code)]

mod arrays;
mod devices;
mod digits;
mod failure;
mod layer;
mod learning;
mod memory;
mod model;
mod parameters;
mod rows;
mod spec;
mod supervised;
mod values;
mod work;

#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use super::digits::mnist;
    #[pymodule_export]
    use super::layer::Layer;
    #[pymodule_export]
    use super::model::SavedModel;
    #[pymodule_export]
    use super::parameters::{keywords_of, parameters};
    #[pymodule_export]
    use super::supervised::{count_votes, train_readout};
}
