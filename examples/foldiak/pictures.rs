//! What the two networks came to.

use anyhow::Result;
use candle_core::{Device, Tensor};
use candle_nn::Module;
use hebbian::{Foldiak, LearningRule};
use hebbian_experiment::codes::correlations;
use hebbian_experiment::{Phase, RunKey, Session};
use hebbian_plots::{Curves, Picture, ReceptiveFields, Scale, Series};
use serde_json::Value;

use crate::measures::activities;
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
    Ok(ReceptiveFields::overview(&rule.weights()?, image, model).scale(Scale::PerUnit).draw()?)
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
    const BINS: usize = 60;
    let test = &session.data.test;
    let panel = |title: &str, x_label: &str, y_label: &str, values: [Vec<f64>; 2]| {
        let (least, most) = range(values.iter().flatten());
        let filled = MODELS.iter().zip(values).enumerate().filter(|(_, (_, values))| !values.is_empty());
        let series =
            filled.map(|(hue, (model, values))| Series::histogram(*model, hue, &values, (least, most), BINS));
        Curves::new(title, (x_label, y_label), series).draw()
    };
    let [paper, notebook] = rules;
    let active = [activities(paper, test)?, activities(notebook, test)?];
    let correlated = [correlations(&paper.forward(test)?)?, correlations(&notebook.forward(test)?)?];
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

/// The thresholds while learning goes on, and for lines how many have a unit of their own.
fn over_time(session: &Session<Patterns>, seed: u64) -> Result<Picture> {
    let metrics = session.metrics.of(RunKey { seed, name: PAPER }, Phase::Learn);
    let looks: Vec<&Value> =
        metrics.filter_map(|metric| metric.values.get("looks")?.as_array()).flatten().collect();
    let curve = |at: usize| -> Vec<(f64, f64)> {
        looks.iter().filter_map(|look| Some((look[0].as_f64()?, look[at].as_f64()?))).collect()
    };
    let curves = |title: &str, y_label: &str, series: Vec<Series>| {
        Curves::new(format!("{PAPER}: {title}"), ("patterns learned", y_label), series).draw()
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
