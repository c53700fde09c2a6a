//! Which inputs a column could ever connect to.

use candle_core::{Device, Result, Tensor};
use hebbian_training::{Generator, Invalid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The potential pools of all columns. A synapse outside its column's pool does not exist and never will.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PotentialPool {
    /// Every input with probability `fraction`, wherever it lies.
    Anywhere {
        /// The probability of each input.
        #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
        fraction: f64,
    },
    /// A share of the inputs in a square around the column's place over the image.
    #[serde(alias = "neighbourhood")]
    Neighborhood {
        /// Height and width of the image that the inputs are.
        #[schemars(inner(range(min = 1)))]
        image: [usize; 2],
        /// Height and width of the grid of columns over it; each place holds `units / (height · width)` columns.
        #[schemars(inner(range(min = 1)))]
        grid: [usize; 2],
        /// How far the square reaches from its center: its side is `2 radius + 1`.
        radius: usize,
        /// Whether the square goes on at the opposite edge; cut off if not.
        wrap: bool,
        /// Share of the square, drawn without replacement and rounded to whole inputs, at least one.
        #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
        fraction: f64,
    },
}

impl PotentialPool {
    /// Checks that the grid's places divide the `units`.
    pub(super) fn check_together(&self, units: usize) -> std::result::Result<(), Invalid> {
        let Self::Neighborhood { grid: [rows, columns], .. } = *self else { return Ok(()) };
        let places = rows.saturating_mul(columns);
        let allowed = format!("a multiple of the grid's places ({rows}x{columns})");
        Invalid::unless(units.is_multiple_of(places), "units", units, allowed)
    }

    /// How many inputs the largest pool has, where that is known before it is drawn.
    pub(super) fn most(&self) -> Option<usize> {
        let Self::Neighborhood { image, radius, fraction, .. } = self else { return None };
        let side = radius.saturating_mul(2).saturating_add(1);
        let [height, width] = image.map(|size| size.min(side));
        Some(share_of_square(height.saturating_mul(width), *fraction))
    }

    /// How many inputs the pools are made for, where they know.
    pub(super) fn inputs(&self) -> Option<usize> {
        match self {
            Self::Anywhere { .. } => None,
            Self::Neighborhood { image: [height, width], .. } => Some(height.saturating_mul(*width)),
        }
    }

    /// Draws the pools, `(units, inputs)` u8: 1 where a synapse can be.
    pub(super) fn draw(&self, units: usize, inputs: usize, generator: &mut Generator) -> Result<Tensor> {
        match self {
            Self::Anywhere { fraction } => {
                generator.uniform((units, inputs), 0.0, 1.0, &Device::Cpu)?.lt(*fraction)
            }
            Self::Neighborhood { image, grid, radius, wrap, fraction } => {
                let mut pools = vec![0u8; units * inputs];
                let depth = units / (grid[0] * grid[1]);
                for (column, pool) in pools.chunks_exact_mut(inputs).enumerate() {
                    let place = column / depth;
                    let center = [place / grid[1], place % grid[1]];
                    let center = [0, 1].map(|axis| (2 * center[axis] + 1) * image[axis] / (2 * grid[axis]));
                    let square = square(center, *image, *radius, *wrap);
                    let size = share_of_square(square.len(), *fraction);
                    for index in generator.permutation(square.len()).into_iter().take(size) {
                        pool[square[index as usize]] = 1;
                    }
                }
                Tensor::from_vec(pools, (units, inputs), &Device::Cpu)
            }
        }
    }
}

/// How many of a square's inputs a pool has.
fn share_of_square(inputs: usize, fraction: f64) -> usize {
    ((inputs as f64 * fraction).round() as usize).max(1)
}

/// The inputs within `radius` of `center`, each once.
fn square(center: [usize; 2], image: [usize; 2], radius: usize, wrap: bool) -> Vec<usize> {
    let reach = |axis: usize| -> Vec<usize> {
        let (at, size) = (center[axis], image[axis]);
        match wrap {
            true if radius.saturating_mul(2).saturating_add(1) >= size => (0..size).collect(),
            true => (0..=2 * radius).map(|step| (at + size - radius + step) % size).collect(),
            false => {
                (at.saturating_sub(radius)..at.saturating_add(radius).saturating_add(1).min(size)).collect()
            }
        }
    };
    let columns = reach(1);
    reach(0).into_iter().flat_map(|row| columns.iter().map(move |column| row * image[1] + column)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    fn sizes(pool: &PotentialPool, units: usize, inputs: usize) -> Result<Vec<f32>> {
        let pools = pool.draw(units, inputs, &mut Generator::new(0, "pools"))?;
        pools.to_dtype(DType::F32)?.sum(1)?.to_vec1()
    }

    fn neighborhood(radius: usize, wrap: bool, fraction: f64) -> PotentialPool {
        PotentialPool::Neighborhood { image: [28, 28], grid: [28, 28], radius, wrap, fraction }
    }

    #[test]
    fn a_pool_anywhere_has_about_its_fraction_of_the_inputs() -> Result<()> {
        let sizes = sizes(&PotentialPool::Anywhere { fraction: 0.8 }, 50, 784)?;
        let mean = sizes.iter().sum::<f32>() / 50.0 / 784.0;
        assert!((mean - 0.8).abs() < 0.01, "{mean}");
        Ok(())
    }

    #[test]
    fn a_square_however_large_is_the_image() -> Result<()> {
        for wrap in [true, false] {
            assert_eq!(sizes(&neighborhood(usize::MAX, wrap, 1.0), 784, 784)?, vec![784.0; 784]);
        }
        Ok(())
    }

    #[test]
    fn a_wrapped_square_as_wide_as_the_image_lists_its_inputs_in_their_order() {
        assert_eq!(square([0, 2], [5, 5], 2, true), (0..25).collect::<Vec<_>>());
    }

    #[test]
    fn a_tenth_of_a_wrapped_square_of_side_15_is_23_inputs_everywhere() -> Result<()> {
        assert_eq!(sizes(&neighborhood(7, true, 0.1), 2 * 784, 784)?, vec![23.0; 2 * 784]);
        Ok(())
    }

    #[test]
    fn a_square_that_does_not_wrap_is_cut_off_at_the_edge() -> Result<()> {
        let sizes = sizes(&neighborhood(1, false, 1.0), 784, 784)?;
        assert_eq!((sizes[0], sizes[1], sizes[29]), (4.0, 6.0, 9.0));
        Ok(())
    }

    #[test]
    fn a_square_larger_than_the_image_holds_every_input_once() -> Result<()> {
        assert_eq!(sizes(&neighborhood(14, true, 1.0), 784, 784)?, vec![784.0; 784]);
        Ok(())
    }

    #[test]
    fn columns_of_a_coarser_grid_stand_in_the_middle_of_their_part_of_the_image() -> Result<()> {
        let pool = PotentialPool::Neighborhood {
            image: [28, 28],
            grid: [2, 1],
            radius: 0,
            wrap: false,
            fraction: 1.0,
        };
        let pools = pool.draw(2, 784, &mut Generator::new(0, "pools"))?;
        let places: Vec<usize> =
            pools.to_vec2::<u8>()?.iter().filter_map(|pool| pool.iter().position(|&p| p == 1)).collect();
        assert_eq!(places, [7 * 28 + 14, 21 * 28 + 14]);
        Ok(())
    }
}
