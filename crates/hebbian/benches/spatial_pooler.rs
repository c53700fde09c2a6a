//! Samples per second of the spatial pooler on real MNIST: learning, encoding on one thread, and encoding on all; and with
//! `--features cuda` and a GPU learning and encoding there, an input a step and a hundred.

use candle_core::{Device, Error, Result, Tensor};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hebbian::{BoostToward, LearningRule, PotentialPool, Rule, SpatialPooler, SpatialPoolerConfig, Starved};
use hebbian_datasets::{Dataset, transforms};
use hebbian_training::Generator;

const BATCH: usize = 100;
/// Inputs learned before anything is timed: the codes and the memory are then those of a pooler at work.
const WARM: usize = 2000;

fn batches(device: &Device) -> Result<Vec<Tensor>> {
    let mnist = Dataset::mnist().map_err(Error::wrap)?;
    let images = mnist.train.images().narrow(0, 0, 10_000)?;
    let inputs = transforms::binarize(&images, transforms::Threshold::Mean, device);
    inputs.map_err(Error::wrap)?.chunk(10_000 / BATCH, 0)
}

/// The settings of a published figure for HTM's C++ implementation on MNIST: 28 x 28 x 16 columns.
fn topology() -> SpatialPoolerConfig {
    SpatialPoolerConfig {
        units: 28 * 28 * 16,
        sparsity: 0.1,
        pool: PotentialPool::Neighborhood {
            image: [28, 28],
            grid: [28, 28],
            radius: 7,
            wrap: true,
            fraction: 0.1,
        },
        connected: 0.5,
        increment: 0.14,
        decrement: 0.002,
        stimulus_threshold: 6,
        min_activation: 0.0,
        boost_toward: BoostToward::Target,
        boost_strength: 2.0,
        activity_period: 1402.0,
        starved: Starved::BelowBest { fraction: 0.2 },
        overlap_period: 1402.0,
        minibatch: 1,
    }
}

fn samples(criterion: &mut Criterion) {
    let batches = batches(&Device::Cpu).expect("MNIST is embedded");
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one thread");
    let sizes = [("900 columns", SpatialPoolerConfig::default()), ("12544 columns", topology())];
    for (name, config) in sizes {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(BATCH as u64)).sample_size(20);
        let mut next = batches.iter().cycle();
        let mut batch = || next.next().expect("a cycle has no end").clone();
        let mut pooler = SpatialPooler::new(config, 784, &mut Generator::new(0, name), &Device::Cpu)
            .expect("a valid config");
        for _ in 0..WARM / BATCH {
            pooler.learn(&batch()).expect("binary inputs");
        }
        group.bench_function("learn", |bencher| {
            bencher.iter_batched(&mut batch, |inputs| pooler.learn(&inputs).map(drop), BatchSize::SmallInput)
        });
        group.bench_function("encode, one thread", |bencher| {
            let encode = |inputs: Tensor| one.install(|| pooler.encode_indices(&inputs).map(drop));
            bencher.iter_batched(&mut batch, encode, BatchSize::SmallInput)
        });
        group.bench_function("encode, all threads", |bencher| {
            let encode = |inputs: Tensor| pooler.encode_indices(&inputs).map(drop);
            bencher.iter_batched(&mut batch, encode, BatchSize::SmallInput)
        });
        group.finish();
    }
}

/// The same on a GPU, timed until it has finished.
fn samples_on_gpu(criterion: &mut Criterion) {
    let Ok(device) = Device::new_cuda(0) else { return };
    let batches = batches(&device).expect("MNIST is embedded");
    for (name, config) in [("900 columns", SpatialPoolerConfig::default()), ("12544 columns", topology())] {
        let mut group = criterion.benchmark_group(format!("{name}, cuda"));
        group.throughput(Throughput::Elements(BATCH as u64)).sample_size(20);
        for minibatch in [1, BATCH] {
            let config = SpatialPoolerConfig { minibatch, ..config.clone() };
            let mut pooler = SpatialPooler::new(config, 784, &mut Generator::new(0, name), &device)
                .expect("a valid config");
            let mut next = batches.iter().cycle();
            let mut batch = || next.next().expect("a cycle has no end").clone();
            group.bench_function(format!("learn, minibatch {minibatch}"), |bencher| {
                let mut learn = |inputs: Tensor| pooler.learn(&inputs).and_then(|_| device.synchronize());
                bencher.iter_batched(&mut batch, &mut learn, BatchSize::SmallInput)
            });
            group.bench_function(format!("encode, minibatch {minibatch}"), |bencher| {
                let encode =
                    |inputs: Tensor| pooler.encode_indices(&inputs).and_then(|_| device.synchronize());
                bencher.iter_batched(&mut batch, encode, BatchSize::SmallInput)
            });
        }
        group.finish();
    }
}

criterion_group!(benches, samples, samples_on_gpu);
criterion_main!(benches);
