//! A saved model: it answers as the programs of Rust do.

use std::path::PathBuf;

use anyhow::{Result, bail};
use candle_core::{Device, Tensor};
use hebbian::Registry;
use hebbian_experiment::{ImageSet, Takes, TrainedFrom};
use hebbian_model::Model;
use numpy::{Element, PyArray1, PyArray2, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arrays::{array, matrix};
use crate::devices::open;
use crate::failure::exception;
use crate::work::detached;

/// Images answered at once, as the programs of Rust do.
const PORTION: usize = 1000;

/// A layer with what is before and behind it.
#[pyclass(module = "hebbian._native", frozen)]
pub struct SavedModel {
    model: Model,
    device: Device,
}

/// Images `(images, values)` in memory of our own.
#[derive(FromPyObject)]
enum Images<'py> {
    Bytes(PyReadonlyArray2<'py, u8>),
    Numbers(PyReadonlyArray2<'py, f32>),
    Files(Vec<PathBuf>),
}

/// What a model gives for each image.
type Answer = fn(&Model, &Tensor) -> hebbian_model::Result<Tensor>;

#[pymethods]
impl SavedModel {
    /// The model in the file at `path`.
    #[staticmethod]
    #[pyo3(signature = (path, *, device="cpu"))]
    fn load(py: Python<'_>, path: PathBuf, device: &str) -> PyResult<Self> {
        let device = open(device)?;
        let model = detached(py, None, |_| Ok(Model::load(&path, &Registry::builtin(), &device)?))?;
        Ok(Self { model, device })
    }

    /// The published layer of this name.
    #[staticmethod]
    #[pyo3(signature = (name, *, device="cpu"))]
    fn published(py: Python<'_>, name: String, device: &str) -> PyResult<Self> {
        let device = open(device)?;
        let from = TrainedFrom { pretrained: Some(name), checkpoint: None };
        let model = detached(py, None, |_| from.load(&device))?;
        Ok(Self { model, device })
    }

    /// The probability of each class, `(images, classes)`.
    #[pyo3(signature = (images, *, invert=false, threads=None))]
    fn probabilities<'py>(
        &self,
        py: Python<'py>,
        images: Images<'py>,
        invert: bool,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        self.answer(py, images, invert, threads, Model::probabilities)
    }

    /// The features, `(images, features)`.
    #[pyo3(signature = (images, *, invert=false, threads=None))]
    fn transform<'py>(
        &self,
        py: Python<'py>,
        images: Images<'py>,
        invert: bool,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        self.answer(py, images, invert, threads, Model::transform)
    }

    /// The number of each image's class, `(images)`.
    #[pyo3(signature = (images, *, invert=false, threads=None))]
    fn predict<'py>(
        &self,
        py: Python<'py>,
        images: Images<'py>,
        invert: bool,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let images = self.read(py, images, invert)?;
        let classes = detached(py, threads, |_| {
            let mut classes = Vec::new();
            portions(&images, |portion| {
                classes.extend(self.model.predict(portion)?);
                Ok(())
            })?;
            Ok(classes)
        })?;
        Ok(PyArray1::from_vec(py, classes))
    }

    /// Values per image.
    #[getter]
    fn inputs(&self) -> usize {
        self.model.rule().inputs()
    }

    /// Height, width and values per pixel of the images, where it takes images.
    #[getter]
    fn image(&self) -> Option<(usize, usize, usize)> {
        self.model.image().map(|shape| (shape.height, shape.width, shape.channels))
    }

    /// Whether it takes any numbers, where others take bytes.
    #[getter]
    fn takes_numbers(&self) -> bool {
        self.model.preprocess().takes_numbers()
    }

    /// What the classes are called; none without a readout.
    #[getter]
    fn class_names(&self) -> PyResult<Option<Vec<String>>> {
        let classes = self.model.classes().map_err(|error| exception(error.into()))?;
        Ok(classes.map(|classes| (0..classes).map(|class| self.model.class_name(class)).collect()))
    }

    /// The name of the rule.
    #[getter]
    fn rule(&self) -> &'static str {
        self.model.rule().name()
    }

    /// A copy of the layer's weights, `(units, inputs)`.
    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (values, columns) = detached(py, None, |_| matrix(&self.model.rule().weights()?))?;
        array(py, values, columns)
    }

    /// The bytes of the model's file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = detached(py, None, |_| self.model.checkpoint()?.to_bytes().map_err(anyhow::Error::msg))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The model in these bytes of a file.
    #[staticmethod]
    #[pyo3(signature = (bytes, *, device="cpu"))]
    fn from_bytes(py: Python<'_>, bytes: &[u8], device: &str) -> PyResult<Self> {
        let device = open(device)?;
        let model = detached(py, None, |_| {
            let checkpoint = hebbian_training::Checkpoint::from_bytes(bytes, &device);
            Ok(Model::from_checkpoint(&checkpoint.map_err(anyhow::Error::msg)?, &Registry::builtin())?)
        })?;
        Ok(Self { model, device })
    }
}

impl SavedModel {
    fn answer<'py>(
        &self,
        py: Python<'py>,
        images: Images<'py>,
        invert: bool,
        threads: Option<usize>,
        answer: Answer,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let images = self.read(py, images, invert)?;
        let (values, columns) = detached(py, threads, |_| {
            if self.model.rule().is_sequential() {
                return matrix(&answer(&self.model, &images)?);
            }
            let (mut all, mut columns) = (Vec::new(), 0);
            portions(&images, |portion| {
                let (values, width) = matrix(&answer(&self.model, portion)?)?;
                columns = width;
                all.extend(values);
                Ok(())
            })?;
            Ok((all, columns))
        })?;
        array(py, values, columns)
    }

    /// The images as the model takes them; those of files as the program `predict` reads them.
    fn read(&self, py: Python<'_>, images: Images<'_>, invert: bool) -> PyResult<Tensor> {
        match images {
            Images::Bytes(array) => tensor(&array, &self.device),
            Images::Numbers(array) => tensor(&array, &self.device),
            Images::Files(paths) => detached(py, None, |_| {
                let set = ImageSet::read(&paths, Takes::of(&self.model)?, invert);
                match set.failures() {
                    0 => set.images(),
                    failures => {
                        bail!("{failures} of the image files could not be read; why, was written to stderr")
                    }
                }
            }),
        }
    }
}

fn tensor<T: Element + candle_core::WithDType>(
    array: &PyReadonlyArray2<'_, T>,
    device: &Device,
) -> PyResult<Tensor> {
    let values = array.as_slice().map_err(|error| exception(anyhow::anyhow!("images: {error}")))?;
    Tensor::from_slice(values, array.shape(), device).map_err(|error| exception(error.into()))
}

fn portions(images: &Tensor, mut answer: impl FnMut(&Tensor) -> Result<()>) -> Result<()> {
    let count = images.dim(0)?;
    let mut starts = (0..count).step_by(PORTION);
    starts.try_for_each(|start| answer(&images.narrow(0, start, PORTION.min(count - start))?))
}
