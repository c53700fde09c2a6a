//! What the columns came to, and how their activity changed.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use candle_nn::Module;
use hebbian::{LearningRule, PotentialPool, Rule, SpatialPooler};
use hebbian_experiment::{Phase, RunKey, Session, Subject};
use hebbian_plots::{Curves, Picture, ReceptiveFields, Series};

use crate::UNBOOSTED;

/// The permanences of a hundred columns.
pub fn permanences(session: &Session, pooler: &SpatialPooler) -> Result<Picture> {
    let weights = pooler.weights()?;
    // Columns lie place by place over the image: evenly taken, the pictures show all parts of it.
    let units = weights.dim(0)?;
    let shown = units.min(100);
    let chosen: Vec<u32> = (0..shown).map(|place| (place * units / shown) as u32).collect();
    let weights = weights.index_select(&Tensor::new(chosen, weights.device())?, 0)?;
    let title = format!("Permanences of {shown} of {units} columns");
    Ok(ReceptiveFields::new(&weights, session.data.image(), (10, 10)).title(title).draw()?)
}

/// Activity, boosts and stability over the epochs, of the models with this seed.
pub fn draw(session: &Session, seed: u64, sparsity: f64) -> Result<()> {
    let key = |name| RunKey { seed, name };
    let models = [SpatialPooler::NAME, UNBOOSTED];
    let curves =
        |title: &str, y_label: &str, series: Vec<Series>| Curves::new(title, ("epoch", y_label), series);
    let quantiles = |what: &str, start: f64| {
        let labels = ["least", "lower quarter", "median", "upper quarter", "most"];
        let series = labels.into_iter().enumerate().map(|(at, label)| {
            let metrics = session.metrics.of(key(SpatialPooler::NAME), Phase::Learn);
            let points = metrics.filter_map(|metric| {
                Some((metric.epoch as f64, metric.values.get(what)?.get(at)?.as_f64()?))
            });
            Series::solid(label, at, std::iter::once((0.0, start)).chain(points).collect())
        });
        series.collect()
    };
    let activity = curves("Activity of the columns", "duty cycle", quantiles("activity_quantiles", sparsity));
    let boosts = curves("Boosts of the columns", "boost", quantiles("boost_quantiles", 1.0));
    session.draw("duty_cycles.png", &Picture::side_by_side(&[activity.draw()?, boosts.draw()?])?)?;
    let stability = models.into_iter().enumerate().map(|(hue, model)| {
        Series::solid(model, hue, session.metrics.curve(key(model), Phase::Learn, "stability"))
    });
    let stability = curves(
        "How much of each code stays from epoch to epoch",
        "share of the active columns",
        stability.collect(),
    );
    session.draw("stability.png", &stability.draw()?)
}

/// One image as the pooler sees it, how much of it reaches each column, and the columns that win.
pub fn overlaps(session: &Session, pooler: &SpatialPooler, pool: &PotentialPool) -> Result<Picture> {
    const WIDTH: usize = 500;
    let image = session.data.test.inputs().narrow(0, 0, 1)?;
    let places = match pool {
        PotentialPool::Neighborhood { grid, .. } => *grid,
        PotentialPool::Anywhere { .. } => [1, 1],
    };
    let map = |values: Tensor, title: &str| -> Result<Picture> {
        let (values, size) = laid_out(&values, places)?;
        Ok(ReceptiveFields::new(&values, size, (1, 1)).title(title).width(WIDTH).draw()?)
    };
    let input = ReceptiveFields::new(&image.to_dtype(DType::F32)?, session.data.image(), (1, 1));
    let input = input.title("The input").width(WIDTH).draw()?;
    let overlaps = map(pooler.overlaps(&image)?, "Boosted overlap of each column")?;
    let active = map(pooler.forward(&image)?, "The columns that win")?;
    Ok(Picture::side_by_side(&[input, overlaps, active])?)
}

/// A value of each column as an image: the columns of a place in a square, the squares as the places lie.
fn laid_out(values: &Tensor, [rows, columns]: [usize; 2]) -> Result<(Tensor, (usize, usize))> {
    let values = values.flatten_all()?.to_device(&Device::Cpu)?;
    let depth = values.dim(0)? / (rows * columns);
    let side = (depth as f64).sqrt().ceil() as usize;
    let values = values.reshape((rows * columns, depth))?.pad_with_zeros(1, 0, side * side - depth)?;
    let squares = values.reshape((rows, columns, side, side))?.transpose(1, 2)?.contiguous()?;
    let size = (rows * side, columns * side);
    Ok((squares.reshape((1, size.0 * size.1))?, size))
}
