//! Winner-take-all: the unit that matches a sample best speaks for the class that it wins most.

use candle_core::{Result, Tensor, bail};
use candle_nn::Module;

use crate::argmax::first_largest_by_row;
use crate::{Labeled, first_largest};

/// A classifier without any gradient: each unit votes for one class, and the winner decides.
///
/// A sample's winner is the unit whose direction it matches best, the lowest of equals; a unit's class is the one that
/// it wins most on the training examples, the lowest of equals, and class 0 if it wins none.
#[derive(Clone, Debug)]
pub struct WinnerTakeAll {
    /// Rows of length 1, `(units, inputs)`.
    directions: Tensor,
    votes: Vec<Vec<u32>>,
    /// 1 at each unit's class, `(units, classes)`.
    classes: Tensor,
}

/// Examples a portion: enough to keep the product busy, few enough to keep its result small.
const PORTION: usize = 1000;
const FLOOR: f64 = 1e-12;

impl WinnerTakeAll {
    /// Lets the units of `weights (units, inputs)` compete for `examples` and counts what they win.
    pub fn fit(weights: &Tensor, examples: &Labeled, classes: usize) -> Result<Self> {
        let lengths = weights.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(FLOOR)?;
        let directions = weights.broadcast_div(&lengths)?;
        let mut votes = vec![vec![0; classes]; weights.dim(0)?];
        for portion in examples.portions(PORTION) {
            let portion = portion?;
            let winners = winners(&directions, portion.inputs())?;
            for (unit, label) in winners.into_iter().zip(portion.labels().to_vec1::<u32>()?) {
                match votes[unit as usize].get_mut(label as usize) {
                    Some(count) => *count += 1,
                    None => bail!("label {label} is not below the number of classes ({classes})"),
                }
            }
        }
        let one_hot: Vec<f32> = votes.iter().flat_map(|votes| one_hot(votes)).collect();
        let classes = Tensor::from_vec(one_hot, (votes.len(), classes), weights.device())?;
        Ok(Self { directions, votes, classes })
    }

    /// The unit that each sample goes to, `(batch)` u32.
    pub fn winners(&self, inputs: &Tensor) -> Result<Tensor> {
        Tensor::new(winners(&self.directions, inputs)?, inputs.device())
    }

    /// How often each unit won examples of each class, `(units, classes)`.
    pub fn votes(&self) -> &[Vec<u32>] {
        &self.votes
    }

    /// How many units won no example at all.
    pub fn idle_units(&self) -> usize {
        self.votes.iter().filter(|votes| votes.iter().all(|&count| count == 0)).count()
    }

    /// A readout's first weights `(classes, units)`: 1 from each unit to its class, `elsewhere` to all others.
    pub fn readout(&self, elsewhere: f64) -> Result<Tensor> {
        self.classes.affine(1.0 - elsewhere, elsewhere)?.t()?.contiguous()
    }
}

impl Module for WinnerTakeAll {
    /// 1 for the winner's class and 0 for all others, `(batch, classes)`.
    fn forward(&self, inputs: &Tensor) -> Result<Tensor> {
        self.classes.index_select(&self.winners(inputs)?, 0)
    }
}

fn winners(directions: &Tensor, inputs: &Tensor) -> Result<Vec<u32>> {
    first_largest_by_row(&inputs.matmul(&directions.t()?)?)
}

fn one_hot(votes: &[u32]) -> Vec<f32> {
    let most = first_largest(votes);
    (0..votes.len()).map(|class| if class == most { 1.0 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    fn examples(inputs: &[[f32; 2]], labels: &[u32]) -> Result<Labeled> {
        let inputs = Tensor::from_slice(inputs.as_flattened(), (inputs.len(), 2), &Device::Cpu)?;
        Labeled::new(inputs, Tensor::new(labels, &Device::Cpu)?)
    }

    #[test]
    fn the_winner_speaks_for_the_class_that_it_wins_most() -> Result<()> {
        let weights = Tensor::new(&[[5f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
        let seen = examples(&[[1.0, 0.1], [2.0, 0.0], [1.0, 0.0], [0.1, 1.0]], &[2, 2, 0, 1])?;
        let vote = WinnerTakeAll::fit(&weights, &seen, 3)?;
        assert_eq!(vote.votes(), [[1, 0, 2], [0, 1, 0]]);
        let answers = vote.forward(&Tensor::new(&[[3f32, 1.0], [0.0, 9.0]], &Device::Cpu)?)?;
        assert_eq!(answers.to_vec2::<f32>()?, [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]);
        assert_eq!(vote.readout(0.25)?.to_vec2::<f32>()?, [[0.25, 0.25], [0.25, 1.0], [1.0, 0.25]]);
        Ok(())
    }

    #[test]
    fn ties_go_to_the_lowest_unit_and_the_lowest_class_and_idle_units_to_class_0() -> Result<()> {
        let weights = Tensor::new(&[[1f32, 0.0], [1.0, 0.0], [0.0, 1.0]], &Device::Cpu)?;
        let vote = WinnerTakeAll::fit(&weights, &examples(&[[1.0, 0.0], [1.0, 0.0]], &[2, 1])?, 3)?;
        assert_eq!(vote.votes(), [[0, 1, 1], [0, 0, 0], [0, 0, 0]]);
        assert_eq!(vote.idle_units(), 2);
        let classes = vote.readout(0.0)?.t()?.to_vec2::<f32>()?;
        assert_eq!(classes, [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]);
        Ok(())
    }

    #[test]
    fn a_label_beyond_the_classes_is_refused() -> Result<()> {
        let weights = Tensor::ones((2, 2), DType::F32, &Device::Cpu)?;
        let refused = WinnerTakeAll::fit(&weights, &examples(&[[1.0, 0.0]], &[3])?, 3).unwrap_err();
        assert!(refused.to_string().starts_with("label 3 is not below the number of classes (3)"));
        Ok(())
    }
}
