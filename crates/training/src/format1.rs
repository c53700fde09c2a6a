//! Checkpoints of format 1, as they were written until November 2026, become such of today.
//!
//! Format 1 had the fields of `training` beside the rule's, and `features` and `image` for what is now `model`. `features`
//! was an object of one of two kinds, told apart by its keys: `binarise`, the threshold of pixels, or `power`,
//! `subtract_mean`, `scale` and, where it was not `plain`, `weights`. The tensors were called as they are today.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::checkpoint::{Metadata, Training};
use crate::{FORMAT, GeneratorState};

#[derive(Deserialize)]
struct Format1 {
    rule: String,
    config: Value,
    fit: Value,
    epoch: usize,
    step: usize,
    generator: GeneratorState,
    features: Option<Features>,
    image: Option<[usize; 3]>,
    #[serde(default)]
    bits: std::collections::BTreeMap<String, usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Features {
    Binarized {
        #[serde(alias = "binarise")]
        binarize: Value,
    },
    Power {
        #[serde(default = "plain")]
        weights: Value,
        #[serde(flatten)]
        features: serde_json::Map<String, Value>,
    },
}

fn plain() -> Value {
    json!("plain")
}

/// The metadata of format 1 in the form of today.
pub(crate) fn upgraded(metadata: Value) -> serde_json::Result<Metadata> {
    let Format1 { rule, config, fit, epoch, step, generator, features, image, bits } =
        Format1::deserialize(metadata)?;
    let mut model = serde_json::Map::new();
    if let Some(image) = image {
        model.insert("image".to_owned(), json!(image));
    }
    match features {
        None => {}
        Some(Features::Binarized { binarize }) => {
            model.insert("preprocess".to_owned(), json!({"binarize": binarize}));
        }
        Some(Features::Power { weights, features }) => {
            model.insert("encoding".to_owned(), json!({"power": {"features": features, "weights": weights}}));
        }
    }
    let model = (!model.is_empty()).then_some(Value::Object(model));
    let training = Some(Training { fit, epoch, step, generator, under_way: None, run: None });
    Ok(Metadata { format: FORMAT, rule, config, training, bits, model, notes: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgraded_with(key: &str, value: Value) -> Metadata {
        let mut old = json!({
            "format": 1, "rule": "krotov-hopfield", "config": {"p": 3.0}, "fit": {"epochs": 20}, "epoch": 2,
            "step": 1200, "generator": {"seed": 3, "stream": 7, "position": 11},
        });
        old[key] = value;
        upgraded(old).unwrap()
    }

    #[test]
    fn what_a_training_needs_is_kept_under_training() {
        let metadata = upgraded_with("bits", json!({"rule.weights": 784}));
        assert_eq!((metadata.format, metadata.rule.as_str()), (FORMAT, "krotov-hopfield"));
        let training = metadata.training.unwrap();
        assert_eq!((training.epoch, training.step, training.generator.seed), (2, 1200, 3));
        assert_eq!(metadata.bits["rule.weights"], 784);
        assert_eq!(metadata.model, None);
    }

    #[test]
    fn what_images_became_is_kept_under_model() {
        let model = |key: &str, value: Value| upgraded_with(key, value).model.unwrap();
        assert_eq!(model("image", json!([28, 20, 3])), json!({"image": [28, 20, 3]}));
        for as_written in ["binarise", "binarize"] {
            let binarized = model("features", json!({as_written: "above:30"}));
            assert_eq!(binarized, json!({"preprocess": {"binarize": "above:30"}}));
        }
        let power = json!({"power": 4.5, "subtract_mean": false, "scale": "rms"});
        let expected =
            |weights: &str| json!({"encoding": {"power": {"features": power, "weights": weights}}});
        assert_eq!(model("features", power.clone()), expected("plain"));
        let mut synapses = power.clone();
        synapses["weights"] = json!("synapses");
        assert_eq!(model("features", synapses), expected("synapses"));
    }
}
