//! All patches of a batch of images as rows: what makes a rule convolutional.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ops::cpu::values;

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
    match images.device().is_cpu() && images.dtype() == DType::F32 {
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
        let Self { kernel, stride, padding } = *self;
        let (batch, channels, height, width) = layout.shape().dims4()?;
        let images = values(storage, layout)?;
        let (rows, columns) = (self.places(height), self.places(width));
        let inputs = channels * kernel * kernel;
        let source = |side| move |at| padding.source(at, kernel, side);
        let across: Vec<Option<usize>> = (0..columns * stride + kernel).map(source(width)).collect();
        let mut patches = vec![0f32; batch * rows * columns * inputs];
        patches.par_chunks_mut(columns * inputs).enumerate().for_each(|(line, patches)| {
            let (image, row) = (line / rows, line % rows);
            let image = &images[image * channels * height * width..];
            for channel in 0..channels {
                for y in 0..kernel {
                    let Some(from) = padding.source(row * stride + y, kernel, height) else { continue };
                    let pixels = &image[(channel * height + from) * width..][..width];
                    for column in 0..columns {
                        let place = column * inputs + (channel * kernel + y) * kernel;
                        let (patch, first) = (&mut patches[place..][..kernel], column * stride);
                        match (across[first], across[first + kernel - 1]) {
                            // Within the image pixels follow one another.
                            (Some(left), Some(right)) if right + 1 == left + kernel => {
                                copy_run(patch, &pixels[left..=right]);
                            }
                            _ => patch.iter_mut().zip(&across[first..]).for_each(|(value, from)| {
                                *value = from.map_or(0.0, |from| pixels[from]);
                            }),
                        }
                    }
                }
            }
        });
        Ok((CpuStorage::F32(patches), (batch * rows * columns, inputs).into()))
    }
}

/// Copies a few pixels: the common numbers without a call.
#[inline(always)]
fn copy_run(to: &mut [f32], from: &[f32]) {
    if let (Some(to), Some(from)) = (to.as_mut_array::<3>(), from.as_array::<3>()) {
        *to = *from;
    } else if let (Some(to), Some(from)) = (to.as_mut_array::<5>(), from.as_array::<5>()) {
        *to = *from;
    } else {
        to.copy_from_slice(from);
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
