//! One learning step of each rule on real MNIST beside the dense forward product alone, in one run: quote the ratios.
//! The rules that learn a frame at a time have a group of their own; `benches/peers/invariance.py` is the same work in numpy.
//!
//! With `--features cuda` and a GPU every group is there once more, on it; a time is then that of a step until the GPU
//! has finished it. `docs/cuda.md` says what to expect.

use candle_core::{Device, Error, Result, Tensor};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hebbian::{
    Charge, CompSpec, CompSpecConfig, Foldiak, FoldiakConfig, Invariance, InvarianceConfig, KrotovHopfield,
    KrotovHopfieldConfig, Learning, LearningRule, MultiWinner, MultiWinnerConfig, Rule, Settling, Stack,
};
use hebbian_datasets::{Dataset, Tapestry, Walk, transforms};
use hebbian_training::{Batches, Generator};

const UNITS: usize = 2000;
const BATCH: usize = 100;

/// The CPU, and a GPU if there is one, with what stands behind the names of its groups.
fn devices() -> Vec<(&'static str, Device)> {
    let gpu = Device::new_cuda(0).map(|device| (", cuda", device)).ok();
    std::iter::once(("", Device::Cpu)).chain(gpu).collect()
}

/// What `step` leads to once the device has come to it.
fn finished<T>(device: &Device, step: Result<T>) -> Result<T> {
    let made = step?;
    device.synchronize()?;
    Ok(made)
}

/// All images, and which of them each batch of a shuffled epoch is made of.
fn epoch(device: &Device) -> Result<(Tensor, Vec<Tensor>)> {
    let mnist = Dataset::mnist().map_err(Error::wrap)?;
    let inputs = transforms::scale(mnist.train.images(), device).map_err(Error::wrap)?;
    let batches = Batches::shuffled(&mut Generator::new(0, "shuffle"), 60_000, BATCH);
    Ok((inputs, batches.indices(device)?.collect::<Result<_>>()?))
}

fn rules(device: &Device) -> Result<Vec<(&'static str, Box<dyn LearningRule>)>> {
    let krotov_hopfield = |p, k| {
        let config = KrotovHopfieldConfig { units: UNITS, p, k, ..Default::default() };
        KrotovHopfield::new(config, 784, &mut Generator::new(0, "krotov-hopfield"), device)
    };
    let comp_spec = |charge| {
        let config = CompSpecConfig { units: UNITS, charge, ..Default::default() };
        CompSpec::new(config, 784, &mut Generator::new(0, "comp-spec"), device)
    };
    Ok(vec![
        ("Krotov-Hopfield, p=2 k=2", Box::new(krotov_hopfield(2.0, 2)?)),
        ("Krotov-Hopfield, p=3 k=7", Box::new(krotov_hopfield(3.0, 7)?)),
        ("CompSpec", Box::new(comp_spec(None)?)),
        ("charged CompSpec, k=3", Box::new(comp_spec(Some(Charge::default()))?)),
    ])
}

fn step(criterion: &mut Criterion) {
    for (suffix, device) in devices() {
        let (inputs, batches) = epoch(&device).expect("MNIST is embedded");
        let rules = rules(&device).expect("valid configs");
        let mut group = criterion.benchmark_group(format!("2000 x 784, batch 100{suffix}"));
        let mut next = batches.iter().cycle();
        let mut batch = || next.next().expect("a cycle has no end").clone();

        let weights = rules[0].1.weights().expect("weights on the device");
        group.bench_function("forward product alone", |bencher| {
            let drawn = || inputs.index_select(&batch(), 0);
            let product = |inputs: Result<Tensor>| finished(&device, inputs?.matmul(&weights.t()?));
            bencher.iter_batched(drawn, product, BatchSize::SmallInput)
        });
        for (name, mut rule) in rules {
            // A whole step: the batch is drawn together too.
            group.bench_function(name, |bencher| {
                let learn = |batch: Tensor| finished(&device, rule.learn(&inputs.index_select(&batch, 0)?));
                bencher.iter_batched(&mut batch, learn, BatchSize::SmallInput)
            });
        }
        group.finish();
    }
}

/// A thousand frames of the tapestry, in order.
fn frames(device: &Device) -> hebbian_datasets::Result<Tensor> {
    let mnist = Dataset::mnist()?;
    let tapestry = Tapestry::new(&mnist.train.images().narrow(0, 3000, 900)?, 20)?;
    transforms::scale(&tapestry.frames(Walk::seeded(0, tapestry.torus()).take(1000))?, device)
}

fn multi_winner(minibatch: usize, device: &Device) -> Result<MultiWinner> {
    let config = MultiWinnerConfig { minibatch, ..Default::default() };
    MultiWinner::new(config, 400, &mut Generator::new(0, "multi-winner"), device)
}

fn stack(minibatch: usize, device: &Device) -> Result<Stack> {
    let config = InvarianceConfig { minibatch, ..Default::default() };
    let invariance = Invariance::new(config, 900, &mut Generator::new(0, "invariance"), device)?;
    Stack::new(vec![Box::new(multi_winner(minibatch, device)?), Box::new(invariance)], Learning::Online)
}

fn stream(criterion: &mut Criterion) {
    for (suffix, device) in devices() {
        let frames = frames(&device).expect("MNIST is embedded");
        let mut group = criterion
            .benchmark_group(format!("900 and 100 units, 400 inputs, 1000 frames one at a time{suffix}"));
        group.throughput(Throughput::Elements(1000)).sample_size(20);
        let mut sparse = multi_winner(1, &device).expect("a valid config");
        group.bench_function("multi-winner", |bencher| {
            bencher.iter(|| finished(&device, sparse.learn(&frames)))
        });
        let mut both = stack(1, &device).expect("valid configs");
        group.bench_function("multi-winner and invariance", |bencher| {
            bencher.iter(|| finished(&device, both.learn(&frames)))
        });
        let alone: Result<Vec<Tensor>> = (0..1000).map(|frame| frames.narrow(0, frame, 1)).collect();
        let alone = alone.expect("a thousand frames");
        group.bench_function("multi-winner and invariance, one call per frame", |bencher| {
            bencher.iter(|| finished(&device, alone.iter().try_for_each(|frame| both.learn(frame).map(drop))))
        });
        for minibatch in [10, 100] {
            let mut both = stack(minibatch, &device).expect("valid configs");
            let name = format!("multi-winner and invariance, minibatch {minibatch}");
            group.bench_function(name, |bencher| bencher.iter(|| finished(&device, both.learn(&frames))));
        }
        group.finish();
    }
}

/// Sequences of 100 patterns; `peers/foldiak.py` does the same work in numpy.
fn foldiak(criterion: &mut Criterion) {
    for (suffix, device) in devices() {
        let mut group = criterion.benchmark_group(format!("Foldiak, 100 patterns{suffix}"));
        group.throughput(Throughput::Elements(100));
        for (name, units, inputs, activity, iterations) in [
            ("8 x 8, 16 units, 200 iterations", 16, 64, 0.125, 200),
            ("10 x 10, 100 units, 60 iterations", 100, 100, 0.05, 60),
        ] {
            let settling = Settling::Equilibrium { slope: 10.0, time_step: 0.1, iterations, tolerance: 0.0 };
            let config = FoldiakConfig { units, settling, activity, ..Default::default() };
            let mut draws = Generator::new(0, "foldiak");
            let mut rule = Foldiak::new(config, inputs, &mut draws, &device).expect("a valid config");
            let patterns = draws.uniform((100, inputs), 0.0, 1.0, &device).expect("draws on the device");
            group.bench_function(name, |bencher| bencher.iter(|| finished(&device, rule.learn(&patterns))));
        }
        group.finish();
    }
}

/// As the examples do.
fn prepare(_: &mut Criterion) {
    hebbian::ops::prepare_process();
}

criterion_group!(benches, prepare, step, stream, foldiak);
criterion_main!(benches);
