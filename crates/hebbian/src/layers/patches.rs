//! All patches of a batch of images as rows: what makes a rule convolutional.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops::cpu::values;
use crate::ops::has_kernel;

/// What lies beyond the edge of an image, half a kernel on all sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// The image, mirrored at its outermost pixels, which are not repeated.
    #[default]
    Reflect,
    /// Zeros.
    Zero,
    /// Nothing: no patch reaches beyond the edge.
    None,
}

/// Where patches are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    pub kernel: usize,
    pub stride: usize,
    pub padding: Padding,
}

impl Padding {
    /// Pixels on each side, for a kernel of this size.
    pub(super) fn pixels(self, kernel: usize) -> usize {
        if self == Padding::None { 0 } else { kernel / 2 }
    }

    /// The place `at` of a padded side in the side itself; none where zeros are.
    fn source(self, at: usize, kernel: usize, side: usize) -> Option<usize> {
        let at = at as isize - self.pixels(kernel) as isize;
        let last = side as isize - 1;
        match self {
            Padding::Reflect if at < 0 => Some(-at as usize),
            Padding::Reflect if at > last => Some((2 * last - at) as usize),
            _ => (0..=last).contains(&at).then_some(at as usize),
        }
    }
}

/// The patches of `images (batch, channels, height, width)`, `(batch · rows · columns, channels · kernel²)`: one row per place
/// of the window, image by image and row by row; in it the channels' rows of pixels one after the other.
///
/// # Errors
/// If the images are not f32 and contiguous, or if a window does not fit.
pub(super) fn patches(images: &Tensor, windows: Windows) -> Result<Tensor> {
    let (_, _, height, width) = images.dims4()?;
    let side = height.min(width) + 2 * windows.padding.pixels(windows.kernel);
    let mirrored = windows.padding == Padding::Reflect && height.min(width) <= windows.kernel / 2;
    if windows.kernel == 0 || windows.stride == 0 || windows.kernel > side || mirrored {
        bail!("patches: {windows:?} does not fit into images of {height} x {width}");
    }
    match has_kernel(images) && images.dtype() == DType::F32 {
        true => images.contiguous()?.apply_op1_no_bwd(&windows),
        false => graph(images, windows),
    }
}

fn graph(images: &Tensor, windows: Windows) -> Result<Tensor> {
    let (batch, channels, height, width) = images.dims4()?;
    let Windows { kernel, stride, padding } = windows;
    let (rows, columns) = (windows.places(height), windows.places(width));
    let padded = pad(&pad(images, 2, kernel, padding)?, 3, kernel, padding)?;
    let place = |count: usize, from: usize| {
        let at: Vec<u32> = (0..count).map(|place| (place * stride + from) as u32).collect();
        Tensor::new(at, images.device())
    };
    let mut parts = Vec::with_capacity(kernel * kernel);
    for y in 0..kernel {
        let rows = padded.index_select(&place(rows, y)?, 2)?;
        for x in 0..kernel {
            parts.push(rows.index_select(&place(columns, x)?, 3)?);
        }
    }
    let all = Tensor::stack(&parts, 2)?.permute((0, 3, 4, 1, 2))?;
    all.contiguous()?.reshape((batch * rows * columns, channels * kernel * kernel))
}

/// Puts what lies beyond the edges on both ends of a dimension.
fn pad(images: &Tensor, dim: usize, kernel: usize, padding: Padding) -> Result<Tensor> {
    let (side, pixels) = (images.dim(dim)?, padding.pixels(kernel));
    if padding != Padding::Reflect {
        return images.pad_with_zeros(dim, pixels, pixels);
    }
    let sources = (0..side + 2 * pixels).filter_map(|at| padding.source(at, kernel, side));
    let sources: Vec<u32> = sources.map(|at| at as u32).collect();
    images.index_select(&Tensor::new(sources, images.device())?, dim)
}

impl Windows {
    /// How many places there are along a side.
    fn places(self, side: usize) -> usize {
        (side + 2 * self.padding.pixels(self.kernel) - self.kernel) / self.stride + 1
    }
}

impl CustomOp1 for Windows {
    fn name(&self) -> &'static str {
        "patches"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Self { kernel, stride, .. } = *self;
        let (batch, channels, height, width) = layout.shape().dims4()?;
        let (rows, columns) = (self.places(height), self.places(width));
        let (padded, width) = self.padded(values(storage, layout)?, height, width);
        let (image, inputs) = (padded.len() / batch.max(1), channels * kernel * kernel);
        let mut patches = vec![0f32; batch * rows * columns * inputs];
        patches.par_chunks_mut(columns * inputs).enumerate().for_each(|(line, patches)| {
            let image = &padded[line / rows * image..][..image];
            for (column, patch) in patches.chunks_mut(inputs).enumerate() {
                let first = line % rows * stride * width + column * stride;
                let places = (0..kernel).map(|y| first + y * width);
                match kernel {
                    3 => copy_patch::<3>(patch, image, image.len() / channels, places),
                    5 => copy_patch::<5>(patch, image, image.len() / channels, places),
                    _ => copy_any_patch(patch, image, image.len() / channels, places),
                }
            }
        });
        Ok((CpuStorage::F32(patches), (batch * rows * columns, inputs).into()))
    }
}

impl Windows {
    /// The planes with what lies beyond their edges, and the width that they have then.
    fn padded(self, planes: &[f32], height: usize, width: usize) -> (Vec<f32>, usize) {
        let Self { kernel, padding, .. } = self;
        let sources = |side: usize| -> Vec<Option<usize>> {
            (0..side + 2 * padding.pixels(kernel)).map(|at| padding.source(at, kernel, side)).collect()
        };
        let (down, across) = (sources(height), sources(width));
        let mut padded = vec![0f32; planes.len() / (height * width).max(1) * down.len() * across.len()];
        let planes = padded.par_chunks_mut(down.len() * across.len()).zip(planes.par_chunks(height * width));
        planes.with_min_len(PLANES_PER_TASK).for_each(|(padded, plane)| {
            for (padded, from) in padded.chunks_mut(across.len()).zip(&down) {
                let Some(from) = *from else { continue };
                let line = &plane[from * width..][..width];
                for (value, from) in padded.iter_mut().zip(&across) {
                    *value = from.map_or(0.0, |from| line[from]);
                }
            }
        });
        (padded, across.len())
    }
}

/// Planes that are handed to another thread at once.
const PLANES_PER_TASK: usize = 16;

/// Copies of each plane of an `image` the runs of `K` pixels at `places`, `K` of them, one after the other.
fn copy_patch<const K: usize>(
    patch: &mut [f32],
    image: &[f32],
    plane: usize,
    places: impl Iterator<Item = usize>,
) {
    let mut starts = [0; K];
    starts.iter_mut().zip(places).for_each(|(start, place)| *start = place);
    let (runs, _) = patch.as_chunks_mut::<K>();
    for (runs, plane) in runs.as_chunks_mut::<K>().0.iter_mut().zip(image.chunks_exact(plane)) {
        for (run, &start) in runs.iter_mut().zip(&starts) {
            run.copy_from_slice(&plane[start..start + K]);
        }
    }
}

/// The same for any size of a patch.
fn copy_any_patch(
    patch: &mut [f32],
    image: &[f32],
    plane: usize,
    places: impl ExactSizeIterator<Item = usize> + Clone,
) {
    let kernel = places.len();
    for (patch, plane) in patch.chunks_mut(kernel * kernel).zip(image.chunks(plane)) {
        for (run, start) in patch.chunks_mut(kernel).zip(places.clone()) {
            run.copy_from_slice(&plane[start..start + kernel]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    fn images(batch: usize, channels: usize, height: usize, width: usize) -> Tensor {
        let shape = (batch * channels, height * width);
        let values = Generator::new(0, "images").normal(shape, 0.0, 1.0, &Device::Cpu).unwrap();
        values.reshape((batch, channels, height, width)).unwrap()
    }

    #[test]
    fn reflection_does_not_repeat_the_edge_and_zeros_are_zero() {
        let row =
            Tensor::new(&[[[[1f32, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]], &Device::Cpu).unwrap();
        let first = |padding| {
            let windows = Windows { kernel: 3, stride: 1, padding };
            patches(&row, windows).unwrap().to_vec2::<f32>().unwrap().remove(0)
        };
        assert_eq!(first(Padding::Reflect), [5.0, 4.0, 5.0, 2.0, 1.0, 2.0, 5.0, 4.0, 5.0]);
        assert_eq!(first(Padding::Zero), [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 4.0, 5.0]);
        assert_eq!(first(Padding::None), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    }

    #[test]
    fn a_window_that_does_not_fit_is_refused() {
        for (kernel, stride, padding) in
            [(5, 1, Padding::None), (9, 1, Padding::Reflect), (0, 1, Padding::Zero), (3, 0, Padding::Zero)]
        {
            assert!(patches(&images(1, 1, 4, 4), Windows { kernel, stride, padding }).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn kernel_and_graph_agree_to_the_bit(
            batch in 1usize..4, channels in 1usize..4, height in 4usize..9, width in 4usize..9,
            kernel in 1usize..5, stride in 1usize..4,
            padding in prop::sample::select(vec![Padding::Reflect, Padding::Zero, Padding::None]),
        ) {
            let (images, windows) = (images(batch, channels, height, width), Windows { kernel, stride, padding });
            let (kernel, graph) = (patches(&images, windows).unwrap(), graph(&images, windows).unwrap());
            prop_assert_eq!(kernel.dims(), graph.dims());
            prop_assert_eq!(kernel.to_vec2::<f32>().unwrap(), graph.to_vec2::<f32>().unwrap());
        }
    }
}
