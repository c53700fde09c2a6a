//! One learning step of each rule on real MNIST beside the dense forward product alone, in one run: quote the ratios.

use candle_core::{Device, Error, Result, Tensor};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hebbian::{
    Charge, CompSpec, CompSpecConfig, Foldiak, FoldiakConfig, KrotovHopfield, KrotovHopfieldConfig,
    LearningRule, Settling,
};
use hebbian_datasets::{Dataset, transforms};
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

criterion_group!(benches, step, foldiak);
criterion_main!(benches);
