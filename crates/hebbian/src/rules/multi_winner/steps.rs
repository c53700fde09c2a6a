//! Frames that a few winners each reconstruct together, learned one after the other.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};

use crate::ops::{
    cpu, minibatches, rank_row, relative_error, relative_error_of, settle_update, top_k, total,
    zero_if_finite,
};

/// One step per frame `v`, in order:
///
/// ```text
/// p_u = w_u · v                                     the largest p win; a_u = p_u for them, else 0
/// r   = Σ_u a_u w_u
/// w_u ← w_u (1 + rate a_u (v - r) / max(r, floor))
/// y_u = a_u / Σ_i w_ui                              with the sum after the update; 0 where it is 0
/// ```
///
/// Or one step for a minibatch of frames: each sees the weights that the minibatch began with, and what they add to the
/// weights is summed.
#[derive(Clone, Copy, Debug)]
pub struct MultiWinnerSteps {
    /// Units that win a frame.
    pub winners: usize,
    /// The rate.
    pub rate: f64,
    /// The least that a reconstruction divides by.
    pub floor: f64,
    /// Whether a weight that would become negative becomes 0. On CPU one below 1e-30 does so too.
    pub clamp: bool,
    /// Frames per step, at least 1.
    pub minibatch: usize,
}

/// What the frames led to.
#[derive(Clone, Debug)]
pub struct MultiWinnerStepped {
    /// `y (frames, units)`.
    pub output: Tensor,
    /// The winners of each frame, `(frames, winners)` u32, the first winner first.
    pub winners: Tensor,
    /// `Σ |v - r|² / Σ |v|²` over all frames, a scalar; 0 if all are blank.
    pub error: Tensor,
}

impl MultiWinnerSteps {
    /// Updates `weights (units, inputs)` in place with every row of `frames (frames, inputs)`. `panels`, which take one
    /// frame per step, must hold the same weights, and do so afterwards; without them the graph of candle ops runs, on any
    /// device. `before` is the error of the call before, a scalar 0 for the first.
    ///
    /// On CPU, frames that lead to a weight or an output that is not finite are refused, by the number of the first such
    /// frame if there are panels, and no weight has changed. Elsewhere they and all later ones change nothing, and the
    /// error, which is not a number then, tells.
    pub fn run(
        &self,
        weights: &Tensor,
        frames: &Tensor,
        panels: Option<&mut Panels>,
        before: &Tensor,
    ) -> Result<MultiWinnerStepped> {
        let (count, units) = (frames.dim(0)?, weights.dim(0)?);
        if !(1..=units).contains(&self.winners) {
            bail!("{} winners are not in 1 to {units}, the number of units", self.winners);
        }
        let Some(panels) = panels else { return self.graph(weights, frames, before) };
        let made =
            Made { output: vec![0.0; count * units], winners: vec![0; count * self.winners], error: 0.0 };
        let kernel = Kernel { steps: *self, work: RefCell::new((panels, made)) };
        weights.inplace_op2(&frames.contiguous()?, &kernel)?;
        let (_, made) = kernel.work.into_inner();
        let device = weights.device();
        Ok(MultiWinnerStepped {
            output: Tensor::from_vec(made.output, (count, units), device)?,
            winners: Tensor::from_vec(made.winners, (count, self.winners), device)?,
            error: Tensor::new(made.error, device)?,
        })
    }

    fn graph(&self, weights: &Tensor, frames: &Tensor, before: &Tensor) -> Result<MultiWinnerStepped> {
        let (mut outputs, mut winners, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let mut now = weights.clone();
        for frames in minibatches(frames, self.minibatch)? {
            let products = frames.matmul(&now.t()?)?;
            let ranks = top_k(&products, self.winners)?;
            let code = products.zeros_like()?.scatter_add(&ranks, &products.gather(&ranks, 1)?, 1)?;
            let reconstruction = code.matmul(&now)?;
            let missed = (&frames - &reconstruction)?;
            let gains = ((&missed / reconstruction.maximum(self.floor)?)? * self.rate)?;
            let changed = (&now + (&now * code.t()?.matmul(&gains)?)?)?;
            errors.push((total(&missed.sqr()?)? + zero_if_finite(&changed)?)?);
            now = if self.clamp { changed.relu()? } else { changed };
            let sums = now.sum(1)?;
            outputs.push(over_sums(&code, &sums)?);
            winners.push(ranks);
        }
        let error = relative_error_of(&Tensor::stack(&errors, 0)?.sum_all()?, frames)?;
        let error = settle_update(weights, &now, &error, before)?;
        Ok(MultiWinnerStepped {
            output: Tensor::cat(&outputs, 0)?,
            winners: Tensor::cat(&winners, 0)?,
            error,
        })
    }
}

/// Activations `(frames, units)` over the sums `(units)` of the units' rows; 0 where a sum is 0.
pub(super) fn over_sums(activations: &Tensor, sums: &Tensor) -> Result<Tensor> {
    let infinite = Tensor::full(f32::INFINITY, sums.shape(), sums.device())?;
    activations.broadcast_div(&sums.eq(0.0)?.where_cond(&infinite, sums)?)
}

/// Units side by side in a panel: one vector of 512 bits holds a quarter of them, four independent sums.
const WIDTH: usize = 64;

/// The weights once more in the order in which a sparse frame reads them, and all the memory that a step works in.
///
/// A panel is `WIDTH` units. Within it the weights of one input lie together, so that the products of a frame touch only
/// the inputs that are on, about a fifth of them. A step rewrites the winners' rows in both places.
#[derive(Debug)]
pub struct Panels {
    inputs: usize,
    /// The weights `(panels, inputs, WIDTH)`; the last panel ends in zeros.
    panels: Vec<[f32; WIDTH]>,
    /// `p`, as long as all panels are wide.
    products: Vec<[f32; WIDTH]>,
    /// The inputs that are on, and their values.
    active: Vec<(u32, f32)>,
    /// `r`.
    reconstruction: Vec<f32>,
    /// `rate (v - r) / max(r, floor)`.
    gains: Vec<f32>,
    /// The winners' rows after the update, until all of them are known to be finite.
    rows: Vec<f32>,
    /// The rows that these frames changed, as they were.
    undo: Undo,
}

impl Panels {
    /// The panels of `weights (units, inputs)` on the CPU; `None` on other devices, which have no use for them.
    pub fn of(weights: &Tensor) -> Result<Option<Self>> {
        if !weights.device().is_cpu() {
            return Ok(None);
        }
        let (units, inputs) = weights.dims2()?;
        let count = units.div_ceil(WIDTH);
        let mut panels = Self {
            inputs,
            panels: vec![[0.0; WIDTH]; count * inputs],
            products: vec![[0.0; WIDTH]; count],
            active: Vec::with_capacity(inputs),
            reconstruction: vec![0.0; inputs],
            gains: vec![0.0; inputs],
            rows: Vec::new(),
            undo: Undo { touched: vec![false; units], units: Vec::new(), rows: Vec::new() },
        };
        let weights = weights.flatten_all()?.to_vec1::<f32>()?;
        weights.chunks(inputs.max(1)).enumerate().for_each(|(unit, row)| panels.set(unit, row));
        Ok(Some(panels))
    }

    /// Brings back what the last call changed, in `weights (units, inputs)` and here.
    pub fn undo(&mut self, weights: &Tensor) -> Result<()> {
        weights.inplace_op1(&Undoing(RefCell::new(self)))
    }

    fn set(&mut self, unit: usize, row: &[f32]) {
        let lane = unit % WIDTH;
        let panel = &mut self.panels[unit / WIDTH * self.inputs..][..self.inputs];
        panel.iter_mut().zip(row).for_each(|(weights, &weight)| weights[lane] = weight);
    }

    /// `p` of one frame. Inputs that are off add nothing, so that leaving them out changes no bit.
    #[inline(always)]
    fn multiply(&mut self, frame: &[f32]) {
        self.active.clear();
        self.active.extend(
            (0..).zip(frame).filter(|(_, value)| **value != 0.0).map(|(input, &value)| (input, value)),
        );
        for (panel, products) in self.panels.chunks_exact(self.inputs).zip(&mut self.products) {
            let mut sums = [0f32; WIDTH];
            for &(input, value) in &self.active {
                let weights = &panel[input as usize];
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
            }
            *products = sums;
        }
    }
}

/// The rows that a call changed, each as it was before.
#[derive(Debug)]
struct Undo {
    touched: Vec<bool>,
    units: Vec<u32>,
    rows: Vec<f32>,
}

impl Undo {
    fn forget(&mut self) {
        self.units.drain(..).for_each(|unit| self.touched[unit as usize] = false);
        self.rows.clear();
    }

    fn keep(&mut self, unit: u32, row: &[f32]) {
        if !std::mem::replace(&mut self.touched[unit as usize], true) {
            self.units.push(unit);
            self.rows.extend_from_slice(row);
        }
    }
}

struct Undoing<'a>(RefCell<&'a mut Panels>);

impl InplaceOp1 for Undoing<'_> {
    fn name(&self) -> &'static str {
        "multi-winner-undo"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> Result<()> {
        undo(cpu::values_mut(weights, layout)?, &mut self.0.borrow_mut());
        Ok(())
    }
}

struct Made {
    output: Vec<f32>,
    winners: Vec<u32>,
    error: f32,
}

struct Kernel<'a> {
    steps: MultiWinnerSteps,
    work: RefCell<(&'a mut Panels, Made)>,
}

impl InplaceOp2 for Kernel<'_> {
    fn name(&self) -> &'static str {
        "multi-winner-steps"
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
        let (panels, made) = &mut *self.work.borrow_mut();
        panels.rows.resize(self.steps.winners * inputs, 0.0);
        panels.undo.forget();
        let outputs = made.output.chunks_exact_mut(units);
        let winners = made.winners.chunks_exact_mut(self.steps.winners);
        let steps = frames.chunks_exact(inputs).zip(outputs.zip(winners)).enumerate();
        let (mut missed, mut shown) = (0.0, 0.0);
        for (number, (frame, (output, winners))) in steps {
            let step = Step { steps: self.steps, weights, panels, frame, winners, output };
            let error = Arch::new().dispatch(step);
            let Some(error) = error else {
                undo(weights, panels);
                bail!("frame {number}: the update is not finite: no weight was changed");
            };
            missed += error;
            shown += Arch::new().dispatch(|| cpu::sum_of(frame, |value| value * value));
        }
        made.error = relative_error(missed, shown);
        Ok(())
    }
}

/// One frame's step. It has a type of its own, since of a closure as long as this the compiler makes a function
/// without vectors.
struct Step<'a> {
    steps: MultiWinnerSteps,
    weights: &'a mut [f32],
    panels: &'a mut Panels,
    frame: &'a [f32],
    winners: &'a mut [u32],
    output: &'a mut [f32],
}

impl WithSimd for Step<'_> {
    type Output = Option<f32>;

    /// Learns the frame and returns `|v - r|²`, or `None` where something would not be finite, with nothing changed.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Option<f32> {
        let Self { steps, weights, panels, frame, winners, output } = self;
        panels.multiply(frame);
        let products = &panels.products.as_flattened()[..output.len()];
        rank_row(products, winners);
        let buffers = (&mut panels.reconstruction[..], &mut panels.gains[..]);
        let error = steps.reconstruct(weights, products, buffers, frame, winners);
        let rows = panels.rows.chunks_exact_mut(frame.len());
        for (row, &unit) in rows.zip(&*winners) {
            let activation = products[unit as usize];
            steps.change(row_of(weights, unit, frame.len()), row, activation, &panels.gains);
            let sum = cpu::sum_of(row, |weight| weight);
            let shared = if sum == 0.0 { 0.0 } else { activation / sum };
            if !(sum.is_finite() && shared.is_finite()) {
                return None;
            }
            output[unit as usize] = shared;
        }
        for (place, &unit) in winners.iter().enumerate() {
            let at = unit as usize * frame.len();
            let row = &mut weights[at..at + frame.len()];
            panels.undo.keep(unit, row);
            row.copy_from_slice(&panels.rows[place * frame.len()..][..frame.len()]);
            panels.set(unit as usize, row);
        }
        Some(error)
    }
}

impl MultiWinnerSteps {
    /// Fills `gains` with what an activation of 1 makes a row grow by, and returns `|v - r|²`.
    #[inline(always)]
    fn reconstruct(
        &self,
        weights: &[f32],
        products: &[f32],
        (reconstruction, gains): (&mut [f32], &mut [f32]),
        frame: &[f32],
        winners: &[u32],
    ) -> f32 {
        reconstruction.fill(0.0);
        for &unit in winners {
            let (activation, row) = (products[unit as usize], row_of(weights, unit, frame.len()));
            reconstruction.iter_mut().zip(row).for_each(|(sum, weight)| *sum += activation * weight);
        }
        let missed = gains;
        missed.iter_mut().zip(frame).zip(&*reconstruction).for_each(|((missed, v), r)| *missed = v - r);
        let error = cpu::sum_of(missed, |missed| missed * missed);
        let (rate, floor) = (self.rate as f32, self.floor as f32);
        let gains = missed.iter_mut().zip(&*reconstruction);
        gains.for_each(|(gain, r)| *gain = rate * *gain / r.max(floor));
        error
    }

    #[inline(always)]
    fn change(&self, before: &[f32], after: &mut [f32], activation: f32, gains: &[f32]) {
        // Weights of inputs that are always off fall for ever.
        let least = if self.clamp { cpu::NEGLIGIBLE } else { f32::NEG_INFINITY };
        for ((after, &weight), gain) in after.iter_mut().zip(before).zip(gains) {
            let changed = weight + weight * (activation * gain);
            // Not `max`, which would hide a NaN.
            *after = if changed < least { 0.0 } else { changed };
        }
    }
}

fn row_of(weights: &[f32], unit: u32, inputs: usize) -> &[f32] {
    &weights[unit as usize * inputs..][..inputs]
}

fn undo(weights: &mut [f32], panels: &mut Panels) {
    let inputs = panels.inputs;
    let units = std::mem::take(&mut panels.undo.units);
    let rows = std::mem::take(&mut panels.undo.rows);
    for (&unit, row) in units.iter().zip(rows.chunks_exact(inputs)) {
        weights[unit as usize * inputs..][..inputs].copy_from_slice(row);
        panels.set(unit as usize, row);
        panels.undo.touched[unit as usize] = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::no_update;
    use candle_core::Device;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    const STEPS: MultiWinnerSteps =
        MultiWinnerSteps { winners: 3, rate: 0.05, floor: 1e-10, clamp: true, minibatch: 1 };

    /// Weights, and frames of which most inputs are off.
    fn case(units: usize, inputs: usize, frames: usize, seed: u64) -> Result<(Tensor, Tensor)> {
        let mut generator = Generator::new(seed, "multi-winner steps");
        let weights = generator.uniform((units, inputs), 0.0, 0.2, &Device::Cpu)?;
        let frames = generator.uniform((frames, inputs), -2.0, 1.0, &Device::Cpu)?.relu()?;
        Ok((weights, frames))
    }

    fn run(steps: MultiWinnerSteps, weights: &Tensor, frames: &Tensor) -> Result<MultiWinnerStepped> {
        steps.run(weights, frames, Panels::of(weights)?.as_mut(), &no_update(&Device::Cpu)?)
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn only_the_rows_of_winners_change() -> Result<()> {
        let (weights, frames) = case(150, 40, 5, 1)?;
        let before = weights.copy()?;
        let winners = run(STEPS, &weights, &frames)?.winners.flatten_all()?.to_vec1::<u32>()?;
        for unit in 0..150 {
            let changed = largest_difference(&weights.get(unit)?, &before.get(unit)?) > 0.0;
            assert_eq!(changed, winners.contains(&(unit as u32)), "unit {unit}");
        }
        Ok(())
    }

    #[test]
    fn one_call_for_all_frames_gives_the_bits_of_a_call_for_each() -> Result<()> {
        let (together, frames) = case(150, 40, 20, 2)?;
        let apart = together.copy()?;
        let all = run(STEPS, &together, &frames)?.output;
        let mut panels = Panels::of(&apart)?;
        for number in 0..20 {
            let one = STEPS
                .run(&apart, &frames.narrow(0, number, 1)?, panels.as_mut(), &no_update(&Device::Cpu)?)?
                .output;
            assert_eq!(one.to_vec2::<f32>()?, all.narrow(0, number, 1)?.to_vec2::<f32>()?);
        }
        assert_eq!(together.to_vec2::<f32>()?, apart.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn a_minibatch_sums_what_its_frames_would_add_on_their_own() -> Result<()> {
        let steps = MultiWinnerSteps { clamp: false, ..STEPS };
        let (together, frames) = case(30, 20, 6, 4)?;
        let begin = together.copy()?;
        let mut sum = begin.copy()?;
        for number in 0..6 {
            let alone = begin.copy()?;
            run(steps, &alone, &frames.narrow(0, number, 1)?)?;
            sum = (sum + (alone - &begin)?)?;
        }
        let steps = MultiWinnerSteps { minibatch: 6, ..steps };
        let stepped = steps.run(&together, &frames, None, &no_update(&Device::Cpu)?)?;
        assert!(largest_difference(&together, &sum) < 1e-6);
        assert!(largest_difference(&together, &begin) > 1e-3);
        assert_eq!(stepped.winners.dims(), [6, 3]);
        Ok(())
    }

    #[test]
    fn a_minibatch_that_leads_past_the_finite_changes_nothing() -> Result<()> {
        let (weights, frames) = case(30, 20, 6, 3)?;
        let before = weights.to_vec2::<f32>()?;
        let steps = MultiWinnerSteps { minibatch: 4, ..STEPS };
        let refused = steps.run(&weights, &(frames * 3e38)?, None, &no_update(&Device::Cpu)?);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("the update is not finite"), "{refused}");
        assert_eq!(weights.to_vec2::<f32>()?, before);
        Ok(())
    }

    #[test]
    fn frames_that_lead_past_the_finite_change_nothing() -> Result<()> {
        let (weights, frames) = case(30, 20, 6, 3)?;
        let before = weights.to_vec2::<f32>()?;
        let huge = Tensor::full(f32::MAX, (2, 20), &Device::Cpu)?;
        let frames = Tensor::cat(&[frames.narrow(0, 0, 4)?, huge], 0)?;
        let mut panels = Panels::of(&weights)?;
        let refused =
            STEPS.run(&weights, &frames, panels.as_mut(), &no_update(&Device::Cpu)?).unwrap_err().to_string();
        assert!(refused.starts_with("frame 4: the update is not finite"), "{refused}");
        assert_eq!(weights.to_vec2::<f32>()?, before);
        // The panels went back too.
        let (first, again) = (frames.narrow(0, 0, 4)?, weights.copy()?);
        let with_panels = STEPS
            .run(&weights, &first, panels.as_mut(), &no_update(&Device::Cpu)?)?
            .output
            .to_vec2::<f32>()?;
        assert_eq!(with_panels, run(STEPS, &again, &first)?.output.to_vec2::<f32>()?);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn kernel_and_graph_agree(
            units in 1usize..150, inputs in 1usize..60, winners in 1usize..6, frames in 1usize..8,
            clamp: bool, seed in any::<u64>(),
        ) {
            let steps = MultiWinnerSteps { winners: winners.min(units), clamp, ..STEPS };
            let (weights, frames) = case(units, inputs, frames, seed).unwrap();
            let ours = weights.copy().unwrap();
            let kernel = run(steps, &ours, &frames).unwrap();
            let graph = steps.run(&weights, &frames, None, &no_update(&Device::Cpu).unwrap()).unwrap();
            let (kernel_winners, graph_winners) = (kernel.winners.to_vec2::<u32>(), graph.winners.to_vec2::<u32>());
            prop_assert_eq!(kernel_winners.unwrap(), graph_winners.unwrap());
            prop_assert!(largest_difference(&ours, &weights) < 1e-5);
            prop_assert!(largest_difference(&kernel.output, &graph.output) < 1e-5);
            let scale = graph.error.to_scalar::<f32>().unwrap().max(1.0);
            prop_assert!(largest_difference(&kernel.error, &graph.error) < 1e-5 * scale);
        }
    }
}
