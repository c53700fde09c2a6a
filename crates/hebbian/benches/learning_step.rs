//! One learning step of each rule on real MNIST beside the dense forward product alone, in one run: quote the ratios.
//! The rules that learn a frame at a time have a group of their own; `benches/peers/invariance.py` is the same work in numpy.

use candle_core::{Device, Error, Result, Tensor};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hebbian::{
    Charge, CompSpec, CompSpecConfig, Foldiak, FoldiakConfig, Invariance, InvarianceConfig, KrotovHopfield,
    KrotovHopfieldConfig, Learning, LearningRule, MultiWinner, MultiWinnerConfig, Settling, Stack,
};
use hebbian_datasets::{Dataset, Tapestry, Walk, transforms};
use hebbian_training::{Batches, Generator};

const UNITS: usize = 2000;
const BATCH: usize = 100;

fn batches() -> Result<Vec<Tensor>> {
    let mnist = Dataset::mnist().map_err(Error::wrap)?;
    let inputs = transforms::scale(mnist.train.images(), &Device::Cpu).map_err(Error::wrap)?;
    let batches = Batches::shuffled(&mut Generator::new(0, "shuffle"), 60_000, BATCH);
    batches.indices(&Device::Cpu)?.map(|indices| inputs.index_select(&indices?, 0)).collect()
}

fn rules() -> Result<Vec<(&'static str, Box<dyn LearningRule>)>> {
    let krotov_hopfield = |p, k| {
        let config = KrotovHopfieldConfig { units: UNITS, p, k, ..Default::default() };
        KrotovHopfield::new(config, 784, &mut Generator::new(0, "krotov-hopfield"), &Device::Cpu)
    };
    let comp_spec = |charge| {
        let config = CompSpecConfig { units: UNITS, charge, ..Default::default() };
        CompSpec::new(config, 784, &mut Generator::new(0, "comp-spec"), &Device::Cpu)
    };
    Ok(vec![
        ("Krotov-Hopfield, p=2 k=2", Box::new(krotov_hopfield(2.0, 2)?)),
        ("Krotov-Hopfield, p=3 k=7", Box::new(krotov_hopfield(3.0, 7)?)),
        ("CompSpec", Box::new(comp_spec(None)?)),
        ("charged CompSpec, k=3", Box::new(comp_spec(Some(Charge::default()))?)),
    ])
}

fn step(criterion: &mut Criterion) {
    let batches = batches().expect("MNIST is embedded");
    let rules = rules().expect("valid configs");
    let mut group = criterion.benchmark_group("2000 x 784, batch 100");
    let mut next = batches.iter().cycle();
    let mut batch = || next.next().expect("a cycle has no end").clone();

    let weights = rules[0].1.weights().expect("weights on the CPU");
    group.bench_function("forward product alone", |bencher| {
        bencher.iter_batched(&mut batch, |inputs| inputs.matmul(&weights.t()?), BatchSize::SmallInput)
    });
    for (name, mut rule) in rules {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(&mut batch, |inputs| rule.learn(&inputs), BatchSize::SmallInput)
        });
    }
    group.finish();
}

/// A thousand frames of the tapestry, in order.
fn frames() -> hebbian_datasets::Result<Tensor> {
    let mnist = Dataset::mnist()?;
    let tapestry = Tapestry::new(&mnist.train.images().narrow(0, 3000, 900)?, 20)?;
    transforms::scale(&tapestry.frames(Walk::seeded(0, tapestry.torus()).take(1000))?, &Device::Cpu)
}

fn multi_winner() -> Result<MultiWinner> {
    let config = MultiWinnerConfig::default();
    MultiWinner::new(config, 400, &mut Generator::new(0, "multi-winner"), &Device::Cpu)
}

fn stack() -> Result<Stack> {
    let config = InvarianceConfig::default();
    let invariance = Invariance::new(config, 900, &mut Generator::new(0, "invariance"), &Device::Cpu)?;
    Stack::new(vec![Box::new(multi_winner()?), Box::new(invariance)], Learning::Online)
}

fn stream(criterion: &mut Criterion) {
    let frames = frames().expect("MNIST is embedded");
    let mut group = criterion.benchmark_group("900 and 100 units, 400 inputs, 1000 frames one at a time");
    group.throughput(Throughput::Elements(1000)).sample_size(20);
    let mut sparse = multi_winner().expect("a valid config");
    group.bench_function("multi-winner", |bencher| bencher.iter(|| sparse.learn(&frames)));
    let mut both = stack().expect("valid configs");
    group.bench_function("multi-winner and invariance", |bencher| bencher.iter(|| both.learn(&frames)));
    let alone: Result<Vec<Tensor>> = (0..1000).map(|frame| frames.narrow(0, frame, 1)).collect();
    let alone = alone.expect("a thousand frames");
    group.bench_function("multi-winner and invariance, a call a frame", |bencher| {
        bencher.iter(|| alone.iter().try_for_each(|frame| both.learn(frame).map(drop)))
    });
    group.finish();
}

/// Sequences of 100 patterns; `peers/foldiak.py` does the same work in numpy.
fn foldiak(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("Foldiak, 100 patterns");
    group.throughput(Throughput::Elements(100));
    for (name, units, inputs, activity, iterations) in [
        ("8 x 8, 16 units, 200 iterations", 16, 64, 0.125, 200),
        ("10 x 10, 100 units, 60 iterations", 100, 100, 0.05, 60),
    ] {
        let settling = Settling::Equilibrium { slope: 10.0, time_step: 0.1, iterations, tolerance: 0.0 };
        let config = FoldiakConfig { units, settling, activity, ..Default::default() };
        let mut draws = Generator::new(0, "foldiak");
        let mut rule = Foldiak::new(config, inputs, &mut draws, &Device::Cpu).expect("a valid config");
        let patterns = draws.uniform((100, inputs), 0.0, 1.0, &Device::Cpu).expect("draws on the CPU");
        group.bench_function(name, |bencher| bencher.iter(|| rule.learn(&patterns)));
    }
    group.finish();
}

/// As the examples do: work is handed over faster by a thread of the pool than by one outside it.
fn threads(_: &mut Criterion) {
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global().expect("the first pool");
}

criterion_group!(benches, threads, step, stream, foldiak);
criterion_main!(benches);
