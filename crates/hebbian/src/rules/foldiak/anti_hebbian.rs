//! Learning from patterns one after the other, by units that come to inhibit those that fire with them.

use std::cell::RefCell;
use std::hint::black_box;

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};

use super::basin::Basin;
use super::lateral::{LANES, Lateral, Line};
use super::settling::{Layer, Settling, settle};
use crate::ops::{cpu, size_or_fault, unless_fault, zero_if_finite};

/// What is learned from a sequence of patterns x, each of which settles on outputs y and leaves its trace before the next:
///
/// ```text
/// z = 1 where y > 0.5, else 0                   Settling::Equilibrium
/// z = y                                         Settling::OneShot
/// w_vu ← w_vu - lateral (z_v z_u - activity²)   and 0 on the diagonal; at most 0 too unless Settling::OneShot
/// q_ui ← q_ui + feed_forward z_u (x_i - q_ui)
/// t_u  ← t_u + threshold (z_u - activity)
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AntiHebbian<'a> {
    /// How y follows from x.
    pub settling: &'a Settling,
    /// The share of patterns that each unit is to fire at.
    pub activity: f64,
    /// How fast each of the three learns.
    pub rates: Rates,
    /// [`AntiHebbianStep::moved`] of the sequence before, a scalar 0 for the first. Away from the CPU, where it is not a number,
    /// nothing is learned any more.
    pub before: &'a Tensor,
}

/// How fast each of a layer's three kinds of parameters learns.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Of the weights from the inputs, at most 1.
    pub feed_forward: f64,
    /// Of the weights between units.
    pub lateral: f64,
    /// Of the thresholds.
    pub threshold: f64,
}

/// What a sequence of patterns did.
#[derive(Clone, Debug)]
pub struct AntiHebbianStep {
    /// `z (batch, units)`.
    pub outputs: Tensor,
    /// How far the feed-forward weights moved at a pattern (the length of the change of all of them), the mean over the
    /// batch: a scalar. Away from the CPU it is not a number once inputs were not finite.
    pub moved: Tensor,
}

impl AntiHebbian<'_> {
    /// Changes `layer` by the rows of `inputs (batch, inputs)` in order.
    ///
    /// On CPU, inputs that are not finite are an error, and nothing has changed; elsewhere they and all later ones change
    /// nothing, and [`AntiHebbianStep::moved`] tells. With finite inputs all stays finite: a
    /// weight moves towards an input and not past it, and the other two change by at most their rates.
    pub fn learn(&self, layer: &mut Layer, inputs: &Tensor) -> Result<AntiHebbianStep> {
        match layer.weights.device().is_cpu() {
            true => self.sequence(layer, inputs),
            false => self.graph(layer, inputs),
        }
    }

    fn is_binary(&self) -> bool {
        matches!(self.settling, Settling::Equilibrium { .. })
    }

    fn graph(&self, layer: &mut Layer, inputs: &Tensor) -> Result<AntiHebbianStep> {
        let mut now = layer.clone();
        let (units, device) = (now.weights.dim(0)?, inputs.device());
        let others = (Tensor::eye(units, DType::F32, device)? * -1.0)?.affine(1.0, 1.0)?;
        let (mut outputs, mut moved) = (Vec::new(), Tensor::zeros((), DType::F32, device)?);
        for row in 0..inputs.dim(0)? {
            let x = inputs.narrow(0, row, 1)?;
            let y = settle(&now, &x, self.settling)?;
            let z = if self.is_binary() { y.gt(0.5)?.to_dtype(DType::F32)? } else { y };
            let column = z.t()?.contiguous()?;
            let together = column.matmul(&z)?.affine(self.rates.lateral, -self.lateral_gain())?;
            now.outgoing = ((now.outgoing - together)? * &others)?;
            if self.is_binary() {
                now.outgoing = now.outgoing.minimum(0.0)?;
            }
            let change = (x.broadcast_sub(&now.weights)?.broadcast_mul(&column)? * self.rates.feed_forward)?;
            moved = (moved + change.sqr()?.sum_all()?.sqrt()?)?;
            now.weights = (now.weights + change)?;
            let excess = z.squeeze(0)?.affine(1.0, -self.activity)?;
            now.thresholds = (now.thresholds + (excess * self.rates.threshold)?)?;
            outputs.push(z);
        }
        let moved = ((moved / inputs.dim(0)?.max(1) as f64)? + zero_if_finite(inputs)?)?;
        let moved = size_or_fault(&moved, self.before)?;
        *layer = Layer {
            weights: unless_fault(&moved, &now.weights, &layer.weights)?,
            outgoing: unless_fault(&moved, &now.outgoing, &layer.outgoing)?,
            thresholds: unless_fault(&moved, &now.thresholds, &layer.thresholds)?,
        };
        Ok(AntiHebbianStep { outputs: Tensor::cat(&outputs, 0)?, moved })
    }

    /// What two units gain on each other at a pattern at which they do not both fire.
    fn lateral_gain(&self) -> f64 {
        self.rates.lateral * self.activity * self.activity
    }

    fn sequence(&self, layer: &mut Layer, inputs: &Tensor) -> Result<AntiHebbianStep> {
        let (batch, units) = (inputs.dim(0)?, layer.weights.dim(0)?);
        let sequence = Sequence {
            rule: *self,
            working: RefCell::new(Working {
                outgoing: Lateral::new(&layer.outgoing.flatten_all()?.to_vec1()?, units),
                thresholds: layer.thresholds.to_vec1()?,
                basin: Basin::new(units),
                outputs: Vec::with_capacity(batch * units),
                moved: 0.0,
            }),
        };
        layer.weights.inplace_op2(&inputs.contiguous()?, &sequence)?;
        let Working { outgoing, thresholds, outputs, moved, .. } = sequence.working.into_inner();
        let device = layer.weights.device();
        layer.outgoing = Tensor::from_vec(outgoing.matrix(), (units, units), device)?;
        layer.thresholds = Tensor::from_vec(thresholds, units, device)?;
        let moved = Tensor::new((moved / batch.max(1) as f64) as f32, device)?;
        Ok(AntiHebbianStep { outputs: Tensor::from_vec(outputs, (batch, units), device)?, moved })
    }
}

struct Sequence<'a> {
    rule: AntiHebbian<'a>,
    working: RefCell<Working>,
}

struct Working {
    outgoing: Lateral,
    thresholds: Vec<f32>,
    basin: Basin,
    outputs: Vec<f32>,
    moved: f64,
}

impl InplaceOp2 for Sequence<'_> {
    fn name(&self) -> &'static str {
        "anti-hebbian"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        weights_layout: &Layout,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
    ) -> Result<()> {
        let ((units, columns), inputs_shape) = (weights_layout.shape().dims2()?, inputs_layout.shape());
        let weights = cpu::values_mut(weights, weights_layout)?;
        let inputs = cpu::values(inputs, inputs_layout)?;
        if inputs_shape.dims2()?.1 != columns {
            bail!("the inputs are {inputs_shape:?}, the weights ({units}, {columns})");
        }
        if inputs.iter().any(|value| !value.is_finite()) {
            bail!("the inputs hold a value that is not finite");
        }
        let mut working = self.working.borrow_mut();
        for pattern in inputs.chunks_exact(columns) {
            Arch::new().dispatch(Pattern { rule: &self.rule, working: &mut working, weights, pattern });
        }
        Ok(())
    }
}

/// One pattern of the sequence.
struct Pattern<'a> {
    rule: &'a AntiHebbian<'a>,
    working: &'a mut Working,
    weights: &'a mut [f32],
    pattern: &'a [f32],
}

impl WithSimd for Pattern<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rule, weights, pattern, .. } = self;
        let Working { outgoing, thresholds, basin, outputs, moved } = self.working;
        for (drive, row) in basin.drive.iter_mut().zip(weights.chunks_exact(pattern.len())) {
            *drive = product(row, pattern);
        }
        basin.settle(simd, outgoing, thresholds, rule.settling);

        let first = outputs.len();
        for &y in &basin.y[..thresholds.len()] {
            let fires = if y > 0.5 { 1.0 } else { 0.0 };
            outputs.push(if rule.is_binary() { fires } else { y as f32 });
        }
        let outputs = &outputs[first..];
        if rule.rates.lateral > 0.0 {
            move_apart(rule, outgoing, outputs);
        }
        if rule.rates.feed_forward > 0.0 {
            *moved += approach(rule.rates.feed_forward, weights, outputs, pattern);
        }
        for (threshold, &z) in thresholds.iter_mut().zip(outputs) {
            let change = rule.rates.threshold * (f64::from(z) - rule.activity);
            *threshold = (f64::from(*threshold) + change) as f32;
        }
    }
}

/// Sixteen partial sums, whatever the vector width.
#[inline(always)]
fn product(row: &[f32], pattern: &[f32]) -> f64 {
    let mut partial = [0f64; LANES];
    let ((rows, row_rest), (patterns, pattern_rest)) =
        (row.as_chunks::<LANES>(), pattern.as_chunks::<LANES>());
    for (weights, inputs) in rows.iter().zip(patterns) {
        for lane in 0..LANES {
            partial[lane] = f64::from(weights[lane]).mul_add(f64::from(inputs[lane]), partial[lane]);
        }
    }
    let rest =
        row_rest.iter().zip(pattern_rest).map(|(&weight, &input)| f64::from(weight) * f64::from(input));
    partial.into_iter().chain([rest.sum()]).sum()
}

/// Units that fire together inhibit each other more, all others less.
#[inline(always)]
fn move_apart(rule: &AntiHebbian<'_>, outgoing: &mut Lateral, outputs: &[f32]) {
    let (rate, gain) = (rule.rates.lateral, rule.lateral_gain());
    let most = if rule.is_binary() { 0.0 } else { f64::INFINITY };
    for (block, others) in outgoing.blocks_mut().zip(outputs.chunks(LANES)) {
        let mut received = [0f64; LANES];
        for (received, &other) in received.iter_mut().zip(others) {
            *received = rate * f64::from(other);
        }
        for (Line(weights), &own) in block.iter_mut().zip(outputs) {
            // Sixteen rows at a time, which the compiler would take, their weights would be gathered and scattered.
            let own = black_box(own);
            for lane in 0..LANES {
                let moved = f64::from(weights[lane]) + gain - f64::from(own) * received[lane];
                weights[lane] = (if moved > most { most } else { moved }) as f32;
            }
        }
    }
    outgoing.clear_diagonal();
}

/// Each unit moves towards the pattern as far as it fires. Returns the length of the change of all weights.
#[inline(always)]
fn approach(rate: f64, weights: &mut [f32], outputs: &[f32], pattern: &[f32]) -> f64 {
    let mut squares = 0.0;
    for (row, &output) in weights.chunks_exact_mut(pattern.len()).zip(outputs) {
        let strength = rate * f64::from(output);
        if strength == 0.0 {
            continue;
        }
        let mut partial = [0f64; LANES];
        let ((rows, row_rest), (patterns, rest)) =
            (row.as_chunks_mut::<LANES>(), pattern.as_chunks::<LANES>());
        for (weights, inputs) in rows.iter_mut().zip(patterns) {
            for lane in 0..LANES {
                let change = strength * (f64::from(inputs[lane]) - f64::from(weights[lane]));
                weights[lane] = (f64::from(weights[lane]) + change) as f32;
                partial[lane] += change * change;
            }
        }
        for (weight, &input) in row_rest.iter_mut().zip(rest) {
            let change = strength * (f64::from(input) - f64::from(*weight));
            *weight = (f64::from(*weight) + change) as f32;
            partial[0] += change * change;
        }
        squares += partial.iter().sum::<f64>();
    }
    squares.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hebbian_training::Generator;
    use proptest::prelude::*;

    const EQUILIBRIUM: Settling =
        Settling::Equilibrium { slope: 10.0, time_step: 0.1, iterations: 40, tolerance: 1e-3 };

    fn layer(units: usize, inputs: usize, seed: u64) -> Result<Layer> {
        let mut draws = Generator::new(seed, "anti-hebbian");
        let others = (Tensor::eye(units, DType::F32, &Device::Cpu)? * -1.0)?.affine(1.0, 1.0)?;
        Ok(Layer {
            weights: draws.uniform((units, inputs), 0.0, 0.5, &Device::Cpu)?,
            outgoing: (draws.uniform((units, units), -1.0, 0.0, &Device::Cpu)? * others)?,
            thresholds: draws.uniform(units, 0.0, inputs as f64 / 8.0, &Device::Cpu)?,
        })
    }

    fn rule<'a>(settling: &'a Settling, before: &'a Tensor) -> AntiHebbian<'a> {
        let rates = Rates { feed_forward: 0.1, lateral: 0.1, threshold: 0.05 };
        AntiHebbian { settling, activity: 0.2, rates, before }
    }

    fn none() -> Tensor {
        crate::ops::no_update(&Device::Cpu).unwrap()
    }

    fn difference(ours: &Tensor, theirs: &Tensor) -> f32 {
        (ours - theirs).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn a_batch_is_a_sequence() -> Result<()> {
        let patterns = Generator::new(0, "patterns").uniform((30, 19), 0.0, 1.0, &Device::Cpu)?;
        for settling in [EQUILIBRIUM, Settling::OneShot] {
            let (mut at_once, mut one_by_one) = (layer(21, 19, 0)?, layer(21, 19, 0)?);
            rule(&settling, &none()).learn(&mut at_once, &patterns)?;
            for row in 0..30 {
                rule(&settling, &none()).learn(&mut one_by_one, &patterns.narrow(0, row, 1)?)?;
            }
            assert_eq!(at_once.weights.to_vec2::<f32>()?, one_by_one.weights.to_vec2::<f32>()?);
            assert_eq!(at_once.outgoing.to_vec2::<f32>()?, one_by_one.outgoing.to_vec2::<f32>()?);
            assert_eq!(at_once.thresholds.to_vec1::<f32>()?, one_by_one.thresholds.to_vec1::<f32>()?);
        }
        Ok(())
    }

    #[test]
    fn without_rates_nothing_changes_but_the_outputs_are_there() -> Result<()> {
        let patterns = Generator::new(0, "patterns").uniform((4, 19), 0.0, 1.0, &Device::Cpu)?;
        let (mut learned, before) = (layer(21, 19, 0)?, layer(21, 19, 0)?);
        let rates = Rates { feed_forward: 0.0, lateral: 0.0, threshold: 0.0 };
        let step = AntiHebbian { rates, ..rule(&EQUILIBRIUM, &none()) }.learn(&mut learned, &patterns)?;
        assert_eq!(step.outputs.dims(), [4, 21]);
        assert_eq!(step.moved.to_scalar::<f32>()?, 0.0);
        assert_eq!(learned.outgoing.to_vec2::<f32>()?, before.outgoing.to_vec2::<f32>()?);
        assert_eq!(learned.weights.to_vec2::<f32>()?, before.weights.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn where_nobody_reads_inputs_that_are_not_finite_they_and_all_later_ones_change_nothing() -> Result<()> {
        let patterns = Generator::new(0, "patterns").uniform((4, 19), 0.0, 1.0, &Device::Cpu)?;
        let (mut learned, before) = (layer(21, 19, 0)?, layer(21, 19, 0)?);
        let broken = (&patterns * f64::INFINITY)?;
        let moved = rule(&EQUILIBRIUM, &none()).graph(&mut learned, &broken)?.moved;
        assert!(moved.to_scalar::<f32>()?.is_nan());
        assert!(
            rule(&EQUILIBRIUM, &moved).graph(&mut learned, &patterns)?.moved.to_scalar::<f32>()?.is_nan()
        );
        assert_eq!(learned.weights.to_vec2::<f32>()?, before.weights.to_vec2::<f32>()?);
        assert_eq!(learned.outgoing.to_vec2::<f32>()?, before.outgoing.to_vec2::<f32>()?);
        assert_eq!(learned.thresholds.to_vec1::<f32>()?, before.thresholds.to_vec1::<f32>()?);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn kernel_and_graph_agree(
            batch in 1usize..6, units in 1usize..70, inputs in 1usize..40, one_shot: bool, symmetric: bool,
            seed in any::<u64>(),
        ) {
            let settling = if one_shot { Settling::OneShot } else { EQUILIBRIUM };
            let (mut kernel, mut graph) = (layer(units, inputs, seed).unwrap(), layer(units, inputs, seed).unwrap());
            if symmetric {
                for layer in [&mut kernel, &mut graph] {
                    layer.outgoing = (&layer.outgoing + layer.outgoing.t().unwrap()).unwrap();
                }
            }
            let patterns = Generator::new(seed, "patterns").uniform((batch, inputs), 0.0, 1.0, &Device::Cpu).unwrap();
            let ours = rule(&settling, &none()).learn(&mut kernel, &patterns).unwrap();
            let theirs = rule(&settling, &none()).graph(&mut graph, &patterns).unwrap();
            prop_assert!(difference(&ours.outputs, &theirs.outputs) < 1e-5);
            prop_assert!(difference(&ours.moved, &theirs.moved) < 1e-5);
            prop_assert!(difference(&kernel.weights, &graph.weights) < 1e-5);
            prop_assert!(difference(&kernel.outgoing, &graph.outgoing) < 1e-5);
            prop_assert!(difference(&kernel.thresholds, &graph.thresholds) < 1e-5);
        }
    }
}
