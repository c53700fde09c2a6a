//! Replays of the golden traces: each file of `tests/golden`, or of the folder that `HEBBIAN_GOLDEN_DIR` names, holds a
//! rule's parameters, its beginning and what a float64 reference made of it, step by step, on real images.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use candle_nn::Module;
use hebbian::golden::{self, ensure_equal};
use hebbian::spatial_pooler::NO_COLUMN;
use hebbian::{
    Charge, CompSpec, CompSpecConfig, Convolution, ConvolutionConfig, Foldiak, FoldiakConfig, ImageSize,
    Invariance, InvarianceConfig, KrotovHopfield, KrotovHopfieldConfig, Learned, Learning, LearningRule,
    MultiWinner, MultiWinnerConfig, Normalization, Padding, PatchNorm, Pool, Pooling, PoolingConfig, Power,
    PowerConfig, RowSize, Rule, Settling, SoftHebb, SoftHebbConfig, SpatialPooler, SpatialPoolerConfig,
    Stack, Standardize, StandardizeConfig, Starved, Triangle, TriangleConfig,
};
use hebbian_classifier::{Labeled, WinnerTakeAll};
use hebbian_datasets::{Dataset, Ribbon, Tapestry, Walk, transforms};
use hebbian_training::{Generator, State};
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
    Ok(golden::ensure_close(what, ours, reference, TOLERANCE)?)
}

/// Replays a trace whose rule is built; `None` where it is not built yet.
fn replay(trace: &Trace, mnist: &Dataset, device: &Device) -> Option<Result<()>> {
    match trace.rule.as_str() {
        "kh_step" => Some(replay_krotov_hopfield(trace, mnist, device)),
        "gen_final_inits" => Some(replay_winner_take_all(trace, mnist, device)),
        "comp_spec_step" | "charged_comp_spec_step" => Some(replay_comp_spec(trace, mnist, device)),
        "sp_step" => Some(replay_spatial_pooler(trace, mnist, device)),
        "mwta_step" => Some(replay_multi_winner(trace, device)),
        "mwta_invariance_step" => Some(replay_invariance(trace, device)),
        "video" => Some(replay_video(trace, mnist)),
        "foldiak1990_step" => Some(replay_foldiak(trace, device)),
        "soft_hebb_step" => Some(replay_soft_hebb(trace, mnist, device)),
        "soft_hebb_conv" | "soft_hebb_stack" => Some(replay_convolutional_soft_hebb(trace, device)),
        "kh_conv_step" => Some(replay_convolutional_krotov_hopfield(trace, device)),
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
        rule.set_rate_scale(rate);
        let learned = rule.learn(&inputs)?;
        let repelled = learned.repelled.as_ref().context("the rule repels")?;
        ensure_equal(&format!("step {step}: winners"), learned.winners()?, &named("winners")?)?;
        ensure_equal(&format!("step {step}: repelled"), repelled, &named("repelled")?)?;
        ensure_close(
            &format!("step {step}: largest entry"),
            &learned.measure("largest_update")?.reshape(1)?,
            &named("nc")?.reshape(1)?,
        )?;
        ensure_close(&format!("step {step}: weights"), &rule.weights()?, &named("w_steps")?)?;
        if step == 0 {
            ensure_close("currents", &learned.output.t()?, trace.tensor("currents_step0")?)?;
        }
    }
    Ok(())
}

/// The config of a layer of `units` with the hyperparameters `hyper`.
fn soft_hebb_config(units: usize, hyper: &Value) -> Result<SoftHebbConfig> {
    let number = |name: &str| hyper[name].as_f64().with_context(|| format!("no number `{name}`"));
    let flag = |name: &str| hyper[name].as_bool();
    let adaptive = flag("adaptive").unwrap_or(true);
    Ok(SoftHebbConfig {
        units,
        inverse_temperature: number("t")?,
        anti_hebbian: flag("anti_hebbian").unwrap_or(true),
        learning_rate: number("lr")?,
        rate_exponent: if adaptive { number("q")? } else { 0.0 },
        rectified: flag("pre_triangle").unwrap_or(false),
        ..Default::default()
    })
}

fn replay_soft_hebb(trace: &Trace, mnist: &Dataset, device: &Device) -> Result<()> {
    let w_init = trace.tensor("w_init")?;
    let state = State::from([("weights".to_owned(), w_init.to_device(device)?)]);
    let mut rule = SoftHebb::from_state(soft_hebb_config(w_init.dim(0)?, &trace.hyper)?, state)?;
    for step in 0..trace.tensor("batch_index")?.dim(0)? {
        let named = |name: &str| anyhow::Ok(trace.tensor(name)?.get(step)?);
        let inputs = mnist.train.images().index_select(&named("batch_index")?.to_dtype(DType::U32)?, 0)?;
        ensure_close(&format!("step {step}: rates"), &rule.rates()?, &named("rates_steps")?)?;
        let learned = rule.learn(&transforms::scale(&inputs, device)?)?;
        ensure_equal(&format!("step {step}: winners"), learned.winners()?, &named("winners")?)?;
        ensure_close(
            &format!("step {step}: largest entry"),
            &learned.measure("largest_update")?.reshape(1)?,
            &named("nc")?.reshape(1)?,
        )?;
        ensure_close(&format!("step {step}: weights"), &rule.weights()?, &named("w_steps")?)?;
        if step == 0 {
            ensure_close("currents", &learned.output, trace.tensor("u_step0")?)?;
        }
    }
    Ok(())
}

/// Images u8 `(images, channels, height, width)` as inputs.
fn scaled(images: &Tensor, device: &Device) -> Result<Tensor> {
    Ok((images.to_device(device)?.to_dtype(DType::F32)? / 255.0)?)
}

/// `["max", kernel, stride, padding]`.
fn pooling(input: ImageSize, spec: &Value) -> Result<Pooling> {
    let number = |at: usize| spec[at].as_u64().map(|number| number as usize).context("a pool's number");
    let kind = if spec[0] == "max" { Pool::Max } else { Pool::Average };
    let (kernel, stride, padding) = (number(1)?, number(2)?, number(3)?);
    Ok(Pooling::of(PoolingConfig { input, kind, kernel, stride, padding })?)
}

/// The layers of a trace, each with its standardization, its triangle and its pool, for images of the size `input`.
fn convolutional_layers(trace: &Trace, mut input: ImageSize, device: &Device) -> Result<Vec<Stack>> {
    let layers = trace.hyper["layers"].as_array().context("layers")?;
    let built = layers.iter().enumerate().map(|(layer, hyper)| {
        let filters = trace.tensor(&format!("w{}_init", layer + 1))?;
        let (units, channels, kernel, _) = filters.dims4()?;
        ensure!(channels == input.channels, "layer {layer} has {channels} channels");
        let state = State::from([("weights".to_owned(), filters.flatten_from(1)?.to_device(device)?)]);
        let rule = SoftHebb::from_state(soft_hebb_config(units, hyper)?, state)?;
        let mut draws = Generator::new(0, "none");
        let standardize = StandardizeConfig { input };
        let standardize = Standardize::new(standardize, input.values(), &mut draws, device)?;
        let convolution = Convolution::new(Box::new(rule), ConvolutionConfig::new(input, kernel))?;
        let power = hyper["power"].as_f64().context("power")?;
        let triangle = Triangle::of(TriangleConfig { input: convolution.output(), power })?;
        let pooling = pooling(convolution.output(), &hyper["pool"])?;
        input = pooling.output();
        let rules: Vec<Box<dyn LearningRule>> =
            vec![Box::new(standardize), Box::new(convolution), Box::new(triangle), Box::new(pooling)];
        Ok(Stack::new(rules, Learning::Online)?)
    });
    built.collect()
}

fn replay_convolutional_soft_hebb(trace: &Trace, device: &Device) -> Result<()> {
    let images = trace.tensor("images")?;
    let [steps, _, channels, height, width] = images.dims()[..] else { bail!("images of five dimensions") };
    let mut layers = convolutional_layers(trace, ImageSize::new(channels, height, width), device)?;
    for step in 0..steps {
        let learning = &trace.hyper["learning"][step];
        let learns = |layer: usize| match learning.as_array() {
            Some(some) => some.iter().any(|one| one.as_u64() == Some(layer as u64)),
            None => true,
        };
        let top = (0..layers.len()).rev().find(|&layer| learns(layer)).context("a layer that learns")?;
        let mut seen = scaled(&images.get(step)?, device)?;
        for (layer, stack) in layers.iter_mut().enumerate().take(top + 1) {
            let number = layer + 1;
            let named = |name: &str| anyhow::Ok(trace.tensor(&format!("{name}{number}_steps"))?.get(step)?);
            seen = if learns(layer) { stack.learn(&seen)?.output } else { stack.forward(&seen)? };
            let state = stack.state()?;
            let of = |what: &str| format!("step {step}, layer {number}: {what}");
            ensure_close(&of("weights"), &state["1.weights"], &named("w")?.flatten_from(1)?)?;
            ensure_close(&of("means"), &state["0.mean"], &named("mean")?)?;
            ensure_close(&of("variances"), &state["0.variance"], &named("var")?)?;
        }
        if step == 0 {
            let expected = trace.tensor("out_first_step")?.flatten_from(1)?;
            ensure_close("the output of the first image", &seen.narrow(0, 0, 1)?, &expected)?;
        }
    }
    let images = scaled(trace.tensor("eval_images")?, device)?;
    let features = layers.iter().try_fold(images, |images, layer| layer.forward(&images))?;
    ensure_close("the output after learning", &features, &trace.tensor("eval_out")?.flatten_from(1)?)
}

fn replay_convolutional_krotov_hopfield(trace: &Trace, device: &Device) -> Result<()> {
    let images = trace.tensor("images")?;
    let [steps, _, channels, height, width] = images.dims()[..] else { bail!("images of five dimensions") };
    let (input, w_init) = (ImageSize::new(channels, height, width), trace.tensor("w_init")?);
    let units = w_init.dim(0)?;
    let config = KrotovHopfieldConfig {
        units,
        p: trace.number("p")?,
        k: trace.number("k")? as usize,
        delta: trace.number("delta")?,
        learning_rate: trace.number("eps")?,
        ..Default::default()
    };
    let place = ConvolutionConfig::new(input, trace.number("kernel")? as usize)
        .with_padding(Padding::None)
        .with_patches(PatchNorm::UnitLength);
    let rule = |weights: Tensor| -> Result<Box<dyn LearningRule>> {
        let state = State::from([("weights".to_owned(), weights.to_device(device)?)]);
        Ok(Box::new(KrotovHopfield::from_state(config.clone(), state)?))
    };
    let strided = place.clone().with_stride(trace.number("stride")? as usize);
    let mut layer = Convolution::new(rule(w_init.clone())?, strided)?;
    for step in 0..steps {
        let named = |name: &str| anyhow::Ok(trace.tensor(name)?.get(step)?);
        let learned = layer.learn(&scaled(&images.get(step)?, device)?)?;
        let winners = (learned.winners()?.to_dtype(DType::F32)? / layer.output().positions() as f64)?;
        let winners = winners.floor()?.to_dtype(DType::U32)?.flatten_all()?;
        ensure_equal(&format!("step {step}: winners"), &winners, &named("winners")?)?;
        ensure_close(
            &format!("step {step}: largest entry"),
            &learned.measure("largest_update")?.reshape(1)?,
            &named("nc")?.reshape(1)?,
        )?;
        ensure_close(&format!("step {step}: weights"), &layer.weights()?, &named("w_steps")?)?;
    }
    // Features come from every place, whatever the stride was.
    let features = Convolution::new(rule(layer.weights()?)?, place)?;
    let power = trace.number("power")?;
    let raised = Power::of(PowerConfig::new(features.output(), power).rectified())?;
    let response = raised.forward(&features.forward(&scaled(trace.tensor("eval_images")?, device)?)?)?;
    let pooled = pooling(features.output(), &trace.hyper["pool"])?.forward(&response)?;
    ensure_close("features", &pooled, &trace.tensor("eval_features")?.flatten_from(1)?)
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
        ensure_equal(&format!("step {step}: winners"), learned.winners()?, &named("winners")?)?;
        if let Some(repelled) = &learned.repelled {
            ensure_equal(&format!("step {step}: repelled"), repelled, &named("repelled")?)?;
        }
        ensure_close(&format!("step {step}: weights"), &rule.weights()?, &named("w_steps")?)?;
        ensure_close(&format!("step {step}: specialization"), &rule.specialization()?, &named("s_steps")?)?;
    }
    Ok(())
}

fn replay_spatial_pooler(trace: &Trace, mnist: &Dataset, device: &Device) -> Result<()> {
    let flag = |name: &str| trace.hyper[name].as_bool().with_context(|| format!("no flag `{name}`"));
    ensure!(flag("learn")? && flag("overlap_masked")?, "a trace that does not learn, or grows synapses");
    let permanences = trace.tensor("perm_init")?;
    let units = permanences.dim(0)?;
    let starved = match flag("overlap_boost")? {
        true => Starved::Lowest { share: trace.number("overlap_frac")? },
        false => Starved::Left,
    };
    let config = SpatialPoolerConfig {
        units,
        sparsity: trace.number("sparsity")?,
        connected: trace.number("threshold")?,
        increment: trace.number("inc")?,
        decrement: trace.number("dec")?,
        min_activation: trace.number("min_activation")?,
        boost_strength: if flag("boosting")? { trace.number("boost_factor")? } else { 0.0 },
        activity_period: trace.number("act_window")?,
        starved,
        overlap_period: trace.number("ovl_window")?,
        ..Default::default()
    };
    let state = State::from([
        ("weights".to_owned(), permanences.to_device(device)?),
        ("pool".to_owned(), trace.tensor("rf")?.to_device(device)?),
        ("activity".to_owned(), Tensor::full(config.sparsity as f32, units, device)?),
        ("overlap".to_owned(), Tensor::ones(units, DType::F32, device)?),
    ]);
    let mut rule = SpatialPooler::from_state(config, state)?;
    let images = trace.tensor("image_index")?.to_dtype(DType::U32)?;
    let images = mnist.train.images().index_select(&images, 0)?;
    let images = transforms::binarize(&images, transforms::Threshold::Mean, device)?;
    for step in 0..images.dim(0)? {
        let image = images.narrow(0, step, 1)?;
        let overlaps = rule.overlaps(&image)?.squeeze(0)?;
        ensure_close(&format!("step {step}: overlaps"), &overlaps, &trace.tensor("overlaps")?.get(step)?)?;
        let winners = rule.learn(&image)?.winners()?.squeeze(0)?.to_vec1::<u32>()?;
        let padded: Vec<i64> =
            trace.tensor("active_sorted_pad_minus1")?.get(step)?.to_dtype(DType::I64)?.to_vec1()?;
        let expected: Vec<u32> = padded.iter().filter_map(|&column| column.try_into().ok()).collect();
        ensure!(
            winners[..expected.len()] == expected[..],
            "step {step}: {winners:?} won, expected {expected:?}"
        );
        ensure!(
            winners[expected.len()..].iter().all(|&column| column == NO_COLUMN),
            "step {step}: {winners:?}"
        );
        let state = rule.state()?;
        let boosts = rule.boosts()?;
        let stored = [
            ("perm_steps", &state["weights"]),
            ("act_steps", &state["activity"]),
            ("ovl_steps", &state["overlap"]),
            ("boost_steps", &boosts),
        ];
        for (name, ours) in stored {
            let Some(reference) = trace.tensors.get(name) else { continue };
            if step < reference.dim(0)? {
                ensure_close(&format!("step {step}: {name}"), ours, &reference.get(step)?)?;
            }
        }
    }
    ensure_close("row sums", &rule.weights()?.sum(1)?, trace.tensor("perm_final_rowsum")?)
}

fn multi_winner(trace: &Trace, device: &Device) -> Result<MultiWinner> {
    let weights = trace.tensor("sw_init")?;
    let config = MultiWinnerConfig {
        units: weights.dim(0)?,
        winners: trace.number("n_w")? as usize,
        learning_rate: trace.number("xi")?,
        floor: trace.number("prec")?,
        clamp: false,
        ..Default::default()
    };
    Ok(MultiWinner::from_state(config, State::from([("weights".to_owned(), weights.to_device(device)?)]))?)
}

fn frame(trace: &Trace, step: usize, device: &Device) -> Result<Tensor> {
    Ok(transforms::scale(&trace.tensor("frames")?.narrow(0, step, 1)?, device)?)
}

fn replay_multi_winner(trace: &Trace, device: &Device) -> Result<()> {
    let mut rule = multi_winner(trace, device)?;
    let weights = trace.tensor("sw_steps")?;
    for step in 0..trace.tensor("frames")?.dim(0)? {
        let frame = frame(trace, step, device)?;
        let place = format!("step {step}");
        if step < trace.tensor("recon_steps")?.dim(0)? {
            let reconstruction = trace.tensor("recon_steps")?.get(step)?;
            ensure_close(
                &format!("{place}: reconstruction"),
                &rule.reconstruct(&frame)?.get(0)?,
                &reconstruction,
            )?;
        }
        let Learned { output, winners, .. } = rule.learn(&frame)?;
        let winners = winners.context("winners")?.get(0)?.to_device(&Device::Cpu)?.sort_last_dim(true)?.0;
        ensure_equal(&format!("{place}: winners"), &winners, &trace.tensor("winners_sorted")?.get(step)?)?;
        ensure_close(&format!("{place}: output"), &output.get(0)?, &trace.tensor("so_steps")?.get(step)?)?;
        if step < weights.dim(0)? {
            ensure_close(&format!("{place}: weights"), &rule.weights()?, &weights.get(step)?)?;
        }
    }
    ensure_close("final weights", &rule.weights()?, trace.tensor("sw_final")?)
}

fn replay_invariance(trace: &Trace, device: &Device) -> Result<()> {
    let mut sparse = multi_winner(trace, device)?;
    let weights = trace.tensor("iw_init")?.to_device(device)?;
    let units = weights.dim(0)?;
    let every = trace.hyper["norm_every"].as_u64().unwrap_or(0) as usize;
    let size = trace.number("norm_const").unwrap_or(1.0);
    let config = InvarianceConfig {
        units,
        average_rate: trace.number("alpha")?,
        on_rate: trace.number("leta")?,
        off_rate: trace.number("seta")?,
        floor: trace.number("prec")?,
        normalization: (every > 0).then_some(Normalization { every, size, of: RowSize::Sum }),
        ..Default::default()
    };
    let state = State::from([
        ("weights".to_owned(), weights),
        ("average".to_owned(), Tensor::zeros(units, DType::F32, device)?),
        ("frame".to_owned(), Tensor::zeros(1, DType::F32, device)?),
    ]);
    let mut rule = Invariance::from_state(config, state)?;
    for step in 0..trace.tensor("frames")?.dim(0)? {
        let below = sparse.learn(&frame(trace, step, device)?)?.output;
        let averages = rule.learn(&below)?.output;
        let named = |name: &str| anyhow::Ok(trace.tensor(name)?.get(step)?);
        ensure_close(&format!("step {step}: output below"), &below.get(0)?, &named("so_steps")?)?;
        ensure_close(&format!("step {step}: averages"), &averages.get(0)?, &named("io_steps")?)?;
        ensure_close(&format!("step {step}: weights"), &rule.weights()?, &named("iw_steps")?)?;
    }
    ensure_close("final weights below", &sparse.weights()?, trace.tensor("sw_final")?)
}

fn replay_video(trace: &Trace, mnist: &Dataset) -> Result<()> {
    let whole = |name: &str| anyhow::Ok(trace.number(name)? as usize);
    let sums = |images: &Tensor, dim: usize| images.to_dtype(DType::F64)?.sum(dim);
    let images = mnist.train.images();

    let tapestry = images.narrow(0, whole("start")?, whole("t_sl")?.pow(2))?;
    let tapestry = Tapestry::new(&tapestry, whole("sl")?)?;
    ensure!(tapestry.torus() == whole("torus")?, "the torus is {}", tapestry.torus());
    ensure_equal("row sums", &sums(tapestry.pixels(), 1)?, trace.tensor("tapestry_row_sums")?)?;
    ensure_equal("column sums", &sums(tapestry.pixels(), 0)?, trace.tensor("tapestry_col_sums")?)?;

    let accelerations = trace.tensor("accels")?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    let walk = Walk::new(accelerations.into_iter().map(|a| [a[0], a[1]]), tapestry.torus());
    let frames = trace.tensor("positions")?.dim(0)?;
    let positions = walk.clone().take(frames).flat_map(|(x, y)| [x as u32, y as u32]);
    ensure_equal("positions", &Tensor::from_iter(positions, &Device::Cpu)?, trace.tensor("positions")?)?;
    let frames = tapestry.frames(walk.take(frames))?;
    ensure_equal("first frames", &frames.narrow(0, 0, 8)?, trace.tensor("frames_first8")?)?;
    ensure_equal("frame sums", &sums(&frames, 1)?, trace.tensor("frame_pixel_sums")?)?;

    let ribbon = Ribbon::new(&images.narrow(0, whole("r_start")?, whole("r_l")?)?)?;
    ensure_equal("ribbon frames", &ribbon.frames(27..30)?, trace.tensor("ribbon_frames_27_29")?)?;
    let frames = ribbon.frames(0..ribbon.len())?;
    Ok(ensure_equal("ribbon frame sums", &sums(&frames, 1)?, trace.tensor("ribbon_frame_pixel_sums")?)?)
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
    let seen = Labeled::new(inputs, seen.labels().expect("labels").to_device(device)?)?;
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
    if devices().len() == 1 {
        println!("skipped golden_traces_replay_on_every_device, but for the CPU: there is no other device");
    }
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
        assert_eq!(learned.measure("largest_update")?.to_scalar::<f32>()?, 1e-30);
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
        ensure_equal("winners", learned.winners()?, trace.tensor("cs_winners")?)?;
        ensure_close("weights", &rule.weights()?, trace.tensor("cs_w_after")?)?;
        ensure_close("specialization", &rule.specialization()?, trace.tensor("cs_s_after")?)?;
    }
    Ok(())
}

/// A frame in the middle of an epoch on which nothing is to be seen.
#[test]
fn golden_invariance_forgets_on_a_blank_frame_that_teaches_the_sparse_layer_nothing() -> Result<()> {
    let trace = Trace::open(Path::new("tests/golden/edge_cases.safetensors"))?;
    let number = |name: &str| trace.hyper["inv"][name].as_f64().context("no number");
    let weights = trace.tensor("inv_iw")?;
    let (units, inputs) = weights.dims2()?;
    for device in devices() {
        let sparse = MultiWinnerConfig { units: inputs, ..Default::default() };
        let mut sparse = MultiWinner::new(sparse, 20, &mut Generator::new(0, "edge case"), &device)?;
        let before = sparse.weights()?.to_vec2::<f32>()?;
        let blank = sparse.learn(&Tensor::zeros((1, 20), DType::F32, &device)?)?.output;
        assert_eq!(blank.to_vec2::<f32>()?, [vec![0.0; inputs]]);
        assert_eq!(sparse.weights()?.to_vec2::<f32>()?, before);

        let config = InvarianceConfig {
            units,
            average_rate: number("alpha")?,
            on_rate: number("leta")?,
            off_rate: number("seta")?,
            normalization: None,
            ..Default::default()
        };
        let state = State::from([
            ("weights".to_owned(), weights.to_device(&device)?),
            ("average".to_owned(), trace.tensor("inv_io")?.to_device(&device)?),
            ("frame".to_owned(), Tensor::zeros(1, DType::F32, &device)?),
        ]);
        let mut rule = Invariance::from_state(config, state)?;
        rule.learn(&blank)?;
        ensure_close("average", &rule.average()?, trace.tensor("inv_io_after")?)?;
        ensure_close("weights", &rule.weights()?, trace.tensor("inv_iw_after")?)?;
        ensure!(rule.forward(&blank)?.sum_all()?.to_scalar::<f32>()? == 0.0, "nothing drives the units");
    }
    Ok(())
}
