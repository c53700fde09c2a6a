//! A layer with what is before and behind it.

use candle_core::{DType, Device, Tensor};
use candle_nn::Module;
use candle_nn::ops::softmax_last_dim;
use hebbian::LearningRule;
use hebbian_classifier::{Features, SoftmaxRegression, encode, first_largest};
use hebbian_datasets::{DatasetSummary, ImageShape};
use hebbian_training::{State, Training, all_finite};

use crate::{Description, Encoding, Error, Preprocess, Result};

/// A trained layer with all that it takes to answer about images: how pixels become its inputs, how its answer becomes
/// features, and the readout on them.
///
/// A model begins as a rule alone and is completed by the `with_` functions.
pub struct Model {
    pub(crate) rule: Box<dyn LearningRule>,
    pub(crate) description: Description,
    pub(crate) features: Option<Features>,
    pub(crate) readout: Option<SoftmaxRegression>,
    pub(crate) training: Option<Training>,
    image: Option<ImageShape>,
    inputs: usize,
    device: Device,
}

impl Model {
    /// The model that is nothing but `rule`: it takes u8 pixels, which it scales, and its features are what the rule's
    /// `forward` gives.
    pub fn new(rule: Box<dyn LearningRule>) -> Result<Self> {
        Self::described(rule, Description::default())
    }

    pub(crate) fn described(rule: Box<dyn LearningRule>, description: Description) -> Result<Self> {
        let inputs = rule.inputs();
        let device = rule.tensors()?.values().next().map_or(Device::Cpu, |tensor| tensor.device().clone());
        let image = description.image_shape(inputs)?;
        Ok(Self { rule, description, features: None, readout: None, training: None, image, inputs, device })
    }

    /// The same model for images of this shape.
    ///
    /// # Errors
    /// If such images have another number of values than the layer has inputs.
    pub fn with_image(mut self, shape: ImageShape) -> Result<Self> {
        self.description.image = Description::of_images(shape).image;
        self.image = self.description.image_shape(self.inputs)?;
        Ok(self)
    }

    /// The same model with another preparation of its images.
    pub fn with_preprocess(mut self, preprocess: Preprocess) -> Self {
        self.description.preprocess = preprocess;
        self
    }

    /// The same model with another encoding; one that scales its features takes the scale from the training `inputs
    /// (examples, inputs)`, which are prepared already.
    ///
    /// # Errors
    /// If the encoding's config is refused, or if there is a readout that takes another number of features.
    pub fn with_encoding(mut self, encoding: Encoding, inputs: &Tensor) -> Result<Self> {
        self.features = match &encoding {
            Encoding::Layer => None,
            Encoding::Power { features, weights } => {
                Some(Features::fit(features.clone(), weights.of(&*self.rule)?, inputs)?)
            }
        };
        self.description.encoding = encoding;
        self.checked()
    }

    /// The same model with a readout: the state `weight (classes, features)` and, if it has one, `bias (classes)`, of a
    /// softmax or a logistic regression.
    ///
    /// # Errors
    /// If the tensors have other names or shapes, or if the model has another number of features.
    pub fn with_readout(mut self, readout: &State) -> Result<Self> {
        let moved = readout.iter().map(|(name, tensor)| Ok((name.clone(), tensor.to_device(&self.device)?)));
        let moved = moved.collect::<candle_core::Result<State>>()?;
        self.readout = Some(SoftmaxRegression::from_state(&moved)?);
        self.checked()
    }

    /// The same model with names for its classes, from class 0 on.
    ///
    /// # Errors
    /// If there is a readout with another number of classes.
    pub fn with_class_names(mut self, names: Vec<String>) -> Result<Self> {
        self.description.class_names = Some(names);
        self.checked()
    }

    /// The same model with the dataset that it has learned from. One of numbers that are no bytes is taken as it is.
    pub fn with_dataset(mut self, dataset: DatasetSummary) -> Self {
        if dataset.dtype == "f32" {
            self.description.preprocess = Preprocess::None;
        }
        self.description.dataset = Some(dataset);
        self
    }

    /// The same model with the record of its training, which is then saved with it: the training can go on from the file.
    pub fn with_training(mut self, training: Training) -> Self {
        self.training = Some(training);
        self
    }

    /// Refuses a readout that takes other features than there are, and names of other classes than it has.
    pub(crate) fn checked(self) -> Result<Self> {
        let Some(weight) = self.readout_weight()? else { return Ok(self) };
        let dtype = if self.description.preprocess.takes_numbers() { DType::F32 } else { DType::U8 };
        let blank = Tensor::zeros((1, self.inputs), dtype, &Device::Cpu)?;
        let ((classes, taken), given) = (weight.dims2()?, self.transform(&blank)?.dim(1)?);
        if taken != given {
            return Err(Error::Mismatch(format!(
                "the readout takes {taken} features, but there are {given}"
            )));
        }
        match &self.description.class_names {
            Some(names) if names.len() != classes => {
                Err(Error::Mismatch(format!("{} names for {classes} classes", names.len())))
            }
            _ => Ok(self),
        }
    }

    /// The layer, to learn on.
    pub fn into_rule(self) -> Box<dyn LearningRule> {
        self.rule
    }

    /// The layer.
    pub fn rule(&self) -> &dyn LearningRule {
        &*self.rule
    }

    /// The shape of the images that it takes; none for a layer of other inputs.
    pub fn image(&self) -> Option<ImageShape> {
        self.image
    }

    /// The dataset that it has learned from, where that is recorded.
    pub fn dataset(&self) -> Option<&DatasetSummary> {
        self.description.dataset.as_ref()
    }

    /// What becomes of images before the layer sees them.
    pub fn preprocess(&self) -> Preprocess {
        self.description.preprocess
    }

    /// What the classes are called, where they have names.
    pub fn class_names(&self) -> Option<&[String]> {
        self.description.class_names.as_deref()
    }

    /// How inputs become features.
    pub fn encoding(&self) -> &Encoding {
        &self.description.encoding
    }

    /// How it was trained, where that is recorded.
    pub fn training(&self) -> Option<&Training> {
        self.training.as_ref()
    }

    /// The readout, which takes [features](Self::transform).
    pub fn readout(&self) -> Option<&SoftmaxRegression> {
        self.readout.as_ref()
    }

    /// The readout's weights `(classes, features)`.
    pub fn readout_weight(&self) -> Result<Option<Tensor>> {
        let state = self.readout.as_ref().map(SoftmaxRegression::state).transpose()?;
        Ok(state.and_then(|mut state| state.remove("weight")))
    }

    /// How many classes it knows: none without a readout.
    pub fn classes(&self) -> Result<Option<usize>> {
        Ok(self.readout_weight()?.map(|weight| weight.dim(0)).transpose()?)
    }

    /// What `class` is called: its name, or its number where it has none.
    pub fn class_name(&self, class: usize) -> String {
        let names = self.description.class_names.as_ref();
        names.and_then(|names| names.get(class)).cloned().unwrap_or_else(|| class.to_string())
    }

    /// The part from prepared inputs `(images, inputs)` to features `(images, features)`.
    pub fn encoder(&self) -> &dyn Module {
        match &self.features {
            Some(features) => features,
            None => &*self.rule,
        }
    }

    /// The features `(images, features)` of `images (images, inputs)`: u8 pixels, unless [`Preprocess::None`] takes inputs
    /// as they are.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if one of them is not finite.
    pub fn transform(&self, images: &Tensor) -> Result<Tensor> {
        let inputs = self.description.preprocess.apply(images, &self.device)?;
        let features = match self.features.is_none() && self.rule.is_sequential() {
            true => self.rule.forward(&inputs)?,
            false => encode(self.encoder(), &inputs)?,
        };
        finite(features, "features")
    }

    /// The readout's score of each class, `(images, classes)`, for `images (images, inputs)`.
    ///
    /// # Errors
    /// [`Error::NoReadout`] without a readout, [`Error::NotFinite`] if a score is not finite.
    pub fn scores(&self, images: &Tensor) -> Result<Tensor> {
        let readout = self.readout.as_ref().ok_or(Error::NoReadout)?;
        finite(readout.forward(&self.transform(images)?)?, "scores")
    }

    /// The probability of each class, `(images, classes)`: the softmax of the [scores](Self::scores).
    pub fn probabilities(&self, images: &Tensor) -> Result<Tensor> {
        Ok(softmax_last_dim(&self.scores(images)?)?)
    }

    /// The class of each of `images (images, inputs)`: the one with the largest score, the lowest of equals.
    pub fn predict(&self, images: &Tensor) -> Result<Vec<u32>> {
        Ok(self.scores(images)?.to_vec2::<f32>()?.iter().map(|scores| first_largest(scores) as u32).collect())
    }
}

fn finite(answer: Tensor, what: &'static str) -> Result<Tensor> {
    if all_finite(&answer)? { Ok(answer) } else { Err(Error::NotFinite(what)) }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rule, description, readout, .. } = self;
        let parts = (rule.name(), description, readout.is_some());
        f.debug_struct("Model")
            .field("rule", &parts.0)
            .field("description", parts.1)
            .field("reads_out", &parts.2)
            .finish()
    }
}
