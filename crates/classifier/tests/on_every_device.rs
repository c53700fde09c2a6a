//! The readout and a convolutional network on an accelerator: what they learn on the CPU, and no read within an epoch. Transfers
//! are counted by the emulated driver of `.ci/emulator`, which writes each into the file that `EMULATED_CUDA_LOG` names.

use std::sync::{Mutex, PoisonError};

use candle_core::{D, Device, Result, Tensor};
use hebbian_classifier::{
    ConvolutionalLayer, ConvolutionalNet, DescentConfig, Labeled, Loss, Pooling, PoolingKind,
    SoftmaxRegression, train,
};
use hebbian_training::Generator;

/// Held by whoever computes: reads are counted over the whole process.
static DEVICE: Mutex<()> = Mutex::new(());
const EXAMPLES: usize = 60;
const CLASSES: usize = 5;

fn examples(device: &Device) -> Result<Labeled> {
    let inputs = Generator::new(0, "examples").uniform((EXAMPLES, 20), 0.0, 1.0, &Device::Cpu)?;
    let labels = inputs.narrow(1, 0, CLASSES)?.argmax(D::Minus1)?;
    Labeled::new(inputs.to_device(device)?, labels.to_device(device)?)
}

fn trained(loss: Loss, dropout: f64, batch_size: usize, device: &Device) -> Result<Vec<f32>> {
    let readout = SoftmaxRegression::new(20, CLASSES, device)?;
    let config =
        DescentConfig { epochs: 2, batch_size, learning_rate: 0.01, loss, dropout, ..Default::default() };
    train(&readout, &config, 0, &examples(device)?, &[], &mut [])?;
    readout.state()?["weight"].to_device(&Device::Cpu)?.flatten_all()?.to_vec1()
}

#[test]
fn the_readout_learns_what_it_learns_on_the_cpu_and_reads_once_an_epoch() -> Result<()> {
    let Ok(device) = Device::new_cuda(0).or_else(|_| Device::new_metal(0)) else {
        println!(
            "skipped the_readout_learns_what_it_learns_on_the_cpu_and_reads_once_an_epoch: there is no device but the CPU"
        );
        return Ok(());
    };
    let _alone = DEVICE.lock().unwrap_or_else(PoisonError::into_inner);
    let log = std::env::var_os("EMULATED_CUDA_LOG");
    let reads = || {
        let lines = log.as_ref().map(|log| std::fs::read_to_string(log).unwrap_or_default());
        lines.map(|lines| lines.lines().filter(|line| line.starts_with("to-host")).count())
    };
    let smoothed = Loss::CrossEntropy { smoothing: 0.1 };
    let tanh = Loss::Tanh { beta: 0.1, m: 3.0 };
    for (loss, dropout) in [(Loss::default(), 0.0), (Loss::default(), 0.5), (smoothed, 0.0), (tanh, 0.0)] {
        let mut counts = Vec::new();
        // Six steps an epoch, and one.
        for batch_size in [10, EXAMPLES] {
            let before = reads();
            let ours = trained(loss, dropout, batch_size, &device)?;
            counts.extend(reads().zip(before).map(|(after, before)| after - before));
            for (ours, reference) in ours.iter().zip(trained(loss, dropout, batch_size, &Device::Cpu)?) {
                assert!((ours - reference).abs() < 1e-4, "{loss}: {ours}, expected {reference}");
            }
        }
        assert!(counts.windows(2).all(|pair| pair[0] == pair[1]), "{loss}: {counts:?} reads");
    }
    Ok(())
}

fn trained_network(kind: PoolingKind, device: &Device) -> Result<Vec<f32>> {
    let pooling = Pooling { kind, kernel: 3, stride: 1, padding: 1 };
    let layers = [3, 1].map(|kernel| ConvolutionalLayer { units: 4, kernel, pooling });
    let mut draws = Generator::new(0, "network");
    let network = ConvolutionalNet::new((2, 5, 2), &layers, CLASSES, &mut draws, device)?;
    let config = DescentConfig { epochs: 2, batch_size: 10, learning_rate: 0.01, ..Default::default() };
    train(&network, &config, 0, &examples(device)?, &[], &mut [])?;
    let values = |tensor: Tensor| tensor.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>();
    let state = network.state()?.into_values().map(values).collect::<Result<Vec<_>>>()?;
    Ok(state.concat())
}

#[test]
fn a_convolutional_network_learns_what_it_learns_on_the_cpu() -> Result<()> {
    let Ok(device) = Device::new_cuda(0).or_else(|_| Device::new_metal(0)) else {
        println!(
            "skipped a_convolutional_network_learns_what_it_learns_on_the_cpu: there is no device but the CPU"
        );
        return Ok(());
    };
    let _alone = DEVICE.lock().unwrap_or_else(PoisonError::into_inner);
    for kind in [PoolingKind::Max, PoolingKind::Average] {
        let ours = trained_network(kind, &device)?;
        for (ours, reference) in ours.iter().zip(trained_network(kind, &Device::Cpu)?) {
            assert!((ours - reference).abs() < 1e-3, "{kind:?}: {ours}, expected {reference}");
        }
    }
    Ok(())
}
