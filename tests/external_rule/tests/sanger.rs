//! A rule from outside does all that a built-in one does, with no line of the libraries changed for it.

use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use candle_nn::Module;
use external_rule::{Sanger, SangerConfig};
use hebbian::golden::replay;
use hebbian::{
    Event, Fit, FitConfig, KrotovHopfield, KrotovHopfieldConfig, Learning, LearningRule, MultiWinner,
    MultiWinnerConfig, Registry, Rule, SaveCheckpoint, Stack,
};
use hebbian_classifier::{DescentConfig, Labeled, Loss, SoftmaxRegression, evaluate, train};
use hebbian_datasets::{Dataset, transforms};
use hebbian_model::{Model, Preprocess};
use hebbian_training::{Checkpoint, Generator, Schedule};

const UNITS: usize = 12;
const EPOCHS: usize = 6;

fn fit_config() -> FitConfig {
    FitConfig { epochs: EPOCHS, batch_size: 50, schedule: Schedule::Linear, ..Default::default() }
}

fn registry() -> Registry {
    Registry::builtin().with::<Sanger>()
}

/// The first digits of MNIST, `(examples, 784)` with the mean of each pixel subtracted, and their labels.
fn digits(examples: usize) -> Result<Labeled> {
    let mnist = Dataset::mnist()?.train;
    let pixels = transforms::scale(&mnist.images().narrow(0, 0, examples)?, &Device::Cpu)?;
    let centered = pixels.broadcast_sub(&pixels.mean_keepdim(0)?)?;
    Ok(Labeled::new(centered, mnist.labels().expect("MNIST has labels").narrow(0, 0, examples)?)?)
}

fn sanger() -> Result<Sanger> {
    let config = SangerConfig { units: UNITS, ..Default::default() };
    Ok(Sanger::new(config, 784, &mut Generator::new(0, Sanger::NAME), &Device::Cpu)?)
}

fn on_top() -> Result<KrotovHopfield> {
    let config = KrotovHopfieldConfig { units: 20, k: 2, ..Default::default() };
    Ok(KrotovHopfield::new(config, UNITS, &mut Generator::new(0, "on top"), &Device::Cpu)?)
}

fn stack(learning: Learning) -> Result<Stack> {
    let rules: Vec<Box<dyn LearningRule>> = vec![Box::new(sanger()?), Box::new(on_top()?)];
    Ok(Stack::new(rules, learning)?)
}

fn train_to_the_end<R: LearningRule>(rule: &mut R, inputs: &Tensor, path: &Path) -> Result<Vec<u8>> {
    let mut save = SaveCheckpoint::new(path);
    Fit::new(fit_config(), 3)?.run(rule, inputs, &mut [&mut save])?;
    Ok(std::fs::read(path)?)
}

/// Stops the training at the end of its third epoch as a kill would, right after its checkpoint was written.
fn train_until_killed<R: LearningRule>(rule: &mut R, inputs: &Tensor, path: &Path) -> Result<()> {
    let mut save = SaveCheckpoint::new(path);
    let mut kill = |event: &Event<'_, R>| match event.epoch_report() {
        Some(_) if event.fit.epoch() == 3 => candle_core::bail!("killed"),
        _ => Ok(()),
    };
    let stopped = Fit::new(fit_config(), 3)?.run(rule, inputs, &mut [&mut save, &mut kill]);
    assert!(stopped.unwrap_err().to_string().starts_with("killed"));
    Ok(())
}

fn resume(inputs: &Tensor, path: &Path) -> Result<Vec<u8>> {
    let checkpoint = Checkpoint::load(path, &Device::Cpu)?;
    let (mut fit, mut rule) = Fit::from_checkpoint(&checkpoint, &registry())?;
    let mut save = SaveCheckpoint::new(path);
    fit.run(&mut *rule, inputs, &mut [&mut save])?;
    Ok(std::fs::read(path)?)
}

#[test]
fn it_learns_the_principal_components() -> Result<()> {
    let inputs = digits(2000)?.inputs().clone();
    let mut rule = sanger()?;
    let (mut steps, mut means) = (0, Vec::new());
    let mut watch = |event: &Event<'_, Sanger>| {
        match event.epoch_report() {
            Some(report) => {
                assert_eq!(report.wins, None);
                means.extend(report.measure("largest_update"));
            }
            None => steps += 1,
        }
        Ok(())
    };
    let config = FitConfig { epochs: 40, ..fit_config() };
    Fit::new(config, 0)?.run(&mut rule, &inputs, &mut [&mut watch])?;
    assert_eq!((steps, means.len()), (40 * 40, 40));
    assert!(means[39].mean < 0.2 * means[0].mean, "{:?}", (means[0], means[39]));

    // Components are of length 1 and orthogonal to each other, and each explains less than the one before.
    let leading = rule.weights()?.narrow(0, 0, 4)?;
    let products = leading.matmul(&leading.t()?)?.to_vec2::<f32>()?;
    for (row, products) in products.iter().enumerate() {
        for (column, &product) in products.iter().enumerate() {
            let expected = f32::from(u8::from(row == column));
            assert!((product - expected).abs() < 0.05, "{row}, {column}: {product}");
        }
    }
    let variances = rule.forward(&inputs)?.sqr()?.mean(0)?.to_vec1::<f32>()?;
    assert!(variances[..4].is_sorted_by(|one, next| one > next), "{variances:?}");
    Ok(())
}

#[test]
fn killed_and_resumed_it_ends_with_the_same_bytes_alone_and_in_a_stack() -> Result<()> {
    let inputs = digits(500)?.inputs().clone();
    let folder = tempfile::tempdir()?;
    let (whole, cut) = (folder.path().join("whole.safetensors"), folder.path().join("cut.safetensors"));
    let expected = train_to_the_end(&mut sanger()?, &inputs, &whole)?;
    train_until_killed(&mut sanger()?, &inputs, &cut)?;
    assert_ne!(std::fs::read(&cut)?, expected);
    assert_eq!(resume(&inputs, &cut)?, expected);

    for learning in [Learning::Online, Learning::Greedy(vec![4, 2])] {
        let expected = train_to_the_end(&mut stack(learning.clone())?, &inputs, &whole)?;
        train_until_killed(&mut stack(learning)?, &inputs, &cut)?;
        assert_eq!(resume(&inputs, &cut)?, expected);
    }
    Ok(())
}

#[test]
fn it_is_loaded_through_a_registry_that_knows_it_and_by_no_other() -> Result<()> {
    let rule = sanger()?;
    let checkpoint = Fit::new(fit_config(), 0)?.checkpoint(&rule)?;
    let loaded = registry().from_checkpoint(&checkpoint)?;
    let loaded = loaded.downcast_ref::<Sanger>().context("it is what it was")?;
    assert_eq!(loaded.weights()?.to_vec2::<f32>()?, rule.weights()?.to_vec2::<f32>()?);
    let refused = Registry::builtin().from_checkpoint(&checkpoint).err().context("unknown")?.to_string();
    assert!(refused.starts_with("rule `sanger` is unknown; known: comp-spec, convolution"), "{refused}");
    Ok(())
}

#[test]
fn it_computes_what_a_reference_in_numpy_computes() -> Result<()> {
    let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sanger.safetensors");
    replay(&trace, &registry(), &Device::Cpu, 1e-5)?;

    // A rule that computes something else is found out.
    let mut other = Checkpoint::load(&trace, &Device::Cpu)?;
    other.metadata.config["learning_rate"] = 0.011.into();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("other.safetensors");
    other.save(&path)?;
    let refused = replay(&path, &registry(), &Device::Cpu, 1e-5).unwrap_err().to_string();
    assert!(refused.starts_with("step 0: weights is off by"), "{refused}");
    Ok(())
}

#[test]
fn a_parameter_outside_its_range_is_refused_with_what_is_allowed() {
    let config = SangerConfig { units: 0, ..Default::default() };
    let refused = Sanger::new(config, 784, &mut Generator::new(0, Sanger::NAME), &Device::Cpu).unwrap_err();
    assert!(refused.to_string().starts_with("units = 0 is not allowed: at least 1"), "{refused}");
}

#[test]
fn a_step_that_would_not_be_finite_is_refused_and_changes_nothing() -> Result<()> {
    let mut rule = sanger()?;
    let before = rule.weights()?.to_vec2::<f32>()?;
    let huge = (digits(10)?.inputs() * 1e30)?;
    let message = rule.learn(&huge).unwrap_err().to_string();
    assert!(message.starts_with("`weights` holds a value that is not finite"), "{message}");
    assert_eq!(rule.weights()?.to_vec2::<f32>()?, before);
    Ok(())
}

#[test]
fn a_step_that_fails_above_it_is_taken_back_again_and_again() -> Result<()> {
    // Its components may be negative, which frames of a multi-winner layer may not.
    let above = MultiWinnerConfig { units: 20, ..Default::default() };
    let above = MultiWinner::new(above, UNITS, &mut Generator::new(0, "above"), &Device::Cpu)?;
    let mut stack = Stack::new(vec![Box::new(sanger()?), Box::new(above)], Learning::Online)?;
    let before = stack.rules()[0].weights()?.to_vec2::<f32>()?;
    for _ in 0..3 {
        let message = stack.learn(digits(50)?.inputs()).unwrap_err().to_string();
        assert!(message.contains("expected finite values of at least 0"), "{message}");
        assert_eq!(stack.rules()[0].weights()?.to_vec2::<f32>()?, before);
    }
    Ok(())
}

#[test]
fn a_readout_on_it_tells_digits_apart_and_goes_with_it_into_a_file() -> Result<()> {
    let digits = digits(2000)?;
    let mut rule = sanger()?;
    Fit::new(fit_config(), 0)?.run(&mut rule, digits.inputs(), &mut [])?;
    let features = digits.with_inputs(rule.forward(digits.inputs())?)?;
    let readout = SoftmaxRegression::new(UNITS, 10, &Device::Cpu)?;
    let config = DescentConfig { epochs: 20, learning_rate: 0.01, ..Default::default() };
    train(&readout, &config, 0, &features, &[], &mut [])?;
    let evaluated = evaluate(&readout, &features, &Loss::default())?;
    assert!(evaluated.accuracy > 0.6, "{}", evaluated.accuracy);

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let model = Model::new(Box::new(rule))?.with_preprocess(Preprocess::None);
    model.with_readout(&readout.state()?)?.save(&path)?;
    let loaded = Model::load(&path, &registry(), &Device::Cpu)?;
    assert_eq!(loaded.predict(digits.inputs())?, evaluated.predictions);
    Ok(())
}

#[test]
fn the_page_shows_the_rule_as_it_is_tested() {
    let page = include_str!("../../../docs/own_rule.md");
    assert!(
        page.contains(include_str!("../src/sanger.rs")),
        "docs/own_rule.md has another text than src/sanger.rs"
    );
}

#[test]
fn it_has_a_command_line_of_its_own() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |flags: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_train_sanger"))
            .current_dir(&folder)
            .args(flags)
            .output()
    };
    let help = String::from_utf8(run(&["--help"])?.stdout)?;
    assert!(help.contains("--init-std") && help.contains("Standard deviation of the normal draws"), "{help}");
    let refused = String::from_utf8(run(&["--init-std=0"])?.stderr)?;
    assert_eq!(refused, "error: --init-std is 0; allowed: a number above 0\n");

    let small = ["--train-size=2000", "--test-size=500", "--units=20", "--epochs=3", "--readout-epochs=30"];
    let trained = run(&small)?;
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let out = folder.path().join("runs/train");
    let model = Model::load(&out.join("checkpoint.safetensors"), &registry(), &Device::Cpu)?;
    let test = Dataset::mnist()?.test.first(500)?;
    let labels = test.labels().context("labels")?.to_vec1::<u32>()?;
    let right = model.predict(test.images())?.iter().zip(&labels).filter(|(one, other)| one == other).count();
    assert!(right > 300, "{right} of 500");
    Ok(())
}
