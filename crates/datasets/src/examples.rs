//! Images with their labels.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// Images and, where it is known, the class of each, on the CPU: as the bytes they were stored as, a quarter of the memory of
/// f32, or as f32 where they are numbers of another range.
///
/// What was checked when the examples were made stays true: there are as many labels as images, and every label is
/// below the number of classes.
#[derive(Clone, Debug)]
pub struct Examples {
    images: Tensor,
    labels: Option<Tensor>,
}

impl Examples {
    /// Puts u8 or f32 `images (examples, inputs)` and u32 `labels (examples)` together.
    ///
    /// # Errors
    /// If a type or shape is another, a tensor is not on the CPU, the numbers of images and labels differ, or a label
    /// is not below `classes`.
    pub fn new(images: Tensor, labels: Tensor, classes: usize) -> Result<Self> {
        let Self { images, .. } = Self::unlabeled(images)?;
        check_form("labels", &labels, &[DType::U32], 1)?;
        let (count, expected) = (labels.dim(0)?, images.dim(0)?);
        if count != expected {
            return Err(unfit(format!("{count} labels"), format!("{expected}, one for each image")));
        }
        let out_of_range = |&label: &u32| label as usize >= classes;
        if let Some(label) = labels.to_vec1()?.into_iter().find(out_of_range) {
            return Err(unfit(format!("label {label}"), format!("labels below {classes}")));
        }
        Ok(Self { images, labels: Some(labels.contiguous()?) })
    }

    /// u8 or f32 `images (examples, inputs)` whose classes are not known.
    ///
    /// # Errors
    /// If the type or shape is another, or the tensor is not on the CPU.
    pub fn unlabeled(images: Tensor) -> Result<Self> {
        check_form("images", &images, &[DType::U8, DType::F32], 2)?;
        Ok(Self { images: images.contiguous()?, labels: None })
    }

    /// The images, u8 or f32 `(examples, inputs)`.
    pub fn images(&self) -> &Tensor {
        &self.images
    }

    /// The class of each image, u32 `(examples)`, where it is known.
    pub fn labels(&self) -> Option<&Tensor> {
        self.labels.as_ref()
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.images.dims()[0]
    }

    /// Whether there are no examples, as in a validation set of size 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of the examples at `indices`, in that order.
    ///
    /// # Errors
    /// If an index is not below [`len`](Self::len).
    pub fn select(&self, indices: &[u32]) -> Result<Self> {
        // candle takes u32::MAX for "no row" and would fill in zeros.
        if let Some(index) = indices.iter().find(|&&index| index as usize >= self.len()) {
            return Err(unfit(format!("index {index}"), format!("indices below {}", self.len())));
        }
        let indices = Tensor::from_slice(indices, indices.len(), &Device::Cpu)?;
        Ok(Self {
            images: self.images.index_select(&indices, 0)?,
            labels: self.labels.as_ref().map(|labels| labels.index_select(&indices, 0)).transpose()?,
        })
    }

    /// The first `count` examples, sharing their memory with these.
    ///
    /// # Errors
    /// If `count` is above [`len`](Self::len).
    pub fn first(&self, count: usize) -> Result<Self> {
        let first = |tensor: &Tensor| tensor.narrow(0, 0, count);
        Ok(Self { images: first(&self.images)?, labels: self.labels.as_ref().map(first).transpose()? })
    }
}

fn check_form(what: &str, tensor: &Tensor, dtypes: &[DType], rank: usize) -> Result<()> {
    if dtypes.contains(&tensor.dtype()) && tensor.rank() == rank && tensor.device().is_cpu() {
        return Ok(());
    }
    let dtypes: Vec<String> = dtypes.iter().map(|dtype| format!("{dtype:?}")).collect();
    let (found, shape, place) = (tensor.dtype(), tensor.dims(), tensor.device().location());
    Err(unfit(
        format!("{what} of type {found:?} and shape {shape:?} on {place:?}"),
        format!("type {} and {rank} dimensions on the CPU", dtypes.join(" or ")),
    ))
}

fn unfit(found: String, expected: String) -> Error {
    Error::Examples { found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Examples {
        let images = Tensor::from_vec(vec![0u8, 1, 10, 11, 20, 21], (3, 2), &Device::Cpu).unwrap();
        let labels = Tensor::from_vec(vec![0u32, 1, 2], 3, &Device::Cpu).unwrap();
        Examples::new(images, labels, 3).unwrap()
    }

    fn refusal(images: &Tensor, labels: &Tensor, classes: usize) -> String {
        Examples::new(images.clone(), labels.clone(), classes).unwrap_err().to_string()
    }

    #[test]
    fn selected_examples_keep_the_order_asked_for() {
        let chosen = three().select(&[2, 0, 2]).unwrap();
        assert_eq!(chosen.images().to_vec2::<u8>().unwrap(), [[20, 21], [0, 1], [20, 21]]);
        assert_eq!(chosen.labels().unwrap().to_vec1::<u32>().unwrap(), [2, 0, 2]);
    }

    #[test]
    fn selecting_nothing_gives_no_examples() {
        let none = three().select(&[]).unwrap();
        assert!(none.is_empty());
        assert_eq!(none.images().dims(), [0, 2]);
    }

    #[test]
    fn an_index_out_of_range_is_refused() {
        for index in [3, u32::MAX] {
            let message = three().select(&[0, index]).unwrap_err().to_string();
            assert_eq!(message, format!("examples: found index {index}, expected indices below 3"));
        }
    }

    #[test]
    fn images_and_labels_that_do_not_belong_together_are_refused() {
        let three = three();
        let (images, labels) = (three.images(), three.labels().unwrap());
        assert_eq!(
            refusal(images, &labels.narrow(0, 0, 2).unwrap(), 3),
            "examples: found 2 labels, expected 3, one for each image"
        );
        assert_eq!(refusal(images, labels, 2), "examples: found label 2, expected labels below 2");
        assert_eq!(
            refusal(&images.to_dtype(DType::F64).unwrap(), labels, 3),
            "examples: found images of type F64 and shape [3, 2] on Cpu, \
             expected type U8 or F32 and 2 dimensions on the CPU"
        );
    }
}
