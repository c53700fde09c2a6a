//! What an epoch was like: sums over its steps, which outlive a kill, and the report that they become.

use candle_core::{DType, Device, Result, Tensor, bail};
use hebbian_training::{RunningMeasure, UnderWay};

use crate::rule::Learned;

/// One epoch in numbers.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What its steps measured, by the names of [`Learned::measures`] and in their order.
    pub measures: Vec<(String, Measured)>,
    /// How often each unit won, `(units)`; none for a rule without winners.
    pub wins: Option<Vec<u32>>,
    /// Wall time of the epoch's steps, in seconds, without the time of the observers.
    pub seconds: f64,
}

/// One measure over the steps of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The mean.
    pub mean: f32,
    /// The largest.
    pub largest: f32,
}

impl Report {
    /// What was measured under `name`.
    pub fn measure(&self, name: &str) -> Option<Measured> {
        self.measures.iter().find(|(known, _)| known == name).map(|(_, measured)| *measured)
    }

    /// How many units did not win once.
    pub fn idle_units(&self) -> Option<usize> {
        Some(self.wins.as_ref()?.iter().filter(|&&wins| wins == 0).count())
    }

    /// The share of the units that won at least once.
    pub fn share_that_won(&self) -> Option<f64> {
        let units = self.wins.as_ref()?.len().max(1);
        Some(1.0 - self.idle_units()? as f64 / units as f64)
    }
}

/// Sums over the steps of an epoch, kept on the device. Nothing is read from it until they are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    steps: usize,
    seconds: f64,
    measures: Vec<(String, Sum)>,
    /// `(units)` u32.
    wins: Option<Tensor>,
}

/// One measure, the steps so far: two scalars.
#[derive(Clone, Debug)]
struct Sum {
    total: Tensor,
    largest: Tensor,
}

impl Tally {
    /// Steps taken.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// Counts a step.
    pub(crate) fn add(&mut self, learned: &Learned) -> Result<()> {
        for (name, value) in &learned.measures {
            match self.measures.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => {
                    *sum = Sum { total: (&sum.total + value)?, largest: sum.largest.maximum(value)? };
                }
                None => {
                    let sum = Sum { total: value.clone(), largest: value.clone() };
                    self.measures.push(((*name).to_owned(), sum));
                }
            }
        }
        if let Some(winners) = &learned.winners {
            self.count(&winners.flatten_all()?, learned.output.dim(1)?)?;
        }
        self.steps += 1;
        Ok(())
    }

    fn count(&mut self, winners: &Tensor, units: usize) -> Result<()> {
        let wins = match &self.wins {
            Some(wins) if wins.elem_count() != units => {
                bail!("the wins of {} units were counted so far, and the rule has {units}", wins.elem_count())
            }
            Some(wins) => wins.clone(),
            None => Tensor::zeros(units, DType::U32, winners.device())?,
        };
        self.wins = Some(wins.index_add(winners, &winners.ones_like()?, 0)?);
        Ok(())
    }

    /// Adds to the wall time of the steps.
    pub(crate) fn add_seconds(&mut self, seconds: f64) {
        self.seconds += seconds;
    }

    /// The sums as numbers. On an accelerator a step that would have stored a value that is not finite is found out here.
    pub(crate) fn read(&self) -> Result<UnderWay> {
        let measures = self.measures.iter().map(|(name, sum)| {
            let scalar = |tensor: &Tensor| Result::Ok(f64::from(tensor.to_scalar::<f32>()?));
            let (total, largest) = (scalar(&sum.total)?, scalar(&sum.largest)?);
            match total.is_finite() && largest.is_finite() {
                true => Ok(RunningMeasure { name: name.clone(), total, largest }),
                false => {
                    bail!("{name} was not finite in a step; the rule has learned nothing since before it")
                }
            }
        });
        let measures = measures.collect::<Result<_>>()?;
        let wins = self.wins.as_ref().map(Tensor::to_vec1).transpose()?;
        Ok(UnderWay { step: self.steps, seconds: self.seconds, measures, wins })
    }

    /// The same sums as those that were read.
    pub(crate) fn at(read: &UnderWay) -> Result<Self> {
        let measures = read.measures.iter().map(|RunningMeasure { name, total, largest }| {
            let scalar = |number: f64| Tensor::new(number as f32, &Device::Cpu);
            Ok((name.clone(), Sum { total: scalar(*total)?, largest: scalar(*largest)? }))
        });
        let wins = read.wins.as_ref().map(|wins| Tensor::from_slice(wins, wins.len(), &Device::Cpu));
        Ok(Self {
            steps: read.step,
            seconds: read.seconds,
            measures: measures.collect::<Result<_>>()?,
            wins: wins.transpose()?,
        })
    }

    /// Moves the sums to `device`.
    pub(crate) fn move_to(&mut self, device: &Device) -> Result<()> {
        for (_, Sum { total, largest }) in &mut self.measures {
            (*total, *largest) = (total.to_device(device)?, largest.to_device(device)?);
        }
        self.wins = self.wins.as_ref().map(|wins| wins.to_device(device)).transpose()?;
        Ok(())
    }
}

impl From<UnderWay> for Report {
    /// The report of an epoch that has ended with these sums.
    fn from(sums: UnderWay) -> Self {
        let measured = |RunningMeasure { name, total, largest }| {
            let mean = total as f32 / sums.step as f32;
            (name, Measured { mean, largest: largest as f32 })
        };
        let measures = sums.measures.into_iter().map(measured).collect();
        Self { measures, wins: sums.wins, seconds: sums.seconds }
    }
}
