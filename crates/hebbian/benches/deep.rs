//! A joint step of the published three-layer SoftHebb network for CIFAR-10 at batch 10, and a step of each layer alone, on
//! inputs of the size that it sees.

use candle_core::{Device, Result, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hebbian::{
    Convolution, ConvolutionConfig, ImageSize, Learning, LearningRule, Pool, Pooling, PoolingConfig, Power,
    PowerConfig, Rule, SoftHebb, SoftHebbConfig, Stack, Standardize, StandardizeConfig, Triangle,
    TriangleConfig,
};
use hebbian_training::Generator;

const BATCH: usize = 10;

/// Units, kernel, rate, inverse temperature, power, kind and kernel and padding of the pooling.
type Published = (usize, usize, f64, f64, f64, (Pool, usize, usize));

const LAYERS: [Published; 3] = [
    (96, 5, 0.08, 1.0, 0.7, (Pool::Max, 4, 1)),
    (384, 3, 0.005, 0.65, 1.4, (Pool::Max, 4, 1)),
    (1536, 3, 0.01, 0.25, 1.0, (Pool::Average, 2, 0)),
];

/// One layer with what stands before and behind it, and the size of what it gives.
fn layer(published: &Published, input: ImageSize) -> Result<(Stack, ImageSize)> {
    let (units, kernel, learning_rate, inverse_temperature, power, (kind, pool, padding)) = *published;
    let mut draws = Generator::new(units as u64, "deep");
    let patches = ConvolutionConfig::new(input, kernel);
    let config = SoftHebbConfig { units, learning_rate, inverse_temperature, ..Default::default() };
    let rule = SoftHebb::new(config, patches.patch_values(), &mut draws, &Device::Cpu)?;
    let convolution = Convolution::new(Box::new(rule), patches)?;
    let filters = convolution.output();
    let pooling = Pooling::of(PoolingConfig { input: filters, kind, kernel: pool, stride: 2, padding })?;
    let output = pooling.output();
    let rules: Vec<Box<dyn LearningRule>> = vec![
        Box::new(Standardize::new(StandardizeConfig { input }, input.values(), &mut draws, &Device::Cpu)?),
        Box::new(convolution),
        Box::new(Triangle::of(TriangleConfig { input: filters, power: 1.0 })?),
        Box::new(pooling),
        Box::new(Power::of(PowerConfig::new(output, power))?),
    ];
    Ok((Stack::new(rules, Learning::Online)?, output))
}

fn images(size: ImageSize) -> Result<Tensor> {
    Generator::new(0, "images").uniform((BATCH, size.values()), 0.0, 1.0, &Device::Cpu)
}

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("SoftHebb for CIFAR-10, batch 10");
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(20);
    let mut input = ImageSize::new(3, 32, 32);
    let mut layers: Vec<Box<dyn LearningRule>> = Vec::new();
    let first = images(input).expect("room for ten images");
    for (number, published) in LAYERS.iter().enumerate() {
        let (mut alone, output) = layer(published, input).expect("the published sizes");
        let seen = images(input).expect("room for ten images");
        group.bench_function(format!("layer {}", number + 1), |bencher| {
            bencher.iter(|| alone.learn(&seen).expect("finite inputs"));
        });
        layers.push(Box::new(layer(published, input).expect("the published sizes").0));
        input = output;
    }
    let mut network = Stack::new(layers, Learning::Online).expect("layers that fit");
    group.bench_function("joint", |bencher| bencher.iter(|| network.learn(&first).expect("finite inputs")));
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
