//! One learning step of each rule on real MNIST beside the dense forward product alone, in one run: quote the ratios.

use candle_core::{Device, Error, Result, Tensor};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hebbian::{Charge, CompSpec, CompSpecConfig, KrotovHopfield, KrotovHopfieldConfig, LearningRule};
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

criterion_group!(benches, step);
criterion_main!(benches);
