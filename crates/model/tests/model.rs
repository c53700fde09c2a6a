//! A model is saved, loaded, completed and made small without a change of what it answers, and no file makes it panic.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::Module;
use hebbian::{
    Fit, FitConfig, KrotovHopfield, KrotovHopfieldConfig, LearningRule, Registry, Rule, SpatialPooler,
    SpatialPoolerConfig,
};
use hebbian_datasets::ImageShape;
use hebbian_datasets::transforms::Threshold;
use hebbian_model::{Encoding, Error, FeatureWeights, Model, Preprocess, Result};
use hebbian_training::{Checkpoint, Generator, State};
use proptest::prelude::*;
use tempfile::TempDir;

const CPU: Device = Device::Cpu;
const INPUTS: usize = 16;
const CLASSES: usize = 3;

fn draws(purpose: &str) -> Generator {
    Generator::new(0, purpose)
}

/// 40 images of u8 pixels.
fn images() -> Result<Tensor> {
    Ok(draws("images").uniform((40, INPUTS), 0.0, 255.0, &CPU)?.to_dtype(DType::U8)?)
}

fn readout(features: usize) -> Result<State> {
    let weight = draws("readout").normal((CLASSES, features), 0.0, 1.0, &CPU)?;
    let bias = draws("bias").normal(CLASSES, 0.0, 1.0, &CPU)?;
    Ok(State::from([("weight".to_owned(), weight), ("bias".to_owned(), bias)]))
}

fn krotov_hopfield() -> Result<KrotovHopfield> {
    let config = KrotovHopfieldConfig { units: 8, k: 2, ..Default::default() };
    Ok(KrotovHopfield::new(config, INPUTS, &mut draws("weights"), &CPU)?)
}

/// A layer of Krotov-Hopfield that is read out through powers.
fn powers(weights: FeatureWeights) -> Result<Model> {
    let inputs = Preprocess::Scale.apply(&images()?, &CPU)?;
    let encoding = Encoding::Power { features: Default::default(), weights };
    let model = Model::new(Box::new(krotov_hopfield()?))?.with_encoding(encoding, &inputs)?;
    model.with_readout(&readout(8)?)
}

/// A pooler that is read out through its codes.
fn codes() -> Result<Model> {
    let config = SpatialPoolerConfig { units: 30, sparsity: 0.1, ..Default::default() };
    let pooler = SpatialPooler::new(config, INPUTS, &mut draws("columns"), &CPU)?;
    let model = Model::new(Box::new(pooler))?.with_preprocess(Preprocess::Binarize(Threshold::Above(127)));
    model.with_readout(&readout(30)?)
}

fn largest_difference(one: &Model, other: &Model) -> Result<f32> {
    let difference = (one.scores(&images()?)? - other.scores(&images()?)?)?.abs()?;
    Ok(difference.flatten_all()?.max(0)?.to_scalar::<f32>()?)
}

fn file() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    (folder, path)
}

fn load(path: &Path) -> Result<Model> {
    Model::load(path, &Registry::builtin(), &CPU)
}

fn bytes(checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    let (_folder, path) = file();
    checkpoint.save(&path)?;
    Ok(std::fs::read(path).unwrap())
}

type Change<'a> = &'a dyn Fn(&mut Checkpoint);

fn refusal<T>(result: Result<T>) -> String {
    result
        .err()
        .map(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
        .unwrap_or_default()
}

#[test]
fn what_is_saved_is_loaded_and_answers_the_same() -> Result<()> {
    let (_folder, path) = file();
    for model in [powers(FeatureWeights::Plain)?, powers(FeatureWeights::Synapses)?, codes()?] {
        model.save(&path)?;
        let loaded = load(&path)?;
        assert_eq!(loaded.rule().name(), model.rule().name());
        assert_eq!(loaded.encoding(), model.encoding());
        assert!(largest_difference(&loaded, &model)? < 1e-4);
        assert_eq!(loaded.predict(&images()?)?, model.predict(&images()?)?);
        assert_eq!(bytes(&loaded.checkpoint()?)?, std::fs::read(&path).unwrap());
    }
    Ok(())
}

#[test]
fn features_are_those_of_the_weights_that_are_named() -> Result<()> {
    let features = |weights| powers(weights)?.transform(&images()?)?.to_vec2::<f32>().map_err(Error::from);
    assert_ne!(features(FeatureWeights::Plain)?, features(FeatureWeights::Synapses)?);
    let rule = krotov_hopfield()?;
    let expected = rule.forward(&Preprocess::Scale.apply(&images()?, &CPU)?)?.to_vec2::<f32>()?;
    assert_eq!(Model::new(Box::new(rule))?.transform(&images()?)?.to_vec2::<f32>()?, expected);
    Ok(())
}

#[test]
fn a_class_is_the_one_of_the_largest_score_the_lowest_of_equals() -> Result<()> {
    let model = powers(FeatureWeights::Plain)?;
    let scores = model.scores(&images()?)?.to_vec2::<f32>()?;
    let probabilities = model.probabilities(&images()?)?.to_vec2::<f32>()?;
    for ((class, scores), probabilities) in
        model.predict(&images()?)?.into_iter().zip(scores).zip(probabilities)
    {
        assert!(scores.iter().all(|&score| score <= scores[class as usize]));
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let mut zeros = readout(8)?;
    zeros.values_mut().try_for_each(|tensor| tensor.zeros_like().map(|zeros| *tensor = zeros))?;
    assert_eq!(model.with_readout(&zeros)?.predict(&images()?)?, [0; 40]);
    Ok(())
}

#[test]
fn made_small_a_model_answers_alike_and_made_small_twice_the_same() -> Result<()> {
    for (model, bits) in [(powers(FeatureWeights::Plain)?, false), (codes()?, true)] {
        let (_folder, path) = file();
        let small = model.shrunk()?;
        assert_eq!(small.metadata.bits.contains_key("rule.weights"), bits);
        assert!(!small.tensors.contains_key("rule.pool"));
        assert_eq!(small.tensors["readout.weight"].dtype(), DType::F16);
        small.save(&path)?;
        let loaded = load(&path)?;
        assert!(largest_difference(&loaded, &model)? < 0.05);
        assert_eq!(bytes(&loaded.shrunk()?)?, bytes(&small)?);
    }
    Ok(())
}

#[test]
fn a_value_too_large_for_a_half_float_keeps_its_matrix_whole() -> Result<()> {
    let mut large = readout(8)?;
    large.insert("weight".to_owned(), Tensor::full(1e6f32, (CLASSES, 8), &CPU)?);
    let small = powers(FeatureWeights::Plain)?.with_readout(&large)?.shrunk()?;
    assert_eq!(small.tensors["readout.weight"].dtype(), DType::F32);
    assert_eq!(small.tensors["rule.weights"].dtype(), DType::F16);
    Ok(())
}

#[test]
fn without_a_readout_nothing_is_lost_and_no_class_is_known() -> Result<()> {
    let model = Model::new(Box::new(krotov_hopfield()?))?;
    assert_eq!(bytes(&model.shrunk()?)?, bytes(&model.checkpoint()?)?);
    assert_eq!(model.classes()?, None);
    assert!(matches!(model.predict(&images()?), Err(Error::NoReadout)));
    Ok(())
}

/// Trains to the end, and saves a model when `is_the_moment`, from which the training goes on to the same bits.
fn check_that_a_training_goes_on(
    is_the_moment: impl Fn(&hebbian::Event<'_, KrotovHopfield>) -> bool,
    stands_at: (usize, usize),
) -> Result<()> {
    let (_folder, path) = file();
    let config = FitConfig { epochs: 4, batch_size: 10, ..Default::default() };
    let inputs = Preprocess::Scale.apply(&images()?, &CPU)?;
    let mut whole = krotov_hopfield()?;
    let mut saved = false;
    let mut save = |event: &hebbian::Event<'_, KrotovHopfield>| -> candle_core::Result<()> {
        if is_the_moment(event) && !std::mem::replace(&mut saved, true) {
            let copy = KrotovHopfield::from_state(
                KrotovHopfieldConfig { units: 8, k: 2, ..Default::default() },
                event.rule.state()?,
            )?;
            let training = event.fit.training()?;
            let model = Model::new(Box::new(copy)).map(|model| model.with_training(training));
            model.and_then(|model| model.with_readout(&readout(8)?)?.save(&path)).unwrap();
            // What is loaded and saved again loses nothing of it.
            load(&path).unwrap().save(&path).unwrap();
        }
        Ok(())
    };
    Fit::new(config.clone(), 3)?.run(&mut whole, &inputs, &mut [&mut save])?;
    let mut resumed = krotov_hopfield()?;
    let mut fit = Fit::resume(config, 3, &mut resumed, &Checkpoint::load(&path, &CPU)?)?;
    assert_eq!((fit.epoch(), fit.epoch_step()), stands_at);
    fit.run(&mut resumed, &inputs, &mut [])?;
    assert_eq!(resumed.weights()?.to_vec2::<f32>()?, whole.weights()?.to_vec2::<f32>()?);
    Ok(())
}

#[test]
fn a_training_goes_on_from_a_models_file_to_the_same_bits() -> Result<()> {
    check_that_a_training_goes_on(|event| event.epoch_report().is_some(), (1, 0))?;
    check_that_a_training_goes_on(|event| event.fit.epoch() == 1 && event.fit.epoch_step() == 1, (1, 1))
}

#[test]
fn what_a_training_left_is_the_model_of_its_rule() -> Result<()> {
    let (_folder, path) = file();
    let rule = krotov_hopfield()?;
    Fit::new(FitConfig::default(), 0)?.checkpoint(&rule)?.save(&path)?;
    let model = load(&path)?;
    assert_eq!(model.image(), Some(ImageShape { height: 4, width: 4, channels: 1 }));
    assert_eq!(model.training().map(|training| training.epoch), Some(0));
    Ok(())
}

#[test]
fn classes_have_their_names_or_their_numbers() -> Result<()> {
    let (_folder, path) = file();
    let names = || ["shirt", "shoe", "bag"].map(str::to_owned).to_vec();
    powers(FeatureWeights::Plain)?.with_class_names(names())?.save(&path)?;
    assert_eq!(load(&path)?.class_name(1), "shoe");
    assert_eq!(powers(FeatureWeights::Plain)?.class_name(1), "1");
    let refused = refusal(powers(FeatureWeights::Plain)?.with_class_names(names()[..2].to_vec()));
    assert_eq!(refused, "2 names for 3 classes");
    Ok(())
}

#[test]
fn parts_that_do_not_fit_are_refused_with_both_sizes() -> Result<()> {
    let model = || Model::new(Box::new(krotov_hopfield()?));
    let cases = [
        (refusal(model()?.with_readout(&readout(9)?)), "the readout takes 9 features, but there are 8"),
        (
            refusal(model()?.with_image(ImageShape { height: 3, width: 5, channels: 1 })),
            "the layer takes 16 inputs, but its images have 3 x 5 pixels of 1 values",
        ),
    ];
    for (refused, expected) in cases {
        assert_eq!(refused, expected);
    }
    Ok(())
}

#[test]
fn inputs_that_are_prepared_are_taken_as_they_are() -> Result<()> {
    let inputs = draws("inputs").normal((5, INPUTS), 0.0, 1.0, &CPU)?;
    let rule = krotov_hopfield()?;
    let expected = rule.forward(&inputs)?.to_vec2::<f32>()?;
    let model = Model::new(Box::new(rule))?.with_preprocess(Preprocess::None).with_readout(&readout(8)?)?;
    assert_eq!(model.transform(&inputs)?.to_vec2::<f32>()?, expected);
    assert_eq!(model.predict(&inputs)?.len(), 5);
    Ok(())
}

#[test]
fn a_file_that_holds_no_such_model_is_refused_by_its_name_and_the_reason() -> Result<()> {
    let (_folder, path) = file();
    let whole = powers(FeatureWeights::Plain)?.checkpoint()?;
    let with = |change: &dyn Fn(&mut Checkpoint)| {
        let mut changed = whole.clone();
        change(&mut changed);
        changed.save(&path)?;
        load(&path).map(|_| ())
    };
    let model = |key: &str, value: serde_json::Value| {
        let key = key.to_owned();
        move |changed: &mut Checkpoint| {
            let model = changed.metadata.model.get_or_insert_default();
            model[key.as_str()] = value.clone();
        }
    };
    let cases: [(Change<'_>, &str); 6] = [
        (&model("colour", 3.into()), "the checkpoint's model: unknown field `colour`"),
        (&model("image", vec![5, 5, 1].into()), "the layer takes 16 inputs, but its images have 5 x 5"),
        (&model("encoding", "code".into()), "the checkpoint's model: unknown variant `code`"),
        (&|changed| changed.metadata.rule = "hopfield".to_owned(), "rule `hopfield` is unknown; known: "),
        (&|changed| drop(changed.tensors.remove("feature.scale")), "there is no `feature.scale`"),
        (&|changed| drop(changed.tensors.remove("readout.weight")), "readout: tensor `weight` is missing"),
    ];
    for (change, expected) in cases {
        let message = refusal(with(change));
        assert!(message.starts_with(&format!("{}: {expected}", path.display())), "{message}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_byte_makes_loading_or_asking_panic(
        pooler in any::<bool>(),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let whole = if pooler { codes() } else { powers(FeatureWeights::Synapses) }.unwrap();
        let mut changed = bytes(&whole.shrunk().unwrap()).unwrap();
        let position = position.index(changed.len());
        changed[position] = byte;
        let (_folder, path) = file();
        std::fs::write(&path, changed).unwrap();
        if let Ok(model) = load(&path) {
            let _ = model.predict(&images().unwrap());
        }
    }

    #[test]
    fn no_description_makes_loading_or_asking_panic(
        key in prop::sample::select(vec!["preprocess", "encoding", "image", "class_names"]),
        value in prop::sample::select(vec![
            serde_json::json!(null), serde_json::json!("none"), serde_json::json!("layer"), serde_json::json!([]),
            serde_json::json!([4, 4, 1]), serde_json::json!([0, 0, 0]), serde_json::json!([1, 16, 1]),
            serde_json::json!({"binarize": "mean"}), serde_json::json!({"binarize": 3}),
            serde_json::json!({"power": {}}), serde_json::json!(["a"]), serde_json::json!(["a", "b", "c"]),
            serde_json::json!({"power": {"features": {"power": -1.0}, "weights": "plain"}}),
            serde_json::json!({"power": {"features": {"power": 1e308}, "weights": "synapses"}}),
        ]),
    ) {
        let mut changed = powers(FeatureWeights::Plain).unwrap().checkpoint().unwrap();
        changed.metadata.model.get_or_insert_default()[key] = value;
        if let Ok(model) = Model::from_checkpoint(&changed, &Registry::builtin()) {
            let _ = model.predict(&images().unwrap());
        }
    }
}
