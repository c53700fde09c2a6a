//! The models beside each other: what each depth of them is worth, and how many seconds that took.

use anyhow::Result;
use hebbian_experiment::{Phase, RunKey, Session};
use hebbian_plots::{Curves, Picture, Series};

use crate::row_name;
use crate::settings::{Model, Settings};

impl Settings {
    /// Test accuracy over depth.
    pub fn accuracy(&self, session: &Session) -> Result<Picture> {
        let rows = session.rows();
        let series = self.models.iter().map(|model| model.name()).enumerate().map(|(hue, model)| {
            let at = |depth: usize| {
                let name = row_name(model, depth);
                let test = rows.iter().filter(|row| row.0 == name).filter_map(|row| row.1.test_accuracy);
                let test: Vec<f64> = test.collect();
                (depth as f64, test.iter().sum::<f64>() / test.len() as f64)
            };
            Series::solid(model, hue, (1..=self.depths()).map(at).collect())
        });
        Ok(Curves::new("What each depth is worth", ("layers", "test accuracy"), series).draw()?)
    }

    /// Validation accuracy over the seconds of a training, of its first seed: a panel per depth.
    pub fn time(&self, session: &Session) -> Result<Picture> {
        let panels = (1..=self.depths()).map(|depth| {
            let curves = self.models.iter().enumerate();
            let curves = curves.map(|(hue, &model)| {
                Series::solid(model.name(), hue, self.accuracy_over_time(session, model, depth))
            });
            let set = if session.data.validation.is_some() { "validation" } else { "test" };
            let labels = (
                "seconds, learning the filters and computing their features included",
                &*format!("{set} accuracy"),
            );
            Curves::new(format!("Seconds of training, depth {depth}"), labels, curves).draw()
        });
        Ok(Picture::side_by_side(&panels.collect::<Result<Vec<_>, _>>()?)?)
    }

    /// A point per epoch of the readout, or of backprop. Where there are no validation images it is one point, what the
    /// test images say in the end.
    fn accuracy_over_time(&self, session: &Session, model: Model, depth: usize) -> Vec<(f64, f64)> {
        let name = row_name(model.name(), depth);
        let key = RunKey { seed: self.run.seed, name: &name };
        let phase = if model == Model::Backprop { Phase::Learn } else { Phase::Readout };
        let Some((_, row)) = session.rows().into_iter().find(|row| row.0 == name) else { return vec![] };
        let all = row.learn_seconds.unwrap_or(0.0) + row.readout_seconds.unwrap_or(0.0);
        if session.data.validation.is_none() {
            return row.test_accuracy.map(|accuracy| (all, accuracy)).into_iter().collect();
        }
        let mut seconds = all - session.metrics.seconds(key, phase);
        let points = session.metrics.of(key, phase).filter_map(|epoch| {
            seconds += epoch.seconds;
            Some((seconds, epoch.value("validation_accuracy")?))
        });
        points.collect()
    }
}
