//! The largest or the mean response of each neighborhood, and what of its gradient comes back.

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
    /// The largest value, the first row by row of equals; what lies beyond the edge never is.
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

    /// Folds the columns of each neighborhood, then its rows: the first of equals is then the first row by row. Of a maximum
    /// the outermost row, repeated, is as good as what lies beyond it, since a neighborhood is wider than its padding.
    fn by_graph(&self, maps: &Tensor) -> Result<Tensor> {
        let Pooling { kind, kernel, padding, .. } = self.pooling;
        if kind == PoolingKind::Max {
            let larger = |most: &Tensor, other: &Tensor| other.gt(most)?.where_cond(other, most);
            return self.folded(&self.folded(maps, 2, larger)?, 1, larger);
        }
        let add = |sum: &Tensor, other: &Tensor| sum + other;
        let padded = maps.pad_with_zeros(1, padding, padding)?.pad_with_zeros(2, padding, padding)?;
        self.folded(&self.folded(&padded, 2, add)?, 1, add)? / (kernel * kernel) as f64
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
            pooled.par_chunks_mut(self.output.values()).zip(maps).for_each(|(pooled, map)| {
                match self.pooling.kind {
                    PoolingKind::Max => largest(self, map, pooled),
                    PoolingKind::Average => mean(self, map, pooled),
                }
            });
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
            below.par_chunks_mut(values).zip(above).for_each(|(below, ((map, pooled), gradient))| match self
                .pooling
                .kind
            {
                PoolingKind::Max => to_the_largest(self, map, pooled, gradient, below),
                PoolingKind::Average => to_all(self, gradient, below),
            });
            Ok(())
        })?;
        Tensor::from_vec(below, self.input.batch(batch), maps.device())
    }

    /// Of each place of the output, row by row, where the places of its neighborhood that lie in the map begin.
    fn neighborhoods(&self) -> impl Iterator<Item = impl Iterator<Item = usize>> {
        let Self { pooling: Pooling { kernel, stride, padding, .. }, input, output } = *self;
        let within = move |at: usize, side: usize| {
            (at * stride).saturating_sub(padding)..(at * stride + kernel).saturating_sub(padding).min(side)
        };
        let place = move |row: usize, column: usize| (row * input.width + column) * input.channels;
        (0..output.places()).map(move |at| {
            let columns = within(at % output.width, input.width);
            let rows = within(at / output.width, input.height);
            rows.flat_map(move |row| columns.clone().map(move |column| place(row, column)))
        })
    }
}

#[multiversion(targets = "simd")]
fn largest(pool: &Pool, map: &[f32], pooled: &mut [f32]) {
    let channels = pool.input.channels;
    for (most, mut places) in pooled.chunks_mut(channels).zip(pool.neighborhoods()) {
        if let Some(first) = places.next() {
            most.copy_from_slice(&map[first..][..channels]);
        }
        for place in places {
            let values = most.iter_mut().zip(&map[place..][..channels]);
            values.for_each(|(most, &value)| *most = if value > *most { value } else { *most });
        }
    }
}

#[multiversion(targets = "simd")]
fn mean(pool: &Pool, map: &[f32], pooled: &mut [f32]) {
    let channels = pool.input.channels;
    let share = 1.0 / (pool.pooling.kernel * pool.pooling.kernel) as f32;
    for (mean, places) in pooled.chunks_mut(channels).zip(pool.neighborhoods()) {
        mean.fill(0.0);
        for place in places {
            mean.iter_mut().zip(&map[place..][..channels]).for_each(|(sum, value)| *sum += value);
        }
        mean.iter_mut().for_each(|sum| *sum *= share);
    }
}

#[multiversion(targets = "simd")]
fn to_the_largest(pool: &Pool, map: &[f32], pooled: &[f32], gradient: &[f32], below: &mut [f32]) {
    let channels = pool.input.channels;
    // What of the gradient has not found the value that it is of.
    let mut left = vec![0f32; channels];
    let above = pooled.chunks(channels).zip(gradient.chunks(channels));
    for ((pooled, gradient), places) in above.zip(pool.neighborhoods()) {
        left.copy_from_slice(gradient);
        for place in places {
            let values = map[place..][..channels].iter().zip(pooled).zip(&mut left);
            for (below, ((value, most), left)) in below[place..][..channels].iter_mut().zip(values) {
                let found = value == most;
                *below += if found { *left } else { 0.0 };
                *left = if found { 0.0 } else { *left };
            }
        }
    }
}

#[multiversion(targets = "simd")]
fn to_all(pool: &Pool, gradient: &[f32], below: &mut [f32]) {
    let channels = pool.input.channels;
    let share = 1.0 / (pool.pooling.kernel * pool.pooling.kernel) as f32;
    for (gradient, places) in gradient.chunks(channels).zip(pool.neighborhoods()) {
        for place in places {
            let below = below[place..][..channels].iter_mut();
            below.zip(gradient).for_each(|(below, gradient)| *below += share * gradient);
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
