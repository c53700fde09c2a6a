//! What plotters draws on: our pixels, and our words, since plotters sets its letters unevenly.

use plotters::backend::DrawingBackend;
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind, rasterizer,
};

use crate::picture::Picture;
use crate::text::{Align, Text};
use crate::{Error, Result};

pub(crate) struct Canvas(pub(crate) Picture);

type Drawn = std::result::Result<(), DrawingErrorKind<Error>>;

impl Canvas {
    /// Smaller if need be, so that all of it is in the picture.
    fn write(&mut self, words: &str, style: &impl BackendTextStyle, (x, y): BackendCoord) -> Result<()> {
        let (x, y, size) = (x as f32, y as f32, style.size() as f32);
        let upwards = matches!(style.transform(), FontTransform::Rotate270);
        let (before, all) = if upwards { (y, self.0.height()) } else { (x, self.0.width()) };
        let after = all as f32 - before;
        let (align, room) = match style.anchor().h_pos {
            HPos::Left => (Align::Start, after),
            HPos::Center => (Align::Middle, 2.0 * before.min(after)),
            HPos::Right => (Align::End, before),
        };
        let down = match style.anchor().v_pos {
            VPos::Top => size / 2.0,
            VPos::Center => 0.0,
            VPos::Bottom => -size / 2.0,
        };
        let text = Text::new(words, size).fit(0.98 * room)?;
        match upwards {
            true => text.draw_upwards(&mut self.0, x + down, y, align),
            false => text.draw(&mut self.0, x, y + down, align),
        }
    }
}

impl DrawingBackend for Canvas {
    type ErrorType = Error;

    fn get_size(&self) -> (u32, u32) {
        (self.0.width() as u32, self.0.height() as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        if let (Ok(x), Ok(y)) = (x.try_into(), y.try_into()) {
            self.0.blend(x, y, color.rgb.into(), color.alpha.clamp(0.0, 1.0) as f32);
        }
        Ok(())
    }

    /// With a round pen: where a path turns sharply, plotters' own outline of it has spikes and holes.
    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let (path, pen) = (path.into_iter().collect::<Vec<_>>(), style.stroke_width());
        for ends in path.windows(2) {
            self.fill_polygon(rasterizer::polygonize(ends, pen), &style.color())?;
        }
        path.into_iter().try_for_each(|at| self.draw_circle(at, pen / 2, &style.color(), true))
    }

    fn draw_text<S: BackendTextStyle>(&mut self, words: &str, style: &S, at: BackendCoord) -> Drawn {
        self.write(words, style, at).map_err(DrawingErrorKind::DrawingError)
    }
}

#[cfg(test)]
mod tests {
    use plotters::style::{BLACK, Color};

    use super::*;
    use crate::picture::WHITE;

    fn picture_of(path: &[BackendCoord], pen: u32) -> Picture {
        let mut canvas = Canvas(Picture::white(40, 20).unwrap());
        canvas.draw_path(path.iter().copied(), &BLACK.filled().stroke_width(pen)).unwrap();
        canvas.0
    }

    #[test]
    fn a_line_has_round_ends() {
        let picture = picture_of(&[(10, 10), (30, 11)], 8);
        assert_eq!((picture.pixel(20, 10), picture.pixel(7, 10)), (Some([0; 3]), Some([0; 3])));
        assert_eq!((picture.pixel(7, 7), picture.pixel(4, 10)), (Some(WHITE), Some(WHITE)));
    }

    #[test]
    fn what_lies_outside_is_left_out() {
        for pen in [2, 11] {
            picture_of(&[(-50, -7), (500, 400), (-50, 400)], pen);
        }
    }
}
