//! Replays of the golden traces: each file of `tests/golden`, or of the folder that `HEBBIAN_GOLDEN_DIR` names, holds a
//! rule's parameters, its beginning and what a float64 reference made of it, step by step, on real images.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use hebbian::{
    Charge, CompSpec, CompSpecConfig, Foldiak, FoldiakConfig, KrotovHopfield, KrotovHopfieldConfig,
    LearningRule, Settling,
};
use hebbian_classifier::{Labelled, WinnerTakeAll};
use hebbian_datasets::{Dataset, transforms};
use hebbian_training::State;
use serde_json::Value;

/// Relative to the largest magnitude of the tensor that is compared.
const TOLERANCE: f64 = 1e-5;

struct Trace {
    rule: String,
    hyper: Value,
    tensors: HashMap<String, Tensor>,
}

impl Trace {
    fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)?;
        let entries = header.metadata().as_ref().context("no metadata")?;
        let json: Value = serde_json::from_str(entries.get("json").context("no metadata entry `json`")?)?;
        let rule = json["rule"].as_str().context("no rule named")?.to_owned();
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?;
        Ok(Self { rule, hyper: json["hyper"].clone(), tensors })
    }

    fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).with_context(|| format!("no tensor `{name}`"))
    }

    fn number(&self, name: &str) -> Result<f64> {
        self.hyper[name].as_f64().with_context(|| format!("no number `{name}`"))
    }
}

fn devices() -> Vec<Device> {
    let accelerators = [Device::new_cuda(0), Device::new_metal(0)].into_iter().flatten();
    std::iter::once(Device::Cpu).chain(accelerators).collect()
}

fn ensure_close(what: &str, ours: &Tensor, reference: &Tensor) -> Result<()> {
    let ours = ours.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    let reference = reference.to_dtype(DType::F64)?;
    let most = |tensor: &Tensor| tensor.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();
    let (difference, scale) = (most(&(&ours - &reference)?)?, most(&reference)?);
    ensure!(
        difference <= TOLERANCE * scale,
        "{what} is off by {difference:e}, the largest magnitude being {scale:e}"
    );
    Ok(())
}

fn ensure_equal(what: &str, ours: &Tensor, reference: &Tensor) -> Result<()> {
    let integers = |tensor: &Tensor| tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>();
    let (ours, reference) = (integers(ours)?, integers(reference)?);
    ensure!(ours == reference, "{what} are {ours:?}, expected {reference:?}");
    Ok(())
}

/// Replays a trace whose rule is built; `None` where it is not built yet.
fn replay(trace: &Trace, mnist: &Dataset, device: &Device) -> Option<Result<()>> {
    match trace.rule.as_str() {
        "kh_step" => Some(replay_krotov_hopfield(trace, mnist, device)),
        "gen_final_inits" => Some(replay_winner_take_all(trace, mnist, device)),
        "comp_spec_step" | "charged_comp_spec_step" => Some(replay_comp_spec(trace, mnist, device)),
        "foldiak1990_step" => Some(replay_foldiak(trace, device)),
        "foldiak_step" => Some(replay_foldiak_notebook(trace, device)),
        _ => None,
    }
}

fn replay_krotov_hopfield(trace: &Trace, mnist: &Dataset, device: &Device) -> Result<()> {
    let w_init = trace.tensor("w_init")?;
    let config = KrotovHopfieldConfig {
        units: w_init.dim(0)?,
        p: trace.number("p")?,
        k: trace.number("k")? as usize,
        delta: trace.number("delta")?,
        learning_rate: 1.0,
        ..Default::default()
    };
    let state = State::from([("weights".to_owned(), w_init.to_device(device)?)]);
    let mut rule = KrotovHopfield::from_state(config, state)?;
    let rates = trace.tensor("eps")?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    for (step, rate) in rates.into_iter().enumerate() {
        let named = |name: &str| anyhow::Ok(trace.tensor(name)?.get(step)?);
        let inputs = mnist.train.images().index_select(&named("batch_index")?.to_dtype(DType::U32)?, 0)?;
        let inputs = transforms::scale(&inputs, device)?;
        rule.set_anneal(rate);
        let learned = rule.learn(&inputs)?;
        let repelled = learned.repelled.context("the rule repels")?;
        ensure_equal(&format!("step {step}: winners"), &learned.winners, &named("winners")?)?;
        ensure_equal(&format!("step {step}: repelled"), &repelled, &named("repelled")?)?;
        ensure_close(
            &format!("step {step}: largest entry"),
            &learned.update_size.reshape(1)?,
            &named("nc")?.reshape(1)?,
        )?;
        ensure_close(&format!("step {step}: weights"), &rule.weights()?, &named("w_steps")?)?;
        if step == 0 {
            ensure_close("currents", &learned.output.t()?, trace.tensor("currents_step0")?)?;
        }
    }
    Ok(())
}

fn replay_comp_spec(trace: &Trace, mnist: &Dataset, device: &Device) -> Result<()> {
    let (w_init, s_init) = (trace.tensor("w_init")?, trace.tensor("s_init")?);
    // The notebook counts k from the winner.
    let charge = (trace.rule == "charged_comp_spec_step").then(|| {
        let (delta, k) = (trace.number("delta")?, trace.number("k")? as usize + 1);
        anyhow::Ok(Charge { delta, k, largest_weight: trace.number("wmax").unwrap_or(10.0) })
    });
    let config = CompSpecConfig {
        units: w_init.dim(0)?,
        learning_rate: trace.number("xi")?,
        specialization_rate: trace.number("phi")?,
        charge: charge.transpose()?,
    };
    let state = State::from([
        ("weights".to_owned(), w_init.to_device(device)?),
        ("specialization".to_owned(), s_init.to_device(device)?),
    ]);
    let mut rule = CompSpec::from_state(config, state)?;
    for step in 0..trace.tensor("batch_index")?.dim(0)? {
        let named = |name: &str| anyhow::Ok(trace.tensor(name)?.get(step)?);
        let inputs = mnist.train.images().index_select(&named("batch_index")?.to_dtype(DType::U32)?, 0)?;
        let learned = rule.learn(&transforms::scale(&inputs, device)?)?;
        ensure_equal(&format!("step {step}: winners"), &learned.winners, &named("winners")?)?;
        if let Some(repelled) = &learned.repelled {
            ensure_equal(&format!("step {step}: repelled"), repelled, &named("repelled")?)?;
        }
        ensure_close(&format!("step {step}: weights"), &rule.weights()?, &named("w_steps")?)?;
        ensure_close(&format!("step {step}: specialization"), &rule.specialization()?, &named("s_steps")?)?;
    }
    Ok(())
}

fn replay_foldiak(trace: &Trace, device: &Device) -> Result<()> {
    let config = FoldiakConfig {
        units: trace.tensor("q_init")?.dim(0)?,
        settling: Settling::Equilibrium {
            slope: trace.number("lam")?,
            time_step: trace.number("dt").unwrap_or(0.1),
            iterations: trace.number("n_iter").unwrap_or(200.0) as usize,
            tolerance: trace.number("tol").unwrap_or(0.0),
        },
        activity: trace.number("p")?,
        inhibition_rate: trace.number("alpha")?,
        learning_rate: trace.number("beta")?,
        threshold_rate: trace.number("gamma")?,
        ..Default::default()
    };
    let mut rule = foldiak(trace, device, config, ["q_init", "wlat_init", "t_init"])?;
    let mut settled = Vec::new();
    for step in 0..trace.tensor("x")?.dim(0)? {
        let named = |name: &str| anyhow::Ok(trace.tensor(name)?.get(step)?);
        let x = named("x")?.to_dtype(DType::F32)?.to_device(device)?.unsqueeze(0)?;
        settled.push(rule.settled(&x)?);
        ensure_equal(&format!("step {step}: z"), &rule.learn(&x)?.output, &named("z")?)?;
        ensure_close(&format!("step {step}: weights"), &rule.weights()?, &named("q_steps")?)?;
        ensure_close(&format!("step {step}: lateral"), &rule.lateral()?, &named("wlat_steps")?)?;
        ensure_close(&format!("step {step}: thresholds"), &rule.thresholds()?, &named("t_steps")?)?;
    }
    ensure_close("settled outputs", &Tensor::cat(&settled, 0)?, trace.tensor("y_settled")?)
}

fn replay_foldiak_notebook(trace: &Trace, device: &Device) -> Result<()> {
    let config = FoldiakConfig {
        units: trace.tensor("w_init")?.dim(0)?,
        activity: trace.number("sp")?,
        inhibition_rate: trace.number("a")?,
        learning_rate: trace.number("b")?,
        threshold_rate: trace.number("g")?,
        ..FoldiakConfig::notebook()
    };
    let mut rule = foldiak(trace, device, config, ["w_init", "c_init", "t_init"])?;
    let mut outputs = Vec::new();
    for step in 0..trace.tensor("patches")?.dim(0)? {
        let named = |name: &str| anyhow::Ok(trace.tensor(name)?.get(step)?);
        let learned = rule.learn(&named("patches")?.to_device(device)?.unsqueeze(0)?)?;
        outputs.push(learned.output);
        ensure_close(&format!("step {step}: weights"), &rule.weights()?, &named("w_steps")?)?;
        ensure_close(&format!("step {step}: lateral"), &rule.lateral()?, &named("c_steps")?)?;
        ensure_close(&format!("step {step}: thresholds"), &rule.thresholds()?, &named("t_steps")?)?;
    }
    ensure_close("outputs", &Tensor::cat(&outputs, 0)?, trace.tensor("y_steps")?)
}

fn foldiak(trace: &Trace, device: &Device, config: FoldiakConfig, init: [&str; 3]) -> Result<Foldiak> {
    let named = ["weights", "lateral", "thresholds"].into_iter().zip(init);
    let tensor = |(name, init): (&str, &str)| Ok((name.to_owned(), trace.tensor(init)?.to_device(device)?));
    Ok(Foldiak::from_state(config, named.map(tensor).collect::<Result<State>>()?)?)
}

fn replay_winner_take_all(trace: &Trace, mnist: &Dataset, device: &Device) -> Result<()> {
    let examples = trace.tensor("wins")?.dim(0)?;
    let seen = mnist.train.first(examples)?;
    let inputs = transforms::scale(seen.images(), device)?;
    let seen = Labelled::new(inputs, seen.labels().to_device(device)?)?;
    let classes = trace.number("n_classes")? as usize;
    let vote = WinnerTakeAll::fit(&trace.tensor("w")?.to_device(device)?, &seen, classes)?;
    ensure_equal("winners", &vote.winners(seen.inputs())?, trace.tensor("wins")?)?;
    let votes: Vec<u32> = vote.votes().concat();
    ensure_equal("votes", &Tensor::new(votes, &Device::Cpu)?, trace.tensor("votes")?)?;
    ensure_close("readout", &vote.readout(trace.number("min_val")?)?.t()?, trace.tensor("readout")?)
}

fn traces(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.retain(|path| path.file_stem().is_some_and(|stem| stem != "edge_cases"));
    paths.sort();
    ensure!(!paths.is_empty(), "{}: no traces", folder.display());
    Ok(paths)
}

#[test]
fn golden_traces_replay_on_every_device() -> Result<()> {
    let elsewhere = std::env::var_os("HEBBIAN_GOLDEN_DIR");
    let folder = elsewhere.clone().map_or_else(|| PathBuf::from("tests/golden"), PathBuf::from);
    let mnist = Dataset::mnist()?;
    let mut failures = Vec::new();
    for path in traces(&folder)? {
        let trace = Trace::open(&path).with_context(|| path.display().to_string())?;
        for device in devices() {
            let place = format!("{} on {:?}", path.display(), device.location());
            match replay(&trace, &mnist, &device) {
                Some(Ok(())) => println!("replayed {place}"),
                Some(Err(error)) => failures.push(format!("{place}: {error:#}")),
                None if elsewhere.is_some() => {
                    failures.push(format!("{place}: rule {} is not built", trace.rule))
                }
                None => println!("skipped {place}: rule {} is not built yet", trace.rule),
            }
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

#[test]
fn golden_krotov_hopfield_leaves_its_weights_alone_on_a_batch_of_zeros() -> Result<()> {
    let trace = Trace::open(Path::new("tests/golden/edge_cases.safetensors"))?;
    let weights = trace.tensor("kh_w")?;
    for (device, p) in devices().into_iter().flat_map(|device| [(device.clone(), 2.0), (device, 3.0)]) {
        let config = KrotovHopfieldConfig { units: weights.dim(0)?, p, k: 2, ..Default::default() };
        let state = State::from([("weights".to_owned(), weights.to_device(&device)?)]);
        let mut rule = KrotovHopfield::from_state(config, state)?;
        let zeros = Tensor::zeros((6, weights.dim(1)?), DType::F32, &device)?;
        let learned = rule.learn(&zeros)?;
        assert_eq!(learned.update_size.to_scalar::<f32>()?, 1e-30);
        assert_eq!(rule.weights()?.to_vec2::<f32>()?, weights.to_vec2::<f32>()?);
    }
    Ok(())
}

/// A batch with a sample equal to a unit's direction, and a blank one.
#[test]
fn golden_comp_spec_gives_a_perfect_match_to_its_unit_and_a_blank_to_the_least_specialized() -> Result<()> {
    let trace = Trace::open(Path::new("tests/golden/edge_cases.safetensors"))?;
    let weights = trace.tensor("cs_w")?;
    for device in devices() {
        let config = CompSpecConfig { units: weights.dim(0)?, ..Default::default() };
        let state = State::from([
            ("weights".to_owned(), weights.to_device(&device)?),
            ("specialization".to_owned(), trace.tensor("cs_s")?.to_device(&device)?),
        ]);
        let mut rule = CompSpec::from_state(config, state)?;
        let images = transforms::scale(&Dataset::mnist()?.train.images().narrow(0, 0, 6)?, &device)?;
        let shown = Tensor::new(&[1f32, 1.0, 0.0, 1.0, 1.0, 1.0], &device)?.unsqueeze(1)?;
        let learned = rule.learn(&images.broadcast_mul(&shown)?)?;
        ensure_equal("winners", &learned.winners, trace.tensor("cs_winners")?)?;
        ensure_close("weights", &rule.weights()?, trace.tensor("cs_w_after")?)?;
        ensure_close("specialization", &rule.specialization()?, trace.tensor("cs_s_after")?)?;
    }
    Ok(())
}
