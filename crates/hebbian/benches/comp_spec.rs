//! One CompSpec epoch's worth of a step beside a Krotov-Hopfield step at p = 2, in one run: quote the ratio.

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
    let mut draws = Generator::new(0, "bench");
    let krotov_hopfield = KrotovHopfieldConfig { units: UNITS, p: 2.0, k: 2, ..Default::default() };
    let krotov_hopfield = KrotovHopfield::new(krotov_hopfield, 784, &mut draws, &Device::Cpu)?;
    let mut comp_spec = |charge| {
        let config = CompSpecConfig { units: UNITS, charge, ..Default::default() };
        CompSpec::new(config, 784, &mut draws, &Device::Cpu)
    };
    let (plain, charged) = (comp_spec(None)?, comp_spec(Some(Charge::default()))?);
    Ok(vec![
        ("Krotov-Hopfield, p=2 k=2", Box::new(krotov_hopfield)),
        ("CompSpec", Box::new(plain)),
        ("charged CompSpec, k=3", Box::new(charged)),
    ])
}

fn step(criterion: &mut Criterion) {
    let batches = batches().expect("MNIST is embedded");
    let mut group = criterion.benchmark_group("learning step, 2000 x 784, batch 100");
    let mut next = batches.iter().cycle();
    let mut batch = || next.next().expect("a cycle has no end").clone();
    for (name, mut rule) in rules().expect("valid configs") {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(&mut batch, |inputs| rule.learn(&inputs), BatchSize::SmallInput)
        });
    }
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
