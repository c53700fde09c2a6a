//! All patches of a batch of images as rows, and what of their gradients comes back to the images.

use candle_core::{DType, Result, Tensor};
use hebbian_training::Invalid;
use rayon::prelude::*;

use super::size::{Size, has_kernel, with_values};

/// Patches of `kernel` by `kernel` at stride 1, of images that are mirrored at their outermost pixels, which are not
/// repeated, by half a kernel on all sides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patches {
    image: Size,
    kernel: usize,
    output: Size,
}

impl Patches {
    /// # Errors
    /// If the mirror image does not reach half a kernel far; it names `field`.
    pub fn new(field: &str, image: Size, kernel: usize) -> std::result::Result<Self, Invalid> {
        let reach = image.height.min(image.width).saturating_sub(1);
        let allowed = format!("1 to {}, so that half of it is less than the image's side", 2 * reach + 1);
        Invalid::unless((1..=2 * reach + 1).contains(&kernel), &format!("{field}.kernel"), kernel, allowed)?;
        let output = image.windows(field, (kernel, 1, kernel / 2))?;
        Ok(Self { image, kernel, output })
    }

    /// The places that have a patch, each with all channels of the image.
    pub fn output(&self) -> Size {
        self.output
    }

    /// Values of one patch: its rows of pixels one after the other, the channels of each pixel side by side.
    pub fn values(&self) -> usize {
        self.kernel * self.kernel * self.image.channels
    }

    /// The patches of `images (batch, height, width, channels)`, `(batch · places, values)`.
    pub fn of(&self, images: &Tensor) -> Result<Tensor> {
        if has_kernel(images) { self.by_kernel(images) } else { self.by_graph(images) }
    }

    /// The gradient of the images, of which that of their patches is `gradient (batch · places, values)`.
    pub fn descend(&self, gradient: &Tensor) -> Result<Tensor> {
        if gradient.device().is_cpu() {
            self.descend_by_kernel(gradient)
        } else {
            self.descend_by_graph(gradient)
        }
    }

    fn by_graph(&self, images: &Tensor) -> Result<Tensor> {
        let batch = images.dim(0)?;
        let pixels = images.reshape((batch, self.image.places(), self.image.channels))?;
        let patches = pixels.index_select(&self.sources(images)?, 1)?;
        patches.reshape((batch * self.output.places(), self.values()))
    }

    fn descend_by_graph(&self, gradient: &Tensor) -> Result<Tensor> {
        let batch = gradient.dim(0)? / self.output.places();
        let shape = (batch, self.image.places(), self.image.channels);
        let sources = self.sources(gradient)?;
        let gradient = gradient.reshape((batch, sources.elem_count(), self.image.channels))?;
        let sum = Tensor::zeros(shape, DType::F32, gradient.device())?.index_add(&sources, &gradient, 1)?;
        sum.reshape(self.image.batch(batch))
    }

    /// The pixel that each pixel of each patch is, on the device of `like`.
    fn sources(&self, like: &Tensor) -> Result<Tensor> {
        let (down, across) = (self.mirrored(self.image.height), self.mirrored(self.image.width));
        let mut sources = Vec::with_capacity(self.output.places() * self.kernel * self.kernel);
        for (row, column) in places(self.output) {
            for y in &down[row..row + self.kernel] {
                sources.extend(
                    across[column..column + self.kernel].iter().map(|x| (y * self.image.width + x) as u32),
                );
            }
        }
        Tensor::new(sources, like.device())
    }

    /// Which place of a side each place of the padded side is.
    fn mirrored(&self, side: usize) -> Vec<usize> {
        let (padding, last) = ((self.kernel / 2) as isize, side as isize - 1);
        (-padding..=last + padding).map(|at| (last - (last - at.abs()).abs()) as usize).collect()
    }

    fn by_kernel(&self, images: &Tensor) -> Result<Tensor> {
        let (batch, values) = (images.dim(0)?, self.values());
        let mirror = Mirror::of(self);
        let mut patches = vec![0f32; batch * self.output.places() * values];
        with_values([images], |[images]| {
            let images = images.par_chunks(self.image.values());
            let patches = patches.par_chunks_mut(self.output.places() * values).zip(images);
            patches.for_each_init(
                || vec![0f32; mirror.values()],
                |padded, (patches, image)| {
                    mirror.pad(image, padded);
                    for (patch, (row, column)) in patches.chunks_mut(values).zip(places(self.output)) {
                        for (y, run) in patch.chunks_mut(mirror.run).enumerate() {
                            run.copy_from_slice(mirror.run_at(padded, row + y, column));
                        }
                    }
                },
            );
            Ok(())
        })?;
        Tensor::from_vec(patches, (batch * self.output.places(), values), images.device())
    }

    fn descend_by_kernel(&self, gradient: &Tensor) -> Result<Tensor> {
        let (batch, values) = (gradient.dim(0)? / self.output.places(), self.values());
        let mirror = Mirror::of(self);
        let mut images = vec![0f32; batch * self.image.values()];
        with_values([gradient], |[gradient]| {
            let gradient = gradient.par_chunks(self.output.places() * values);
            let images = images.par_chunks_mut(self.image.values()).zip(gradient);
            images.for_each_init(
                || vec![0f32; mirror.values()],
                |padded, (image, gradient)| {
                    padded.fill(0.0);
                    for (patch, (row, column)) in gradient.chunks(values).zip(places(self.output)) {
                        for (y, run) in patch.chunks(mirror.run).enumerate() {
                            add(mirror.run_at_mut(padded, row + y, column), run);
                        }
                    }
                    mirror.fold(padded, image);
                },
            );
            Ok(())
        })?;
        Tensor::from_vec(images, self.image.batch(batch), gradient.device())
    }
}

/// Rows and columns, row by row.
fn places(size: Size) -> impl Iterator<Item = (usize, usize)> {
    (0..size.height).flat_map(move |row| (0..size.width).map(move |column| (row, column)))
}

fn add(sum: &mut [f32], terms: &[f32]) {
    sum.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
}

/// One image with what lies beyond its edges.
struct Mirror {
    channels: usize,
    width: usize,
    down: Vec<usize>,
    across: Vec<usize>,
    /// Values of a patch that lie side by side.
    run: usize,
}

impl Mirror {
    fn of(patches: &Patches) -> Self {
        let Patches { image, kernel, .. } = *patches;
        let (down, across) = (patches.mirrored(image.height), patches.mirrored(image.width));
        Self { channels: image.channels, width: image.width, down, across, run: kernel * image.channels }
    }

    fn values(&self) -> usize {
        self.down.len() * self.across.len() * self.channels
    }

    fn run_at<'a>(&self, padded: &'a [f32], row: usize, column: usize) -> &'a [f32] {
        &padded[(row * self.across.len() + column) * self.channels..][..self.run]
    }

    fn run_at_mut<'a>(&self, padded: &'a mut [f32], row: usize, column: usize) -> &'a mut [f32] {
        &mut padded[(row * self.across.len() + column) * self.channels..][..self.run]
    }

    /// Where each pixel of the padded image, in its order, begins in the image.
    fn pixels(&self) -> impl Iterator<Item = usize> {
        let pixel = |row: usize, column: usize| (row * self.width + column) * self.channels;
        self.down.iter().flat_map(move |&row| self.across.iter().map(move |&column| pixel(row, column)))
    }

    fn pad(&self, image: &[f32], padded: &mut [f32]) {
        for (pixel, from) in padded.chunks_mut(self.channels).zip(self.pixels()) {
            pixel.copy_from_slice(&image[from..][..self.channels]);
        }
    }

    /// Adds each pixel of the padded image to the one that it mirrors.
    fn fold(&self, padded: &[f32], image: &mut [f32]) {
        for (pixel, to) in padded.chunks(self.channels).zip(self.pixels()) {
            add(&mut image[to..][..self.channels], pixel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    fn normal(shape: (usize, usize)) -> Result<Tensor> {
        Generator::new(0, "patches").normal(shape, 0.0, 1.0, &Device::Cpu)
    }

    #[test]
    fn a_patch_is_mirrored_at_the_edge_which_is_not_repeated() -> Result<()> {
        let image = Size { height: 3, width: 3, channels: 1 };
        let pixels = Tensor::arange(1f32, 10.0, &Device::Cpu)?.reshape(image.batch(1))?;
        let patches = Patches::new("layer", image, 3)?.of(&pixels)?.to_vec2::<f32>()?;
        assert_eq!(patches[0], [5.0, 4.0, 5.0, 2.0, 1.0, 2.0, 5.0, 4.0, 5.0]);
        assert_eq!(patches[4], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn kernel_and_graph_agree(
            batch in 1usize..4, height in 4usize..9, width in 4usize..9, channels in 1usize..4, kernel in 1usize..7,
        ) {
            let patches = Patches::new("layer", Size { height, width, channels }, kernel).unwrap();
            let images = normal((batch, height * width * channels)).unwrap();
            let images = images.reshape(patches.image.batch(batch)).unwrap();
            let (of, graph) = (patches.by_kernel(&images).unwrap(), patches.by_graph(&images).unwrap());
            prop_assert_eq!(of.to_vec2::<f32>().unwrap(), graph.to_vec2::<f32>().unwrap());
            let gradient = normal(of.dims2().unwrap()).unwrap();
            let below = patches.descend_by_kernel(&gradient).unwrap();
            let off = (below - patches.descend_by_graph(&gradient).unwrap()).unwrap();
            let off = off.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            prop_assert!(off < 1e-5, "{}", off);
        }
    }

    /// <f(x), g> = <x, f'(g)> for what is linear.
    #[test]
    fn gradients_are_those_of_the_linear_map() -> Result<()> {
        let patches = Patches::new("layer", Size { height: 5, width: 6, channels: 3 }, 5)?;
        let images = normal((2, 90))?.reshape(patches.image.batch(2))?;
        let gradient = normal((60, 75))?;
        let above = (patches.of(&images)? * &gradient)?.sum_all()?.to_scalar::<f32>()?;
        let below = (patches.descend(&gradient)? * &images)?.sum_all()?.to_scalar::<f32>()?;
        assert!((above - below).abs() < 1e-3, "{above} {below}");
        Ok(())
    }
}
