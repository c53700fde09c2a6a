//! Numbers over epochs: loss and accuracy, in training and in validation, of several models on one pair of axes.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::canvas::Canvas;
use crate::picture::{Picture, Rgb};
use crate::text::Text;
use crate::{Error, Result};

const WIDTH: usize = 1000;
const HEIGHT: usize = 620;
const RIGHT_MARGIN: usize = 30;
const TICK_TEXT: usize = 20;
const LEGEND_ROW: usize = 30;
const LEGEND_LINE: usize = 52;
const LEGEND_GAP: usize = 36;
/// Ticks that fit along an axis without crowding.
const TICKS: usize = 8;
/// The chart is drawn as many times larger and then shrunk, since plotters' thick lines have hard edges.
const FINE: usize = 4;
/// In fine pixels.
const PEN: u32 = 10;
const GRID: RGBColor = RGBColor(232, 232, 232);
const SPINE: RGBColor = RGBColor(120, 120, 120);

/// Okabe and Ito's colors, which color-blind readers can tell apart, the strongest first.
const HUES: [Rgb; 6] =
    [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233]];

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Solid, in the full hue.
    Solid,
    /// Dashed, in a lighter tone of the hue.
    Dashed,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// `(x, y)` in drawing order; points that are not finite are skipped.
    pub points: Vec<(f64, f64)>,
    /// Which color; series of one hue read as belonging together. After six the colors repeat.
    pub hue: usize,
    /// Solid or dashed.
    pub line: Line,
    /// How far up and down each of the first points is uncertain, as a bar; points without one have none.
    pub intervals: Vec<f64>,
}

impl Series {
    /// A solid curve.
    pub fn solid(name: impl Into<String>, hue: usize, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, hue, line: Line::Solid, intervals: Vec::new() }
    }

    /// A dashed curve, lighter than the solid one of the same hue.
    pub fn dashed(name: impl Into<String>, hue: usize, points: Vec<(f64, f64)>) -> Self {
        Self { line: Line::Dashed, ..Self::solid(name, hue, points) }
    }

    /// With how far up and down each point is uncertain.
    pub fn with_intervals(self, intervals: Vec<f64>) -> Self {
        Self { intervals, ..self }
    }

    /// One model's two curves: training dashed, validation solid, since validation is what counts.
    pub fn train_and_validation(
        model: &str,
        hue: usize,
        train: Vec<(f64, f64)>,
        validation: Vec<(f64, f64)>,
    ) -> [Self; 2] {
        [
            Self::dashed(format!("{model}, train"), hue, train),
            Self::solid(format!("{model}, validation"), hue, validation),
        ]
    }

    /// The outline of a histogram: the share of the values in each of `bins` equal parts of the range, those outside it in
    /// the first or the last.
    pub fn histogram(
        name: impl Into<String>,
        hue: usize,
        values: &[f64],
        range: (f64, f64),
        bins: usize,
    ) -> Self {
        let (least, most) = range;
        let width = ((most - least) / bins as f64).max(1e-6);
        let mut counts = vec![0usize; bins];
        for value in values {
            counts[(((value - least) / width).max(0.0) as usize).min(bins - 1)] += 1;
        }
        let edge = |bin: usize| least + bin as f64 * width;
        let share = |count: usize| count as f64 / values.len() as f64;
        let stairs = counts.into_iter().enumerate();
        let stairs =
            stairs.flat_map(|(bin, count)| [(edge(bin), share(count)), (edge(bin + 1), share(count))]);
        Self::solid(name, hue, stairs.collect())
    }

    fn style(&self) -> ShapeStyle {
        let full = HUES[self.hue % HUES.len()];
        let [r, g, b] = match self.line {
            Line::Solid => full,
            Line::Dashed => full.map(|tone| tone + ((255 - tone) as f32 * 0.35) as u8),
        };
        RGBColor(r, g, b).filled().stroke_width(PEN)
    }

    /// A path of one point is a dot.
    fn path<P: Clone + 'static>(&self, points: Vec<P>) -> DynElement<'static, Canvas, P> {
        match (points.as_slice(), self.line) {
            ([only], _) => Circle::new(only.clone(), fine(9) / 2, self.style()).into_dyn(),
            (_, Line::Solid) => PathElement::new(points, self.style()).into_dyn(),
            (_, Line::Dashed) => DashedPathElement::new(points, fine(9), fine(7), self.style()).into_dyn(),
        }
    }

    /// The ends of the bars that can be drawn.
    fn bars(&self) -> impl Iterator<Item = [(f64, f64); 2]> + Clone {
        let bars = self.points.iter().zip(&self.intervals);
        let bars = bars.map(|(&(x, y), interval)| [(x, y - interval), (x, y + interval)]);
        bars.filter(|ends| ends.iter().all(|&(x, y)| drawable(x) && drawable(y)))
    }

    /// What can be drawn. Beyond f32 nothing is a loss any more, and spans would overflow.
    fn finite(&self) -> impl Iterator<Item = (f64, f64)> + Clone {
        self.points.iter().copied().filter(|&(x, y)| drawable(x) && drawable(y))
    }
}

fn drawable(value: f64) -> bool {
    value.abs() <= f64::from(f32::MAX)
}

/// Curves on one pair of axes, with the legend below them where it hides nothing.
///
/// ```
/// use hebbian_plots::{Curves, Series};
///
/// let (train, validation) = (vec![(1.0, 0.97), (2.0, 0.99)], vec![(1.0, 0.96), (2.0, 0.97)]);
/// let accuracy = Curves {
///     title: "accuracy".into(),
///     x_label: "epoch".into(),
///     y_label: "fraction correct".into(),
///     series: Series::train_and_validation("backprop", 0, train, validation).into(),
///     y_range: Some((0.9, 1.0)),
/// };
/// assert_eq!(accuracy.draw()?.width(), 1000);
/// # Ok::<(), hebbian_plots::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Curves {
    /// Above the axes.
    pub title: String,
    /// Below the horizontal axis.
    pub x_label: String,
    /// Beside the vertical axis.
    pub y_label: String,
    /// What is drawn, later ones over earlier ones.
    pub series: Vec<Series>,
    /// The vertical axis from bottom to top; without it, all that the points need. Curves are cut off at the range.
    pub y_range: Option<(f64, f64)>,
}

type Area = DrawingArea<Canvas, Shift>;
type Point = (f64, f64);

impl Curves {
    /// Curves whose axes hold all points, with what stands below and beside them.
    pub fn new(
        title: impl Into<String>,
        (x_label, y_label): (&str, &str),
        series: impl IntoIterator<Item = Series>,
    ) -> Self {
        let (x_label, y_label) = (x_label.to_owned(), y_label.to_owned());
        Self { title: title.into(), x_label, y_label, series: series.into_iter().collect(), y_range: None }
    }

    /// Draws the curves, 1000 x 620 pixels, higher only if the legend is long.
    pub fn draw(&self) -> Result<Picture> {
        self.check()?;
        let name = widest(self.series.iter().map(|series| series.name.clone()))?;
        let cell = (LEGEND_LINE + name + LEGEND_GAP).min(WIDTH - 2 * RIGHT_MARGIN);
        let rows = self.series.len().div_ceil((WIDTH - 2 * RIGHT_MARGIN) / cell);
        let height = HEIGHT + rows.saturating_sub(2) * LEGEND_ROW;
        let canvas = Rc::new(RefCell::new(Canvas(Picture::white(FINE * WIDTH, FINE * height)?)));
        let (chart, legend) =
            DrawingArea::from(&canvas).split_vertically(fine(height - rows * LEGEND_ROW - 9));
        self.draw_chart(&chart)?;
        self.draw_legend(&legend, rows, cell)?;
        canvas.borrow().0.shrink(FINE)
    }

    fn draw_chart(&self, area: &Area) -> Result<()> {
        let bars = self.series.iter().flat_map(Series::bars).flatten();
        let points = self.series.iter().flat_map(Series::finite).chain(bars);
        let x = Axis::around(points.clone().map(|point| point.0), 0.02);
        let y = match self.y_range {
            Some((bottom, top)) => Axis { range: bottom..top, most: TICKS },
            None => Axis::around(points.map(|point| point.1), 0.05),
        };
        let label = widest(y.ticks().into_iter().map(|tick| y.label(tick)))?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(fine(60))
            .margin_right(fine(RIGHT_MARGIN))
            .margin_bottom(fine(10))
            .margin_left(fine(15))
            .x_label_area_size(fine(65))
            .y_label_area_size(fine(47 + label))
            .build_cartesian_2d(x.range.clone(), y.range.clone())?;
        chart
            .configure_mesh()
            .x_labels(x.most)
            .y_labels(y.most)
            .x_label_formatter(&|tick| x.label(*tick))
            .y_label_formatter(&|tick| y.label(*tick))
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .label_style(("sans-serif", fine(TICK_TEXT)))
            .axis_desc_style(("sans-serif", fine(22)))
            .set_all_tick_mark_size(fine(6))
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(FINE as u32))
            .axis_style(SPINE.stroke_width(FINE as u32))
            .draw()?;
        for series in &self.series {
            let points: Vec<_> = series.finite().collect();
            let pieces = within(&points, y.range.start, y.range.end);
            chart.draw_series(pieces.into_iter().map(|piece| series.path(piece)))?;
            let bars = series.bars().flat_map(|bar| within(&bar, y.range.start, y.range.end));
            chart.draw_series(bars.map(|bar| PathElement::new(bar, series.style().stroke_width(PEN / 2))))?;
        }
        let across = chart.plotting_area().get_pixel_range().0;
        let above = ((across.start + across.end) / 2, fine(30));
        Ok(area.draw_text(&self.title, &words(28, HPos::Center), above)?)
    }

    /// Names beside samples of their lines, column by column, so that a model's pair stands together.
    fn draw_legend(&self, area: &Area, rows: usize, cell: usize) -> Result<()> {
        let columns = self.series.len().div_ceil(rows);
        let left = (WIDTH + LEGEND_GAP - columns * cell) / 2;
        let cells =
            area.margin(0, fine(9), fine(left), fine(left - LEGEND_GAP)).split_evenly((rows, columns));
        for (at, series) in self.series.iter().enumerate() {
            let (cell, middle) = (&cells[at % rows * columns + at / rows], fine(LEGEND_ROW / 2));
            cell.draw(&series.path(vec![(0, middle), (fine(LEGEND_LINE - 10), middle)]))?;
            cell.draw_text(&series.name, &words(TICK_TEXT, HPos::Left), (fine(LEGEND_LINE), middle))?;
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.series.is_empty() {
            return Err(Error::argument("series", "empty", "at least one"));
        }
        if let Some(series) = self.series.iter().find(|series| series.finite().next().is_none()) {
            let value = format!("`{}` without a finite point", series.name);
            return Err(Error::argument("series", value, "at least one finite point in each"));
        }
        match self.y_range {
            Some((bottom, top)) if !(bottom < top && (top - bottom).is_finite()) => {
                let value = format!("{bottom}..{top}");
                Err(Error::argument("y_range", value, "a finite bottom below a finite top"))
            }
            _ => Ok(()),
        }
    }
}

fn fine(pixels: usize) -> i32 {
    (FINE * pixels) as i32
}

fn words(size: usize, anchor: HPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", fine(size))).pos(Pos::new(anchor, VPos::Center))
}

/// How wide labels of ticks or names in the legend are, in pixels.
fn widest(mut words: impl Iterator<Item = String>) -> Result<usize> {
    let width = |words: String| Text::new(&words, TICK_TEXT as f32).width();
    words.try_fold(0, |widest, words| Ok(widest.max(width(words)?.ceil() as usize)))
}

struct Axis {
    range: Range<f64>,
    /// How many ticks there may be.
    most: usize,
}

impl Axis {
    /// Room for all `values` and a margin, a fraction of their span; ticks of whole numbers stay whole.
    fn around(values: impl Iterator<Item = f64> + Clone, margin: f64) -> Self {
        let min = values.clone().fold(f64::INFINITY, f64::min);
        let max = values.clone().fold(f64::NEG_INFINITY, f64::max);
        let largest = max.abs().max(min.abs());
        let pad = if max > min { margin * (max - min) } else { 0.1 * largest };
        // Plotters cannot tell closer numbers apart.
        let pad = pad.max(1e-12 * largest.max(1.0));
        let range = min - pad..max + pad;
        let whole_numbers = range.end.floor() - range.start.ceil() + 1.0;
        let whole = values.clone().all(|value| value.fract() == 0.0);
        let most = if whole { TICKS.min(whole_numbers as usize) } else { TICKS };
        Self { range, most }
    }

    /// Where plotters puts them.
    fn ticks(&self) -> Vec<f64> {
        RangedCoordf64::from(self.range.clone()).key_points(self.most)
    }

    /// With as many decimals as tell the ticks apart.
    fn label(&self, tick: f64) -> String {
        let ticks = self.ticks();
        let step = ticks.get(1).map_or(1.0, |second| second - ticks[0]);
        let exponent = |value: f64| (1.001 * value.abs()).log10().floor();
        let largest = self.range.start.abs().max(self.range.end.abs());
        let words = if tick.abs() < step / 2.0 {
            "0".into()
        } else if exponent(step) < -5.0 || largest >= 1e7 {
            let digits = (exponent(tick) - exponent(step)).clamp(0.0, 6.0) as usize;
            format!("{tick:.digits$e}")
        } else {
            format!("{tick:.*}", (-exponent(step)).max(0.0) as usize)
        };
        words.replace('-', "\u{2212}")
    }
}

/// The pieces of the polyline between `bottom` and `top`; plotters would bend what reaches beyond.
fn within(points: &[Point], bottom: f64, top: f64) -> Vec<Vec<Point>> {
    if let [only] = points {
        return if (bottom..=top).contains(&only.1) { vec![vec![*only]] } else { vec![] };
    }
    let mut pieces: Vec<Vec<Point>> = Vec::new();
    for ends in points.windows(2) {
        let Some((from, to)) = segment_within(ends[0], ends[1], bottom, top) else { continue };
        match pieces.last_mut() {
            Some(piece) if piece.last() == Some(&from) => piece.push(to),
            _ => pieces.push(vec![from, to]),
        }
    }
    pieces
}

fn segment_within(a: Point, b: Point, bottom: f64, top: f64) -> Option<(Point, Point)> {
    if a.1.max(b.1) < bottom || a.1.min(b.1) > top {
        return None;
    }
    let cut = |end: Point, other: Point| {
        let y = end.1.clamp(bottom, top);
        if y == end.1 { end } else { (end.0 + (other.0 - end.0) * (y - end.1) / (other.1 - end.1), y) }
    };
    Some((cut(a, b), cut(b, a)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::picture::WHITE as PAPER;

    fn line(points: Vec<(f64, f64)>) -> Curves {
        Curves { series: vec![Series::solid("line", 0, points)], ..Curves::default() }
    }

    fn pixels_of(picture: &Picture, color: Rgb) -> usize {
        picture.pixels().as_chunks::<3>().0.iter().filter(|&&pixel| pixel == color).count()
    }

    #[test]
    fn a_histogram_is_the_outline_of_shares_and_what_is_outside_is_in_the_last_parts() {
        let series = Series::histogram("values", 0, &[-5.0, 0.1, 0.6, 0.9, 1.0, 7.0], (0.0, 1.0), 2);
        let (low, high) = (2.0 / 6.0, 4.0 / 6.0);
        assert_eq!(series.points, [(0.0, low), (0.5, low), (0.5, high), (1.0, high)]);
    }

    #[test]
    fn a_curve_is_drawn_in_its_hue() {
        let picture = line(vec![(1.0, 0.2), (2.0, 0.9), (3.0, 0.5)]).draw().unwrap();
        assert_eq!((picture.width(), picture.height()), (WIDTH, HEIGHT));
        assert!(pixels_of(&picture, HUES[0]) > 500);
        assert_eq!(pixels_of(&picture, HUES[1]), 0);
    }

    #[test]
    fn one_point_is_a_dot() {
        let legend_only = line(vec![(1.0, 2.0), (1.0, 2.0)]).draw().unwrap();
        let dot = line(vec![(1.0, 2.0)]).draw().unwrap();
        assert!(pixels_of(&dot, HUES[0]) > pixels_of(&legend_only, HUES[0]) + 30);
    }

    #[test]
    fn points_that_are_not_finite_are_skipped() {
        let gaps = vec![(1.0, 0.2), (f64::NAN, 0.3), (1.5, f64::INFINITY), (1.5, 1e300), (2.0, 0.9)];
        assert_eq!(line(gaps).draw().unwrap(), line(vec![(1.0, 0.2), (2.0, 0.9)]).draw().unwrap());
    }

    #[test]
    fn constant_and_tiny_and_huge_values_are_drawn() {
        for value in [0.0, 0.97, -1e-30, 3e38, 5e-324] {
            let points = vec![(1.0, value), (2.0, value), (3.0, value)];
            assert!(pixels_of(&line(points).draw().unwrap(), HUES[0]) > 500, "{value}");
        }
        assert!(line(vec![(-3e38, -3e38), (3e38, 3e38)]).draw().is_ok());
    }

    #[test]
    fn curves_are_cut_off_at_the_range() {
        let points = [(0.0, 0.0), (1.0, 2.0), (2.0, 0.0)];
        let pieces = within(&points, 0.5, 1.0);
        assert_eq!(pieces, [vec![(0.25, 0.5), (0.5, 1.0)], vec![(1.5, 1.0), (1.75, 0.5)]]);
        assert!(within(&points, 3.0, 4.0).is_empty());
        let mut curves = line(vec![(1.0, -1e30), (2.0, 1e30)]);
        curves.y_range = Some((0.9, 1.0));
        assert!(curves.draw().is_ok());
    }

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| axis.label(tick)).collect()
    }

    fn between(bottom: f64, top: f64) -> Vec<String> {
        labels(&Axis { range: bottom..top, most: TICKS })
    }

    fn around(values: &[f64]) -> Vec<String> {
        labels(&Axis::around(values.iter().copied(), 0.05))
    }

    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        assert_eq!(between(0.9, 1.0), ["0.90", "0.92", "0.94", "0.96", "0.98", "1.00"]);
        assert_eq!(between(-3.0, 3.0), ["−3", "−2", "−1", "0", "1", "2", "3"]);
        assert_eq!(between(0.0, 50.0), ["0", "10", "20", "30", "40", "50"]);
    }

    #[test]
    fn whole_values_get_whole_ticks() {
        assert_eq!(around(&[1.0]), ["1"]);
        assert_eq!(around(&[1.0, 3.0]), ["1", "2", "3"]);
        assert_eq!(around(&[0.0, 9.0]), ["0", "2", "4", "6", "8"]);
    }

    #[test]
    fn tiny_and_huge_values_are_written_with_an_exponent() {
        assert_eq!(between(0.0, 2e-7), ["0", "5e−8", "1.0e−7", "1.5e−7", "2.0e−7"]);
        assert_eq!(between(0.0, 3e9).last().unwrap(), "3.0e9");
    }

    #[test]
    fn every_value_lies_inside_with_a_margin() {
        assert_eq!(Axis::around([2.0, 4.0, -6.0].into_iter(), 0.1).range, -7.0..5.0);
        for constant in [0.0, -2.5, 1e-9, 1e12, -1e-300, 5e-324] {
            let range = Axis::around([constant, constant].into_iter(), 0.05).range;
            assert!(range.start < constant && constant < range.end, "{constant}");
        }
    }

    proptest! {
        #[test]
        fn any_values_have_an_axis(a in any::<f32>(), b in any::<f32>(), span in -1e-9..1e-9) {
            let a = f64::from(a);
            for values in [[a, f64::from(b)], [a, a + span], [a, a * (1.0 + span)], [span, a]] {
                let labels = around(&values);
                prop_assert!((1..2 * TICKS).contains(&labels.len()), "{values:?}: {labels:?}");
            }
        }
    }

    #[test]
    fn a_pair_shares_its_hue_and_differs_in_line() {
        let [train, validation] = Series::train_and_validation("backprop", 1, vec![], vec![]);
        assert_eq!((train.hue, train.line), (1, Line::Dashed));
        assert_eq!((validation.hue, validation.line), (1, Line::Solid));
        assert_eq!(validation.name, "backprop, validation");
    }

    #[test]
    fn a_long_legend_makes_the_picture_higher() {
        let points = vec![(0.0, 1.0), (1.0, 2.0)];
        let name =
            "a model with a name that is long enough to fill the row and would not fit on it".repeat(2);
        let series = (0..9).map(|hue| Series::solid(&name, hue, points.clone())).collect();
        let picture = Curves { series, ..Curves::default() }.draw().unwrap();
        assert_eq!(picture.height(), HEIGHT + 7 * LEGEND_ROW);
        assert!((0..picture.height()).all(|y| picture.pixel(WIDTH - 4, y) == Some(PAPER)));
    }

    #[test]
    fn bad_arguments_are_named() {
        let error = |curves: Curves| curves.draw().unwrap_err().to_string();
        assert_eq!(error(Curves::default()), "`series` is empty; expected at least one");
        let empty = error(line(vec![(0.0, f64::NAN)]));
        assert_eq!(
            empty,
            "`series` is `line` without a finite point; expected at least one finite point in each"
        );
        for range in [(1.0, 1.0), (1.0, 0.0), (f64::NAN, 1.0), (f64::MIN, f64::MAX)] {
            let mut curves = line(vec![(0.0, 0.0)]);
            curves.y_range = Some(range);
            assert!(error(curves).starts_with("`y_range` is"));
        }
    }
}
