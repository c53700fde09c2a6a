//! What the two networks came to.

use anyhow::Result;
use candle_core::{Device, Tensor};
use candle_nn::Module;
use hebbian::{Foldiak, LearningRule};
use hebbian_experiment::{Phase, RunKey, Session};
use hebbian_plots::{Curves, Picture, ReceptiveFields, Scale, Series};
use serde_json::Value;

use crate::measures::{activities, correlations};
use crate::patterns::Patterns;
use crate::{MODELS, NOTEBOOK, PAPER};

/// Pictures of the two networks of the first seed.
pub fn draw(session: &Session<Patterns>, seed: u64, paper: &Foldiak, notebook: &Foldiak) -> Result<()> {
    session.draw("weights.png", &weights(paper, session.data.image, PAPER)?)?;
    session.draw("notebook_weights.png", &weights(notebook, session.data.image, NOTEBOOK)?)?;
    session.draw("lateral.png", &lateral(paper, notebook)?)?;
    session.draw("histograms.png", &histograms(session, [paper, notebook])?)?;
    session.draw("thresholds.png", &over_time(session, seed)?)?;
    session.draw("reconstruction.png", &reconstruction(session, paper)?)
}

fn weights(rule: &Foldiak, image: (usize, usize), model: &str) -> Result<Picture> {
    let weights = rule.weights()?;
    let units = weights.dim(0)?;
    let side = ((units as f64).sqrt().ceil() as usize).min(10);
    let title = format!("{model}: {} of {units} units", units.min(side * side));
    Ok(ReceptiveFields::new(&weights, image, (side, side)).scale(Scale::PerUnit).title(title).draw()?)
}

/// Row u is what unit u receives from each other.
fn lateral(paper: &Foldiak, notebook: &Foldiak) -> Result<Picture> {
    let matrix = |rule: &Foldiak, model: &str| {
        let lateral = rule.lateral()?;
        let units = lateral.dim(0)?;
        let fields = ReceptiveFields::new(&lateral.flatten_all()?.unsqueeze(0)?, (units, units), (1, 1));
        anyhow::Ok(fields.width(600).title(format!("{model}: lateral weights")).draw()?)
    };
    Ok(Picture::side_by_side(&[matrix(paper, PAPER)?, matrix(notebook, NOTEBOOK)?])?)
}

/// How often units fire on the test patterns, and how pairs of them are correlated.
fn histograms(session: &Session<Patterns>, rules: [&Foldiak; 2]) -> Result<Picture> {
    let test = &session.data.test;
    let panel = |title: &str, x_label: &str, y_label: &str, values: [Vec<f64>; 2]| {
        let (least, most) = range(values.iter().flatten());
        let filled = MODELS.iter().zip(values).enumerate().filter(|(_, (_, values))| !values.is_empty());
        let series =
            filled.map(|(hue, (model, values))| Series::solid(*model, hue, outline(&values, least, most)));
        let (title, x_label, y_label) = (title.to_owned(), x_label.to_owned(), y_label.to_owned());
        Curves { title, x_label, y_label, series: series.collect(), y_range: None }.draw()
    };
    let [paper, notebook] = rules;
    let active = [activities(paper, test)?, activities(notebook, test)?];
    let correlated = [correlations(paper, test)?, correlations(notebook, test)?];
    let active =
        panel("How active the units are", "mean output on test patterns", "share of the units", active)?;
    let correlated = panel(
        "How alike their outputs are",
        "correlation of two units' outputs",
        "share of the pairs",
        correlated,
    )?;
    Ok(Picture::side_by_side(&[active, correlated])?)
}

fn range<'a>(values: impl Iterator<Item = &'a f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(least, most), &value| (least.min(value), most.max(value)))
}

/// The outline of a histogram of sixty bins from the least to the largest value.
fn outline(values: &[f64], least: f64, most: f64) -> Vec<(f64, f64)> {
    const BINS: usize = 60;
    let width = ((most - least) / BINS as f64).max(1e-6);
    let mut counts = [0usize; BINS];
    for value in values {
        counts[(((value - least) / width) as usize).min(BINS - 1)] += 1;
    }
    let edge = |bin: usize| least + bin as f64 * width;
    let share = |count: usize| count as f64 / values.len() as f64;
    let stairs = counts.into_iter().enumerate();
    stairs.flat_map(|(bin, count)| [(edge(bin), share(count)), (edge(bin + 1), share(count))]).collect()
}

/// The thresholds while learning goes on, and for lines how many have a unit of their own.
fn over_time(session: &Session<Patterns>, seed: u64) -> Result<Picture> {
    let metrics = session.metrics.of(RunKey { seed, name: PAPER }, Phase::Learn);
    let looks: Vec<&Value> =
        metrics.filter_map(|metric| metric.values.get("looks")?.as_array()).flatten().collect();
    let curve = |at: usize| -> Vec<(f64, f64)> {
        looks.iter().filter_map(|look| Some((look[0].as_f64()?, look[at].as_f64()?))).collect()
    };
    let curves = |title: &str, y_label: &str, series: Vec<Series>| {
        let (title, y_label) = (format!("{PAPER}: {title}"), y_label.to_owned());
        Curves { title, x_label: "patterns learned".to_owned(), y_label, series, y_range: None }.draw()
    };
    let names = ["largest", "median", "smallest"].into_iter().enumerate();
    let series = names.map(|(hue, name)| Series::solid(name, hue, curve(hue + 1))).collect();
    let mut panels = vec![curves("thresholds", "threshold", series)?];
    let lines = curve(4);
    if !lines.is_empty() {
        let series = vec![Series::solid("lines that one unit stands for", 0, lines)];
        panels.push(curves("a unit for each line", "lines", series)?);
    }
    Ok(Picture::side_by_side(&panels)?)
}

/// Test patterns above what their codes say: the sum of the weights of the units that fired.
fn reconstruction(session: &Session<Patterns>, rule: &Foldiak) -> Result<Picture> {
    const SHOWN: usize = 12;
    let shown = SHOWN.min(session.data.test.dim(0)?);
    let patterns = session.data.test.narrow(0, 0, shown)?;
    let restored = rule.forward(&patterns)?.matmul(&rule.weights()?)?;
    let both = Tensor::cat(&[patterns, restored], 0)?.to_device(&Device::Cpu)?;
    let title = format!("{PAPER}: test patterns, and below each the sum of the units that fired");
    Ok(ReceptiveFields::new(&both, session.data.image, (2, shown))
        .scale(Scale::PerUnit)
        .title(title)
        .draw()?)
}
