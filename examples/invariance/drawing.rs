//! Pictures of two trained layers.

use anyhow::{Context, Result};
use candle_core::Tensor;
use hebbian::ops::top_k;
use hebbian_plots::{Picture, ReceptiveFields, Scale};

/// What is drawn of two trained layers.
pub(crate) struct Drawing {
    pub(crate) image: (usize, usize),
    /// `(units, pixels)`.
    pub(crate) sparse: Tensor,
    /// `(invariant units, units)`.
    pub(crate) invariant: Tensor,
}

impl Drawing {
    fn fields(&self, units: &Tensor, grid: (usize, usize), title: impl Into<String>) -> ReceptiveFields {
        ReceptiveFields::new(units, self.image, grid).title(title)
    }

    pub(crate) fn sparse_prototypes(&self) -> Result<Picture> {
        let side = self.sparse.dim(0)?.isqrt();
        Ok(self
            .fields(&self.sparse, (side, side), "Sparse layer: all prototypes")
            .scale(Scale::PerUnit)
            .draw()?)
    }

    /// What each invariance unit is made of, in pixels.
    pub(crate) fn invariance_prototypes(&self, scale: Scale) -> Result<Picture> {
        let side = self.invariant.dim(0)?.isqrt();
        let prototypes = self.invariant.matmul(&self.sparse)?;
        let title = "Invariance layer: prototypes in pixels";
        Ok(self.fields(&prototypes, (side, side), title).scale(scale).draw()?)
    }

    /// For each invariance unit, a strip of the sparse prototypes that feed it most, the strongest first.
    pub(crate) fn affinity_groups(&self) -> Result<Picture> {
        const COLUMNS: usize = 50;
        let (units, below) = self.invariant.dims2()?;
        let members = (below / units).clamp(1, COLUMNS - 1);
        let strips = (COLUMNS / (members + 1)).clamp(1, units);
        let gap = Tensor::zeros((1, self.sparse.dim(1)?), self.sparse.dtype(), self.sparse.device())?;
        let strongest = top_k(&self.invariant, members)?;
        let mut cells = Vec::new();
        for unit in 0..units {
            cells.push(self.sparse.index_select(&strongest.get(unit)?, 0)?);
            cells.push(gap.clone());
        }
        let title =
            format!("The {members} sparse prototypes that feed each of {units} invariance units most");
        let grid = (units.div_ceil(strips), strips * (members + 1));
        let fields = self.fields(&Tensor::cat(&cells, 0)?, grid, title).scale(Scale::PerUnit);
        Ok(fields.width(2000).draw()?)
    }

    pub(crate) fn invariance_maps(&self) -> Result<Picture> {
        let (units, below) = self.invariant.dims2()?;
        let (side, map) = (units.isqrt(), below.isqrt());
        let fields = ReceptiveFields::new(&self.invariant, (map, map), (side, side)).scale(Scale::PerUnit);
        Ok(fields.title("Invariance layer: weights to the map of sparse units").draw()?)
    }

    /// The sparse prototypes as strong as one invariance unit, the one with the largest weight, is fed by them.
    pub(crate) fn unit_map(&self) -> Result<Picture> {
        let largest = self.invariant.max(1)?.argmax(0)?.to_scalar::<u32>()? as usize;
        let weights = self.invariant.get(largest)?.unsqueeze(1)?;
        let side = self.sparse.dim(0)?.isqrt();
        let title = format!("What feeds invariance unit {largest}: each sparse prototype times its weight");
        Ok(self.fields(&self.sparse.broadcast_mul(&weights)?, (side, side), title).draw()?)
    }

    pub(crate) fn usage(&self, usage: &[f32]) -> Result<Picture> {
        let by_usage = |a: &usize, b: &usize| usage[*a].total_cmp(&usage[*b]);
        let least = (0..usage.len()).min_by(by_usage).context("a sparse unit")?;
        let most = (0..usage.len()).max_by(by_usage).context("a sparse unit")?;
        let side = usage.len().isqrt();
        let map = Tensor::from_slice(usage, (1, usage.len()), self.sparse.device())?;
        let map = ReceptiveFields::new(&map, (side, side), (1, 1))
            .width(400)
            .title("How much each sparse unit feeds");
        let prototype = |unit: usize, which: &str| {
            let title = format!("{which}: unit {unit}, {:.3}", usage[unit]);
            self.fields(&self.sparse.narrow(0, unit, 1)?, (1, 1), title)
                .width(400)
                .draw()
                .map_err(anyhow::Error::from)
        };
        let pictures = [map.draw()?, prototype(least, "Least")?, prototype(most, "Most")?];
        Ok(Picture::side_by_side(&pictures)?)
    }
}
