//! Adam, one pass over memory a step.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Var, bail};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use multiversion::multiversion;
use rayon::prelude::*;

use crate::rows::place;

/// Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019).
///
/// It is candle-nn's `AdamW`, which away from the CPU it is. Written as a graph, a step passes some fifteen times over
/// arrays of the weights' size and allocates most of them; on the CPU one kernel passes once and allocates nothing.
/// A test holds the two equal.
#[derive(Debug)]
pub struct Adam(Body);

#[derive(Debug)]
enum Body {
    Kernel(Fused),
    Graph(AdamW),
}

#[derive(Debug)]
struct Fused {
    params: ParamsAdamW,
    steps: i32,
    variables: Vec<(Var, RefCell<Moments>)>,
}

/// Running means of the gradient and of its square.
#[derive(Debug)]
struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Optimizer for Adam {
    type Config = ParamsAdamW;

    fn new(variables: Vec<Var>, params: ParamsAdamW) -> Result<Self> {
        if variables.iter().any(|variable| !variable.device().is_cpu()) {
            return Ok(Self(Body::Graph(AdamW::new(variables, params)?)));
        }
        let moments = |variable: Var| {
            let zeros = || vec![0.0; variable.elem_count()];
            let moments = Moments { first: zeros(), second: zeros() };
            (variable, RefCell::new(moments))
        };
        let variables = variables.into_iter().map(moments).collect();
        Ok(Self(Body::Kernel(Fused { params, steps: 0, variables })))
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        match &mut self.0 {
            Body::Kernel(fused) => fused.step(gradients),
            Body::Graph(graph) => graph.step(gradients),
        }
    }

    fn learning_rate(&self) -> f64 {
        match &self.0 {
            Body::Kernel(fused) => fused.params.lr,
            Body::Graph(graph) => graph.learning_rate(),
        }
    }

    fn set_learning_rate(&mut self, rate: f64) {
        match &mut self.0 {
            Body::Kernel(fused) => fused.params.lr = rate,
            Body::Graph(graph) => graph.set_learning_rate(rate),
        }
    }
}

impl Fused {
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        self.steps += 1;
        let ParamsAdamW { lr, beta1, beta2, eps, weight_decay } = self.params;
        let rates = Rates {
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            eps: eps as f32,
            keep: (1.0 - lr * weight_decay) as f32,
            step: (lr / (1.0 - beta1.powi(self.steps))) as f32,
            second_scale: (1.0 / (1.0 - beta2.powi(self.steps))) as f32,
        };
        for (variable, moments) in &self.variables {
            let Some(gradient) = gradients.get(variable) else { continue };
            variable.inplace_op2(&gradient.contiguous()?, &Kernel { rates, moments })?;
        }
        Ok(())
    }
}

/// The numbers of one step.
#[derive(Clone, Copy)]
struct Rates {
    beta1: f32,
    beta2: f32,
    eps: f32,
    /// What weight decay leaves of a weight.
    keep: f32,
    /// The step size, corrected for the first moment's beginning at zero.
    step: f32,
    /// The same correction of the second moment.
    second_scale: f32,
}

/// Smaller moments become 0. Where no gradient comes any more they fall for ever, and arithmetic with subnormal numbers
/// takes many times longer; beside `eps` they move no bit of a weight.
const SMALLEST_FIRST: f32 = 1e-30;
const SMALLEST_SECOND: f32 = 1e-35;

#[inline(always)]
fn or_zero(moment: f32, smallest: f32) -> f32 {
    if moment.abs() < smallest { 0.0 } else { moment }
}

#[multiversion(targets = "simd")]
fn descend(rates: Rates, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
    let moments = first.iter_mut().zip(second);
    for ((weight, &gradient), (first, second)) in weights.iter_mut().zip(gradient).zip(moments) {
        *first = or_zero(rates.beta1 * *first + (1.0 - rates.beta1) * gradient, SMALLEST_FIRST);
        let square = (1.0 - rates.beta2) * gradient * gradient;
        *second = or_zero(rates.beta2 * *second + square, SMALLEST_SECOND);
        let root = (*second * rates.second_scale).sqrt() + rates.eps;
        *weight = rates.keep * *weight - rates.step * *first / root;
    }
}

struct Kernel<'a> {
    rates: Rates,
    moments: &'a RefCell<Moments>,
}

/// Weights per task: small enough to share the work, large enough to be worth handing over.
const CHUNK: usize = 1 << 14;

impl InplaceOp2 for Kernel<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        weights_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<()> {
        let CpuStorage::F32(weights) = weights else { bail!("adam: weights must be f32") };
        let gradient = &gradient.as_slice::<f32>()?[place(gradient_layout)?];
        let Moments { first, second } = &mut *self.moments.borrow_mut();
        let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        let weights = &mut weights[place(weights_layout)?];
        let chunks = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(moments);
        let rates = self.rates;
        chunks.for_each(|((weights, gradient), (first, second))| {
            descend(rates, weights, gradient, first, second);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};
    use hebbian_training::Generator;

    #[test]
    fn moments_fall_to_zero_and_never_to_subnormal_numbers_once_gradients_cease() {
        let rates = Rates { beta1: 0.9, beta2: 0.5, eps: 1e-8, keep: 1.0, step: 0.001, second_scale: 1.0 };
        let (mut weights, mut first, mut second) = (vec![1.0f32; 40], vec![0.0f32; 40], vec![0.0f32; 40]);
        descend(rates, &mut weights, &[1.0; 40], &mut first, &mut second);
        for _ in 0..1000 {
            descend(rates, &mut weights, &[0.0; 40], &mut first, &mut second);
            let normal = |moment: &f32| *moment == 0.0 || moment.is_normal();
            assert!(first.iter().chain(&second).all(normal), "{first:?} {second:?}");
        }
        assert_eq!((first[0], second[0]), (0.0, 0.0));
    }

    #[test]
    fn kernel_and_candles_graph_agree() -> Result<()> {
        let mut draws = Generator::new(0, "adam");
        let mut normal = || draws.normal((300, 70), 0.0, 1.0, &Device::Cpu);
        let (fused, graph) = (Var::from_tensor(&normal()?)?, Var::from_tensor(&normal()?)?);
        graph.set(&fused)?;
        let params = ParamsAdamW { lr: 0.01, weight_decay: 0.1, eps: 1e-7, ..Default::default() };
        let mut fused_adam = Adam::new(vec![fused.clone()], params.clone())?;
        let mut graph_adam = AdamW::new(vec![graph.clone()], params)?;
        for step in 0..20 {
            let target = normal()?;
            let gradients = |variable: &Var| (variable.as_tensor() - &target)?.sqr()?.mean_all()?.backward();
            let rate = 0.01 / f64::from(step + 1);
            fused_adam.set_learning_rate(rate);
            graph_adam.set_learning_rate(rate);
            fused_adam.step(&gradients(&fused)?)?;
            graph_adam.step(&gradients(&graph)?)?;
        }
        let difference: Tensor = (fused.as_tensor() - graph.as_tensor())?.abs()?.max_all()?;
        assert!(difference.to_scalar::<f32>()? < 1e-6, "{difference}");
        Ok(())
    }
}
