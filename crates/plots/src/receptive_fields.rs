//! The weights of units, each as an image: what a unit has learned to see.

use candle_core::{DType, Device, Tensor};

use crate::picture::{Picture, Rgb};
use crate::red_white_blue::red_white_blue;
use crate::text::{Align, Text};
use crate::{Error, Result};

const SEPARATOR: Rgb = [205, 205, 205];
const MARGIN: usize = 14;
/// With a title the grid starts here.
const BELOW_TITLE: usize = 48;
const BAR_HEIGHT: usize = 14;
/// Narrower, and the words under the color bar would run into each other.
const NARROWEST: usize = 230;

/// What full red and full blue stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// The largest absolute weight of all units shown: units can be compared.
    #[default]
    Global,
    /// The largest absolute weight of each unit: weak units are seen as clearly as strong ones.
    PerUnit,
}

/// A grid of units, each drawn as the image of its incoming weights.
///
/// The scale is symmetric around zero and zero is white, so that red and blue of the same strength are weights of the
/// same size. A weight becomes a square of whole pixels; nothing is interpolated.
///
/// Where there are three inputs per pixel, side by side, they are drawn as its red, green and blue: zero is black, or middle
/// gray if any weight shown is negative.
///
/// ```
/// # use candle_core::{DType, Device, Tensor};
/// # use hebbian_plots::{ReceptiveFields, Scale};
/// let weights = Tensor::zeros((100, 784), DType::F32, &Device::Cpu)?;
/// let picture = ReceptiveFields::new(&weights, (28, 28), (10, 10)).scale(Scale::PerUnit).draw()?;
/// assert!(picture.png()?.starts_with(b"\x89PNG"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReceptiveFields {
    weights: Tensor,
    image: (usize, usize),
    grid: (usize, usize),
    scale: Scale,
    title: Option<String>,
    caption: Option<String>,
    width: usize,
    few_colors: bool,
}

impl ReceptiveFields {
    /// The first `rows * columns` units of `weights (units, inputs)`, each input (or each three) a pixel of an image
    /// `(height, width)`, row by row. Where there are fewer units the grid ends in blanks.
    pub fn new(weights: &Tensor, image: (usize, usize), grid: (usize, usize)) -> Self {
        Self {
            weights: weights.clone(),
            image,
            grid,
            scale: Scale::default(),
            title: None,
            caption: None,
            width: 900,
            few_colors: false,
        }
    }

    /// Up to a hundred units of `weights` in a square, with a title that says of how many: `CompSpec: 100 of 400 units`.
    pub fn overview(weights: &Tensor, image: (usize, usize), name: &str) -> Self {
        let units = weights.dims().first().copied().unwrap_or_default();
        let side = ((units as f64).sqrt().ceil() as usize).clamp(1, 10);
        let title = format!("{name}: {} of {units} units", units.min(side * side));
        Self::new(weights, image, (side, side)).title(title)
    }

    /// One scale for all units (the default), or one for each.
    pub fn scale(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }

    /// A line above the grid; a long one is set smaller, so that all frames of a film have one size.
    pub fn title(self, title: impl Into<String>) -> Self {
        Self { title: Some(title.into()), ..self }
    }

    /// A line below the grid in place of what the colors stand for: where what is drawn are images, no weights.
    pub fn caption(self, caption: impl Into<String>) -> Self {
        Self { caption: Some(caption.into()), ..self }
    }

    /// The width to aim at in pixels, 900 unless told; the picture has the nearest at which a weight is whole pixels.
    pub fn width(self, width: usize) -> Self {
        Self { width, ..self }
    }

    /// Coarser colors, so few that a [`Film`](crate::Film) can hold them; of fields in red and blue nothing changes.
    pub fn few_colors(self) -> Self {
        Self { few_colors: true, ..self }
    }

    /// Draws the grid with its color bar. Only the units shown are copied to the host.
    pub fn draw(&self) -> Result<Picture> {
        let units = self.shown_units()?;
        let limits = self.limits(&units);
        let signed = units.iter().flatten().any(|&weight| weight < 0.0);
        let layout = Layout::of(self)?;
        let mut picture = Picture::white(layout.width, layout.height)?;
        if let Some(title) = &self.title {
            let room = (layout.width - 2 * MARGIN) as f32;
            let middle = (layout.width / 2) as f32;
            Text::new(title, 24.0).fit(room)?.draw(&mut picture, middle, 25.0, Align::Middle)?;
        }
        for (cell, (unit, &limit)) in units.iter().zip(&limits).enumerate() {
            let (row, column) = (cell / self.grid.1, cell % self.grid.1);
            let colors: Vec<Rgb> = match unit.as_chunks::<3>() {
                (pixels, []) if self.is_color() => {
                    pixels.iter().map(|pixel| self.color(pixel, limit, signed)).collect()
                }
                _ => unit.iter().map(|&weight| red_white_blue(f64::from(weight), limit)).collect(),
            };
            self.draw_unit(&mut picture, &layout, (row, column), &colors);
        }
        let limit = limits.first().copied().unwrap_or(0.0);
        match &self.caption {
            Some(caption) => self.draw_line(&mut picture, &layout, caption)?,
            None if self.is_color() => self.draw_key(&mut picture, &layout, limit, signed)?,
            None => self.draw_bar(&mut picture, &layout, limit)?,
        }
        Ok(picture)
    }

    fn draw_unit(&self, picture: &mut Picture, layout: &Layout, cell: (usize, usize), colors: &[Rgb]) {
        let (height, width) = self.image;
        let zoom = layout.zoom;
        let (left, top) = layout.corner(cell, self.image);
        picture.fill(
            left - layout.line,
            top - layout.line,
            width * zoom + 2 * layout.line,
            height * zoom + 2 * layout.line,
            SEPARATOR,
        );
        for (pixel, &color) in colors.iter().enumerate() {
            let (y, x) = (pixel / width, pixel % width);
            picture.fill(left + x * zoom, top + y * zoom, zoom, zoom, color);
        }
    }

    fn is_color(&self) -> bool {
        let pixels = self.image.0.saturating_mul(self.image.1);
        self.weights.dims().get(1).is_some_and(|&inputs| Some(inputs) == pixels.checked_mul(3))
    }

    fn color(&self, pixel: &[f32; 3], limit: f64, signed: bool) -> Rgb {
        const FEW: [f64; 3] = [4.0, 6.0, 4.0];
        let share = |weight: f32| if limit > 0.0 { f64::from(weight) / limit } else { 0.0 };
        let bright = |weight: f32| if signed { 0.5 + 0.5 * share(weight) } else { share(weight) };
        std::array::from_fn(|c| {
            let bright = bright(pixel[c]);
            let bright = if self.few_colors { (bright * FEW[c]).round() / FEW[c] } else { bright };
            (255.0 * bright).round() as u8
        })
    }

    /// What the colors of a color image stand for, in words.
    fn draw_key(&self, picture: &mut Picture, layout: &Layout, limit: f64, signed: bool) -> Result<()> {
        let zero = if signed { "gray is 0" } else { "black is 0" };
        let words = match self.scale {
            Scale::PerUnit => format!("{zero}, each unit to its own maximum"),
            Scale::Global => format!("{zero}, the largest weight is {}", significant(limit)),
        };
        self.draw_line(picture, layout, &words)
    }

    fn draw_line(&self, picture: &mut Picture, layout: &Layout, words: &str) -> Result<()> {
        let (middle, room) = ((layout.width / 2) as f32, (layout.width - 2 * MARGIN) as f32);
        Text::new(words, 18.0).fit(room)?.draw(picture, middle, layout.bar as f32 + 8.0, Align::Middle)
    }

    fn draw_bar(&self, picture: &mut Picture, layout: &Layout, limit: f64) -> Result<()> {
        let width = NARROWEST.max(layout.width / 3).min(layout.width - 4 * MARGIN);
        let (left, top) = ((layout.width - width) / 2, layout.bar);
        picture.fill(left - 1, top - 1, width + 2, BAR_HEIGHT + 2, SEPARATOR);
        for x in 0..width {
            let value = 2.0 * x as f64 / (width - 1) as f64 - 1.0;
            picture.fill(left + x, top, 1, BAR_HEIGHT, red_white_blue(value, 1.0));
        }
        let below = (top + BAR_HEIGHT + 14) as f32;
        let ends = match self.scale {
            Scale::PerUnit => ["\u{2212}max".into(), "+max".into()],
            Scale::Global if limit == 0.0 => [String::new(), String::new()],
            Scale::Global => ["\u{2212}", "+"].map(|sign| sign.to_owned() + &significant(limit)),
        };
        for (at, label) in [ends[0].as_str(), "0", ends[1].as_str()].into_iter().enumerate() {
            let x = (left + at * width / 2) as f32;
            Text::new(label, 18.0).draw(picture, x, below, Align::Middle)?;
        }
        if self.scale == Scale::PerUnit {
            let middle = (layout.width / 2) as f32;
            let caption = Text::new("each unit to its own maximum", 18.0);
            caption.draw(picture, middle, below + 22.0, Align::Middle)?;
        }
        Ok(())
    }

    /// The largest absolute weight that each unit is drawn against.
    fn limits(&self, units: &[Vec<f32>]) -> Vec<f64> {
        let largest = |unit: &Vec<f32>| unit.iter().fold(0f32, |max, weight| max.max(weight.abs()));
        let own = units.iter().map(largest);
        match self.scale {
            Scale::PerUnit => own.map(f64::from).collect(),
            Scale::Global => vec![f64::from(own.fold(0f32, f32::max)); units.len()],
        }
    }

    fn shown_units(&self) -> Result<Vec<Vec<f32>>> {
        let shown = self.check()?;
        let weights = self.weights.narrow(0, 0, shown)?.to_dtype(DType::F32)?;
        let units = weights.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
        match units.iter().position(|unit| unit.iter().any(|weight| !weight.is_finite())) {
            None => Ok(units),
            Some(unit) => {
                Err(Error::argument("weights", format!("not finite in unit {unit}"), "finite numbers"))
            }
        }
    }

    /// How many units the grid will show.
    fn check(&self) -> Result<usize> {
        let (height, width) = self.image;
        let (rows, columns) = self.grid;
        for (argument, value) in [("rows", rows), ("columns", columns), ("height", height), ("width", width)]
        {
            if value == 0 {
                return Err(Error::argument(argument, 0, "at least 1"));
            }
        }
        let shape = self.weights.dims();
        if shape.len() != 2 || shape[0] == 0 {
            return Err(Error::argument(
                "weights",
                format!("{shape:?}"),
                "(units, inputs), at least one unit",
            ));
        }
        if height.checked_mul(width) != Some(shape[1]) && !self.is_color() {
            let expected = format!("height * width = {height} * {width}");
            return Err(Error::argument("inputs", shape[1], expected));
        }
        Ok(shape[0].min(rows.saturating_mul(columns)))
    }
}

/// Where everything stands, in pixels.
struct Layout {
    width: usize,
    height: usize,
    left: usize,
    top: usize,
    bar: usize,
    zoom: usize,
    line: usize,
}

impl Layout {
    fn of(fields: &ReceptiveFields) -> Result<Self> {
        let ((image_height, image_width), (rows, columns)) = (fields.image, fields.grid);
        let (across, down) = (columns.saturating_mul(image_width), rows.saturating_mul(image_height));
        let fit = |room: usize, weights: usize| (room as f64 / weights as f64).round() as usize;
        let zoom = fit(fields.width, across).min(fit(fields.width.saturating_mul(2), down)).max(1);
        let line = if zoom < 4 { 1 } else { 2 };
        let grid = |weights: usize, cells: usize| {
            weights.saturating_mul(zoom).saturating_add(cells.saturating_add(1).saturating_mul(line))
        };
        let (grid_width, grid_height) = (grid(across, columns), grid(down, rows));
        let width = grid_width.max(NARROWEST + 2 * MARGIN).saturating_add(2 * MARGIN);
        let top = if fields.title.is_some() { BELOW_TITLE } else { MARGIN };
        let bar = top.saturating_add(grid_height).saturating_add(18);
        let captions = if fields.scale == Scale::Global { 36 } else { 58 };
        let height = bar.saturating_add(BAR_HEIGHT + captions);
        Ok(Self { width, height, left: (width - grid_width) / 2, top, bar, zoom, line })
    }

    /// The first pixel of the unit in `(row, column)`, inside its border.
    fn corner(&self, (row, column): (usize, usize), (height, width): (usize, usize)) -> (usize, usize) {
        let cell = |weights: usize| weights * self.zoom + self.line;
        (self.left + self.line + column * cell(width), self.top + self.line + row * cell(height))
    }
}

/// Three significant digits.
fn significant(value: f64) -> String {
    match value.log10().floor() as i32 {
        power @ -3..=3 => format!("{value:.*}", (2 - power).max(0) as usize),
        _ => format!("{value:.2e}").replace('-', "\u{2212}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Film;
    use crate::picture::WHITE;

    /// Units of 2 x 3 inputs; the only weight of each stands top right and is 1, -2, 3, -4, ...
    fn weights(units: usize) -> Tensor {
        let unit = |unit: usize| [0.0, 0.0, (unit + 1) as f32 * (-1f32).powi(unit as i32), 0.0, 0.0, 0.0];
        let weights: Vec<f32> = (0..units).flat_map(unit).collect();
        Tensor::from_vec(weights, (units, 6), &Device::Cpu).unwrap()
    }

    fn fields(units: usize, grid: (usize, usize)) -> ReceptiveFields {
        ReceptiveFields::new(&weights(units), (2, 3), grid)
    }

    /// The color of an input in a cell of the drawn grid.
    fn color(fields: &ReceptiveFields, cell: (usize, usize), (y, x): (usize, usize)) -> Rgb {
        let layout = Layout::of(fields).unwrap();
        let (left, top) = layout.corner(cell, fields.image);
        fields.draw().unwrap().pixel(left + x * layout.zoom, top + y * layout.zoom).unwrap()
    }

    #[test]
    fn zero_is_white_and_weights_stand_where_the_image_has_them() {
        let fields = fields(2, (1, 2)).scale(Scale::PerUnit);
        assert_eq!(color(&fields, (0, 0), (0, 2)), [255, 0, 0]);
        assert_eq!(color(&fields, (0, 1), (0, 2)), [0, 0, 255]);
        assert_eq!(color(&fields, (0, 1), (1, 0)), WHITE);
    }

    #[test]
    fn a_global_scale_compares_units() {
        let fields = fields(2, (1, 2));
        assert_eq!(color(&fields, (0, 0), (0, 2)), [255, 128, 128]);
        assert_eq!(color(&fields, (0, 1), (0, 2)), [0, 0, 255]);
    }

    #[test]
    fn units_fill_the_grid_row_by_row_and_leave_the_rest_blank() {
        let fields = fields(3, (2, 2)).scale(Scale::PerUnit);
        assert_eq!(color(&fields, (1, 0), (0, 2)), [255, 0, 0]);
        assert_eq!(color(&fields, (1, 1), (0, 2)), WHITE);
    }

    #[test]
    fn a_unit_of_zeros_is_white_inside_its_border() {
        let zeros = Tensor::zeros((1, 6), DType::F32, &Device::Cpu).unwrap();
        for scale in [Scale::Global, Scale::PerUnit] {
            let fields = ReceptiveFields::new(&zeros, (2, 3), (1, 1)).scale(scale);
            let layout = Layout::of(&fields).unwrap();
            let (left, top) = layout.corner((0, 0), (2, 3));
            let picture = fields.draw().unwrap();
            assert_eq!(picture.pixel(left, top), Some(WHITE));
            assert_eq!(picture.pixel(left - 1, top), Some(SEPARATOR));
        }
    }

    #[test]
    fn three_inputs_a_pixel_are_red_green_and_blue() {
        let colors = |weights: [f32; 6]| {
            let weights = Tensor::from_slice(&weights, (1, 6), &Device::Cpu).unwrap();
            let fields = ReceptiveFields::new(&weights, (1, 2), (1, 1)).scale(Scale::PerUnit);
            [0, 1].map(|x| color(&fields, (0, 0), (0, x)))
        };
        assert_eq!(colors([0.0, 1.0, 2.0, 2.0, 0.0, 0.0]), [[0, 128, 255], [255, 0, 0]]);
        assert_eq!(colors([0.0, -2.0, 2.0, 1.0, 0.0, 0.0]), [[128, 0, 255], [191, 128, 128]]);
        assert_eq!(colors([0.0; 6]), [[0; 3]; 2]);
    }

    #[test]
    fn a_film_can_hold_color_fields_in_few_colors() {
        let many = Tensor::arange(0f32, 3072.0, &Device::Cpu).unwrap();
        let shuffled = (many * 7919.0).unwrap().sin().unwrap().reshape((1, 3072)).unwrap();
        let fields = ReceptiveFields::new(&shuffled, (32, 32), (1, 1)).title("epoch 1 of 98765").width(600);
        let mut film = Film::new(std::time::Duration::ZERO);
        assert!(film.push(&fields.draw().unwrap()).is_err());
        film.push(&fields.few_colors().draw().unwrap()).unwrap();
    }

    #[test]
    fn only_the_units_shown_are_looked_at() {
        let last = Tensor::full(f32::NAN, (1, 6), &Device::Cpu).unwrap();
        let weights = Tensor::cat(&[&weights(4), &last], 0).unwrap();
        assert!(ReceptiveFields::new(&weights, (2, 3), (2, 2)).draw().is_ok());
        let error = ReceptiveFields::new(&weights, (2, 3), (2, 3)).draw().unwrap_err();
        assert!(error.to_string().contains("not finite in unit 4"), "{error}");
    }

    #[test]
    fn a_transposed_or_f64_tensor_gives_the_same_picture() {
        let plain = fields(4, (2, 2)).draw().unwrap();
        let turned = weights(4).t().unwrap().contiguous().unwrap().t().unwrap();
        let double = weights(4).to_dtype(DType::F64).unwrap();
        for same in [turned, double] {
            assert_eq!(ReceptiveFields::new(&same, (2, 3), (2, 2)).draw().unwrap(), plain);
        }
    }

    #[test]
    fn a_frame_has_colors_to_spare_whatever_its_weights_and_title() {
        let ramp = Tensor::arange(-784f32, 784.0, &Device::Cpu).unwrap().reshape((2, 784)).unwrap();
        let fields = ReceptiveFields::new(&ramp, (28, 28), (1, 2)).title("epoch 1024 of 98765").width(600);
        Film::new(std::time::Duration::ZERO).push(&fields.draw().unwrap()).unwrap();
    }

    #[test]
    fn a_caption_stands_in_place_of_the_color_bar() {
        let (with, without) = (fields(2, (1, 2)).caption("patches"), fields(2, (1, 2)));
        let colored = |fields: &ReceptiveFields| {
            let (picture, layout) = (fields.draw().unwrap(), Layout::of(fields).unwrap());
            let line = (0..picture.width()).filter_map(|x| picture.pixel(x, layout.bar + BAR_HEIGHT / 2));
            line.into_iter().any(|[red, _, blue]| red != blue)
        };
        assert!(!colored(&with) && colored(&without));
        assert_eq!(with.draw().unwrap().height(), without.draw().unwrap().height());
    }

    #[test]
    fn the_title_does_not_change_the_size() {
        let short = fields(4, (2, 2)).title("epoch 9 of 20").draw().unwrap();
        let long = fields(4, (2, 2)).title("epoch 10 of 20, and so on and on".repeat(9)).draw().unwrap();
        assert_eq!((short.width(), short.height()), (long.width(), long.height()));
    }

    #[test]
    fn the_picture_is_about_as_wide_as_asked_whatever_the_grid() {
        for grid in [(10, 10), (2, 3), (1, 1), (4, 30)] {
            let width = fields(100, grid).draw().unwrap().width();
            assert!((800..1050).contains(&width), "{grid:?}: {width}");
        }
    }

    #[test]
    fn bad_arguments_are_named() {
        let error =
            |image, grid| ReceptiveFields::new(&weights(4), image, grid).draw().unwrap_err().to_string();
        assert_eq!(error((2, 3), (0, 1)), "`rows` is 0; expected at least 1");
        assert_eq!(error((2, 3), (1, 0)), "`columns` is 0; expected at least 1");
        assert_eq!(error((28, 28), (1, 1)), "`inputs` is 6; expected height * width = 28 * 28");
        assert!(error((usize::MAX, 2), (1, 1)).starts_with("`inputs` is 6"));
        assert!(error((2, 3), (usize::MAX, usize::MAX)).starts_with("`picture` is"));
        let none = Tensor::zeros((0, 6), DType::F32, &Device::Cpu).unwrap();
        let error = ReceptiveFields::new(&none, (2, 3), (1, 1)).draw().unwrap_err();
        assert_eq!(error.to_string(), "`weights` is [0, 6]; expected (units, inputs), at least one unit");
    }

    #[test]
    fn labels_have_three_significant_digits() {
        let labels = [0.41234, 12.345, 1234.5, 6e-8].map(significant);
        assert_eq!(labels, ["0.412", "12.3", "1234", "6.00e−8"]);
    }
}
