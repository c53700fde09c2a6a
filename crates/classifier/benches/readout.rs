//! An epoch of a readout's steps on features that are too many to be held as f32: 24 576 per image, as a convolutional
//! network has them, with and without dropout, and of the same features as f32.

use candle_core::{DType, Device, Result, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hebbian_classifier::{DescentConfig, Labeled, SoftmaxRegression, encode, encode_half, train};
use hebbian_training::Generator;

const FEATURES: usize = 24_576;
const BATCH: usize = 64;
const STEPS: usize = 20;

/// Rectified random responses: half of all features are 0.
fn examples(half: bool) -> Result<Labeled> {
    let weights = Generator::new(0, "weights").normal((32, FEATURES), 0.0, 0.1, &Device::Cpu)?;
    let points = Generator::new(0, "points").normal((BATCH * STEPS, 32), 0.0, 1.0, &Device::Cpu)?;
    let layer = candle_nn::func(move |points: &Tensor| points.matmul(&weights)?.relu());
    let features = if half { encode_half(&layer, &points)? } else { encode(&layer, &points)? };
    let labels = points.narrow(1, 0, 10)?.argmax(1)?.to_dtype(DType::U32)?;
    Labeled::new(features, labels)
}

fn readout(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("readout of 24576 features, 20 steps of batch 64");
    group.throughput(Throughput::Elements(STEPS as u64)).sample_size(10);
    for (name, half, dropout) in [("f32", false, 0.0), ("f16", true, 0.0), ("f16, dropout", true, 0.5)] {
        let config = DescentConfig { epochs: 1, batch_size: BATCH, dropout, ..Default::default() };
        let examples = examples(half).expect("draws on the CPU");
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || SoftmaxRegression::new(FEATURES, 10, &Device::Cpu).expect("zeros on the CPU"),
                |readout| train(&readout, &config, 0, &examples, &[], &mut []),
                criterion::BatchSize::LargeInput,
            )
        });
    }
    group.finish();
}

criterion_group!(benches, readout);
criterion_main!(benches);
