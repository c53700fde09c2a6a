//! Steps of backprop, 784-2000-10 with Adam and a batch of 100, of the readout and of the linear control:
//! `benches/peers/backprop.py` is the first in PyTorch.

use candle_core::{Device, Result, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hebbian::ops::prepare_process;
use hebbian_classifier::{
    DescentConfig, Labeled, Mlp, Network, NormalizedRegression, SoftmaxRegression, train,
};
use hebbian_training::Generator;

const BATCH: usize = 100;
const STEPS: usize = 50;

/// As many examples as the steps take, of which 19 % of the inputs are on, as of MNIST's.
fn examples(inputs: usize) -> Result<Labeled> {
    let mut draws = Generator::new(0, "examples");
    let shown = draws.uniform((BATCH * STEPS, inputs), -4.26, 1.0, &Device::Cpu)?.relu()?;
    let labels = Tensor::from_iter((0..(BATCH * STEPS) as u32).map(|example| example % 10), &Device::Cpu)?;
    Labeled::new(shown, labels)
}

fn backprop(criterion: &mut Criterion) {
    prepare_process();
    let mut group = criterion.benchmark_group("backprop, 50 steps of batch 100");
    group.throughput(Throughput::Elements(STEPS as u64)).sample_size(10);
    let config = DescentConfig { epochs: 1, batch_size: BATCH, ..Default::default() };
    let mut draws = Generator::new(0, "backprop");
    let mlp = Mlp::new(784, 2000, 10, &mut draws, &Device::Cpu).expect("draws on the CPU");
    let readout = SoftmaxRegression::new(2000, 10, &Device::Cpu).expect("zeros on the CPU");
    let linear = NormalizedRegression::new(784, 10, &Device::Cpu).expect("zeros on the CPU");
    let networks: [(&str, usize, &dyn Network); 3] = [
        ("784-2000-10, Adam", 784, &mlp),
        ("readout, 2000-10, Adam", 2000, &readout),
        ("linear control, 784-10, Adam", 784, &linear),
    ];
    for (name, inputs, network) in networks {
        let examples = examples(inputs).expect("draws on the CPU");
        group.bench_function(name, |bencher| {
            bencher.iter(|| train(network, &config, 0, &examples, &[], &mut []))
        });
    }
    group.finish();
}

criterion_group!(benches, backprop);
criterion_main!(benches);
