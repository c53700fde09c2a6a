//! Where patterns settle one after the other, on the CPU.

use pulp::Simd;

use super::lateral::{LANES, Lateral};
use super::logistic::squash;
use super::settling::Settling;
use super::symmetric::Symmetric;

/// One pattern, and what its units do while they settle. Past the last unit lanes never fire, so that what they hold does
/// not matter.
pub(super) struct Basin {
    /// What the inputs bring, `d`.
    pub(super) drive: Vec<f64>,
    /// The outputs.
    pub(super) y: Vec<f64>,
    /// `d - t`, and past the last unit what keeps a lane at 0.
    excess: Vec<f64>,
    /// What the units receive from each other.
    received: Vec<f64>,
    /// What they receive it through, if that is the same in both directions between many units.
    symmetric: Option<Symmetric>,
}

impl Basin {
    pub(super) fn new(units: usize) -> Self {
        let lanes = |value: f64| vec![value; units.next_multiple_of(LANES)];
        Self {
            drive: lanes(0.0),
            y: lanes(0.0),
            excess: lanes(f64::NEG_INFINITY),
            received: lanes(0.0),
            symmetric: None,
        }
    }

    /// Makes `y` the outputs for the `drive`. `outgoing` is wᵀ.
    #[inline(always)]
    pub(super) fn settle<S: Simd>(
        &mut self,
        simd: S,
        outgoing: &Lateral,
        thresholds: &[f32],
        settling: &Settling,
    ) {
        for ((excess, drive), &threshold) in self.excess.iter_mut().zip(&self.drive).zip(thresholds) {
            *excess = drive - f64::from(threshold);
        }
        match *settling {
            Settling::OneShot => self.settle_at_once(outgoing),
            Settling::Equilibrium { slope, time_step, iterations, tolerance } => {
                self.halve(outgoing, thresholds.len());
                self.y.fill(0.0);
                self.received.fill(0.0);
                for iteration in 0..iterations {
                    // All outputs begin at 0, of which nothing is received.
                    if iteration > 0 {
                        self.exchange(simd, outgoing);
                    }
                    let largest = self.step(slope, time_step);
                    if tolerance > 0.0
                        && !largest.iter().fold(false, |any, slope| any | (*slope >= tolerance))
                    {
                        break;
                    }
                }
            }
        }
    }

    /// What is learned from outputs of 0 and 1 is symmetric, so that weights that once are remain so.
    #[inline(always)]
    fn halve(&mut self, outgoing: &Lateral, units: usize) {
        if self.symmetric.is_none() && units > Symmetric::FEW && outgoing.is_symmetric() {
            self.symmetric = Some(Symmetric::new(units));
        }
        if let Some(symmetric) = &mut self.symmetric {
            symmetric.copy(outgoing);
        }
    }

    #[inline(always)]
    fn exchange<S: Simd>(&mut self, simd: S, outgoing: &Lateral) {
        match &mut self.symmetric {
            Some(symmetric) => symmetric.multiply(simd, &self.y, &mut self.received),
            None => outgoing.multiply(&self.y, &mut self.received),
        }
    }

    /// One step of Euler's method; returns the largest |dy/dt| of each lane.
    #[inline(always)]
    fn step(&mut self, slope: f64, time_step: f64) -> [f64; LANES] {
        let mut largest = [0f64; LANES];
        let lanes = self.excess.as_chunks::<LANES>().0.iter().zip(self.received.as_chunks::<LANES>().0);
        for ((excess, received), y) in lanes.zip(self.y.as_chunks_mut::<LANES>().0) {
            for lane in 0..LANES {
                let change = squash(slope * (excess[lane] + received[lane])) - y[lane];
                y[lane] += time_step * change;
                largest[lane] = if change.abs() > largest[lane] { change.abs() } else { largest[lane] };
            }
        }
        largest
    }

    #[inline(always)]
    fn settle_at_once(&mut self, outgoing: &Lateral) {
        outgoing.multiply(&self.drive, &mut self.received);
        for ((excess, received), y) in self.excess.iter().zip(&self.received).zip(&mut self.y) {
            *y = squash(excess + received);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    const UNITS: usize = 40;

    struct Settle<'a>(&'a mut Basin, &'a Lateral);

    impl WithSimd for Settle<'_> {
        type Output = Vec<f64>;

        fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
            let Self(basin, outgoing) = self;
            for (unit, drive) in basin.drive.iter_mut().take(UNITS).enumerate() {
                *drive = 1.0 / (1 + unit) as f64;
            }
            let settling =
                Settling::Equilibrium { slope: 10.0, time_step: 0.1, iterations: 20, tolerance: 0.0 };
            basin.settle(simd, outgoing, &[0.1; UNITS], &settling);
            basin.y[..UNITS].to_vec()
        }
    }

    #[test]
    fn it_matters_to_no_bit_whether_weights_became_symmetric_in_this_sequence_or_before() {
        let weights = |skew: f32| {
            let weight = |at: usize| -((at % UNITS + at / UNITS) as f32).sin().abs() - skew * (at % 7) as f32;
            Lateral::new(&Vec::from_iter((0..UNITS * UNITS).map(weight)), UNITS)
        };
        let settled = |basin: &mut Basin, outgoing| Arch::new().dispatch(Settle(basin, outgoing));
        let (skew, symmetric) = (weights(0.1), weights(0.0));
        let mut used = Basin::new(UNITS);
        assert_ne!(settled(&mut used, &skew), settled(&mut Basin::new(UNITS), &symmetric));
        assert_eq!(settled(&mut used, &symmetric), settled(&mut Basin::new(UNITS), &symmetric));
    }
}
