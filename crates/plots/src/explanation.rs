//! Why a layer answered as it did: the input beside the units that it woke, and what each of them says about the classes.

use crate::picture::{Picture, Rgb};
use crate::red_white_blue::red_white_blue;
use crate::text::{Align, Text};
use crate::{Error, Result};

/// One answer of a layer with a readout.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// A line above it all.
    pub title: String,
    /// The input, in [0, 1], row by row; gray, or three values per pixel.
    pub input: &'a [f32],
    /// Its height and width.
    pub image: (usize, usize),
    /// The probability of each class.
    pub probabilities: &'a [f32],
    /// What the classes are called, below it all; none where they have nothing but numbers.
    pub class_names: &'a [String],
    /// The units to show, the one that matters most first.
    pub units: Vec<VotingUnit<'a>>,
}

/// A hidden unit and its say.
#[derive(Clone, Debug)]
pub struct VotingUnit<'a> {
    /// What stands above it.
    pub name: String,
    /// Its weights, one an input.
    pub weights: &'a [f32],
    /// What it adds to the score of each class.
    pub votes: &'a [f32],
}

/// The side of an image, and the height of the bars below it.
const SIDE: usize = 168;
const BARS: usize = 110;
const GAP: usize = 22;
const TOP: usize = 76;
const BORDER: Rgb = [205, 205, 205];
const FOR: Rgb = [214, 69, 65];
const AGAINST: Rgb = [65, 105, 214];
const NEUTRAL: Rgb = [90, 90, 90];

impl Explanation<'_> {
    /// The input with the probabilities below it, then each unit with its votes, for in red and against in blue, all on one
    /// scale.
    pub fn draw(&self) -> Result<Picture> {
        self.check()?;
        let width = GAP + (1 + self.units.len()) * (SIDE + GAP);
        let height = TOP + SIDE + GAP + BARS + 2 * GAP;
        let mut picture = Picture::white(width, height + if self.class_names.is_empty() { 0 } else { GAP })?;
        let title = Text::new(&self.title, 22.0).fit((width - 2 * GAP) as f32)?;
        title.draw(&mut picture, GAP as f32, 24.0, Align::Start)?;
        let names = self.class_names.iter().enumerate().map(|(class, name)| format!("{class} {name}"));
        let names = names.collect::<Vec<_>>().join(", ");
        if !names.is_empty() {
            let names = Text::new(&names, 14.0).fit((width - 2 * GAP) as f32)?;
            names.draw(&mut picture, GAP as f32, height as f32, Align::Start)?;
        }
        let bright = |value: f32| (255.0 * value.clamp(0.0, 1.0)).round() as u8;
        let pixels = self.pixels(self.input, |pixel| match pixel {
            [red, green, blue] => [bright(*red), bright(*green), bright(*blue)],
            _ => [bright(pixel[0]); 3],
        });
        self.panel(&mut picture, 0, "input, and the probabilities", &pixels)?;
        bars(&mut picture, 0, self.probabilities, 1.0, |_| NEUTRAL)?;
        let largest = |values: &[f32]| values.iter().fold(0f32, |most, value| most.max(value.abs()));
        let limit = self.units.iter().map(|unit| largest(unit.votes)).fold(0.0, f32::max);
        for (place, unit) in self.units.iter().enumerate() {
            let most = f64::from(largest(unit.weights));
            let pixels = self.pixels(unit.weights, |pixel| {
                let mean = pixel.iter().map(|&value| f64::from(value)).sum::<f64>() / pixel.len() as f64;
                red_white_blue(mean, most)
            });
            self.panel(&mut picture, place + 1, &unit.name, &pixels)?;
            bars(&mut picture, place + 1, unit.votes, limit, |vote| if vote > 0.0 { FOR } else { AGAINST })?;
        }
        Ok(picture)
    }

    fn check(&self) -> Result<()> {
        let pixels = self.image.0 * self.image.1;
        let fits = |values: &[f32]| pixels > 0 && (values.len() == pixels || values.len() == 3 * pixels);
        if !fits(self.input) || !self.units.iter().all(|unit| fits(unit.weights)) {
            let expected = format!("{pixels} values, or three times as many, for the input and each unit");
            return Err(Error::argument("input", self.input.len(), expected));
        }
        let classes = self.probabilities.len();
        if ![0, classes].contains(&self.class_names.len()) {
            return Err(Error::argument(
                "class_names",
                self.class_names.len(),
                format!("{classes}, or none"),
            ));
        }
        match self.units.iter().find(|unit| unit.votes.len() != classes) {
            Some(unit) => {
                Err(Error::argument("votes", unit.votes.len(), format!("{classes}, one per class")))
            }
            None => Ok(()),
        }
    }

    fn pixels(&self, values: &[f32], color: impl Fn(&[f32]) -> Rgb) -> Vec<Rgb> {
        values.chunks(values.len() / (self.image.0 * self.image.1)).map(color).collect()
    }

    fn panel(&self, picture: &mut Picture, place: usize, name: &str, pixels: &[Rgb]) -> Result<()> {
        let (height, width) = self.image;
        let zoom = (SIDE / height.max(width)).max(1);
        let left = GAP + place * (SIDE + GAP);
        let name = Text::new(name, 16.0).fit(SIDE as f32)?;
        name.draw(picture, (left + SIDE / 2) as f32, (TOP - 16) as f32, Align::Middle)?;
        picture.fill(left - 1, TOP - 1, width * zoom + 2, height * zoom + 2, BORDER);
        for (at, &color) in pixels.iter().enumerate() {
            picture.fill(left + at % width * zoom, TOP + at / width * zoom, zoom, zoom, color);
        }
        Ok(())
    }
}

/// A bar for each class, upwards where a value is positive, with the classes' numbers below.
fn bars(
    picture: &mut Picture,
    place: usize,
    values: &[f32],
    limit: f32,
    color: impl Fn(f32) -> Rgb,
) -> Result<()> {
    let (left, top) = (GAP + place * (SIDE + GAP), TOP + SIDE + GAP);
    let signed = values.iter().any(|&value| value < 0.0);
    let (zero, reach) = if signed { (top + BARS / 2, BARS / 2) } else { (top + BARS, BARS) };
    picture.fill(left, zero, SIDE, 1, BORDER);
    let step = SIDE as f32 / values.len().max(1) as f32;
    for (class, &value) in values.iter().enumerate() {
        let x = left + (class as f32 * step).round() as usize;
        let wide = ((0.75 * step) as usize).max(1);
        let high = (value.abs() / limit.max(f32::MIN_POSITIVE) * reach as f32).round() as usize;
        let high = high.min(reach);
        let y = if value > 0.0 { zero - high } else { zero };
        picture.fill(x, y, wide, high, color(value));
        if step >= 10.0 {
            let middle = x as f32 + wide as f32 / 2.0;
            let label = class.to_string();
            Text::new(&label, 14.0).draw(picture, middle, (top + BARS + 12) as f32, Align::Middle)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation<'a>(input: &'a [f32], votes: &'a [f32]) -> Explanation<'a> {
        let unit = VotingUnit { name: "unit 7".into(), weights: &[1.0, -1.0, 0.0, 0.0], votes };
        let probabilities = &[0.25, 0.75];
        let (title, class_names) = ("two".into(), &[]);
        Explanation { title, input, image: (2, 2), probabilities, class_names, units: vec![unit] }
    }

    #[test]
    fn input_weights_and_votes_stand_where_they_should() {
        let picture = explanation(&[1.0, 0.0, 0.0, 0.0], &[-1.0, 2.0]).draw().unwrap();
        let at = |x: usize, y: usize| picture.pixel(x, y).unwrap();
        assert_eq!((at(GAP, TOP), at(GAP + SIDE - 1, TOP)), ([255; 3], [0; 3]), "the input");
        let unit = GAP + SIDE + GAP;
        assert_eq!((at(unit, TOP), at(unit + SIDE - 1, TOP)), ([255, 0, 0], [0, 0, 255]), "its weights");
        let zero = TOP + SIDE + GAP + BARS / 2;
        assert_eq!((at(unit + 5, zero + 10), at(unit + 5, zero - 10)), (AGAINST, [255; 3]), "a vote against");
        assert_eq!(at(unit + SIDE / 2 + 5, zero - BARS / 2 + 3), FOR, "the strongest vote fills its half");
        let floor = TOP + SIDE + GAP + BARS;
        assert_eq!(at(GAP + 5, floor - BARS / 4 + 3), NEUTRAL, "a quarter");
        assert_eq!(at(GAP + 5, floor - BARS / 4 - 3), [255; 3], "and no more");
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert!(explanation(&[1.0; 3], &[0.0; 2]).draw().is_err());
        assert!(explanation(&[1.0; 4], &[0.0; 3]).draw().is_err());
        let one_name = ["cat".to_owned()];
        assert!(Explanation { class_names: &one_name, ..explanation(&[1.0; 4], &[0.0; 2]) }.draw().is_err());
    }

    #[test]
    fn names_of_classes_stand_in_a_line_of_their_own() {
        let names = ["cat".to_owned(), "dog".to_owned()];
        let plain = explanation(&[1.0; 4], &[0.0; 2]);
        let named = Explanation { class_names: &names, ..plain.clone() }.draw().unwrap();
        let below = TOP + SIDE + GAP + BARS + 2 * GAP;
        let is_written = |y: usize| (0..named.width()).any(|x| named.pixel(x, y) != Some([255; 3]));
        assert_eq!(plain.draw().unwrap().height(), below);
        assert!((below - 12..below).any(is_written));
    }
}
