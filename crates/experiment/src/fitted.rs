//! What follows from the size of a dataset where nobody says otherwise.

use anyhow::Result;
use candle_core::DType;
use hebbian_datasets::Dataset;
use hebbian_training::settings::Settings;
use serde_json::{Value, json};

use crate::data::sizes;
use crate::{DataSettings, Experiment, Steering};

/// Batches that an epoch has at least, as long as a batch has [`LEAST`] examples.
const BATCHES: usize = 50;
const LEAST: usize = 10;
/// Steps after which a rule's default rate has moved weights from where they were drawn to what they learn. Fewer steps are
/// longer, up to [`LONGEST`] times. Chosen on 200 validation images of 1200 digits (100 units, 120 steps: 69.5 % at the default
/// rate, 79.5 % at 15 times, 81.5 % at 20 times).
const STEPS: f64 = 2000.0;
const LONGEST: f64 = 20.0;

/// A rule whose rate follows from the number of its steps.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// The path of the rate.
    pub rate: &'static str,
    /// The table that says for how many epochs and in which batches the rule learns.
    pub fit: &'static str,
}

/// The length of inputs up to which CompSpec keeps its default rate: 9.4 for MNIST, 12.7 for Fashion-MNIST.
const LENGTH: f64 = 15.0;
/// Examples by which the length of inputs is told.
const MEASURED: usize = 1000;

/// The rate of CompSpec at `path` for a dataset whose examples, as numbers from 0 to 1, are longer than its default `rate`
/// is made for. A step pulls a unit back along itself by as much as an input is long, and where rate and length together are
/// above 2 it never comes to rest.
///
/// # Errors
/// If the examples cannot be read as numbers.
pub fn comp_spec_rate(raw: &Dataset, path: &'static str, rate: f64) -> Result<Vec<(&'static str, Value)>> {
    let [least, most] = raw.range()?.map(f64::from);
    let (least, range) =
        if raw.is_bytes() { (0.0, 255.0) } else { (least, (most - least).max(f64::MIN_POSITIVE)) };
    let first = raw.train.first(raw.train.len().min(MEASURED))?.images().to_dtype(DType::F32)?;
    let squares = ((first - least)? / range)?.sqr()?.sum(1)?;
    let length = f64::from(squares.mean_all()?.to_scalar::<f32>()?).sqrt();
    Ok(if length > LENGTH { vec![(path, json!(rate * LENGTH / length))] } else { vec![] })
}

impl Steering {
    /// `experiment` with what follows from its dataset where nothing was given: of a small one, batches become smaller and
    /// the steps of the `rates` longer. `more` are settings of the experiment's own.
    ///
    /// # Errors
    /// If the settings do not go together.
    pub fn fitted<E: Experiment>(
        &self,
        experiment: E,
        (data, raw): (&DataSettings, &Dataset),
        rates: &[Rate],
        more: &[(&str, Value)],
    ) -> Result<E> {
        let sizes = sizes(raw, data);
        let left = raw.train.len().saturating_sub(sizes.validation);
        let train = sizes.train.unwrap_or(left).min(left).max(1);
        let mut settings = Settings::of::<E>(&[])?;
        let mut written = settings.flatten(serde_json::to_value(&experiment)?);
        written.retain(|(path, _)| settings.get(path).is_some());
        let is_open = |path: &str| !self.given.contains(path);
        let most = (train / BATCHES).max(LEAST).min(train);
        for (path, value) in &mut written {
            let size = value.as_u64().filter(|_| path.ends_with(".batch_size") && is_open(path));
            if size.is_some_and(|size| size > most as u64) {
                *value = json!(most);
            }
        }
        let number =
            |path: String| written.iter().find(|(one, _)| *one == path).and_then(|(_, value)| value.as_f64());
        let mut follow: Vec<(String, Value)> =
            more.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
        for Rate { rate, fit } in rates {
            let of = |field: &str| number(format!("{fit}.{field}")).unwrap_or(1.0);
            let steps = of("epochs") * (train as f64 / of("batch_size")).ceil();
            let longer = (STEPS / steps.max(1.0)).clamp(1.0, LONGEST);
            if let Some(default) = number((*rate).to_owned()).filter(|_| longer > 1.0) {
                follow.push(((*rate).to_owned(), json!(default * longer)));
            }
        }
        follow.retain(|(path, _)| is_open(path));
        settings.set(&written)?;
        settings.set(&follow)?;
        Ok(settings.build()?)
    }
}
