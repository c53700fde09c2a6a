//! The gradient of what a network gives, with respect to its inputs.

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::Module;
use hebbian::{
    Convolution, ConvolutionConfig, ImageSize, Interleaved, InterleavedConfig, KrotovHopfield,
    KrotovHopfieldConfig, Learning, LearningRule, Mirrored, MirroredConfig, PatchNorm, Pool, Pooling,
    PoolingConfig, Power, PowerConfig, Rule, SoftHebb, SoftHebbConfig, Stack, Standardize, StandardizeConfig,
    Triangle, TriangleConfig,
};
use hebbian_training::Generator;

const INPUT: ImageSize = ImageSize { channels: 3, height: 8, width: 8 };

fn draws(name: &str) -> Generator {
    Generator::new(0, name)
}

fn images(name: &str) -> Result<Tensor> {
    draws(name).normal((4, INPUT.values()), 0.0, 1.0, &Device::Cpu)
}

fn pooling(input: ImageSize, kind: Pool) -> Result<Pooling> {
    Pooling::of(PoolingConfig { input, kind, kernel: 4, stride: 2, padding: 1 })
}

/// Two layers of filters with all that stands between them. Squares have no kink, which a difference would see.
fn network() -> Result<Vec<Box<dyn LearningRule>>> {
    let draws = &mut draws("network");
    let first = SoftHebb::new(
        SoftHebbConfig { units: 9, init_length: 2.0, ..Default::default() },
        27,
        draws,
        &Device::Cpu,
    )?;
    let first = Convolution::new(Box::new(first), ConvolutionConfig::new(INPUT, 3))?;
    let filters = first.output();
    let largest = pooling(filters, Pool::Max)?;
    let middle = largest.output();
    let config = KrotovHopfieldConfig { units: 6, k: 2, ..Default::default() };
    let second = KrotovHopfield::new(config, 81, draws, &Device::Cpu)?;
    let patches = ConvolutionConfig::new(middle, 3).with_patches(PatchNorm::UnitLength);
    let second = Convolution::new(Box::new(second), patches)?;
    let last = second.output();
    Ok(vec![
        Box::new(Interleaved::of(InterleavedConfig { output: INPUT })?),
        Box::new(Standardize::fit(StandardizeConfig { input: INPUT }, &images("statistics")?)?),
        Box::new(first),
        Box::new(Triangle::of(TriangleConfig { input: filters, power: 2.0 })?),
        Box::new(largest),
        Box::new(Power::of(PowerConfig::new(middle, 1.4))?),
        Box::new(second),
        Box::new(Triangle::of(TriangleConfig { input: last, power: 2.0 })?),
        Box::new(pooling(last, Pool::Average)?),
    ])
}

/// A number that `layer` makes of `images`, its gradient, and how it changes along a direction.
fn slopes(layer: &dyn Module, images: &Tensor) -> Result<(f64, f64)> {
    let weights = draws("sum").normal(layer.forward(images)?.dims2()?, 0.0, 1.0, &Device::Cpu)?;
    let sum = |images: &Tensor| (layer.forward(images)? * &weights)?.sum_all();
    let variable = Var::from_tensor(images)?;
    let gradients = sum(&variable)?.backward()?;
    let gradient = gradients.get(&variable).ok_or_else(|| candle_core::Error::msg("no gradient"))?;
    let direction = draws("direction").normal(images.dims2()?, 0.0, 1.0, &Device::Cpu)?;
    let along = (gradient * &direction)?.sum_all()?.to_scalar::<f32>()?;
    let step = 1e-3;
    let at = |step: f64| sum(&(images + (&direction * step)?)?)?.to_scalar::<f32>();
    let difference = f64::from(at(step)? - at(-step)?) / (2.0 * step);
    Ok((f64::from(along), difference))
}

#[test]
fn a_network_passes_the_gradient_to_its_inputs() -> Result<()> {
    let network = network()?;
    for layers in 1..=network.len() {
        let layers = network[..layers].iter().map(|layer| (layer.name(), layer));
        let name = layers.clone().next_back().map(|(name, _)| name).unwrap_or_default();
        let forward = |inputs: &Tensor| {
            layers.clone().try_fold(inputs.clone(), |inputs, (_, layer)| layer.forward(&inputs))
        };
        let (gradient, difference) =
            slopes(&candle_nn::func(move |inputs| forward(inputs)), &images("inputs")?)?;
        assert!((gradient / difference - 1.0).abs() < 0.02, "{name}: {gradient} and {difference}");
    }
    Ok(())
}

#[test]
fn a_network_that_answers_to_mirror_images_alike_passes_it_too() -> Result<()> {
    let mirrored = MirroredConfig::new(INPUT).interleaved();
    let network = Mirrored::new(Box::new(Stack::new(network()?, Learning::Online)?), mirrored)?;
    let (gradient, difference) = slopes(&network, &images("inputs")?)?;
    assert!((gradient / difference - 1.0).abs() < 0.02, "{gradient} and {difference}");
    Ok(())
}

#[test]
fn inputs_that_track_a_gradient_get_the_same_answer() -> Result<()> {
    let (network, images) = (Stack::new(network()?, Learning::Online)?, images("inputs")?);
    let variable = Var::from_tensor(&images)?;
    let (plain, tracked) = (network.forward(&images)?, network.forward(&variable)?);
    let off = (&plain - tracked.detach())?.abs()?.max_all()?.to_scalar::<f32>()?;
    let largest = plain.abs()?.max_all()?.to_scalar::<f32>()?;
    assert!(off < 1e-5 * largest, "{off} of {largest}");
    Ok(())
}

#[test]
fn a_power_has_its_slope_and_none_at_zero() -> Result<()> {
    let power = Power::of(PowerConfig::new(ImageSize::new(1, 1, 3), 0.7))?;
    let variable = Var::from_tensor(&Tensor::new(&[[2f32, -0.5, 0.0]], &Device::Cpu)?)?;
    let gradients = power.forward(&variable)?.sum_all()?.backward()?;
    let slopes =
        gradients.get(&variable).map(|gradient| gradient.flatten_all()?.to_vec1::<f32>()).transpose()?;
    let expected = [0.7 * 2f32.powf(-0.3), 0.7 * 0.5f32.powf(-0.3), 0.0];
    for (slope, expected) in slopes.unwrap_or_default().into_iter().zip(expected) {
        assert!((slope - expected).abs() < 1e-5, "{slope} and {expected}");
    }
    Ok(())
}
