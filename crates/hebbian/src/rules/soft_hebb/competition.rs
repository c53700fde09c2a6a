//! How much each unit learns from a sample: a softmax with the sign of who won.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::ops::blocks::{Block, blocks_mut};
use crate::ops::{NEGLIGIBLE, exp, sum_of};

/// How the units compete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Competition {
    pub inverse_temperature: f32,
    /// Whether all but each sample's first maximum are negative.
    pub anti_hebbian: bool,
    /// Whether what is not above the units' mean current is 0.
    pub rectified: bool,
}

/// What came of a competition of units for samples.
pub(super) struct Outcome {
    /// The unit with the first maximum of each sample.
    pub winners: Vec<u32>,
    /// For each unit the sum of its activity times its current over the samples.
    pub decay: Vec<f32>,
}

/// Samples that a task takes: their currents stay in a core's cache. Sums over samples begin anew with each task, so that
/// their bits do not depend on who computes it.
const SAMPLES: usize = 64;

impl Competition {
    /// Lets the units compete for each column of `currents (units, samples)`, which become rectified where they are to.
    ///
    /// Writes the softmax of the inverse temperature times the currents over the units, signed, to `activity (units, samples)`.
    /// What is below 1e-30 is 0, since products with subnormal numbers take many times longer.
    pub fn compete(self, currents: &mut [f32], units: usize, activity: &mut [f32]) -> Outcome {
        let samples = currents.len() / units;
        let mut winners = vec![0u32; samples];
        let currents = blocks_mut(currents, samples, units, SAMPLES).into_par_iter();
        let tasks = currents.zip(blocks_mut(activity, samples, units, SAMPLES));
        let tasks = tasks.zip(winners.par_chunks_mut(SAMPLES));
        let shares = tasks.map(|((currents, activity), winners)| {
            Arch::new().dispatch(Task { competition: self, currents, activity, winners })
        });
        let shares: Vec<Vec<f32>> = shares.collect();
        let mut decay = vec![0f32; units];
        for share in shares {
            decay.iter_mut().zip(share).for_each(|(sum, share)| *sum += share);
        }
        Outcome { winners, decay }
    }
}

/// Some samples.
struct Task<'a> {
    competition: Competition,
    currents: Block<'a>,
    activity: Block<'a>,
    winners: &'a mut [u32],
}

impl WithSimd for Task<'_> {
    type Output = Vec<f32>;

    /// Returns the decay of each unit by these samples.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> Vec<f32> {
        if self.competition.rectified {
            self.rectify();
        }
        let largest = self.find_winners();
        let totals = self.exponentials(&largest);
        self.shares(&totals)
    }
}

impl Task<'_> {
    #[inline(always)]
    fn rectify(&mut self) {
        let mut mean = [0f32; SAMPLES];
        for unit in 0..self.currents.rows {
            mean.iter_mut().zip(self.currents.row(unit)).for_each(|(sum, current)| *sum += *current);
        }
        mean.iter_mut().for_each(|sum| *sum /= self.currents.rows as f32);
        for unit in 0..self.currents.rows {
            for (current, mean) in self.currents.row(unit).iter_mut().zip(&mean) {
                // What is not a number stays so.
                *current = if *current < *mean { 0.0 } else { *current - mean };
            }
        }
    }

    #[inline(always)]
    fn find_winners(&mut self) -> [f32; SAMPLES] {
        let (mut largest, mut winner) = ([f32::NEG_INFINITY; SAMPLES], [0u32; SAMPLES]);
        for unit in 0..self.currents.rows {
            let best = largest.iter_mut().zip(&mut winner).zip(self.currents.row(unit));
            for ((largest, winner), &mut current) in best {
                *winner = if current > *largest { unit as u32 } else { *winner };
                *largest = if current > *largest { current } else { *largest };
            }
        }
        self.winners.copy_from_slice(&winner[..self.winners.len()]);
        largest
    }

    #[inline(always)]
    fn exponentials(&mut self, largest: &[f32; SAMPLES]) -> [f32; SAMPLES] {
        let mut totals = [0f32; SAMPLES];
        for unit in 0..self.currents.rows {
            let samples = self.activity.row(unit).iter_mut().zip(self.currents.row(unit));
            for ((activity, current), (largest, total)) in samples.zip(largest.iter().zip(&mut totals)) {
                *activity = exp((*current - largest) * self.competition.inverse_temperature);
                *total += *activity;
            }
        }
        totals
    }

    #[inline(always)]
    fn shares(&mut self, totals: &[f32; SAMPLES]) -> Vec<f32> {
        let others = if self.competition.anti_hebbian { -1.0 } else { 1.0 };
        let mut decay = vec![0f32; self.currents.rows];
        for (unit, decay) in decay.iter_mut().enumerate() {
            let mut products = [0f32; SAMPLES];
            let samples = self.activity.row(unit).iter_mut().zip(self.currents.row(unit));
            let samples = samples.zip(totals.iter().zip(&*self.winners)).zip(&mut products);
            for (((activity, current), (total, &winner)), product) in samples {
                let share = *activity / total;
                let sign = if winner == unit as u32 { 1.0 } else { others };
                // A sum that is not a number is kept: the step then fails.
                *activity = if share < NEGLIGIBLE { 0.0 } else { sign * share };
                *product = *activity * *current;
            }
            *decay = sum_of(&products, |product| product);
        }
        decay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOFT: Competition = Competition { inverse_temperature: 1.0, anti_hebbian: true, rectified: false };

    fn compete(competition: Competition, currents: &mut [f32]) -> (Vec<f32>, Outcome) {
        let mut activity = vec![f32::NAN; currents.len()];
        let outcome = competition.compete(currents, currents.len(), &mut activity);
        (activity, outcome)
    }

    #[test]
    fn the_first_of_equal_currents_wins_and_the_activity_of_a_sample_is_one() {
        let (activity, outcome) = compete(SOFT, &mut [1f32, 3.0, 3.0, -200.0]);
        assert_eq!(outcome.winners, [1]);
        assert!(activity[1] > 0.0 && activity[2] == -activity[1] && activity[0] < 0.0);
        assert!(activity[3] == 0.0, "what is negligible is nothing: {activity:?}");
        let total: f32 = activity.iter().map(|share| share.abs()).sum();
        assert!((total - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let (activity, _) = compete(SOFT, &mut [1f32, f32::NAN, 0.0]);
        assert!(activity.iter().any(|share| share.is_nan()));
    }

    #[test]
    fn rectified_units_compete_with_what_is_above_their_mean() {
        let mut currents = [1f32, 2.0, 6.0];
        let (activity, outcome) = compete(Competition { rectified: true, ..SOFT }, &mut currents);
        assert_eq!(currents, [0.0, 0.0, 3.0]);
        assert!((activity[2] - 1.0 / (1.0 + 2.0 * (-3f32).exp())).abs() < 1e-6);
        assert!((outcome.decay[2] - 3.0 * activity[2]).abs() < 1e-6);
    }
}
