//! What must hold on every device: agreement with the CPU, ties, the same bits each time, checkpoints that travel, and a
//! flag that stops a rule whose update is not finite. Each test runs on the first accelerator that opens, and is named as
//! skipped where there is none.

mod rules;

use candle_core::{DType, Device, Result, Tensor};
use hebbian::ops::{Competition, RowNorm, Scale, Strength, refresh_row_norms, running_average, top_k};
use hebbian::{
    CompSpec, CompSpecConfig, Event, Fit, FitConfig, Foldiak, FoldiakConfig, KrotovHopfield,
    KrotovHopfieldConfig, Learned, LearningRule, Rule, Settling,
};
use hebbian_training::{Checkpoint, Generator, Schedule, State};
use rules::{Case, cases};

/// Runs `test` on an accelerator, if there is one.
fn on_accelerator(name: &str, test: impl Fn(&Device) -> Result<()>) {
    match Device::new_cuda(0).or_else(|_| Device::new_metal(0)) {
        Ok(device) => test(&device).unwrap(),
        Err(_) => println!("skipped {name}: there is no device but the CPU"),
    }
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// Relative to the largest magnitude.
fn assert_close(what: &str, ours: &Tensor, reference: &Tensor, tolerance: f32) -> Result<()> {
    let (ours, reference) = (flat(ours)?, flat(reference)?);
    assert_eq!(ours.len(), reference.len(), "{what}");
    let scale = reference.iter().fold(0f32, |most, value| most.max(value.abs()));
    for (place, (ours, reference)) in ours.iter().zip(&reference).enumerate() {
        let off = (ours - reference).abs();
        assert!(
            off <= tolerance * scale,
            "{what}, entry {place}: {ours}, expected {reference} of at most {scale}"
        );
    }
    Ok(())
}

fn assert_same_state(
    what: &str,
    ours: &dyn LearningRule,
    reference: &dyn LearningRule,
    tolerance: f32,
) -> Result<()> {
    let (ours, reference) = (ours.state()?, reference.state()?);
    for (name, reference) in &reference {
        assert_close(&format!("{what}: {name}"), &ours[name], reference, tolerance)?;
    }
    Ok(())
}

/// Of all that is learned: how many frames have gone by is not.
fn bits(rule: &dyn LearningRule) -> Result<Vec<u32>> {
    let mut state = rule.state()?;
    state.retain(|name, _| !name.ends_with("frame"));
    let flat = state.values().map(flat).collect::<Result<Vec<_>>>()?;
    Ok(flat.concat().into_iter().map(f32::to_bits).collect())
}

/// Values of few levels, so that many are equal, and among them what is hard to rank.
fn tied(rows: usize, columns: usize, levels: f64, seed: u64) -> Result<Tensor> {
    let mut values = flat(
        &Generator::new(seed, "tied").uniform((rows, columns), -levels, levels, &Device::Cpu)?.floor()?,
    )?;
    let odd =
        [f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -0.0, 0.0, f32::MIN_POSITIVE, -1e-40, 1e-40, f32::MAX];
    for (place, value) in odd.into_iter().enumerate() {
        let count = values.len();
        values[(place * 7919 + seed as usize) % count] = value;
    }
    Tensor::from_vec(values, (rows, columns), &Device::Cpu)
}

#[test]
fn ties_go_to_the_lowest_index() {
    on_accelerator("ties_go_to_the_lowest_index", |device| {
        for (columns, ranks) in
            [(1, vec![1]), (9, vec![1, 4, 9]), (70, vec![2, 32, 33, 70]), (9001, vec![3, 40, 700])]
        {
            for (seed, levels) in [2.0, 20.0, 1e6].into_iter().enumerate() {
                let values = tied(3, columns, levels, seed as u64)?;
                for &k in &ranks {
                    let ours = top_k(&values.to_device(device)?, k)?.to_vec2::<u32>()?;
                    assert_eq!(
                        ours,
                        top_k(&values, k)?.to_vec2::<u32>()?,
                        "{k} of {columns}, {levels} levels"
                    );
                }
            }
        }
        Ok(())
    });
}

#[test]
fn the_update_of_competing_units_agrees_with_the_cpu() {
    on_accelerator("the_update_of_competing_units_agrees_with_the_cpu", |device| {
        for (units, columns, batch, k) in
            [(2, 1, 1, 2), (7, 30, 50, 3), (60, 300, 40, 7), (5, 128, 9, 2), (9, 129, 3, 9)]
        {
            let mut draws = Generator::new(units as u64, "competition");
            let weights = draws.normal((units, columns), 0.0, 1.0, &Device::Cpu)?;
            let inputs = draws.uniform((batch, columns), 0.0, 1.0, &Device::Cpu)?;
            let strengths = draws.uniform(units, 0.0, 1.0, &Device::Cpu)?;
            let update = |device: &Device, mean: bool, repels: bool| {
                let (weights, inputs) = (weights.to_device(device)?.copy()?, inputs.to_device(device)?);
                let strengths = strengths.to_device(device)?;
                let currents = inputs.matmul(&weights.t()?)?;
                let ranks = top_k(&currents, k)?;
                let repelled = ranks.narrow(1, k - 1, 1)?.squeeze(1)?.contiguous()?;
                let before = Tensor::zeros((), DType::F32, device)?;
                let (attraction, repulsion, scale) = match mean {
                    true => (Strength::Mean(&strengths), Strength::Mean(&strengths), Scale::AsIs),
                    false => (Strength::Each(1.0), Strength::Each(0.4), Scale::LargestIs(0.04)),
                };
                let competition = Competition {
                    inputs: &inputs,
                    currents: &currents,
                    winners: &ranks.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?,
                    repelled: repels.then_some(&repelled),
                    attraction,
                    repulsion,
                    scale,
                    before: &before,
                };
                let updated = competition.update(&weights)?;
                Ok::<_, candle_core::Error>((weights, updated.largest))
            };
            for (mean, repels) in [(false, true), (true, true), (true, false), (false, false)] {
                let (ours, reference) = (update(device, mean, repels)?, update(&Device::Cpu, mean, repels)?);
                assert_close("weights", &ours.0, &reference.0, 1e-5)?;
                assert_close("largest", &ours.1, &reference.1, 1e-5)?;
            }
        }
        Ok(())
    });
}

#[test]
fn what_is_derived_from_rows_agrees_with_the_cpu() {
    on_accelerator("what_is_derived_from_rows_agrees_with_the_cpu", |device| {
        for (units, columns) in [(2, 1), (3, 257), (70, 45)] {
            let weights = Generator::new(0, "rows").normal((units, columns), 0.0, 1.0, &Device::Cpu)?;
            let there = weights.to_device(device)?;
            for exponent in [0.0, 0.5, 1.5, 2.0, 3.0, 4.0] {
                let synapses = |weights: &Tensor| {
                    let config =
                        KrotovHopfieldConfig { units, p: exponent + 1.0, k: 2, ..Default::default() };
                    let state = State::from([("weights".to_owned(), weights.clone())]);
                    KrotovHopfield::from_state(config, state)?.synapses()
                };
                let (ours, reference) = (synapses(&there)?, synapses(&weights)?);
                assert_close(&format!("power {exponent}"), &ours, &reference, 2e-6)?;
            }
            for norm in [RowNorm::Euclidean, RowNorm::Maximum] {
                let zeros = |device| Tensor::zeros(units, DType::F32, device);
                let (ours, reference) = (zeros(device)?, zeros(&Device::Cpu)?);
                refresh_row_norms(&ours, &there, norm, None)?;
                refresh_row_norms(&reference, &weights, norm, None)?;
                assert_close(&format!("{norm:?}"), &ours, &reference, 2e-6)?;
            }
        }
        Ok(())
    });
}

#[test]
fn the_same_units_win_as_on_the_cpu_where_samples_are_blank_or_match_perfectly_too() {
    on_accelerator(
        "the_same_units_win_as_on_the_cpu_where_samples_are_blank_or_match_perfectly_too",
        |device| {
            for (batch, units) in [(1, 1), (7, 300)] {
                let weights = Generator::new(0, "scores").uniform((units, 20), 0.0, 1.0, &Device::Cpu)?;
                let blank = Tensor::zeros((1, 20), DType::F32, &Device::Cpu)?;
                let inputs = Tensor::cat(&[weights.narrow(0, 0, batch - 1)?, blank], 0)?;
                let specialization = Generator::new(1, "scores").uniform(units, 0.0, 0.9, &Device::Cpu)?;
                let on = |device: &Device| {
                    let config = CompSpecConfig { units, ..Default::default() };
                    let named = [("weights", &weights), ("specialization", &specialization)];
                    let state = named.map(|(name, tensor)| Ok((name.to_owned(), tensor.to_device(device)?)));
                    let mut rule = CompSpec::from_state(config, state.into_iter().collect::<Result<_>>()?)?;
                    let winners = rule.learn(&inputs.to_device(device)?)?.winners()?.clone();
                    Ok::<_, candle_core::Error>((flat(&winners)?, rule.specialization()?))
                };
                let (ours, reference) = (on(device)?, on(&Device::Cpu)?);
                assert_eq!(ours.0, reference.0);
                assert_close("specialization", &ours.1, &reference.1, 1e-5)?;
            }
            Ok(())
        },
    );
}

#[test]
fn averages_along_time_agree_with_the_cpu() {
    on_accelerator("averages_along_time_agree_with_the_cpu", |device| {
        for (times, units) in [(1, 1), (30, 17), (5, 300)] {
            let values =
                Generator::new(0, "running average").uniform((times, units), 0.0, 1.0, &Device::Cpu)?;
            let ours = running_average(&values.to_device(device)?, 0.3)?;
            assert_close("averages", &ours, &running_average(&values, 0.3)?, 1e-6)?;
        }
        Ok(())
    });
}

#[test]
fn units_settle_where_they_do_on_the_cpu() {
    on_accelerator("units_settle_where_they_do_on_the_cpu", |device| {
        for (units, inputs, tolerance) in [(1, 3, 0.0), (21, 19, 1e-3), (100, 64, 0.0), (600, 8, 0.0)] {
            let mut draws = Generator::new(0, "settling");
            let others = (Tensor::eye(units, DType::F32, &Device::Cpu)? * -1.0)?.affine(1.0, 1.0)?;
            let weights = draws.uniform((units, inputs), 0.0, 0.5, &Device::Cpu)?;
            let outgoing = (draws.uniform((units, units), -1.0, 0.0, &Device::Cpu)? * others)?;
            let thresholds = draws.uniform(units, 0.0, inputs as f64 / 8.0, &Device::Cpu)?;
            let patterns = draws.uniform((4, inputs), 0.0, 1.0, &Device::Cpu)?;
            let lateral = outgoing.t()?;
            let on = |device: &Device| {
                let settling =
                    Settling::Equilibrium { slope: 10.0, time_step: 0.1, iterations: 40, tolerance };
                let config = FoldiakConfig { units, settling, ..Default::default() };
                let named = [("weights", &weights), ("lateral", &lateral), ("thresholds", &thresholds)];
                let state = named.map(|(name, tensor)| Ok((name.to_owned(), tensor.to_device(device)?)));
                let rule = Foldiak::from_state(config, state.into_iter().collect::<Result<_>>()?)?;
                rule.settled(&patterns.to_device(device)?)
            };
            assert_close("outputs", &on(device)?, &on(&Device::Cpu)?, 1e-5)?;
        }
        Ok(())
    });
}

#[test]
fn what_is_no_batch_is_refused_by_every_rule_and_changes_nothing() -> Result<()> {
    for mut case in cases(&Device::Cpu)? {
        let before = bits(&*case.rule)?;
        let inputs = case.rule.inputs();
        let refused = [
            (Tensor::zeros((0, inputs), DType::F32, &Device::Cpu)?, "inputs: a batch of 0 samples"),
            (Tensor::zeros((2, inputs + 1), DType::F32, &Device::Cpu)?, "inputs: "),
            (Tensor::zeros(inputs, DType::F32, &Device::Cpu)?, "inputs: shape "),
            (Tensor::zeros((2, inputs), DType::F64, &Device::Cpu)?, "inputs: dtype F64"),
        ];
        for (batch, expected) in refused {
            let message = case.rule.learn(&batch).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{}: {message}", case.name);
            assert_eq!(bits(&*case.rule)?, before, "{}", case.name);
        }
    }
    Ok(())
}

#[test]
fn every_rule_learns_what_it_learns_on_the_cpu() {
    on_accelerator("every_rule_learns_what_it_learns_on_the_cpu", |device| {
        for (mut ours, mut reference) in cases(device)?.into_iter().zip(cases(&Device::Cpu)?) {
            let name = reference.name;
            for step in 0..4 {
                let (here, there) = (ours.step(step)?, reference.step(step)?);
                let winners = |learned: &Learned| {
                    let winners =
                        learned.winners.as_ref().map(|winners| winners.flatten_all()?.to_vec1::<u32>());
                    winners.transpose()
                };
                assert_eq!(winners(&here)?, winners(&there)?, "{name}, step {step}");
                assert_close(&format!("{name}, step {step}: output"), &here.output, &there.output, 1e-4)?;
                for ((measure, here), (_, there)) in here.measures.iter().zip(&there.measures) {
                    assert_close(&format!("{name}, step {step}: {measure}"), here, there, 1e-4)?;
                }
                assert_same_state(name, &*ours.rule, &*reference.rule, 1e-4)?;
            }
            let shown = reference.inputs.narrow(0, 0, 10)?;
            let (here, there) =
                (ours.rule.forward(&shown.to_device(device)?)?, reference.rule.forward(&shown)?);
            assert_close(&format!("{name}: forward"), &here, &there, 1e-4)?;
        }
        Ok(())
    });
}

#[test]
fn the_same_steps_give_the_same_bits_each_time() {
    on_accelerator("the_same_steps_give_the_same_bits_each_time", |device| {
        let run = || {
            let mut cases = cases(device)?;
            cases.iter_mut().map(|case| Ok((case.name, case.run(4)?))).collect::<Result<Vec<_>>>()
        };
        let first = run()?;
        for _ in 0..2 {
            assert_eq!(run()?, first);
        }
        Ok(())
    });
}

#[test]
fn a_checkpoint_of_one_device_is_resumed_on_the_other() {
    on_accelerator("a_checkpoint_of_one_device_is_resumed_on_the_other", |device| {
        let folder = tempfile::tempdir().map_err(candle_core::Error::wrap)?;
        let config = FitConfig { epochs: 2, batch_size: 10, schedule: Schedule::Linear, in_order: true };
        for (ours, reference) in cases(device)?.into_iter().zip(cases(&Device::Cpu)?) {
            let name = reference.name;
            let path = folder.path().join("checkpoint.safetensors");
            for (mut begins, mut goes_on, whole) in [
                (ours.again(device)?, reference.again(&Device::Cpu)?, reference.again(&Device::Cpu)?),
                (reference.again(&Device::Cpu)?, ours.again(device)?, reference.again(&Device::Cpu)?),
            ] {
                let mut save = |event: &Event<'_, dyn LearningRule>| {
                    // In the middle of the second epoch.
                    if event.fit.step() == 6 {
                        event.fit.checkpoint(event.rule)?.save(&path)?;
                    }
                    Ok(())
                };
                Fit::new(config.clone(), 0)?.run(&mut *begins.rule, &begins.inputs, &mut [&mut save])?;
                let other = goes_on.inputs.device().clone();
                let checkpoint = Checkpoint::load(&path, &other)?;
                let mut fit = Fit::resume(config.clone(), 0, &mut *goes_on.rule, &checkpoint)?;
                fit.run(&mut *goes_on.rule, &goes_on.inputs, &mut [])?;
                let mut whole = whole;
                Fit::new(config.clone(), 0)?.run(&mut *whole.rule, &whole.inputs, &mut [])?;
                assert_same_state(&format!("{name} on {other:?}"), &*goes_on.rule, &*whole.rule, 1e-3)?;
            }
        }
        Ok(())
    });
}

#[test]
fn an_update_that_is_not_finite_and_all_later_ones_are_left_out_and_reported() {
    on_accelerator("an_update_that_is_not_finite_and_all_later_ones_are_left_out_and_reported", |device| {
        for mut case in cases(device)? {
            case.step(0)?;
            let (before, sound) = (bits(&*case.rule)?, case.rule.state()?);
            for factor in [f64::NAN, 1.0] {
                let inputs = (case.batch(1)? * factor)?;
                let size = case.rule.learn(&inputs)?.measures[0].1.to_scalar::<f32>()?;
                assert!(!size.is_finite(), "{}: {size}", case.name);
                assert_eq!(bits(&*case.rule)?, before, "{}", case.name);
            }
            // Whoever restores a sound state begins anew.
            case.rule.restore(sound)?;
            let size = case.step(1)?.measures[0].1.to_scalar::<f32>()?;
            assert!(size.is_finite(), "{}: {size}", case.name);
        }
        Ok(())
    });
}

impl Case {
    fn run(&mut self, steps: usize) -> Result<Vec<u32>> {
        (0..steps).try_for_each(|step| self.step(step).map(drop))?;
        bits(&*self.rule)
    }
}

/// Rules with fewer winners than places fill up with `u32::MAX`, and `Fit` counts wins with candle's `index_add`, which is
/// not documented to pass over it.
#[test]
fn a_winner_that_is_no_unit_is_counted_nowhere() {
    let count = |device: &Device| {
        let none = u32::MAX;
        let winners = Tensor::new(&[[2u32, 0, none], [2, none, none]], device)?.flatten_all()?;
        let wins = Tensor::zeros(3, candle_core::DType::U32, device)?;
        wins.index_add(&winners, &winners.ones_like()?, 0)?.to_vec1::<u32>()
    };
    assert_eq!(count(&Device::Cpu).unwrap(), [1, 0, 2]);
    on_accelerator("a_winner_that_is_no_unit_is_counted_nowhere", |device| {
        assert_eq!(count(device)?, [1, 0, 2]);
        Ok(())
    });
}
