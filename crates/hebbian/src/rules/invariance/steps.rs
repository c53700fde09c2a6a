//! A running average of what its units are driven by, learned to reconstruct the sparse frames that drove it.

use std::cell::RefCell;

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};

use crate::ops::{
    cpu, minibatches, relative_error, relative_error_of, running_average_from, settle_update, total,
    zero_if_finite,
};

/// One step per frame `v`, in order:
///
/// ```text
/// m_j  ← m_j + average_rate (Σ_i w_ji v_i - m_j)
/// r_i  = Σ_j m_j w_ji
/// w_ji ← w_ji (1 + m_j z_i (v_i - r_i) / max(r_i, floor))     z = on_rate where v > 0, else off_rate
/// ```
///
/// and then, where [`normalize`](Self::normalize) has a frame to do so, every row is scaled.
///
/// Or one step for a minibatch of frames: the averages follow frame by frame, but each frame is reconstructed with the
/// weights that the minibatch began with, and what they add to the weights is summed. Rows are scaled after it, once,
/// if any of its frames is due.
#[derive(Clone, Copy, Debug)]
pub struct InvarianceSteps {
    /// The weight of the newest frame in the average.
    pub average_rate: f64,
    /// The rate of weights whose input is on.
    pub on_rate: f64,
    /// The rate of weights whose input is off.
    pub off_rate: f64,
    /// The least that a reconstruction divides by.
    pub floor: f64,
    /// When and to what rows are scaled.
    pub normalize: Option<RowScale>,
    /// Frames per step, at least 1.
    pub minibatch: usize,
}

/// Rows brought back to one size every so many frames.
#[derive(Clone, Copy, Debug)]
pub struct RowScale {
    /// How many frames from one scaling to the next.
    pub every: usize,
    /// The sum, or the largest weight, of a row after it.
    pub size: f64,
    /// Whether it is the largest weight.
    pub by_maximum: bool,
}

/// What the frames led to.
#[derive(Clone, Debug)]
pub struct InvarianceStepped {
    /// `m` after each frame, `(frames, units)`.
    pub output: Tensor,
    /// `Σ |v - r|² / Σ |v|²` over all frames, a scalar; 0 if all are blank.
    pub error: Tensor,
}

/// A row of zeros stays one.
const SIZE_FLOOR: f32 = 1e-30;

impl InvarianceSteps {
    /// Updates `weights (units, inputs)` in place with every row of `frames (frames, inputs)`, beginning with the
    /// average `average (units)`; `first` is the number of the first frame, from which scalings are counted. With a
    /// workspace, which takes one frame per step, it is a kernel, without one the graph of candle ops. `before` is the
    /// error of the call before, a scalar 0 for the first.
    ///
    /// On CPU, frames that lead to a value that is not finite are refused, by the number of the first such frame if there
    /// is a workspace, and no weight has changed. Elsewhere they and all later ones change nothing, and the error, which is
    /// not a number then, tells.
    pub fn run(
        &self,
        weights: &Tensor,
        frames: &Tensor,
        average: &Tensor,
        first: usize,
        workspace: Option<&mut Workspace>,
        before: &Tensor,
    ) -> Result<InvarianceStepped> {
        let Some(workspace) = workspace else { return self.graph(weights, frames, average, first, before) };
        let shape = (frames.dim(0)?, weights.dim(0)?);
        workspace.average.clear();
        workspace.average.extend(average.to_vec1::<f32>()?);
        let made = Made { output: vec![0.0; shape.0 * shape.1], error: 0.0 };
        let kernel = Kernel { steps: *self, first, work: RefCell::new((workspace, made)) };
        weights.inplace_op2(&frames.contiguous()?, &kernel)?;
        let (_, made) = kernel.work.into_inner();
        let device = weights.device();
        Ok(InvarianceStepped {
            output: Tensor::from_vec(made.output, shape, device)?,
            error: Tensor::new(made.error, device)?,
        })
    }

    fn graph(
        &self,
        weights: &Tensor,
        frames: &Tensor,
        average: &Tensor,
        first: usize,
        before: &Tensor,
    ) -> Result<InvarianceStepped> {
        let (mut outputs, mut errors) = (Vec::new(), Vec::new());
        let (mut now, mut average, mut number) = (weights.clone(), average.clone(), first);
        for frames in minibatches(frames, self.minibatch)? {
            let averages = running_average_from(&average, &frames.matmul(&now.t()?)?, self.average_rate)?;
            let reconstruction = averages.matmul(&now)?;
            let missed = (&frames - &reconstruction)?;
            let on = frames.gt(0.0)?.to_dtype(DType::F32)?;
            let rates = on.affine(self.on_rate - self.off_rate, self.off_rate)?;
            let gains = ((&missed * rates)? / reconstruction.maximum(self.floor)?)?;
            let changed = (&now + (&now * averages.t()?.matmul(&gains)?)?)?;
            let count = frames.dim(0)?;
            now = match self.normalize {
                Some(scale) if (number..number + count).any(|number| number.is_multiple_of(scale.every)) => {
                    scale.graph(&changed)?
                }
                _ => changed,
            };
            number += count;
            average = averages.get(count - 1)?;
            outputs.push(averages);
            errors.push((total(&missed.sqr()?)? + zero_if_finite(&now)?)?);
        }
        let error = relative_error_of(&Tensor::stack(&errors, 0)?.sum_all()?, frames)?;
        let error = settle_update(weights, &now, &error, before)?;
        Ok(InvarianceStepped { output: Tensor::cat(&outputs, 0)?, error })
    }
}

impl RowScale {
    fn graph(&self, weights: &Tensor) -> Result<Tensor> {
        let sizes = if self.by_maximum { weights.max(1)? } else { weights.sum(1)? };
        weights.broadcast_mul(&(sizes.maximum(f64::from(SIZE_FLOOR))?.recip()? * self.size)?.unsqueeze(1)?)
    }

    #[inline(always)]
    fn scale(&self, weights: &mut [f32], inputs: usize) {
        for row in weights.chunks_exact_mut(inputs) {
            let size = match self.by_maximum {
                true => row.iter().fold(0f32, |most, &weight| if weight > most { weight } else { most }),
                false => cpu::sum_of(row, |weight| weight),
            };
            let factor = self.size as f32 / size.max(SIZE_FLOOR);
            row.iter_mut().for_each(|weight| *weight *= factor);
        }
    }
}

/// Inputs a block: the weights of all units to them stay in the first-level cache between the reconstruction, which
/// reads them, and the update, which needs it and reads and writes them.
const WIDTH: usize = 64;

/// All the memory that a step works in.
#[derive(Debug)]
pub struct Workspace {
    average: Vec<f32>,
    /// The inputs that are on, and their values.
    active: Vec<(u32, f32)>,
    /// The weights before the call.
    before: Vec<f32>,
}

impl Workspace {
    /// Room for `weights (units, inputs)`; `None` away from the CPU, where it is not needed.
    pub fn of(weights: &Tensor) -> Result<Option<Self>> {
        let (units, inputs) = weights.dims2()?;
        let workspace = Self {
            average: Vec::with_capacity(units),
            active: Vec::with_capacity(inputs),
            before: Vec::with_capacity(units * inputs),
        };
        Ok(weights.device().is_cpu().then_some(workspace))
    }
}

struct Made {
    output: Vec<f32>,
    error: f32,
}

struct Kernel<'a> {
    steps: InvarianceSteps,
    first: usize,
    work: RefCell<(&'a mut Workspace, Made)>,
}

impl InplaceOp2 for Kernel<'_> {
    fn name(&self) -> &'static str {
        "invariance-steps"
    }

    /// One thread: a frame is a few microseconds, and the next one needs what it left behind.
    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        weights_layout: &Layout,
        frames: &CpuStorage,
        frames_layout: &Layout,
    ) -> Result<()> {
        let (units, inputs) = weights_layout.shape().dims2()?;
        let frames = cpu::values(frames, frames_layout)?;
        let weights = cpu::values_mut(weights, weights_layout)?;
        let (workspace, made) = &mut *self.work.borrow_mut();
        workspace.before.clear();
        workspace.before.extend_from_slice(weights);
        let (mut missed, mut shown) = (0.0, 0.0);
        let steps = frames.chunks_exact(inputs).zip(made.output.chunks_exact_mut(units)).enumerate();
        for (number, (frame, output)) in steps {
            let step = Step { steps: self.steps, number: self.first + number, weights, workspace, frame };
            let error = Arch::new().dispatch(step);
            if !error.is_finite() {
                weights.copy_from_slice(&workspace.before);
                bail!("frame {number}: the update is not finite: no weight was changed");
            }
            output.copy_from_slice(&workspace.average);
            missed += error;
            shown += Arch::new().dispatch(|| cpu::sum_of(frame, |value| value * value));
        }
        let finite = || weights.iter().fold(true, |all, weight| all & weight.is_finite());
        if !Arch::new().dispatch(finite) {
            weights.copy_from_slice(&workspace.before);
            bail!("the update is not finite: no weight was changed");
        }
        made.error = relative_error(missed, shown);
        Ok(())
    }
}

/// One frame's step. It has a type of its own, since of a closure as long as this the compiler makes a function
/// without vectors.
struct Step<'a> {
    steps: InvarianceSteps,
    /// The frame's number in its epoch.
    number: usize,
    weights: &'a mut [f32],
    workspace: &'a mut Workspace,
    frame: &'a [f32],
}

impl WithSimd for Step<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let Self { steps, number, weights, workspace, frame } = self;
        let error = steps.step(weights, workspace, frame);
        if let Some(scale) = steps.normalize
            && number.is_multiple_of(scale.every)
        {
            scale.scale(weights, frame.len());
        }
        error
    }
}

impl InvarianceSteps {
    /// Learns one frame and returns `|v - r|²`.
    #[inline(always)]
    fn step(&self, weights: &mut [f32], workspace: &mut Workspace, frame: &[f32]) -> f32 {
        let Workspace { average, active, .. } = workspace;
        active.clear();
        active.extend(
            (0..).zip(frame).filter(|(_, value)| **value != 0.0).map(|(input, &value)| (input, value)),
        );
        for (average, row) in average.iter_mut().zip(weights.chunks_exact(frame.len())) {
            let drive: f32 = active.iter().map(|&(input, value)| row[input as usize] * value).sum();
            *average += self.average_rate as f32 * (drive - *average);
        }
        let mut error = 0.0;
        let mut start = 0;
        while start + WIDTH <= frame.len() {
            error += self.block::<WIDTH>(weights, average, frame, start);
            start += WIDTH;
        }
        while start + 4 <= frame.len() {
            error += self.block::<4>(weights, average, frame, start);
            start += 4;
        }
        while start < frame.len() {
            error += self.block::<1>(weights, average, frame, start);
            start += 1;
        }
        error
    }

    /// Reconstructs `N` inputs from `start` on, and updates the weights of all units to them.
    #[inline(always)]
    fn block<const N: usize>(
        &self,
        weights: &mut [f32],
        average: &[f32],
        frame: &[f32],
        start: usize,
    ) -> f32 {
        let mut reconstruction = [0f32; N];
        for (average, row) in average.iter().zip(weights.chunks_exact(frame.len())) {
            let row = &row[start..start + N];
            reconstruction.iter_mut().zip(row).for_each(|(sum, weight)| *sum += average * weight);
        }
        let (on, off, floor) = (self.on_rate as f32, self.off_rate as f32, self.floor as f32);
        let mut gains = [0f32; N];
        let mut squares = [0f32; N];
        for (lane, &value) in frame[start..start + N].iter().enumerate() {
            let missed = value - reconstruction[lane];
            let rate = if value > 0.0 { on } else { off };
            gains[lane] = missed * rate / reconstruction[lane].max(floor);
            squares[lane] = missed * missed;
        }
        for (average, row) in average.iter().zip(weights.chunks_exact_mut(frame.len())) {
            let row = &mut row[start..start + N];
            row.iter_mut().zip(&gains).for_each(|(weight, gain)| *weight += *weight * (average * gain));
        }
        cpu::sum_of(&squares, |square| square)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::no_update;
    use candle_core::Device;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    const STEPS: InvarianceSteps = InvarianceSteps {
        average_rate: 0.3,
        on_rate: 0.05,
        off_rate: 0.005,
        floor: 1e-10,
        normalize: Some(RowScale { every: 3, size: 2.0, by_maximum: false }),
        minibatch: 1,
    };

    /// Weights, sparse frames and an average to begin with.
    fn case(units: usize, inputs: usize, frames: usize, seed: u64) -> Result<(Tensor, Tensor, Tensor)> {
        let mut generator = Generator::new(seed, "invariance steps");
        let weights = generator.uniform((units, inputs), 0.0, 0.1, &Device::Cpu)?;
        let frames = generator.uniform((frames, inputs), -4.0, 1.0, &Device::Cpu)?.relu()?;
        Ok((weights, frames, generator.uniform(units, 0.0, 0.1, &Device::Cpu)?))
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn a_frame_past_the_finite_changes_nothing() -> Result<()> {
        let (weights, frames, average) = case(7, 90, 5, 0)?;
        let before = weights.to_vec2::<f32>()?;
        let frames = Tensor::cat(&[frames.narrow(0, 0, 4)?, (frames.narrow(0, 4, 1)? * 3e38)?], 0)?;
        let mut workspace = Workspace::of(&weights)?;
        let none = no_update(&Device::Cpu)?;
        let refused = STEPS.run(&weights, &frames, &average, 0, workspace.as_mut(), &none);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("frame 4: the update is not finite"), "{refused}");
        assert_eq!(weights.to_vec2::<f32>()?, before);
        Ok(())
    }

    #[test]
    fn blank_frames_are_no_error_however_much_is_reconstructed() -> Result<()> {
        let (weights, _, average) = case(7, 90, 1, 0)?;
        let (weights, average) = ((weights * 1e18)?, (average * 10.0)?);
        let blank = Tensor::zeros((2, 90), DType::F32, &Device::Cpu)?;
        for kernel in [true, false] {
            let weights = weights.copy()?;
            let mut workspace = if kernel { Workspace::of(&weights)? } else { None };
            let none = no_update(&Device::Cpu)?;
            let stepped = STEPS.run(&weights, &blank, &average, 1, workspace.as_mut(), &none)?;
            assert_eq!(stepped.error.to_scalar::<f32>()?, 0.0);
        }
        Ok(())
    }

    #[test]
    fn a_minibatch_follows_the_averages_frame_by_frame_with_the_weights_that_it_began_with() -> Result<()> {
        let steps = InvarianceSteps { minibatch: 5, normalize: None, ..STEPS };
        let (weights, frames, average) = case(7, 90, 5, 2)?;
        let begin = weights.copy()?;
        let drive = frames.matmul(&begin.t()?)?;
        let stepped = steps.run(&weights, &frames, &average, 0, None, &no_update(&Device::Cpu)?)?;
        let followed = running_average_from(&average, &drive, steps.average_rate)?;
        assert_eq!(stepped.output.to_vec2::<f32>()?, followed.to_vec2::<f32>()?);
        // What each frame would add on its own, had the average come as far without learning.
        let mut sum = begin.copy()?;
        for number in 0..5 {
            let (alone, frame) = (begin.copy()?, frames.narrow(0, number, 1)?);
            let so_far = if number == 0 { average.clone() } else { followed.get(number - 1)? };
            let steps = InvarianceSteps { minibatch: 1, ..steps };
            steps.run(&alone, &frame, &so_far, 0, None, &no_update(&Device::Cpu)?)?;
            sum = (sum + (alone - &begin)?)?;
        }
        assert!(largest_difference(&weights, &sum) < 1e-6);
        assert!(largest_difference(&weights, &begin) > 1e-4);
        Ok(())
    }

    #[test]
    fn rows_are_scaled_to_their_sum_or_to_their_largest_weight() -> Result<()> {
        for by_maximum in [false, true] {
            let (weights, frames, average) = case(7, 90, 1, 1)?;
            let steps =
                InvarianceSteps { normalize: Some(RowScale { every: 5, size: 2.0, by_maximum }), ..STEPS };
            let mut workspace = Workspace::of(&weights)?;
            steps.run(&weights, &frames, &average, 10, workspace.as_mut(), &no_update(&Device::Cpu)?)?;
            let sizes = if by_maximum { weights.max(1)? } else { weights.sum(1)? };
            assert!(sizes.to_vec1::<f32>()?.iter().all(|size| (size - 2.0).abs() < 1e-5), "{sizes}");
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn kernel_and_graph_agree(
            units in 1usize..40, inputs in 1usize..200, frames in 1usize..8, first in 0usize..5,
            by_maximum: bool, seed in any::<u64>(),
        ) {
            let steps = InvarianceSteps { normalize: Some(RowScale { every: 3, size: 2.0, by_maximum }), ..STEPS };
            let (weights, frames, average) = case(units, inputs, frames, seed).unwrap();
            let ours = weights.copy().unwrap();
            let mut workspace = Workspace::of(&ours).unwrap();
            let none = no_update(&Device::Cpu).unwrap();
            let kernel = steps.run(&ours, &frames, &average, first, workspace.as_mut(), &none).unwrap();
            let graph = steps.run(&weights, &frames, &average, first, None, &none).unwrap();
            prop_assert!(largest_difference(&ours, &weights) < 2e-5);
            prop_assert!(largest_difference(&kernel.output, &graph.output) < 1e-5);
            let scale = graph.error.to_scalar::<f32>().unwrap().max(1.0);
            prop_assert!(largest_difference(&kernel.error, &graph.error) < 1e-5 * scale);
        }
    }
}
