//! What is watched of a network while it learns: how long its filters are, and how evenly they win.

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use hebbian::{Event, ImageSize, KrotovHopfield, LearningRule, SoftHebb, Stack};
use hebbian_experiment::codes::{entropy_bits, wins};
use hebbian_experiment::{Phase, RunKey, Session, Watcher};
use hebbian_plots::{Curves, Picture, Series};
use hebbian_training::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::network::filters;

/// About as many records are made of a training.
const RECORDS: usize = 50;
/// Filters this close to length 1 count as those that have come to it.
const CLOSE: f64 = 0.01;
/// Under which the line of an epoch holds its records.
const NAME: &str = "watched";

/// A network after so many steps.
#[derive(Serialize, Deserialize)]
struct Record {
    step: usize,
    layers: Vec<LayerRecord>,
}

/// The filters of one layer.
#[derive(Serialize, Deserialize)]
struct LayerRecord {
    filters: usize,
    shortest: f64,
    mean_length: f64,
    longest: f64,
    /// Filters that have come to length 1.
    converged: usize,
    /// The entropy of the shares that the filters have of all wins since the last record; 1 if all win equally often.
    entropy: f64,
}

/// Makes records of a network that learns.
pub struct Watch {
    /// Steps from one record to the next.
    every: usize,
    layers: Vec<Wins>,
}

/// The wins of one layer's filters since the last record.
struct Wins {
    /// What the filters give for an image.
    output: ImageSize,
    /// What won in each step, a filter at a place. It stays on the device until it is asked for.
    winners: Vec<Tensor>,
    /// How often each filter won in the steps before a kill.
    before: Vec<usize>,
}

impl Watch {
    /// Of the `stack` in a training of so many `steps` in all.
    pub fn new(stack: &Stack, depths: usize, steps: usize) -> Result<Self> {
        let layers = (1..=depths).map(|depth| Ok(Wins::none(filters(stack, depth)?.0.output())));
        Ok(Self { every: steps.div_ceil(RECORDS).max(1), layers: layers.collect::<Result<_>>()? })
    }

    fn record(&mut self, step: usize, stack: &Stack) -> Result<Record> {
        let layers = (1..).zip(&self.layers);
        let layers = layers.map(|(depth, wins)| layer_record(stack, depth, &wins.count()?));
        let layers = layers.collect::<Result<_>>()?;
        self.layers.iter_mut().for_each(Wins::forget);
        Ok(Record { step, layers })
    }
}

/// Adds the records of an epoch to its line of the metrics.
impl Watcher<Stack> for Watch {
    fn observe(&mut self, event: &Event<'_, Stack>, line: &mut Map<String, Value>) -> Result<()> {
        if event.epoch_report().is_some() {
            // A run that goes on from here has not seen them either.
            self.layers.iter_mut().for_each(Wins::forget);
            return Ok(());
        }
        for (depth, wins) in (1..).zip(&mut self.layers) {
            wins.winners.extend(event.rule.winners(filters(event.rule, depth)?.1).cloned());
        }
        let step = event.fit.step();
        if step == 1 || step.is_multiple_of(self.every) {
            let records = line.entry(NAME).or_insert_with(|| json!([])).as_array_mut();
            records.context(NAME)?.push(json!(self.record(step, event.rule)?));
        }
        Ok(())
    }

    /// The wins since the last record, `(filters)` u32 for each depth.
    fn state(&self) -> Result<State> {
        let named = (1..).zip(&self.layers).map(|(depth, wins)| {
            let counts = wins.count()?.into_iter().map(u32::try_from).collect::<Result<Vec<_>, _>>()?;
            Ok((wins_at(depth), Tensor::new(counts, &Device::Cpu)?))
        });
        named.collect()
    }

    fn restore(&mut self, state: State) -> Result<()> {
        for (depth, wins) in (1..).zip(&mut self.layers) {
            let name = wins_at(depth);
            let before =
                state.get(&name).with_context(|| format!("there is no `{name}`"))?.to_vec1::<u32>()?;
            let filters = wins.output.channels;
            ensure!(before.len() == filters, "`{name}` is of {} filters of {filters}", before.len());
            *wins = Wins {
                before: before.into_iter().map(|wins| wins as usize).collect(),
                ..Wins::none(wins.output)
            };
        }
        Ok(())
    }
}

fn wins_at(depth: usize) -> String {
    format!("wins.{depth}")
}

impl Wins {
    fn none(output: ImageSize) -> Self {
        Self { output, winners: Vec::new(), before: vec![0; output.channels] }
    }

    /// How often each filter won.
    fn count(&self) -> Result<Vec<usize>> {
        let mut counts = self.before.clone();
        for winners in &self.winners {
            let at_places = wins(winners, self.output.values())?;
            for (count, places) in counts.iter_mut().zip(at_places.chunks(self.output.positions())) {
                *count += places.iter().sum::<usize>();
            }
        }
        Ok(counts)
    }

    fn forget(&mut self) {
        self.winners.clear();
        self.before.fill(0);
    }
}

/// The filters of a layer that won so often each.
fn layer_record(stack: &Stack, depth: usize, wins: &[usize]) -> Result<LayerRecord> {
    let (convolution, _) = filters(stack, depth)?;
    let lengths = lengths(convolution.rule())?.to_vec1::<f32>()?;
    let lengths: Vec<f64> = lengths.into_iter().map(f64::from).collect();
    Ok(LayerRecord {
        filters: lengths.len(),
        shortest: lengths.iter().copied().fold(f64::INFINITY, f64::min),
        mean_length: lengths.iter().sum::<f64>() / lengths.len() as f64,
        longest: lengths.iter().copied().fold(0.0, f64::max),
        converged: lengths.iter().filter(|&length| (length - 1.0).abs() < CLOSE).count(),
        // The entropy of a single filter is 0, whatever it is a share of.
        entropy: entropy_bits(wins) / (lengths.len() as f64).log2().max(1.0),
    })
}

/// The length of each filter, in the norm in which it comes to 1.
fn lengths(rule: &dyn LearningRule) -> Result<Tensor> {
    match (rule.downcast_ref::<SoftHebb>(), rule.downcast_ref::<KrotovHopfield>()) {
        (Some(rule), _) => Ok(rule.norms()?),
        (_, Some(rule)) => Ok(rule.norms()?),
        _ => bail!("the filters of `{}` come to no length", rule.name()),
    }
}

/// What was watched, over the images that were seen, `batch` in each step.
pub fn draw(session: &Session, key: RunKey<'_>, batch: usize) -> Result<Picture> {
    let records = records(session, key)?;
    let depths = records.last().map_or(0, |record| record.layers.len());
    let curve = |depth: usize, value: fn(&LayerRecord) -> f64| -> Vec<(f64, f64)> {
        let layers = records.iter().filter_map(|record| Some((record.step, record.layers.get(depth)?)));
        layers.map(|(step, layer)| ((step * batch) as f64, value(layer))).collect()
    };
    let lengths = (0..depths).flat_map(|depth| {
        // Around the range: there, back, and down to where it began.
        let mut range = curve(depth, |layer| layer.shortest);
        let begin = range.first().copied();
        range.extend(curve(depth, |layer| layer.longest).into_iter().rev().chain(begin));
        let last = records.last().and_then(|record| record.layers.get(depth));
        let (converged, all) = last.map_or((0, 0), |layer| (layer.converged, layer.filters));
        let name = format!("layer {}, mean ({converged} of {all} have come to 1)", depth + 1);
        [
            Series::dashed(format!("layer {}, range", depth + 1), depth, range),
            Series::solid(name, depth, curve(depth, |layer| layer.mean_length)),
        ]
    });
    let entropy = (0..depths).map(|depth| {
        Series::solid(format!("layer {}", depth + 1), depth, curve(depth, |layer| layer.entropy))
    });
    let seen = "images seen";
    let lengths = Curves::new(format!("{}: lengths of the filters", key.name), (seen, "length"), lengths);
    let title = format!("{}: how evenly the filters win", key.name);
    let entropy = Curves::new(title, (seen, "entropy of the wins, as a share of ln(filters)"), entropy);
    Ok(Picture::side_by_side(&[lengths.draw()?, entropy.draw()?])?)
}

/// All records of a training, also of the epochs before a kill.
fn records(session: &Session, key: RunKey<'_>) -> Result<Vec<Record>> {
    let epochs = session.metrics.of(key, Phase::Learn);
    let records = epochs.filter_map(|epoch| epoch.values.get(NAME)?.as_array()).flatten();
    records.map(|record| Record::deserialize(record).context(NAME)).collect()
}
