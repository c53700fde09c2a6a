//! From a row per place to a plane per unit, on the CPU.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape};
use rayon::prelude::*;

use crate::ops::cpu::values;

/// `(batch · positions, units)` as `(batch, units · positions)`.
pub(super) struct Planes {
    pub positions: usize,
}

/// Units whose planes are filled together: a row of the input is read in pieces of this.
const UNITS: usize = 16;

impl CustomOp1 for Planes {
    fn name(&self) -> &'static str {
        "planes"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (places, units) = layout.shape().dims2()?;
        let positions = self.positions;
        let mut planes = vec![0f32; places * units];
        if layout.stride() == [1, places] {
            // Each unit's places follow one another.
            let columns = values(storage, &layout.transpose(0, 1)?)?;
            planes.par_chunks_mut(positions * units).enumerate().for_each(|(image, planes)| {
                for (plane, column) in planes.chunks_mut(positions).zip(columns.chunks(places)) {
                    plane.copy_from_slice(&column[image * positions..][..positions]);
                }
            });
            return Ok((CpuStorage::F32(planes), (places / positions, positions * units).into()));
        }
        let rows = values(storage, layout)?;
        let images = planes.par_chunks_mut(positions * units).zip(rows.par_chunks(positions * units));
        images.for_each(|(planes, rows)| {
            planes.par_chunks_mut(positions * UNITS).enumerate().for_each(|(block, planes)| {
                let first = block * UNITS;
                for (place, row) in rows.chunks(units).enumerate() {
                    for (plane, &value) in planes.chunks_mut(positions).zip(&row[first..]) {
                        plane[place] = value;
                    }
                }
            });
        });
        Ok((CpuStorage::F32(planes), (places / positions, positions * units).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use hebbian_training::Generator;

    #[test]
    fn it_is_the_transposition_of_each_image() -> Result<()> {
        for (batch, positions, units) in [(1, 1, 1), (3, 20, 37), (2, 7, 16)] {
            let shape = (batch * positions, units);
            let rows = Generator::new(0, "rows").normal(shape, 0.0, 1.0, &Device::Cpu)?;
            let expected = rows.reshape((batch, positions, units))?.transpose(1, 2)?.flatten_from(1)?;
            for rows in [&rows, &rows.t()?.contiguous()?.t()?] {
                let planes: Tensor = rows.apply_op1_no_bwd(&Planes { positions })?;
                assert_eq!(planes.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);
            }
        }
        Ok(())
    }
}
