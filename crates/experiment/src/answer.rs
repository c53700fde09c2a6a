//! What a model says of an image, in words and as a picture.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use hebbian_datasets::transforms;
use hebbian_model::Model;
use hebbian_plots::{Explanation, Picture, VotingUnit};

/// The classes of one image, and how probable the model finds each.
pub struct Answer<'m> {
    model: &'m Model,
    probabilities: Vec<f32>,
}

/// Units that an explanation shows.
const UNITS: usize = 6;

impl<'m> Answer<'m> {
    /// What `model` says of each of the images in `pixels (images, inputs)`.
    ///
    /// # Errors
    /// If the model has no readout, or does not take the images.
    pub fn all(model: &'m Model, pixels: &Tensor) -> Result<Vec<Self>> {
        let probabilities = model.probabilities(pixels)?.to_vec2::<f32>()?;
        Ok(probabilities.into_iter().map(|probabilities| Self { model, probabilities }).collect())
    }

    /// The most probable class, the lowest of equals.
    pub fn class(&self) -> u32 {
        self.ranking()[0] as u32
    }

    /// The names of the `top` most probable classes, with how probable they are.
    pub fn text(&self, top: usize) -> String {
        let class = |&class: &usize| {
            format!("{} {:.1} %", self.model.class_name(class), 100.0 * self.probabilities[class])
        };
        self.ranking().iter().take(top).map(class).collect::<Vec<_>>().join("  ")
    }

    /// All classes, the most probable first, the lowest of equals.
    fn ranking(&self) -> Vec<usize> {
        let mut classes: Vec<usize> = (0..self.probabilities.len()).collect();
        classes.sort_by(|&one, &other| self.probabilities[other].total_cmp(&self.probabilities[one]));
        classes
    }

    /// A picture of the image, `pixels (1, inputs)`, beside the units with the largest features, those of equal ones that say
    /// most about the class, and what each adds to the scores. Only differences between scores count, so that each unit's
    /// votes are told from their mean.
    ///
    /// # Errors
    /// If the model has no readout or takes no images.
    pub fn explain(&self, name: &str, pixels: &Tensor) -> Result<Picture> {
        let (model, class) = (self.model, self.class() as usize);
        let features = model.transform(pixels)?.flatten_all()?.to_vec1::<f32>()?;
        let readout = model.readout_weight()?.context("a readout")?.to_device(&Device::Cpu)?;
        let readout = readout.t()?.contiguous()?.to_vec2::<f32>()?;
        let votes = |unit: usize| {
            let mean = readout[unit].iter().sum::<f32>() / readout[unit].len() as f32;
            readout[unit].iter().map(|weight| features[unit] * (weight - mean)).collect::<Vec<f32>>()
        };
        let say = |unit: usize| features[unit] * readout[unit][class];
        let mut winners: Vec<usize> = (0..features.len()).collect();
        winners.sort_by(|&one, &other| {
            features[other].total_cmp(&features[one]).then(say(other).total_cmp(&say(one)))
        });
        winners.truncate(UNITS);
        let weights = model.rule().weights()?.to_device(&Device::Cpu)?;
        let weights = winners.iter().map(|&unit| weights.get(unit)?.to_vec1::<f32>());
        let weights = weights.collect::<candle_core::Result<Vec<_>>>()?;
        let votes: Vec<Vec<f32>> = winners.iter().map(|&unit| votes(unit)).collect();
        let units = winners.iter().zip(&weights).zip(&votes).map(|((unit, weights), votes)| VotingUnit {
            name: format!("unit {unit}, response {:.2}", features[*unit]),
            weights,
            votes,
        });
        let input = self.brightness(pixels)?;
        let shape = model.image().context("images")?;
        let explanation = Explanation {
            title: format!("{name}: {}", self.text(3)),
            input: &input,
            image: (shape.height, shape.width),
            probabilities: &self.probabilities,
            class_names: model.class_names().unwrap_or_default(),
            units: units.collect(),
        };
        Ok(explanation.draw()?)
    }

    /// The values of one image as brightness, from the least to the largest number that the model has learned from.
    fn brightness(&self, pixels: &Tensor) -> Result<Vec<f32>> {
        let values = transforms::inputs(pixels, &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        let Some(dataset) = self.model.dataset().filter(|_| pixels.dtype() == DType::F32) else {
            return Ok(values);
        };
        let [least, most] = dataset.range;
        Ok(values.into_iter().map(|value| (value - least) / (most - least).max(f32::MIN_POSITIVE)).collect())
    }
}
