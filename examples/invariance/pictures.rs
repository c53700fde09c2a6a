//! The pictures and films of the first seed.

use std::time::Duration;

use anyhow::Result;
use candle_core::Tensor;
use candle_nn::Module;
use hebbian::{Composite, LearningRule, Stack};
use hebbian_experiment::{Phase, RunKey, Session, Subject};
use hebbian_plots::{Curves, Picture, Scale, Series, film_of_maps};

use crate::Layers;
use crate::drawing::Drawing;
use crate::settings::Settings;
use crate::streams::Streams;

/// Frames of a film, and how long each stands.
const FILM_FRAMES: usize = 300;
const FRAME_TIME: Duration = Duration::from_millis(100);

pub(crate) fn draw(session: &Session<Streams>, settings: &Settings, layers: &Layers) -> Result<()> {
    let drawing = Drawing {
        image: session.data.image(),
        sparse: layers.sparse.weights()?,
        invariant: layers.invariance.weights()?,
    };
    session.draw("weights.png", &drawing.sparse_prototypes()?)?;
    session.draw("invariance_prototypes.png", &drawing.invariance_prototypes(Scale::Global)?)?;
    session.draw("invariance_prototypes_normalized.png", &drawing.invariance_prototypes(Scale::PerUnit)?)?;
    session.draw("affinity_groups.png", &drawing.affinity_groups()?)?;
    session.draw("invariance_maps.png", &drawing.invariance_maps()?)?;
    session.draw("unit_map.png", &drawing.unit_map()?)?;
    session.draw("usage.png", &drawing.usage(&layers.usage()?.to_vec1()?)?)?;
    session.draw("error.png", &error(session, settings)?)?;

    let frames = session.data.train.narrow(0, 0, FILM_FRAMES.min(session.data.train.dim(0)?))?;
    let reconstruction = layers.sparse.reconstruct(&frames)?;
    let code = layers.code(&frames)?;
    let window = session.data.image();
    let side = settings.invariance.units.isqrt();
    let film = |states: Option<&Tensor>| {
        let mut shown = vec![(&frames, window)];
        if let Some(states) = states {
            shown.extend([(states, (side, side)), (&reconstruction, window)]);
        }
        Ok::<_, anyhow::Error>(film_of_maps(&shown, FRAME_TIME)?.gif()?)
    };
    session.write("stream.gif", film(None)?)?;
    session.write("averages.gif", film(Some(&layers.invariance.forward(&code)?))?)?;
    session.write("drive.gif", film(Some(&layers.invariance.drive(&code)?))?)
}

/// Relative error of the sparse layer over the epochs.
fn error(session: &Session<Streams>, settings: &Settings) -> Result<Picture> {
    let key = RunKey { seed: settings.run.seed, name: Stack::NAME };
    let curve = |name: &str| session.metrics.curve(key, Phase::Learn, name);
    let series = [
        Series::dashed("frames learned from", 0, curve("relative_mse")),
        Series::solid("later frames", 0, curve("validation_relative_mse")),
    ];
    let title = "How much of a frame the sparse layer misses";
    Ok(Curves::new(title, ("epoch", "relative squared error"), series).draw()?)
}
