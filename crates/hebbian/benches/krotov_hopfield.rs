//! One learning step on real MNIST beside the dense forward product alone, in one run: quote the ratio.

use candle_core::{Device, Error, Result, Tensor};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hebbian::{KrotovHopfield, KrotovHopfieldConfig, LearningRule};
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

fn rule(p: f64, k: usize) -> Result<KrotovHopfield> {
    let config = KrotovHopfieldConfig { units: UNITS, p, k, ..Default::default() };
    KrotovHopfield::new(config, 784, &mut Generator::new(0, "krotov-hopfield"), &Device::Cpu)
}

fn step(criterion: &mut Criterion) {
    let batches = batches().expect("MNIST is embedded");
    let mut group = criterion.benchmark_group("krotov-hopfield, 2000 x 784, batch 100");
    let mut next = batches.iter().cycle();
    let mut batch = || next.next().expect("a cycle has no end").clone();

    let weights = rule(2.0, 2).and_then(|rule| rule.weights()).expect("a valid config");
    group.bench_function("forward product alone", |bencher| {
        bencher.iter_batched(&mut batch, |inputs| inputs.matmul(&weights.t()?), BatchSize::SmallInput)
    });
    for (p, k) in [(2.0, 2), (3.0, 7)] {
        let mut rule = rule(p, k).expect("a valid config");
        group.bench_function(format!("learning step, p={p} k={k}"), |bencher| {
            bencher.iter_batched(&mut batch, |inputs| rule.learn(&inputs), BatchSize::SmallInput)
        });
    }
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
