//! What CompSpec learned, and what the models are worth by their size and by time.

use anyhow::{Context, Result};
use candle_core::Tensor;
use hebbian::{CompSpec, KrotovHopfield, Rule};
use hebbian_experiment::{Phase, Row, RunKey, Session, Subject};
use hebbian_plots::{Curves, Picture, ReceptiveFields, Series};

use crate::{
    BACKPROP, LINEAR, LINEAR_WTA_INIT, Layer, MODELS, POWER, RANDOM_IMAGES, WTA_VOTE, layer_name, row_name,
};

/// `layers` are the first seed's of CompSpec, one per size.
pub fn draw(session: &Session, seed: u64, layers: &[Layer]) -> Result<()> {
    let largest = layers.iter().max_by_key(|layer| layer.units()).context("a size")?;
    session.draw("weights.png", &weights(session, &layers[0])?)?;
    session.draw("prototypes.png", &prototypes(session, largest)?)?;
    session.draw("specialization.png", &specialization(layers)?)?;
    session.draw("accuracy_by_units.png", &accuracy_by_units(session, layers)?)?;
    session.draw("time_to_accuracy.png", &time_to_accuracy(session, seed, largest.units())?)
}

/// The first layer's units in their own order: those of the film and the checkpoint.
fn weights(session: &Session, layer: &Layer) -> Result<Picture> {
    Ok(ReceptiveFields::overview(&layer.weights, session.data.image(), "CompSpec").draw()?)
}

/// The largest layer's units from the most to the least specialized, evenly taken where there are too many.
fn prototypes(session: &Session, layer: &Layer) -> Result<Picture> {
    const SIDE: usize = 20;
    let (units, specialization) = (layer.units(), &layer.specialization);
    let mut order: Vec<u32> = (0..units as u32).collect();
    order.sort_by(|&a, &b| specialization[b as usize].total_cmp(&specialization[a as usize]));
    let side = SIDE.min((units as f64).sqrt().ceil() as usize);
    let shown = units.min(side * side);
    let chosen: Vec<u32> = (0..shown).map(|rank| order[rank * units / shown]).collect();
    let weights = layer.weights.index_select(&Tensor::new(chosen, &session.device)?, 0)?;
    let title = format!("CompSpec: {shown} of {units} prototypes, the most specialized first");
    Ok(ReceptiveFields::new(&weights, session.data.image(), (side, side)).title(title).draw()?)
}

/// How many units are how specialized, for each size.
fn specialization(layers: &[Layer]) -> Result<Picture> {
    const BINS: usize = 40;
    let series = layers.iter().enumerate().map(|(hue, layer)| {
        let values: Vec<f64> = layer.specialization.iter().map(|&value| value.into()).collect();
        Series::histogram(format!("{} units", layer.units()), hue, &values, (0.0, 1.0), BINS)
    });
    let labels = ("specialization", "share of the units");
    Ok(Curves::new("How specialized the units are", labels, series).draw()?)
}

/// Each model's accuracy over the number of units: the trained readouts on the left, the vote's on the right.
fn accuracy_by_units(session: &Session, layers: &[Layer]) -> Result<Picture> {
    let rows = session.rows();
    let points = |model: &str, readout: Option<&str>| -> Vec<(f64, f64)> {
        let at = |units: usize| {
            let of = |row: &&Row| {
                (row.model.as_str(), row.units, row.readout.as_deref()) == (model, Some(units), readout)
            };
            let test: Vec<f64> =
                rows.iter().map(|row| &row.1).filter(of).filter_map(|r| r.test_accuracy).collect();
            ((units as f64).log10(), test.iter().sum::<f64>() / test.len() as f64)
        };
        layers.iter().map(|layer| at(layer.units())).collect()
    };
    let panel = |title: &str, solid: &str, dashed: &str| {
        let mut series = Vec::new();
        for (hue, model) in MODELS.into_iter().enumerate() {
            series.push(Series::dashed(format!("{model}, {dashed}"), hue, points(model, Some(dashed))));
            series.push(Series::solid(format!("{model}, {solid}"), hue, points(model, Some(solid))));
        }
        series.push(Series::solid(BACKPROP, MODELS.len(), points(BACKPROP, None)));
        Curves::new(title, ("log10 of the number of units", "test accuracy"), series).draw()
    };
    let trained = panel("Readouts trained by gradient", POWER, LINEAR)?;
    let voted = panel("Readouts from the vote", WTA_VOTE, LINEAR_WTA_INIT)?;
    Ok(Picture::side_by_side(&[trained, voted])?)
}

/// Test accuracy over seconds of training, the hidden layer's included, at the largest size.
fn time_to_accuracy(session: &Session, seed: u64, units: usize) -> Result<Picture> {
    let rows = session.rows();
    let curve = |name: &str, phase: Phase, hue: usize| {
        let key = RunKey { seed, name };
        let row = rows.iter().find(|row| row.0 == name).map(|row| &row.1);
        let trained = session.metrics.seconds(key, phase);
        let all =
            row.map_or(0.0, |row| row.learn_seconds.unwrap_or(0.0) + row.readout_seconds.unwrap_or(0.0));
        let mut seconds = all - trained;
        let points = session.metrics.of(key, phase).filter_map(|metric| {
            seconds += metric.seconds;
            Some((seconds, metric.value("test_accuracy")?))
        });
        Series::solid(name, hue, points.collect())
    };
    let of = |model: &str, readout: &str| row_name(model, units, readout);
    let series = vec![
        curve(&of(CompSpec::NAME, POWER), Phase::Readout, 0),
        curve(&of(CompSpec::NAME, LINEAR_WTA_INIT), Phase::Readout, 5),
        curve(&of(KrotovHopfield::NAME, POWER), Phase::Readout, 2),
        curve(&of(RANDOM_IMAGES, POWER), Phase::Readout, 3),
        curve(&layer_name(BACKPROP, units), Phase::Learn, 1),
    ];
    let labels = ("seconds, learning the hidden layer and computing its features included", "test accuracy");
    Ok(Curves::new("Test accuracy over seconds of training", labels, series).draw()?)
}
