//! How well a model does on examples that it was not trained on.

use candle_core::{Result, Tensor};
use candle_nn::Module;

use crate::argmax::first_largest_by_row;
use crate::{Labeled, Loss};

/// What a model made of some examples.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Mean loss.
    pub loss: f32,
    /// Share of the examples that were classified right, in [0, 1].
    pub accuracy: f64,
    /// The class with the largest logit for each example, the lowest of equals.
    pub predictions: Vec<u32>,
}

/// Examples a portion: enough to keep the product busy, few enough to keep its result small.
const PORTION: usize = 1000;

/// Evaluates `model`, whose output is logits `(batch, classes)`.
pub fn evaluate<M: Module + ?Sized>(model: &M, examples: &Labeled, loss: &Loss) -> Result<Evaluation> {
    let mut predictions = Vec::with_capacity(examples.len());
    let mut total = 0.0;
    for portion in examples.portions(PORTION) {
        let portion = portion?;
        let logits = model.forward(portion.inputs())?;
        let mean = f64::from(loss.of(&logits, portion.labels())?.to_scalar::<f32>()?);
        total += mean * portion.len() as f64;
        predictions.extend(first_largest_by_row(&logits)?);
    }
    let labels = examples.labels().to_vec1::<u32>()?;
    let right = predictions.iter().zip(&labels).filter(|(prediction, label)| prediction == label).count();
    let examples = examples.len().max(1) as f64;
    Ok(Evaluation { loss: (total / examples) as f32, accuracy: right as f64 / examples, predictions })
}

/// How often examples of each class (rows) were given each class (columns), `(classes, classes)`.
pub fn confusion_matrix(labels: &Tensor, predictions: &[u32], classes: usize) -> Result<Vec<Vec<u64>>> {
    let mut counts = vec![vec![0; classes]; classes];
    for (label, &prediction) in labels.to_vec1::<u32>()?.into_iter().zip(predictions) {
        match counts.get_mut(label as usize).and_then(|row| row.get_mut(prediction as usize)) {
            Some(count) => *count += 1,
            None => candle_core::bail!("label {label} or prediction {prediction} is not below {classes}"),
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn every_example_is_judged_whatever_the_portions() -> Result<()> {
        let inputs = Tensor::arange(0f32, 2500.0, &Device::Cpu)?.reshape((2500, 1))?;
        let labels = Tensor::from_iter((0..2500u32).map(|index| u32::from(index >= 2000)), &Device::Cpu)?;
        let model = candle_nn::func(|x: &Tensor| Tensor::cat(&[&(x.ones_like()? * 1999.5)?, x], 1));
        let judged = evaluate(&model, &Labeled::new(inputs, labels.clone())?, &Loss::default())?;
        assert_eq!(judged.accuracy, 1.0);
        assert_eq!(confusion_matrix(&labels, &judged.predictions, 2)?, [[2000, 0], [0, 500]]);
        Ok(())
    }
}
