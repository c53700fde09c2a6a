//! What excites the units of the deeper layers most: the parts of images that they see then.

use std::ops::Range;

use anyhow::Result;
use candle_core::Tensor;
use hebbian::Stack;
use hebbian_datasets::ImageShape;
use hebbian_experiment::Session;
use hebbian_plots::{Picture, ReceptiveFields};

use crate::network::filters;
use crate::receptive_field::{Window, receptive_field};
use crate::settings::Settings;

/// Training images that are looked through.
const IMAGES: usize = 1000;
/// Of which so many are shown to the network at once.
const PORTION: usize = 50;
/// Units that are shown, those that win most often.
const UNITS: usize = 12;
/// Patches of each, no two from one image.
const PATCHES: usize = 8;
/// What lies beyond the edge of an image.
const GRAY: f32 = 0.5;

/// What images do to the units of one layer.
struct Excitation {
    /// How often each unit's response was the largest of a place.
    wins: Vec<usize>,
    /// For each image the largest response of each unit, and the first place of it.
    largest: Vec<Vec<(f32, usize)>>,
}

impl Settings {
    /// The patches that excite units of each layer most, of all layers but the first, whose filters can be seen as they are.
    pub fn excitation(&self, session: &Session, stack: &Stack) -> Result<Picture> {
        let lowest = self.depths().min(2);
        let panels = (lowest..=self.depths()).map(|depth| self.exciting_patches(session, stack, depth));
        Ok(Picture::side_by_side(&panels.collect::<Result<Vec<_>>>()?)?)
    }

    fn exciting_patches(&self, session: &Session, stack: &Stack, depth: usize) -> Result<Picture> {
        let (images, shape) = (session.data.train.inputs(), session.data.shape);
        let count = images.dim(0)?.min(IMAGES);
        let images = images.narrow(0, 0, count)?;
        let excitation = Excitation::of(stack, depth, &images)?;
        let (units, windows) = (excitation.winning_units(), self.windows(depth));
        let (width, side) = (filters(stack, depth)?.0.output().width, receptive_field(&windows, 0).len());
        let mut patches = Vec::new();
        for &unit in &units {
            for (image, place) in excitation.places(unit) {
                let pixels = images.get(image)?.to_vec1::<f32>()?;
                let [rows, columns] =
                    [place / width, place % width].map(|place| receptive_field(&windows, place));
                patches.extend(cut(&pixels, shape, rows, columns));
            }
        }
        let (rows, columns) = (units.len(), PATCHES.min(count));
        let all = excitation.wins.len();
        let patches = Tensor::from_vec(patches, (rows * columns, 3 * side * side), images.device())?;
        let title = format!("Layer {depth}: what excites the {rows} of {all} units that win most often");
        let caption =
            format!("A unit per row: {side} x {side} pixels of {count} images, gray beyond their edges");
        let fields = ReceptiveFields::new(&patches, (side, side), (rows, columns));
        Ok(fields.title(title).caption(caption).draw()?)
    }

    /// The windows between the image and the filters of a layer.
    fn windows(&self, depth: usize) -> Vec<Window> {
        let layers = self.layers.kernels.iter().zip(&self.layers.pools).take(depth);
        let windows = layers
            .flat_map(|(&kernel, pool)| [Window { kernel, stride: 1, padding: kernel / 2 }, pool.window()]);
        windows.take(2 * depth - 1).collect()
    }
}

impl Excitation {
    /// Of the units of a layer by `images`.
    fn of(stack: &Stack, depth: usize, images: &Tensor) -> Result<Self> {
        let (convolution, place) = filters(stack, depth)?;
        let output = convolution.output();
        let mut excitation = Self { wins: vec![0; output.channels], largest: Vec::new() };
        let count = images.dim(0)?;
        for first in (0..count).step_by(PORTION) {
            let portion = images.narrow(0, first, PORTION.min(count - first))?;
            let currents = stack.below(place + 1, &portion)?.flatten_all()?.to_vec1::<f32>()?;
            currents.chunks(output.values()).for_each(|image| excitation.add(image, output.positions()));
        }
        Ok(excitation)
    }

    /// Adds one image, of which `currents (units, places)` came. What a unit responds with is what of its current is above the
    /// mean of all at that place, as layers above it see it.
    fn add(&mut self, currents: &[f32], places: usize) {
        let (mut means, mut winners) = (vec![0f32; places], vec![(f32::NEG_INFINITY, 0); places]);
        for (unit, currents) in currents.chunks(places).enumerate() {
            for ((mean, winner), &current) in means.iter_mut().zip(&mut winners).zip(currents) {
                *mean += current / self.wins.len() as f32;
                if current > winner.0 {
                    *winner = (current, unit);
                }
            }
        }
        winners.into_iter().for_each(|(_, unit)| self.wins[unit] += 1);
        let largest = currents.chunks(places).map(|currents| {
            let responses = currents.iter().zip(&means).map(|(current, mean)| current - mean);
            let responses = responses.enumerate();
            responses.fold((f32::NEG_INFINITY, 0), |largest, (place, response)| {
                if response > largest.0 { (response, place) } else { largest }
            })
        });
        self.largest.push(largest.collect());
    }

    /// Those that win most often, the first of equals first.
    fn winning_units(&self) -> Vec<usize> {
        let mut units: Vec<usize> = (0..self.wins.len()).collect();
        units.sort_by_key(|&unit| std::cmp::Reverse(self.wins[unit]));
        units.truncate(UNITS);
        units
    }

    /// Images that a unit responded to most, and where.
    fn places(&self, unit: usize) -> impl Iterator<Item = (usize, usize)> {
        let mut images: Vec<usize> = (0..self.largest.len()).collect();
        images.sort_by(|&a, &b| self.largest[b][unit].0.total_cmp(&self.largest[a][unit].0));
        images.into_iter().take(PATCHES).map(move |image| (image, self.largest[image][unit].1))
    }
}

/// Part of an image, three values per pixel also where it is gray.
fn cut(image: &[f32], shape: ImageShape, rows: Range<isize>, columns: Range<isize>) -> Vec<f32> {
    let ImageShape { height, width, channels } = shape;
    let within = |at: isize, side: usize| usize::try_from(at).ok().filter(|&at| at < side);
    let pixel = |row: isize, column: isize| {
        let pixel = within(row, height).zip(within(column, width));
        let first = pixel.map(|(row, column)| channels * (row * width + column));
        [0, 1, 2].map(|color| first.map_or(GRAY, |first| image[first + color.min(channels - 1)]))
    };
    rows.flat_map(|row| columns.clone().flat_map(move |column| pixel(row, column))).collect()
}
