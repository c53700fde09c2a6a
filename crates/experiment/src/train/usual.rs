//! What the built-in rules want where nothing else is said.

use anyhow::Result;
use hebbian::{
    CompSpec, CompSpecConfig, Foldiak, Invariance, KrotovHopfield, MultiWinner, Rule, SpatialPooler,
};
use hebbian_datasets::Dataset;
use serde_json::{Value, json};

use crate::{Rate, comp_spec_rate};

/// What a rule wants of a dataset.
pub(super) struct Usual {
    /// The rates that follow from the number of steps.
    pub(super) rates: &'static [Rate],
    /// Settings, by their paths.
    pub(super) settings: Vec<(&'static str, Value)>,
}

/// What the `rule` wants of the dataset `raw`.
pub(super) fn usual(rule: &str, raw: &Dataset) -> Result<Usual> {
    let [least, most] = raw.range()?;
    let is_beyond = !raw.is_bytes() && (least < 0.0 || most > 1.0);
    let from_0_to_1 = is_beyond.then(|| ("inputs.prepare", json!("unit"))).into_iter();
    let settings = match rule {
        SpatialPooler::NAME => vec![("inputs.prepare", json!("binarize"))],
        CompSpec::NAME => {
            let rate = CompSpecConfig::default().learning_rate;
            from_0_to_1.chain(comp_spec_rate(raw, "rule.learning_rate", rate)?).collect()
        }
        Foldiak::NAME | MultiWinner::NAME => from_0_to_1.collect(),
        Invariance::NAME => {
            from_0_to_1.chain([("fit.epochs", json!(1)), ("fit.in_order", json!(true))]).collect()
        }
        _ => vec![],
    };
    let grows = rule == KrotovHopfield::NAME;
    let rates: &[Rate] = if grows { &[Rate { rate: "rule.learning_rate", fit: "fit" }] } else { &[] };
    Ok(Usual { rates, settings })
}

/// Whether a readout sees powers of the units' responses rather than what the rule's forward gives.
pub(super) fn is_read_out_by_powers(rule: &str) -> bool {
    [KrotovHopfield::NAME, CompSpec::NAME].contains(&rule)
}
