//! Every rule, killed after any step of any epoch: what it ends with, and what it reports, is what it would have been.

mod rules;

use candle_core::{DType, Device, Result};
use hebbian::{Event, Fit, FitConfig, LearningRule, Report, SaveCheckpoint};
use hebbian_training::{Checkpoint, Schedule, State};
use rules::{Case, cases};

const STEPS_OF_AN_EPOCH: usize = 4;
const EPOCHS: usize = 2;

/// `in_order` gives a rule that learns a stream what it needs; the others must find their order again.
fn config(in_order: bool) -> FitConfig {
    let schedule = Schedule::Staircase { every: 3, factor: 0.5 };
    FitConfig { epochs: EPOCHS, batch_size: 10, schedule, in_order }
}

/// All bits of a state, by name.
type Bits = Vec<(String, Vec<u32>)>;

fn bits(state: State) -> Result<Bits> {
    let values = state.into_iter().map(|(name, tensor)| {
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok((name, values.into_iter().map(f32::to_bits).collect()))
    });
    values.collect()
}

/// A report without its seconds, its numbers as bits.
type Numbers = (Vec<(String, u32, u32)>, Option<Vec<u32>>);

fn numbers(report: &Report) -> Numbers {
    let measure = |(name, measured): &(String, hebbian::Measured)| {
        (name.clone(), measured.mean.to_bits(), measured.largest.to_bits())
    };
    (report.measures.iter().map(measure).collect(), report.wins.clone())
}

/// What a training says at the end of an epoch.
#[derive(Debug, PartialEq)]
struct Seen {
    factor: f64,
    rate: Option<f64>,
    numbers: Numbers,
}

fn seen(event: &Event<'_, dyn LearningRule>) -> Option<Seen> {
    let (factor, rate) = (event.fit.factor(), event.rule.learning_rate());
    event.epoch_report().map(|report| Seen { factor, rate, numbers: numbers(report) })
}

/// Goes on with `fit` to its end: what each epoch was like, and what the rule has learned.
fn finish(mut fit: Fit, case: &mut Case) -> Result<(Vec<Seen>, Bits)> {
    let mut epochs = Vec::new();
    let mut watch = |event: &Event<'_, dyn LearningRule>| {
        epochs.extend(seen(event));
        Ok(())
    };
    fit.run(&mut *case.rule, &case.inputs, &mut [&mut watch])?;
    assert_eq!((fit.epoch(), fit.step(), fit.epoch_step()), (EPOCHS, EPOCHS * STEPS_OF_AN_EPOCH, 0));
    Ok((epochs, bits(case.rule.state()?)?))
}

#[test]
fn every_rule_killed_after_any_step_ends_with_the_same_bits_and_the_same_reports() -> Result<()> {
    let folder = tempfile::tempdir().map_err(candle_core::Error::wrap)?;
    let path = folder.path().join("checkpoint.safetensors");
    for mut whole in cases(&Device::Cpu)? {
        for in_order in [true, false] {
            let name = whole.name;
            whole = whole.again(&Device::Cpu)?;
            let (expected, learned) = finish(Fit::new(config(in_order), 3)?, &mut whole)?;
            for killed_after in 1..=EPOCHS * STEPS_OF_AN_EPOCH {
                let mut case = whole.again(&Device::Cpu)?;
                let mut save = SaveCheckpoint::new(&path).every_steps(1);
                let mut kill = |event: &Event<'_, dyn LearningRule>| match event.fit.step() {
                    step if step == killed_after => candle_core::bail!("killed"),
                    _ => Ok(()),
                };
                let mut fit = Fit::new(config(in_order), 3)?;
                fit.run(&mut *case.rule, &case.inputs, &mut [&mut save, &mut kill]).unwrap_err();

                // The one that goes on has none of the memory of the one that was killed.
                let mut case = whole.again(&Device::Cpu)?;
                let checkpoint = Checkpoint::load(&path, &Device::Cpu)?;
                let fit = Fit::resume(config(in_order), 3, &mut *case.rule, &checkpoint)?;
                let (epoch, step) =
                    ((killed_after - 1) / STEPS_OF_AN_EPOCH, killed_after % STEPS_OF_AN_EPOCH);
                let step = if step == 0 { STEPS_OF_AN_EPOCH } else { step };
                assert_eq!((fit.epoch(), fit.epoch_step()), (epoch, step));
                let (epochs, resumed) = finish(fit, &mut case)?;
                assert_eq!(epochs, expected[epoch..], "{name}, in order {in_order}, step {killed_after}");
                assert!(resumed == learned, "{name}, in order {in_order}, killed after step {killed_after}");
            }
        }
    }
    Ok(())
}

#[test]
fn an_observer_saves_checkpoints_after_so_many_steps_or_so_long_and_at_the_end_of_each_epoch() -> Result<()> {
    let folder = tempfile::tempdir().map_err(candle_core::Error::wrap)?;
    let path = folder.path().join("checkpoint.safetensors");
    let saved_at = |mut save: SaveCheckpoint| {
        let mut case = cases(&Device::Cpu)?.remove(0);
        let mut steps = Vec::new();
        let mut look = |_: &Event<'_, dyn LearningRule>| {
            if !path.exists() {
                return Ok(());
            }
            let training = Checkpoint::load(&path, &Device::Cpu)?.metadata.training;
            std::fs::remove_file(&path)?;
            steps.extend(training.map(|training| (training.step, training.under_way.is_some())));
            Ok(())
        };
        let observers: &mut hebbian::Observers<'_, dyn LearningRule> = &mut [&mut save, &mut look];
        Fit::new(config(false), 0)?.run(&mut *case.rule, &case.inputs, observers)?;
        Result::Ok(steps)
    };
    let forever = std::time::Duration::MAX;
    let ends = [(4, false), (8, false)];
    assert_eq!(saved_at(SaveCheckpoint::new(&path).every(forever))?, ends);
    assert_eq!(saved_at(SaveCheckpoint::new(&path).every_steps(0))?, ends);
    let within = [(3, true), (4, false), (6, true), (8, false)];
    assert_eq!(saved_at(SaveCheckpoint::new(&path).every_steps(3))?, within);
    let all = saved_at(SaveCheckpoint::new(&path).every(std::time::Duration::ZERO))?;
    let steps: Vec<usize> = all.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]);
    Ok(())
}
