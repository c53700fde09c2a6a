//! Which classes are taken for which.

use crate::picture::{Picture, Rgb, WHITE};
use crate::text::{Align, INK, Text};
use crate::{Error, Result};

const LINE: Rgb = [225, 225, 225];
const FAINT: Rgb = [170, 170, 170];
const RIGHT: Rgb = [120, 175, 225];
const WRONG: Rgb = [245, 120, 100];
const TITLE_HEIGHT: usize = 52;
const MARGIN: usize = 22;
const TEXT: f32 = 20.0;

/// A confusion matrix `(true class, predicted class)` with its counts.
///
/// A good classifier's errors are few beside what it gets right, so the two have scales of their own: the diagonal is
/// blue by the fraction of its class that was found, errors are red by their count against the most frequent error.
///
/// ```
/// use hebbian_plots::ConfusionMatrix;
///
/// let counts = vec![vec![97, 3], vec![0, 100]];
/// let picture = ConfusionMatrix::new(&counts).class_names(["cat", "dog"]).draw()?;
/// # Ok::<(), hebbian_plots::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConfusionMatrix {
    counts: Vec<Vec<u64>>,
    class_names: Vec<String>,
    title: Option<String>,
}

impl ConfusionMatrix {
    /// Counts `(classes, classes)`: row the true class, column the predicted one. Classes are numbered from 0.
    pub fn new(counts: &[Vec<u64>]) -> Self {
        let class_names = (0..counts.len()).map(|class| class.to_string()).collect();
        Self { counts: counts.to_vec(), class_names, title: None }
    }

    /// Names instead of numbers, one for each class.
    pub fn class_names<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        Self { class_names: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// A line above the matrix.
    pub fn title(self, title: impl Into<String>) -> Self {
        Self { title: Some(title.into()), ..self }
    }

    /// Draws the matrix.
    pub fn draw(&self) -> Result<Picture> {
        self.check()?;
        let classes = self.counts.len();
        let cell = (640 / classes).clamp(40, 96);
        let left = 54 + (self.widest_name()?.ceil() as usize).min(160);
        let top = if self.title.is_some() { TITLE_HEIGHT } else { MARGIN };
        let side = classes.saturating_mul(cell).saturating_add(1);
        let width = side.saturating_add(left + MARGIN);
        let mut picture = Picture::white(width, side.saturating_add(top + 84))?;
        let grid = Grid { left, top, cell, side };
        self.draw_cells(&mut picture, &grid)?;
        self.draw_names(&mut picture, &grid)?;
        Ok(picture)
    }

    fn draw_cells(&self, picture: &mut Picture, grid: &Grid) -> Result<()> {
        picture.fill(grid.left, grid.top, grid.side, grid.side, LINE);
        for (row, counts) in self.counts.iter().enumerate() {
            for (column, &count) in counts.iter().enumerate() {
                let (x, y) = (grid.left + column * grid.cell + 1, grid.top + row * grid.cell + 1);
                picture.fill(x, y, grid.cell - 1, grid.cell - 1, self.tint(row, column));
                let words = count.to_string();
                let text = Text::new(&words, TEXT).color(if count == 0 { FAINT } else { INK });
                let (x, y) = (grid.middle(grid.left, column), grid.middle(grid.top, row));
                text.fit(grid.cell as f32 - 8.0)?.draw(picture, x, y, Align::Middle)?;
            }
        }
        Ok(())
    }

    fn draw_names(&self, picture: &mut Picture, grid: &Grid) -> Result<()> {
        let bottom = (grid.top + grid.side) as f32;
        let widest = self.widest_name()?;
        let size = |room: usize| TEXT * (room as f32 / widest).min(1.0);
        let (beside, below) = (size(grid.left - 54), size(grid.cell - 4));
        for (class, name) in self.class_names.iter().enumerate() {
            let (x, y) = (grid.middle(grid.left, class), grid.middle(grid.top, class));
            Text::new(name, beside).draw(picture, grid.left as f32 - 10.0, y, Align::End)?;
            Text::new(name, below).draw(picture, x, bottom + 18.0, Align::Middle)?;
        }
        let (x, y) = (grid.left as f32 + grid.side as f32 / 2.0, grid.top as f32 + grid.side as f32 / 2.0);
        let across = grid.side as f32;
        Text::new("predicted class", 22.0).fit(across)?.draw(picture, x, bottom + 54.0, Align::Middle)?;
        Text::new("true class", 22.0).fit(across)?.draw_upwards(picture, 22.0, y, Align::Middle)?;
        match &self.title {
            Some(title) => Text::new(title, 26.0).fit(across)?.draw(picture, x, 27.0, Align::Middle),
            None => Ok(()),
        }
    }

    /// In pixels; all names are set in one size.
    fn widest_name(&self) -> Result<f32> {
        let mut widest = 1f32;
        for name in &self.class_names {
            widest = widest.max(Text::new(name, TEXT).width()?);
        }
        Ok(widest)
    }

    fn tint(&self, row: usize, column: usize) -> Rgb {
        let count = self.counts[row][column];
        let (color, whole) = if row == column {
            (RIGHT, self.counts[row].iter().fold(0u64, |sum, &count| sum.saturating_add(count)))
        } else {
            (WRONG, self.most_frequent_error())
        };
        let strength = if whole == 0 { 0.0 } else { count as f64 / whole as f64 };
        [0, 1, 2].map(|c| {
            let (paper, full) = (f64::from(WHITE[c]), f64::from(color[c]));
            (paper + strength * (full - paper)).round() as u8
        })
    }

    fn most_frequent_error(&self) -> u64 {
        let cells = self.counts.iter().enumerate().flat_map(|(row, counts)| {
            counts.iter().enumerate().filter(move |(column, _)| *column != row).map(|(_, &count)| count)
        });
        cells.max().unwrap_or(0)
    }

    fn check(&self) -> Result<()> {
        let classes = self.counts.len();
        if classes == 0 {
            return Err(Error::argument("counts", "empty", "at least one class"));
        }
        if let Some((row, counts)) = self.counts.iter().enumerate().find(|(_, row)| row.len() != classes) {
            let value = format!("{} long in row {row}", counts.len());
            return Err(Error::argument("counts", value, format!("{classes} columns, one for each row")));
        }
        if self.class_names.len() != classes {
            return Err(Error::argument(
                "class_names",
                format!("{} names", self.class_names.len()),
                format!("{classes}"),
            ));
        }
        Ok(())
    }
}

/// Where the cells stand, in pixels.
struct Grid {
    left: usize,
    top: usize,
    cell: usize,
    side: usize,
}

impl Grid {
    fn middle(&self, start: usize, class: usize) -> f32 {
        start as f32 + (class as f32 + 0.5) * self.cell as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_a_scale_of_their_own() {
        let matrix = ConfusionMatrix::new(&[vec![970, 20, 10], vec![0, 1000, 0], vec![0, 0, 0]]);
        assert_eq!(matrix.tint(0, 1), WRONG);
        assert_eq!(matrix.tint(0, 2), [250, 188, 178]);
        assert_eq!(matrix.tint(1, 1), RIGHT);
        assert_eq!(matrix.tint(1, 0), WHITE);
        assert_eq!(matrix.tint(2, 2), WHITE);
    }

    #[test]
    fn any_counts_can_be_drawn() {
        ConfusionMatrix::new(&[vec![3]]).draw().unwrap();
        ConfusionMatrix::new(&vec![vec![u64::MAX; 30]; 30]).title("thirty").draw().unwrap();
        let names = ["T-shirt/top", "a name that is far too long to stand beside the row of its class"];
        ConfusionMatrix::new(&vec![vec![0; 2]; 2]).class_names(names).draw().unwrap();
    }

    #[test]
    fn bad_arguments_are_named() {
        let error = |matrix: ConfusionMatrix| matrix.draw().unwrap_err().to_string();
        assert_eq!(error(ConfusionMatrix::new(&[])), "`counts` is empty; expected at least one class");
        let ragged = ConfusionMatrix::new(&[vec![1, 2], vec![3]]);
        assert_eq!(error(ragged), "`counts` is 1 long in row 1; expected 2 columns, one for each row");
        let unnamed = ConfusionMatrix::new(&[vec![1]]).class_names(["a", "b"]);
        assert_eq!(error(unnamed), "`class_names` is 2 names; expected 1");
    }
}
