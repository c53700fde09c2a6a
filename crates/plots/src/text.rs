//! Words in a picture, set in the one built-in font.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, InvalidFont, PxScale, ScaleFont, point};

use crate::Result;
use crate::picture::{Picture, Rgb};

/// Shades between paper and ink: few, so that a picture with text still fits a GIF palette.
const SHADES: f32 = 15.0;

/// Below one: the font is light, and thin strokes at these sizes would look gray.
const GAMMA: f32 = 0.75;

pub(crate) const INK: Rgb = [30, 30, 30];

static FONT: LazyLock<std::result::Result<FontRef<'static>, InvalidFont>> =
    LazyLock::new(|| FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT));

/// Where the anchor lies in the direction of writing.
#[derive(Clone, Copy)]
pub(crate) enum Align {
    Start,
    Middle,
    End,
}

/// One line of text.
#[derive(Clone)]
pub(crate) struct Text<'a> {
    words: &'a str,
    size: f32,
    color: Rgb,
}

impl<'a> Text<'a> {
    /// `size` is the height of a line in pixels.
    pub(crate) fn new(words: &'a str, size: f32) -> Self {
        Self { words, size, color: INK }
    }

    pub(crate) fn color(self, color: Rgb) -> Self {
        Self { color, ..self }
    }

    /// Smaller if need be, so that no word is cut off.
    pub(crate) fn fit(self, width: f32) -> Result<Self> {
        let shrink = (width / self.width()?.max(1.0)).min(1.0);
        Ok(Self { size: self.size * shrink, ..self })
    }

    pub(crate) fn width(&self) -> Result<f32> {
        Ok(self.set()?.1)
    }

    /// Writes at the anchor; `y` is the middle of the capital letters.
    pub(crate) fn draw(&self, picture: &mut Picture, x: f32, y: f32, align: Align) -> Result<()> {
        self.ink(align, |along, down, shade| self.dab(picture, x + along, y + down, shade))
    }

    /// Writes from bottom to top; `x` is the middle of the capital letters.
    pub(crate) fn draw_upwards(&self, picture: &mut Picture, x: f32, y: f32, align: Align) -> Result<()> {
        self.ink(align, |along, down, shade| self.dab(picture, x + down, y - along, shade))
    }

    fn dab(&self, picture: &mut Picture, x: f32, y: f32, shade: f32) {
        if x >= 0.0 && y >= 0.0 {
            picture.blend(x as usize, y as usize, self.color, shade);
        }
    }

    /// Calls `dab` with the pixels that the ink touches, relative to the anchor, and how much of each it covers.
    fn ink(&self, align: Align, mut dab: impl FnMut(f32, f32, f32)) -> Result<()> {
        let font = font()?;
        let (glyphs, width) = self.set()?;
        let start = match align {
            Align::Start => 0.0,
            Align::Middle => (-width / 2.0).round(),
            Align::End => -width.round(),
        };
        let baseline = (self.capital_height(font) / 2.0).round();
        for outline in glyphs.into_iter().filter_map(|glyph| font.outline_glyph(glyph)) {
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, coverage| {
                let shade = (coverage.clamp(0.0, 1.0).powf(GAMMA) * SHADES).round() / SHADES;
                dab(start + corner.x + x as f32, baseline + corner.y + y as f32, shade);
            });
        }
        Ok(())
    }

    /// The glyphs on a baseline from the origin, and where the next one would stand.
    fn set(&self) -> Result<(Vec<Glyph>, f32)> {
        let font = font()?.as_scaled(PxScale::from(self.size));
        let mut x = 0.0;
        let mut glyphs: Vec<Glyph> = Vec::with_capacity(self.words.len());
        for letter in self.words.chars() {
            let mut glyph = font.scaled_glyph(letter);
            x += glyphs.last().map_or(0.0, |last| font.kern(last.id, glyph.id));
            glyph.position = point(x, 0.0);
            x += font.h_advance(glyph.id);
            glyphs.push(glyph);
        }
        Ok((glyphs, x))
    }

    fn capital_height(&self, font: &FontRef<'_>) -> f32 {
        let capital = font.glyph_id('H').with_scale(self.size);
        font.outline_glyph(capital).map_or(0.0, |outline| -outline.px_bounds().min.y)
    }
}

fn font() -> Result<&'static FontRef<'static>> {
    Ok(FONT.as_ref().map_err(|_| InvalidFont)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::WHITE;

    fn inked(picture: &Picture) -> Vec<(usize, usize)> {
        let all = (0..picture.height()).flat_map(|y| (0..picture.width()).map(move |x| (x, y)));
        all.filter(|&(x, y)| picture.pixel(x, y) != Some(WHITE)).collect()
    }

    #[test]
    fn capitals_are_centered_on_the_anchor() {
        let mut picture = Picture::white(60, 41).unwrap();
        Text::new("H", 20.0).draw(&mut picture, 30.0, 20.0, Align::Middle).unwrap();
        let rows: Vec<usize> = inked(&picture).iter().map(|at| at.1).collect();
        let (top, bottom) = (*rows.iter().min().unwrap(), *rows.iter().max().unwrap());
        assert!((top + bottom).abs_diff(40) <= 2, "{top}..{bottom}");
    }

    #[test]
    fn text_made_to_fit_is_not_wider_than_its_place() {
        let text = Text::new("Krotov and Hopfield, competing hidden units", 24.0).fit(90.0).unwrap();
        assert!(text.width().unwrap() <= 91.0);
    }

    #[test]
    fn a_minus_sign_has_a_glyph() {
        let font = font().unwrap();
        assert_ne!(font.glyph_id('\u{2212}').0, 0);
    }

    #[test]
    fn text_beyond_the_edge_is_left_out() {
        let mut picture = Picture::white(10, 10).unwrap();
        Text::new("wide", 20.0).draw(&mut picture, -5.0, -5.0, Align::Start).unwrap();
        Text::new("wide", 20.0).draw_upwards(&mut picture, 9.0, 3.0, Align::End).unwrap();
    }
}
