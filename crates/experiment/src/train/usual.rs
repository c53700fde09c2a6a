//! What the built-in rules want where nothing else is said.

use anyhow::Result;
use hebbian::{
    CompSpec, CompSpecConfig, Foldiak, Invariance, KrotovHopfield, MultiWinner, Rule, SpatialPooler,
};
use hebbian_datasets::Dataset;
use serde_json::{Value, json};

use crate::{Rate, comp_spec_rate};

/// Of the `rule` on the dataset `raw`: the rates that follow from the number of steps, and settings.
pub(super) fn usual(rule: &str, raw: &Dataset) -> Result<(&'static [Rate], Vec<(&'static str, Value)>)> {
    let [least, most] = raw.range()?;
    let is_beyond = !raw.is_bytes() && (least < 0.0 || most > 1.0);
    let unit = is_beyond.then(|| ("inputs.prepare", json!("unit")));
    Ok(match rule {
        KrotovHopfield::NAME => (&[Rate { rate: "rule.learning_rate", fit: "fit" }], vec![]),
        SpatialPooler::NAME => (&[], vec![("inputs.prepare", json!("binarize"))]),
        CompSpec::NAME => {
            let rate = comp_spec_rate(raw, "rule.learning_rate", CompSpecConfig::default().learning_rate)?;
            (&[], unit.into_iter().chain(rate).collect())
        }
        Foldiak::NAME | MultiWinner::NAME => (&[], unit.into_iter().collect()),
        Invariance::NAME => {
            let one_pass = [("fit.epochs", json!(1)), ("fit.in_order", json!(true))];
            (&[], unit.into_iter().chain(one_pass).collect())
        }
        _ => (&[], vec![]),
    })
}

/// Whether a readout sees powers of the units' responses rather than what the rule's forward gives.
pub(super) fn is_read_out_by_powers(rule: &str) -> bool {
    [KrotovHopfield::NAME, CompSpec::NAME].contains(&rule)
}
