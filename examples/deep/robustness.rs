//! What of the accuracy is left where test images are disturbed: by noise, by what covers them, by turning, and by an attack.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::{DType, Tensor, Var};
use hebbian_classifier::Loss;
use hebbian_datasets::ImageShape;
use hebbian_experiment::Session;
use hebbian_plots::{Curves, Picture, Series};
use hebbian_training::Generator;

use crate::row_name;
use crate::settings::{Model, RobustnessSettings, Settings};

/// Gives class scores for images.
type Classifier<'a> = &'a dyn Fn(&Tensor) -> candle_core::Result<Tensor>;

/// Images that are classified at once: a gradient holds all that lies between them and the scores.
const PORTION: usize = 50;
/// What covers a part of an image.
const GRAY: f32 = 0.5;
/// Deviations of a normal variable within which it lies in 95 of 100 cases.
const WITHIN: f64 = 1.96;

/// A way to disturb images, and how much.
#[derive(Clone, Copy)]
enum Disturbance {
    Noise(f64),
    Occlusion(f64),
    Rotation(f64),
    Attack(f64),
}

impl Settings {
    /// The share of the first test images that a model classifies right, as they are and disturbed in each way, by the name
    /// of the measure.
    pub fn robustness(
        &self,
        session: &Session,
        seed: u64,
        classify: Classifier<'_>,
    ) -> Result<BTreeMap<String, f64>> {
        let test = &session.data.test;
        let count = self.robustness.disturbed_images.min(test.len());
        let mut right: BTreeMap<String, f64> = BTreeMap::new();
        for first in (0..count).step_by(PORTION) {
            let size = PORTION.min(count - first);
            let (images, labels) =
                (test.inputs().narrow(0, first, size)?, test.labels().narrow(0, first, size)?);
            let uphill = if self.robustness.attack.is_empty() {
                None
            } else {
                Some(uphill(&images, &labels, classify)?)
            };
            let mut count = |measure: String, images: &Tensor| -> Result<()> {
                let hits = classify(images)?.argmax(1)?.eq(&labels)?.to_dtype(DType::F32)?.sum_all()?;
                *right.entry(measure).or_default() += f64::from(hits.to_scalar::<f32>()?);
                Ok(())
            };
            count(CLEAN.to_owned(), &images)?;
            for way in self.disturbances() {
                // The same for all models of a seed.
                let mut draws = Generator::new(seed, &format!("robustness {} {first}", way.measure()));
                let disturbed = match (way, &uphill) {
                    (Disturbance::Attack(step), Some(uphill)) => {
                        (&images + (uphill * step)?)?.clamp(0f32, 1f32)?
                    }
                    _ => way.of(&images, session.data.shape, &mut draws)?,
                };
                count(way.measure(), &disturbed)?;
            }
        }
        right.values_mut().for_each(|right| *right /= count as f64);
        Ok(right)
    }

    fn disturbances(&self) -> impl Iterator<Item = Disturbance> + use<> {
        self.robustness.ways().into_iter().flat_map(|way| way.levels)
    }

    /// A panel per way, the mean over the seeds; none if nothing was disturbed.
    pub fn robustness_picture(&self, session: &Session) -> Result<Option<Picture>> {
        let count = self.robustness.disturbed_images.min(session.data.test.len());
        let ways = self.robustness.ways().into_iter().filter(|way| count > 0 && !way.levels.is_empty());
        let panels = ways.map(|way| {
            let levels = way.levels.iter().map(|disturbance| (disturbance.level(), disturbance.measure()));
            let measures: Vec<_> = std::iter::once((0.0, CLEAN.to_owned())).chain(levels).collect();
            let curves = self.curves(session, &measures, count);
            let accuracy = format!("accuracy on {count} test images");
            Curves::new(way.title, (way.unit, &accuracy), curves).draw()
        });
        let panels = panels.collect::<Result<Vec<_>, _>>()?;
        Ok(if panels.is_empty() { None } else { Some(Picture::grid(&panels, 2)?) })
    }

    /// Of all models the full depth, and of SoftHebb, dashed, those below it; the bars are 95 % intervals by the number of
    /// images.
    fn curves(&self, session: &Session, measures: &[(f64, String)], images: usize) -> Vec<Series> {
        let depths = |model| if model == Model::SoftHebb { 1 } else { self.depths() };
        let all = self.models.iter().enumerate();
        let all = all
            .flat_map(|(hue, &model)| (depths(model)..=self.depths()).map(move |depth| (hue, model, depth)));
        let rows = session.rows();
        let curve = |(hue, model, depth): (usize, Model, usize)| {
            let name = row_name(model.name(), depth);
            let of_seeds = rows.iter().filter(|row| row.0 == name);
            let of_seeds: Vec<_> = of_seeds.map(|row| &row.1.measures).collect();
            let point = |(level, measure): &(f64, String)| {
                let shares: Vec<f64> =
                    of_seeds.iter().filter_map(|seed| seed.get(measure).copied()).collect();
                (*level, shares.iter().sum::<f64>() / shares.len() as f64)
            };
            let points: Vec<(f64, f64)> = measures.iter().map(point).collect();
            let interval = |&(_, share): &(f64, f64)| WITHIN * (share * (1.0 - share) / images as f64).sqrt();
            let intervals = points.iter().map(interval).collect();
            let label = format!("{}, depth {depth}", model.name());
            let series = if depth == self.depths() { Series::solid } else { Series::dashed };
            series(label, hue, points).with_intervals(intervals)
        };
        all.map(curve).collect()
    }
}

/// Disturbances of one kind.
struct Way {
    title: &'static str,
    unit: &'static str,
    levels: Vec<Disturbance>,
}

impl RobustnessSettings {
    fn ways(&self) -> [Way; 4] {
        let of = |title, unit, kind: fn(f64) -> Disturbance, levels: Vec<f64>| Way {
            title,
            unit,
            levels: levels.into_iter().map(kind).collect(),
        };
        let sides = self.occlusion.iter().map(|&side| side as f64).collect();
        [
            of("Noise", "deviation, of white's distance to black", Disturbance::Noise, self.noise.clone()),
            of("A gray square", "side in pixels", Disturbance::Occlusion, sides),
            of("Turned", "degrees", Disturbance::Rotation, self.rotation.clone()),
            of(
                "Gradient attack",
                "step, of white's distance to black",
                Disturbance::Attack,
                self.attack.clone(),
            ),
        ]
    }
}

/// The measure of images as they are.
const CLEAN: &str = "accuracy_undisturbed";

impl Disturbance {
    /// How much.
    fn level(self) -> f64 {
        let (Self::Noise(level) | Self::Occlusion(level) | Self::Rotation(level) | Self::Attack(level)) =
            self;
        level
    }

    fn measure(self) -> String {
        match self {
            Self::Noise(deviation) => format!("accuracy_noise_{deviation}"),
            Self::Occlusion(side) => format!("accuracy_occlusion_{side}"),
            Self::Rotation(degrees) => format!("accuracy_rotation_{degrees}"),
            Self::Attack(step) => format!("accuracy_attack_{step}"),
        }
    }

    /// Disturbed `images (images, values)`, without regard to any model.
    fn of(self, images: &Tensor, shape: ImageShape, draws: &mut Generator) -> Result<Tensor> {
        let (count, values) = images.dims2()?;
        match self {
            Self::Noise(deviation) => {
                let noise = draws.normal((count, values), 0.0, deviation, images.device())?;
                Ok((images + noise)?.clamp(0f32, 1f32)?)
            }
            Self::Occlusion(side) => each(images, shape, draws, |image, shape, [x, y, _]| {
                let (side, mut image) = (side as usize, image.to_vec());
                let from =
                    |draw: f32, length: usize| (draw * (length.saturating_sub(side) + 1) as f32) as usize;
                let (left, top) = (from(x, shape.width), from(y, shape.height));
                for row in image.chunks_mut(shape.width * shape.channels).skip(top).take(side) {
                    row.iter_mut()
                        .skip(left * shape.channels)
                        .take(side * shape.channels)
                        .for_each(|value| *value = GRAY);
                }
                image
            }),
            Self::Rotation(degrees) => each(images, shape, draws, |image, shape, [_, _, side]| {
                let angle = if side < 0.5 { degrees } else { -degrees };
                turned(image, shape, angle.to_radians() as f32)
            }),
            Self::Attack(_) => Ok(images.clone()),
        }
    }
}

/// What `change` makes of each image and of three numbers from 0 to 1 that are drawn for it.
fn each(
    images: &Tensor,
    shape: ImageShape,
    draws: &mut Generator,
    change: impl Fn(&[f32], ImageShape, [f32; 3]) -> Vec<f32>,
) -> Result<Tensor> {
    let numbers = draws.uniform((images.dim(0)?, 3), 0.0, 1.0, images.device())?.to_vec2::<f32>()?;
    let changed = images.to_vec2::<f32>()?.into_iter().zip(numbers);
    let changed =
        changed.flat_map(|(image, numbers)| change(&image, shape, [numbers[0], numbers[1], numbers[2]]));
    Ok(Tensor::from_vec(changed.collect(), images.shape(), images.device())?)
}

/// An image, turned around its middle and mixed from the four pixels nearest to where each came from. Beyond its edges it is
/// black.
fn turned(image: &[f32], shape: ImageShape, angle: f32) -> Vec<f32> {
    let ImageShape { height, width, channels } = shape;
    let middle = [(height as f32 - 1.0) / 2.0, (width as f32 - 1.0) / 2.0];
    let (sine, cosine) = angle.sin_cos();
    let pixel = |row: f32, column: f32, channel: usize| {
        let inside = row >= 0.0 && column >= 0.0 && row < height as f32 && column < width as f32;
        if inside { image[(row as usize * width + column as usize) * channels + channel] } else { 0.0 }
    };
    let mut turned = Vec::with_capacity(image.len());
    for place in 0..height * width {
        let [down, across] = [(place / width) as f32 - middle[0], (place % width) as f32 - middle[1]];
        let row = middle[0] + cosine * down - sine * across;
        let column = middle[1] + sine * down + cosine * across;
        let (above, left) = (row.floor(), column.floor());
        let (lower, right) = (row - above, column - left);
        turned.extend((0..channels).map(|channel| {
            (1.0 - lower)
                * ((1.0 - right) * pixel(above, left, channel) + right * pixel(above, left + 1.0, channel))
                + lower
                    * ((1.0 - right) * pixel(above + 1.0, left, channel)
                        + right * pixel(above + 1.0, left + 1.0, channel))
        }));
    }
    turned
}

/// The sign of the loss's gradient at each value of `images`: of all small steps of one size the one that hurts most, the fast
/// gradient sign method (I. Goodfellow et al. 2015).
fn uphill(images: &Tensor, labels: &Tensor, classify: Classifier<'_>) -> Result<Tensor> {
    let variable = Var::from_tensor(images)?;
    let gradients = Loss::default().of(&classify(&variable)?, labels)?.backward()?;
    let gradient = gradients.get(&variable).context("the scores have no gradient of the images")?;
    Ok(gradient.sign()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { height: 5, width: 5, channels: 1 };

    #[test]
    fn a_quarter_turn_brings_a_row_to_a_column_and_no_turn_changes_nothing() {
        let image: Vec<f32> = (0..25).map(|place| place as f32).collect();
        let quarter = turned(&image, SHAPE, std::f32::consts::FRAC_PI_2);
        let column: Vec<f32> = (0..5).map(|row| quarter[5 * row + 4]).collect();
        let first_row: Vec<f32> = (0..5).map(|place| place as f32).collect();
        let last_row: Vec<f32> = (20..25).map(|place| place as f32).collect();
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3);
        let reversed = |row: &[f32]| row.iter().rev().copied().collect::<Vec<f32>>();
        let rows = [first_row.clone(), reversed(&first_row), last_row.clone(), reversed(&last_row)];
        assert!(rows.iter().any(|row| near(&column, row)), "{quarter:?}");
        assert!(near(&turned(&image, SHAPE, 0.0), &image));
    }

    #[test]
    fn uphill_the_loss_grows() -> Result<()> {
        let device = &candle_core::Device::Cpu;
        let weights = Generator::new(0, "weights").normal((25, 3), 0.0, 1.0, device)?;
        let images = Generator::new(0, "images").uniform((4, 25), 0.3, 0.7, device)?;
        let labels = Tensor::new(&[0u32, 1, 2, 0], device)?;
        let classify = |images: &Tensor| images.matmul(&weights);
        let uphill = uphill(&images, &labels, &classify)?;
        assert_eq!(uphill.abs()?.min_all()?.to_scalar::<f32>()?, 1.0);
        let loss = |images: &Tensor| Loss::default().of(&classify(images)?, &labels)?.to_scalar::<f32>();
        assert!(loss(&(&images + (uphill * 0.1)?)?)? > loss(&images)?);
        Ok(())
    }
}
