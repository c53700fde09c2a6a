//! Dropout on the inputs of a network (Srivastava et al. 2014).

use candle_core::{Device, Result, Tensor};
use hebbian_training::{Generator, GeneratorState};
use multiversion::multiversion;
use rayon::prelude::*;

/// Which inputs of which example are left out, and what the others are multiplied by.
///
/// The masks are one long stream of draws, example after example, of which each example takes its own part: they are the
/// same whatever the number of threads.
#[derive(Clone, Debug)]
pub(crate) struct Dropout {
    stream: GeneratorState,
    /// The smallest draw with which an input is kept.
    least: u16,
    /// What a kept input is multiplied by.
    scale: f32,
}

/// As many values as a draw has.
const DRAWS: f64 = 65_536.0;
/// Inputs per block: draws and numbers stay in the fastest cache.
const BLOCK: usize = 1024;

impl Dropout {
    /// Leaves out the `share` of all inputs, to the nearest 65 536th; none, if that is none.
    pub(crate) fn of(share: f64, seed: u64) -> Option<Self> {
        let least = (share * DRAWS).round().min(DRAWS - 1.0);
        let scale = (DRAWS / (DRAWS - least)) as f32;
        let stream = Generator::new(seed, "descent dropout").state();
        (least > 0.0).then_some(Self { stream, least: least as u16, scale })
    }

    /// Applies the mask of the `example`, counted from the first step on, to its inputs `(inputs)`. `load` writes the
    /// inputs from an index on, block by block, before the mask is applied to them.
    pub(crate) fn apply(&self, example: u64, inputs: &mut [f32], load: impl Fn(usize, &mut [f32])) {
        let words = inputs.len().div_ceil(2) as u64;
        let position = self.stream.position.wrapping_add(example.wrapping_mul(words));
        let mut generator = Generator::at(GeneratorState { position, ..self.stream });
        let mut draws = [0; 2 * BLOCK];
        for (block, inputs) in inputs.chunks_mut(BLOCK).enumerate() {
            let draws = &mut draws[..2 * inputs.len()];
            generator.fill(draws);
            load(block * BLOCK, inputs);
            mask(inputs, draws, self.least, self.scale);
        }
    }

    /// What each input of the `examples` from `first` on is multiplied by, `(examples, inputs)` f32: 0 or the scale.
    pub(crate) fn factors(
        &self,
        first: u64,
        (examples, inputs): (usize, usize),
        device: &Device,
    ) -> Result<Tensor> {
        let mut factors = vec![1.0; examples * inputs];
        let rows = factors.par_chunks_mut(inputs.max(1)).enumerate();
        rows.for_each(|(row, factors)| self.apply(first + row as u64, factors, |_, _| ()));
        Tensor::from_vec(factors, (examples, inputs), device)
    }
}

/// Two bytes are one draw.
#[multiversion(targets = "simd")]
fn mask(inputs: &mut [f32], draws: &[u8], least: u16, scale: f32) {
    for (input, draw) in inputs.iter_mut().zip(draws.as_chunks::<2>().0) {
        let kept = u16::from_le_bytes(*draw) >= least;
        *input = if kept { *input * scale } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(share: f64, seed: u64, first: u64, shape: (usize, usize)) -> Result<Vec<Vec<f32>>> {
        Dropout::of(share, seed).unwrap().factors(first, shape, &Device::Cpu)?.to_vec2()
    }

    #[test]
    fn a_share_is_left_out_and_the_mean_is_kept() -> Result<()> {
        for share in [0.01, 0.3, 0.5, 0.9] {
            let factors = factors(share, 0, 0, (100, 3001))?.concat();
            let count = factors.len() as f64;
            let left_out = factors.iter().filter(|&&factor| factor == 0.0).count() as f64 / count;
            assert!((left_out - share).abs() < 0.005, "{left_out} of {share}");
            let mean = factors.iter().copied().map(f64::from).sum::<f64>() / count;
            assert!((mean - 1.0).abs() < 0.03, "{mean} at {share}");
        }
        Ok(())
    }

    #[test]
    fn half_of_the_inputs_are_doubled() -> Result<()> {
        assert!(factors(0.5, 0, 0, (10, 100))?.concat().iter().all(|factor| [0.0, 2.0].contains(factor)));
        Ok(())
    }

    #[test]
    fn the_mask_of_an_example_follows_the_seed_and_its_place_in_the_training() -> Result<()> {
        for inputs in [1, 2, 1025, 3000] {
            let all = factors(0.5, 3, 0, (40, inputs))?;
            assert_eq!(factors(0.5, 3, 25, (15, inputs))?, all[25..]);
        }
        assert_ne!(factors(0.5, 3, 0, (1, 100))?, factors(0.5, 4, 0, (1, 100))?);
        assert_ne!(factors(0.5, 3, 0, (1, 100))?, factors(0.5, 3, 1, (1, 100))?);
        Ok(())
    }

    #[test]
    fn nothing_is_left_out_at_0_and_nearly_all_just_below_1() -> Result<()> {
        assert!(Dropout::of(0.0, 0).is_none());
        let factors = factors(1.0 - 1e-9, 0, 0, (10, 100_000))?.concat();
        let kept = factors.iter().filter(|&&factor| factor > 0.0);
        assert!((1..100).contains(&kept.count()));
        Ok(())
    }
}
