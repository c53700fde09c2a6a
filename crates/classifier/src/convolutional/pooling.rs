//! The largest or the mean response of each neighborhood, and what of its gradient comes back.

use std::ops::Range;

use candle_core::{Result, Tensor, Var};
use hebbian_training::Invalid;
use multiversion::multiversion;
use rayon::prelude::*;

use super::size::{Size, has_kernel, with_values};

/// How the responses of a layer are pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// What of a neighborhood is kept.
    pub kind: PoolingKind,
    /// Side of a neighborhood.
    pub kernel: usize,
    /// From one neighborhood to the next.
    pub stride: usize,
    /// Places beyond each edge, less than a neighborhood.
    pub padding: usize,
}

/// What of a neighborhood is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolingKind {
    /// The largest value, of equals the leftmost and of these the topmost; what lies beyond the edge never is.
    Max,
    /// The mean; what lies beyond the edge counts as 0.
    Average,
}

/// A pooling of maps of one size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    pub pooling: Pooling,
    input: Size,
    output: Size,
}

impl Pool {
    /// # Errors
    /// If a neighborhood does not fit; it names `field`.
    pub fn new(field: &str, input: Size, pooling: Pooling) -> std::result::Result<Self, Invalid> {
        let Pooling { kernel, stride, padding, .. } = pooling;
        let allowed = format!("less than the kernel, {kernel}");
        Invalid::unless(padding < kernel.max(1), &format!("{field}.padding"), padding, allowed)?;
        let output = input.windows(field, (kernel, stride, padding))?;
        Ok(Self { pooling, input, output })
    }

    pub fn output(&self) -> Size {
        self.output
    }

    /// What is kept of `maps (batch, height, width, channels)`, as many channels at fewer places.
    pub fn of(&self, maps: &Tensor) -> Result<Tensor> {
        if has_kernel(maps) { self.by_kernel(maps) } else { self.by_graph(maps) }
    }

    /// The gradient of the `maps`, of which `pooled` was made and its gradient is `gradient`.
    pub fn descend(&self, maps: &Tensor, pooled: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        match maps.device().is_cpu() {
            true => self.descend_by_kernel(maps, pooled, gradient),
            false => self.descend_by_graph(maps, gradient),
        }
    }

    /// Folds the rows of each neighborhood, then its columns. Of a maximum the outermost row, repeated, is as good as what lies
    /// beyond it, since a neighborhood is wider than its padding.
    fn by_graph(&self, maps: &Tensor) -> Result<Tensor> {
        let Pooling { kind, kernel, padding, .. } = self.pooling;
        if kind == PoolingKind::Max {
            let larger = |most: &Tensor, other: &Tensor| other.gt(most)?.where_cond(other, most);
            return self.folded(&self.folded(maps, 1, larger)?, 2, larger);
        }
        let add = |sum: &Tensor, other: &Tensor| sum + other;
        let padded = maps.pad_with_zeros(1, padding, padding)?.pad_with_zeros(2, padding, padding)?;
        self.folded(&self.folded(&padded, 1, add)?, 2, add)? / (kernel * kernel) as f64
    }

    fn folded(
        &self,
        maps: &Tensor,
        dim: usize,
        fold: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Pooling { kind, kernel, stride, padding } = self.pooling;
        let last = maps.dim(dim)? - 1;
        let count = if dim == 1 { self.output.height } else { self.output.width };
        let padding = if kind == PoolingKind::Max { padding } else { 0 };
        let line = |from: usize| {
            let at = (0..count).map(|place| (place * stride + from).saturating_sub(padding).min(last) as u32);
            maps.index_select(&Tensor::new(at.collect::<Vec<_>>(), maps.device())?, dim)
        };
        (1..kernel).try_fold(line(0)?, |folded, from| fold(&folded, &line(from)?))
    }

    fn descend_by_graph(&self, maps: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let maps = Var::from_tensor(maps)?;
        let mut gradients = (self.by_graph(&maps)? * gradient)?.sum_all()?.backward()?;
        gradients.remove(&maps).map_or_else(|| maps.zeros_like(), Ok)
    }

    fn by_kernel(&self, maps: &Tensor) -> Result<Tensor> {
        let batch = maps.dim(0)?;
        let mut pooled = vec![0f32; batch * self.output.values()];
        with_values([maps], |[maps]| {
            let maps = maps.par_chunks(self.input.values());
            let pooled = pooled.par_chunks_mut(self.output.values()).zip(maps);
            pooled.for_each_init(
                || self.line(),
                |line, (pooled, map)| match self.pooling.kind {
                    PoolingKind::Max => largest(self, map, line, pooled),
                    PoolingKind::Average => mean(self, map, line, pooled),
                },
            );
            Ok(())
        })?;
        Tensor::from_vec(pooled, self.output.batch(batch), maps.device())
    }

    fn descend_by_kernel(&self, maps: &Tensor, pooled: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let batch = maps.dim(0)?;
        let (values, kept) = (self.input.values(), self.output.values());
        let mut below = vec![0f32; batch * values];
        with_values([maps, pooled, gradient], |[maps, pooled, gradient]| {
            let above = maps.par_chunks(values).zip(pooled.par_chunks(kept)).zip(gradient.par_chunks(kept));
            below.par_chunks_mut(values).zip(above).for_each_init(
                || [self.line(), self.line()],
                |lines, (below, ((map, pooled), gradient))| match self.pooling.kind {
                    PoolingKind::Max => to_the_largest(self, map, pooled, gradient, lines, below),
                    PoolingKind::Average => to_all(self, gradient, lines, below),
                },
            );
            Ok(())
        })?;
        Tensor::from_vec(below, self.input.batch(batch), maps.device())
    }

    /// Room for a row of the map.
    fn line(&self) -> Vec<f32> {
        vec![0f32; self.input.width * self.input.channels]
    }

    /// The values of the rows of the map that the neighborhoods in this row of the output lie in.
    fn rows(&self, row: usize) -> Range<usize> {
        let line = self.input.width * self.input.channels;
        let rows = self.within(row, self.input.height);
        rows.start * line..rows.end * line
    }

    /// The places of a row of the map that the neighborhoods in this column of the output lie in.
    fn columns(&self, column: usize) -> Range<usize> {
        let (columns, channels) = (self.within(column, self.input.width), self.input.channels);
        columns.start * channels..columns.end * channels
    }

    fn within(&self, at: usize, side: usize) -> Range<usize> {
        let Pooling { kernel, stride, padding, .. } = self.pooling;
        (at * stride).saturating_sub(padding)..(at * stride + kernel).saturating_sub(padding).min(side)
    }
}

/// Folds rows of equal length into the first of them.
#[inline(always)]
fn fold(rows: &[f32], folded: &mut [f32], fold: impl Fn(f32, f32) -> f32) {
    let (first, others) = rows.split_at(folded.len());
    folded.copy_from_slice(first);
    for row in others.chunks_exact(folded.len()) {
        folded.iter_mut().zip(row).for_each(|(folded, &value)| *folded = fold(*folded, value));
    }
}

fn larger(most: f32, value: f32) -> f32 {
    if value > most { value } else { most }
}

#[multiversion(targets = "simd")]
fn largest(pool: &Pool, map: &[f32], line: &mut [f32], pooled: &mut [f32]) {
    let Size { width, channels, .. } = pool.output;
    for (row, pooled) in pooled.chunks_exact_mut(width * channels).enumerate() {
        fold(&map[pool.rows(row)], line, larger);
        for (column, pooled) in pooled.chunks_exact_mut(channels).enumerate() {
            fold(&line[pool.columns(column)], pooled, larger);
        }
    }
}

#[multiversion(targets = "simd")]
fn mean(pool: &Pool, map: &[f32], line: &mut [f32], pooled: &mut [f32]) {
    let Size { width, channels, .. } = pool.output;
    for (row, pooled) in pooled.chunks_exact_mut(width * channels).enumerate() {
        fold(&map[pool.rows(row)], line, |sum, value| sum + value);
        for (column, pooled) in pooled.chunks_exact_mut(channels).enumerate() {
            fold(&line[pool.columns(column)], pooled, |sum, value| sum + value);
        }
    }
    let share = 1.0 / (pool.pooling.kernel * pool.pooling.kernel) as f32;
    pooled.iter_mut().for_each(|sum| *sum *= share);
}

/// Hands each of `gradients` to the first row whose value is the largest of its column; they are 0 then.
#[inline(always)]
fn hand_down(rows: &[f32], largest: &[f32], gradients: &mut [f32], below: &mut [f32]) {
    let size = largest.len();
    for (below, row) in below.chunks_exact_mut(size).zip(rows.chunks_exact(size)) {
        let values = row.iter().zip(largest).zip(gradients.iter_mut());
        for (below, ((value, largest), gradient)) in below.iter_mut().zip(values) {
            let found = value == largest;
            *below += if found { *gradient } else { 0.0 };
            *gradient = if found { 0.0 } else { *gradient };
        }
    }
}

#[multiversion(targets = "simd")]
fn to_the_largest(
    pool: &Pool,
    map: &[f32],
    pooled: &[f32],
    gradient: &[f32],
    [line, of_line]: &mut [Vec<f32>; 2],
    below: &mut [f32],
) {
    let Size { width, channels, .. } = pool.output;
    let mut left = vec![0f32; channels];
    let rows = pooled.chunks_exact(width * channels).zip(gradient.chunks_exact(width * channels));
    for (row, (pooled, gradient)) in rows.enumerate() {
        fold(&map[pool.rows(row)], line, larger);
        of_line.fill(0.0);
        let columns = pooled.chunks_exact(channels).zip(gradient.chunks_exact(channels));
        for (column, (pooled, gradient)) in columns.enumerate() {
            left.copy_from_slice(gradient);
            let columns = pool.columns(column);
            hand_down(&line[columns.clone()], pooled, &mut left, &mut of_line[columns]);
        }
        hand_down(&map[pool.rows(row)], line, of_line, &mut below[pool.rows(row)]);
    }
}

#[multiversion(targets = "simd")]
fn to_all(pool: &Pool, gradient: &[f32], [of_line, _]: &mut [Vec<f32>; 2], below: &mut [f32]) {
    let Size { width, channels, .. } = pool.output;
    let share = 1.0 / (pool.pooling.kernel * pool.pooling.kernel) as f32;
    for (row, gradient) in gradient.chunks_exact(width * channels).enumerate() {
        of_line.fill(0.0);
        for (column, gradient) in gradient.chunks_exact(channels).enumerate() {
            for sums in of_line[pool.columns(column)].chunks_exact_mut(channels) {
                sums.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += share * gradient);
            }
        }
        for below in below[pool.rows(row)].chunks_exact_mut(of_line.len()) {
            below.iter_mut().zip(&*of_line).for_each(|(below, gradient)| *below += gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    fn pool(kind: PoolingKind, kernel: usize, padding: usize) -> std::result::Result<Pool, Invalid> {
        let pooling = Pooling { kind, kernel, stride: 2, padding };
        Pool::new("pooling", Size { height: 4, width: 4, channels: 1 }, pooling)
    }

    #[test]
    fn padding_never_wins_and_counts_as_zero() -> Result<()> {
        let maps = (Tensor::arange(0f32, 16.0, &Device::Cpu)? - 20.0)?.reshape((1, 4, 4, 1))?;
        let pooled =
            |kind, kernel, padding| pool(kind, kernel, padding)?.of(&maps)?.flatten_all()?.to_vec1::<f32>();
        assert_eq!(pooled(PoolingKind::Max, 2, 0)?, [-15.0, -13.0, -7.0, -5.0]);
        assert_eq!(pooled(PoolingKind::Max, 4, 1)?, [-10.0, -9.0, -6.0, -5.0]);
        assert_eq!(pooled(PoolingKind::Average, 2, 0)?, [-17.5, -15.5, -9.5, -7.5]);
        // Nine of the sixteen places of each neighborhood are in the map.
        let means = [-15.0, -14.0, -11.0, -10.0].map(|mean| mean * 9.0 / 16.0);
        assert_eq!(pooled(PoolingKind::Average, 4, 1)?, means);
        Ok(())
    }

    #[test]
    fn of_equals_the_first_has_the_gradient() -> Result<()> {
        let pool = pool(PoolingKind::Max, 2, 0)?;
        let maps = Tensor::zeros((1, 4, 4, 1), candle_core::DType::F32, &Device::Cpu)?;
        let gradient = Tensor::arange(1f32, 5.0, &Device::Cpu)?.reshape((1, 2, 2, 1))?;
        for below in
            [pool.descend(&maps, &pool.of(&maps)?, &gradient)?, pool.descend_by_graph(&maps, &gradient)?]
        {
            let below = below.flatten_all()?.to_vec1::<f32>()?;
            assert_eq!(below, [1., 0., 2., 0., 0., 0., 0., 0., 3., 0., 4., 0., 0., 0., 0., 0.]);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn kernel_and_graph_agree(
            height in 3usize..9, width in 3usize..9, kernel in 1usize..4, stride in 1usize..4, padding in 0usize..4,
            kind in prop::sample::select(vec![PoolingKind::Max, PoolingKind::Average]),
        ) {
            let pooling = Pooling { kind, kernel, stride, padding: padding.min(kernel - 1) };
            let pool = Pool::new("pooling", Size { height, width, channels: 3 }, pooling).unwrap();
            let draws = &mut Generator::new(0, "maps");
            let mut normal = |size: Size| {
                let values = draws.normal((2, size.values()), 0.0, 1.0, &Device::Cpu).unwrap();
                // Whole numbers, so that some are equal.
                (values * 2.0).unwrap().round().unwrap().reshape(size.batch(2)).unwrap()
            };
            let (maps, gradient) = (normal(pool.input), normal(pool.output));
            let (pooled, graph) = (pool.by_kernel(&maps).unwrap(), pool.by_graph(&maps).unwrap());
            let below = pool.descend_by_kernel(&maps, &pooled, &gradient).unwrap();
            let graph_below = pool.descend_by_graph(&maps, &gradient).unwrap();
            for (kernel, graph) in [(pooled, graph), (below, graph_below)] {
                prop_assert_eq!(kernel.dims(), graph.dims());
                let off = (kernel - graph).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                prop_assert!(off < 1e-5, "{}", off);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let refused = |kernel, padding| pool(PoolingKind::Max, kernel, padding).unwrap_err().to_string();
        assert_eq!(refused(2, 2), "pooling.padding = 2 is not allowed: less than the kernel, 2");
        assert_eq!(refused(7, 1), "pooling.kernel = 7 is not allowed: 1 to 6, the side of the padded image");
        assert_eq!(refused(0, 0), "pooling.kernel = 0 is not allowed: 1 to 4, the side of the padded image");
    }
}
