//! Streams of frames out of still images, for rules that learn from what follows what.
//!
//! A [`Tapestry`] is a square of images that closes on itself in both directions, seen through a window that a [`Walk`]
//! moves about. A [`Ribbon`] is a row of images that passes by one pixel per frame. Both are sources: only the frames that
//! are asked for are made. Where no image has ink in the window the frame is blank, as it is in life.
//!
//! ```
//! use hebbian_datasets::{Dataset, Tapestry, Walk};
//!
//! # fn main() -> hebbian_datasets::Result<()> {
//! let mnist = Dataset::mnist()?;
//! let tapestry = Tapestry::new(&mnist.train.images().narrow(0, 3000, 900)?, 20)?;
//! let walk = Walk::seeded(0, tapestry.torus());
//! // Frames 20 000 to 20 099, without the ones before.
//! let frames = tapestry.frames(walk.skip(20_000).take(100))?;
//! assert_eq!(frames.dims(), [100, 400]);
//! # Ok(())
//! # }
//! ```
//!
//! Source: the notebook "Variable Xi Invariance" (2021).

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::{Error, Result};

/// A square of images, drawn column by column, that closes on itself.
///
/// The last row and column of images are those of the first once more, so that a window may reach over the edge of the
/// torus: with 30 x 30 images of 28 pixels the torus is 29 · 28 = 812 pixels wide.
#[derive(Clone, Debug)]
pub struct Tapestry {
    pixels: Tensor,
    torus: usize,
    window: usize,
}

impl Tapestry {
    /// A tapestry of `images (images, side²)`, as many as fit into a square, seen through a window of
    /// `window x window` pixels.
    ///
    /// # Errors
    /// If the images are not square, there are fewer than four, or the window is larger than an image, and so
    /// than what the edges repeat.
    pub fn new(images: &Tensor, window: usize) -> Result<Self> {
        let (count, side) = square_images(images)?;
        let grid = count.isqrt();
        if grid < 2 {
            return Err(Error::setting("images", count, "at least 4, for a tapestry of 2 x 2"));
        }
        if window == 0 || window > side {
            let allowed = format!("1 to {side}, the side of an image: the tapestry's edges repeat no more");
            return Err(Error::setting("window", window, allowed));
        }
        let (width, torus) = (grid * side, (grid - 1) * side);
        // Image (column, row) has its pixel (y, x) at (row · side + y, column · side + x).
        let images = images.narrow(0, 0, grid * grid)?.reshape((grid, grid, side, side))?;
        let pixels = images
            .permute((1, 2, 0, 3))?
            .reshape((width, width))?
            .narrow(0, 0, torus)?
            .narrow(1, 0, torus)?;
        let pixels = Tensor::cat(&[&pixels, &pixels.narrow(0, 0, side)?], 0)?;
        let pixels = Tensor::cat(&[&pixels, &pixels.narrow(1, 0, side)?], 1)?;
        Ok(Self { pixels, torus, window })
    }

    /// After so many pixels, in both directions, everything comes again.
    pub fn torus(&self) -> usize {
        self.torus
    }

    /// The side of the window.
    pub fn window(&self) -> usize {
        self.window
    }

    /// All pixels `(side, side)`, the repeated ones included.
    pub fn pixels(&self) -> &Tensor {
        &self.pixels
    }

    /// What the window shows at each of `positions`, `(x, y)` of its upper left pixel: `(frames, window²)`.
    ///
    /// # Errors
    /// If there is no room for them, or no position.
    pub fn frames(&self, positions: impl IntoIterator<Item = (usize, usize)>) -> Result<Tensor> {
        let frame = |(x, y): (usize, usize)| {
            let lines = self.pixels.narrow(0, y % self.torus, self.window)?;
            lines.narrow(1, x % self.torus, self.window)?.reshape((1, self.window * self.window))
        };
        let frames = positions.into_iter().map(frame).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Tensor::cat(&frames, 0)?)
    }
}

/// Frames between two draws of the acceleration.
const PERIOD: usize = 20;
/// The fastest in either direction, in pixels per frame.
const FASTEST: f64 = 3.0;
/// Where a walk begins, in both directions.
const BEGINNING: f64 = 420.0;

/// Positions of a window that strolls over a torus, without end.
///
/// Every 20 frames it draws another acceleration, up to a pixel a frame in either direction; no velocity goes past 3
/// pixels per frame. The first position is (420, 420) or, where the torus is smaller, what that is there.
#[derive(Clone, Debug)]
pub struct Walk<A> {
    accelerations: A,
    acceleration: [f64; 2],
    position: [f64; 2],
    velocity: [f64; 2],
    frame: usize,
    torus: usize,
}

impl Walk<Accelerations> {
    /// The walk that `seed` decides, over a torus of so many pixels.
    pub fn seeded(seed: u64, torus: usize) -> Self {
        Self::new(Accelerations(ChaCha8Rng::seed_from_u64(seed)), torus)
    }
}

impl<A: Iterator<Item = [f64; 2]>> Walk<A> {
    /// The walk of these accelerations `[x, y]`, one for every 20 frames; once they end, so does it.
    pub fn new(accelerations: A, torus: usize) -> Self {
        Self {
            accelerations,
            acceleration: [0.0; 2],
            position: [BEGINNING; 2],
            velocity: [0.0; 2],
            frame: 0,
            torus: torus.max(1),
        }
    }
}

impl<A: Iterator<Item = [f64; 2]>> Iterator for Walk<A> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        if self.frame.is_multiple_of(PERIOD) {
            self.acceleration = self.accelerations.next()?;
        }
        self.frame += 1;
        for axis in 0..2 {
            self.position[axis] += self.velocity[axis];
            self.velocity[axis] = (self.velocity[axis] + self.acceleration[axis]).clamp(-FASTEST, FASTEST);
        }
        // Towards zero first, and then to the torus: just left of zero is still zero.
        let pixel = |position: f64| (position.trunc() as i64).rem_euclid(self.torus as i64) as usize;
        Some((pixel(self.position[0]), pixel(self.position[1])))
    }
}

/// Seeded draws, uniform between -1 and 1, without end.
#[derive(Clone, Debug)]
pub struct Accelerations(ChaCha8Rng);

impl Iterator for Accelerations {
    type Item = [f64; 2];

    fn next(&mut self) -> Option<[f64; 2]> {
        // The 53 bits that an f64 holds.
        let mut draw = || (self.0.next_u64() >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        Some([draw(), draw()])
    }
}

/// Images side by side, of which a window as large as one image passes over a pixel a frame.
#[derive(Clone, Debug)]
pub struct Ribbon {
    /// `(side, width)`.
    pixels: Tensor,
    width: usize,
    side: usize,
}

impl Ribbon {
    /// A ribbon of all `images (images, side²)`.
    ///
    /// # Errors
    /// If the images are not square, or there are fewer than two.
    pub fn new(images: &Tensor) -> Result<Self> {
        let (count, side) = square_images(images)?;
        if count < 2 {
            return Err(Error::setting("images", count, "at least 2, for a ribbon that moves"));
        }
        let width = count * side;
        let pixels = images.reshape((count, side, side))?.permute((1, 0, 2))?.reshape((side, width))?;
        Ok(Self { pixels, width, side })
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.width - self.side
    }

    /// Whether there is no frame, which [`new`](Self::new) rules out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frames of these numbers, `(frames, side²)`.
    ///
    /// # Errors
    /// If a number is not below [`len`](Self::len), or there is none.
    pub fn frames(&self, numbers: impl IntoIterator<Item = usize>) -> Result<Tensor> {
        let frame = |number: usize| {
            if number >= self.len() {
                let allowed = format!("below {}, the length of the ribbon", self.len());
                return Err(Error::setting("frame", number, allowed));
            }
            Ok(self.pixels.narrow(1, number, self.side)?.reshape((1, self.side * self.side))?)
        };
        let frames = numbers.into_iter().map(frame).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&frames, 0)?)
    }
}

/// The number of images and their side.
fn square_images(images: &Tensor) -> Result<(usize, usize)> {
    let (count, inputs) = images.dims2()?;
    let side = inputs.isqrt();
    if side == 0 || side * side != inputs {
        return Err(Error::setting("pixels of an image", inputs, "a square number"));
    }
    Ok((count, side))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Images of 3 x 3 pixels, each of one gray: 1, 2, 3, ...
    fn images(count: usize) -> Tensor {
        let pixels: Vec<u8> = (0..count).flat_map(|image| [image as u8 + 1; 9]).collect();
        Tensor::from_vec(pixels, (count, 9), &Device::Cpu).unwrap()
    }

    fn frame(tapestry: &Tapestry, position: (usize, usize)) -> Vec<u8> {
        tapestry.frames([position]).unwrap().to_vec2::<u8>().unwrap().remove(0)
    }

    #[test]
    fn images_run_down_the_columns_and_the_edges_come_again() {
        let tapestry = Tapestry::new(&images(9), 2).unwrap();
        assert_eq!(tapestry.torus(), 6);
        let corner = |x: usize, y: usize| frame(&tapestry, (x, y))[0];
        assert_eq!([corner(0, 0), corner(0, 3), corner(3, 0), corner(3, 3)], [1, 2, 4, 5]);
        // Over the lower edge lies the upper one.
        assert_eq!(frame(&tapestry, (0, 5)), [2, 2, 1, 1]);
        assert_eq!(frame(&tapestry, (5, 0)), [4, 1, 4, 1]);
        assert_eq!(frame(&tapestry, (6, 6)), frame(&tapestry, (0, 0)));
    }

    #[test]
    fn images_beyond_the_square_are_left_out() {
        let few = Tapestry::new(&images(4), 3).unwrap().pixels().to_vec2::<u8>().unwrap();
        let more = Tapestry::new(&images(8), 3).unwrap().pixels().to_vec2::<u8>().unwrap();
        assert_eq!(few, more);
    }

    #[test]
    fn a_window_too_large_and_too_few_images_are_refused() {
        let message = |refused: Result<Tapestry>| refused.unwrap_err().to_string();
        assert_eq!(
            message(Tapestry::new(&images(9), 4)),
            "window is 4, allowed: 1 to 3, the side of an image: the tapestry's edges repeat no more"
        );
        assert!(message(Tapestry::new(&images(9), 0)).starts_with("window is 0"));
        assert_eq!(
            message(Tapestry::new(&images(3), 2)),
            "images is 3, allowed: at least 4, for a tapestry of 2 x 2"
        );
        let oblong = images(4).narrow(1, 0, 6).unwrap();
        assert_eq!(message(Tapestry::new(&oblong, 2)), "pixels of an image is 6, allowed: a square number");
    }

    #[test]
    fn a_walk_can_be_entered_anywhere() {
        let all: Vec<_> = Walk::seeded(3, 812).take(500).collect();
        assert_eq!(all[0], (420, 420));
        assert!(Walk::seeded(3, 812).skip(400).take(100).eq(all[400..].iter().copied()));
        assert!(!Walk::seeded(4, 812).take(500).eq(all));
    }

    #[test]
    fn no_step_of_a_walk_is_longer_than_its_fastest() {
        let walk: Vec<_> = Walk::seeded(0, 812).take(20_000).collect();
        let step = |a: usize, b: usize| (a.abs_diff(b)).min(812 - a.abs_diff(b));
        assert!(
            walk.windows(2).all(|pair| step(pair[0].0, pair[1].0) <= 3 && step(pair[0].1, pair[1].1) <= 3)
        );
        assert!(walk.iter().any(|position| position.0 < 100) && walk.iter().any(|position| position.0 > 700));
    }

    #[test]
    fn a_walk_ends_with_its_accelerations() {
        assert_eq!(Walk::new([[0.5, 0.5]; 2].into_iter(), 812).count(), 40);
    }

    #[test]
    fn a_ribbon_passes_a_pixel_a_frame() {
        let ribbon = Ribbon::new(&images(3)).unwrap();
        assert_eq!(ribbon.len(), 6);
        let frames = ribbon.frames([0, 1, 4]).unwrap().to_vec2::<u8>().unwrap();
        assert_eq!(frames, [[1; 9], [1, 1, 2, 1, 1, 2, 1, 1, 2], [2, 2, 3, 2, 2, 3, 2, 2, 3]]);
        assert_eq!(
            ribbon.frames([6]).unwrap_err().to_string(),
            "frame is 6, allowed: below 6, the length of the ribbon"
        );
        assert_eq!(
            Ribbon::new(&images(1)).unwrap_err().to_string(),
            "images is 1, allowed: at least 2, for a ribbon that moves"
        );
    }
}
