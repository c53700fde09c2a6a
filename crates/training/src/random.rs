//! Seeded draws. candle's own CPU generator cannot be seeded, so nothing in this workspace draws from it.

use candle_core::{Device, Result, Shape, Tensor};
use rand::Rng;
use rand::RngCore;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use crate::memory::fits;

/// A portable generator (ChaCha with 8 rounds), seeded by a number and a purpose.
///
/// Every purpose has a stream of its own: the weights of one model and the shuffles of another never share draws,
/// and a model's draws do not depend on which other models ran before it.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u64,
    stream: ChaCha8Rng,
}

/// Where a [`Generator`] stands: all that is needed to go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratorState {
    /// The seed that the user gave.
    pub seed: u64,
    /// The stream that the purpose was turned into.
    pub stream: u64,
    /// How many 32-bit words were drawn.
    pub position: u64,
}

impl Generator {
    /// The generator of `seed` for `purpose`, at its beginning.
    pub fn new(seed: u64, purpose: &str) -> Self {
        Self::at(GeneratorState { seed, stream: fnv1a(purpose), position: 0 })
    }

    /// The generator that goes on from `state`.
    pub fn at(state: GeneratorState) -> Self {
        let mut stream = ChaCha8Rng::seed_from_u64(state.seed);
        stream.set_stream(state.stream);
        stream.set_word_pos(state.position.into());
        Self { seed: state.seed, stream }
    }

    /// Where the generator stands.
    pub fn state(&self) -> GeneratorState {
        GeneratorState {
            seed: self.seed,
            stream: self.stream.get_stream(),
            // A position past 2^64 words is 70 exabytes of draws away.
            position: self.stream.get_word_pos() as u64,
        }
    }

    /// Independent draws from N(`mean`, `std`²), f32, moved to `device` once drawn.
    pub fn normal(
        &mut self,
        shape: impl Into<Shape>,
        mean: f64,
        std: f64,
        device: &Device,
    ) -> Result<Tensor> {
        let shape = checked(shape)?;
        let draws: Vec<f32> = (0..shape.elem_count())
            .map(|_| (mean + std * self.stream.sample::<f64, _>(StandardNormal)) as f32)
            .collect();
        Tensor::from_vec(draws, shape, device)
    }

    /// Independent draws, uniform in `[low, high)`, f32, moved to `device` once drawn.
    pub fn uniform(
        &mut self,
        shape: impl Into<Shape>,
        low: f64,
        high: f64,
        device: &Device,
    ) -> Result<Tensor> {
        let shape = checked(shape)?;
        // An f64 just below `high` may round to it.
        let largest = if low < high { largest_below(high).max(low as f32) } else { f32::INFINITY };
        let draws: Vec<f32> = (0..shape.elem_count())
            .map(|_| ((low + (high - low) * self.stream.random::<f64>()) as f32).min(largest))
            .collect();
        Tensor::from_vec(draws, shape, device)
    }

    /// Draws every one of `bytes`, the same on every machine. Four bytes are one word of
    /// [`GeneratorState::position`]; what is left of the last word is not drawn again.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.stream.fill_bytes(bytes);
    }

    /// The numbers `0..n` in random order. A prefix of it is a draw without replacement.
    pub fn permutation(&mut self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.shuffle(&mut self.stream);
        order
    }
}

/// A shape whose f32 fit into memory.
fn checked(shape: impl Into<Shape>) -> Result<Shape> {
    let shape = shape.into();
    fits(shape.dims(), size_of::<f32>())?;
    Ok(shape)
}

/// The largest f32 below `limit`.
fn largest_below(limit: f64) -> f32 {
    let nearest = limit as f32;
    if f64::from(nearest) < limit { nearest } else { nearest.next_down() }
}

/// The 64-bit FNV-1a hash: short, fixed for ever, and the same on every machine.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_goes_on_where_its_state_was_taken() -> Result<()> {
        let mut generator = Generator::new(7, "weights");
        generator.normal(33, 0.0, 1.0, &Device::Cpu)?;
        let mut resumed = Generator::at(generator.state());
        assert_eq!(generator.permutation(100), resumed.permutation(100));
        Ok(())
    }

    #[test]
    fn more_draws_than_memory_holds_are_refused() {
        let refused =
            Generator::new(7, "weights").normal((1 << 40, 784), 0.0, 1.0, &Device::Cpu).unwrap_err();
        assert!(refused.to_string().contains("1099511627776 x 784 values need"), "{refused}");
        Generator::new(7, "weights").uniform((usize::MAX, 784), 0.0, 1.0, &Device::Cpu).unwrap_err();
    }

    #[test]
    fn bytes_are_drawn_by_the_word_from_any_position() {
        let mut generator = Generator::new(7, "bytes");
        let start = generator.state();
        let (mut whole, mut part) = ([0; 400], [0; 30]);
        generator.fill(&mut whole);
        assert_eq!(generator.state().position, 100);
        let mut later = Generator::at(GeneratorState { position: 80, ..start });
        later.fill(&mut part);
        assert_eq!(part, whole[320..350]);
        assert_eq!(later.state().position, 88);
    }

    #[test]
    fn seeds_and_purposes_give_different_draws() {
        let draw = |seed, purpose| Generator::new(seed, purpose).permutation(50);
        assert_ne!(draw(0, "weights"), draw(1, "weights"));
        assert_ne!(draw(0, "weights"), draw(0, "shuffle"));
    }

    #[test]
    fn draws_do_not_change_between_versions() -> Result<()> {
        let mut generator = Generator::new(0, "fixed");
        assert_eq!(generator.permutation(8), [2, 7, 5, 3, 0, 6, 1, 4]);
        let normal = generator.normal(2, 0.0, 1.0, &Device::Cpu)?.to_vec1::<f32>()?;
        assert_eq!(normal, [-0.357_078_85, 0.957_640_47]);
        Ok(())
    }

    #[test]
    fn normal_draws_have_the_moments_that_were_asked_for() -> Result<()> {
        let draws = Generator::new(3, "moments").normal(100_000, 2.0, 0.5, &Device::Cpu)?;
        let mean = draws.mean_all()?.to_scalar::<f32>()?;
        let std = draws.var(0)?.to_scalar::<f32>()?.sqrt();
        assert!((mean - 2.0).abs() < 0.01, "mean {mean}");
        assert!((std - 0.5).abs() < 0.01, "standard deviation {std}");
        Ok(())
    }

    #[test]
    fn uniform_draws_stay_in_their_interval() -> Result<()> {
        let draws =
            Generator::new(3, "interval").uniform(10_000, -0.25, 0.5, &Device::Cpu)?.to_vec1::<f32>()?;
        assert!(draws.iter().all(|draw| (-0.25..0.5).contains(draw)));
        assert!(draws.iter().any(|&draw| draw > 0.49) && draws.iter().any(|&draw| draw < -0.24));
        Ok(())
    }

    #[test]
    fn a_uniform_draw_that_rounds_to_the_upper_end_becomes_the_number_below_it() -> Result<()> {
        // The interval holds two f32, and a quarter of the draws rounds to its upper end.
        let (low, high) = (1.0, 1.0 + 2.0 * f64::from(f32::EPSILON));
        let draws = Generator::new(0, "ends").uniform(1000, low, high, &Device::Cpu)?.to_vec1::<f32>()?;
        assert!(draws.iter().all(|&draw| draw == 1.0 || draw == 1.0 + f32::EPSILON));
        let none = Generator::new(0, "ends").uniform(10, 0.0, 0.0, &Device::Cpu)?.to_vec1::<f32>()?;
        assert_eq!(none, [0.0; 10]);
        let falling = Generator::new(0, "ends").uniform(10, 0.0, -2.0, &Device::Cpu)?.to_vec1::<f32>()?;
        assert!(falling.iter().any(|&draw| draw > -1.0), "{falling:?}");
        Ok(())
    }
}
