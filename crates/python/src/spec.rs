//! What a layer is made of: the name and the keywords of its rule, and those of the layers in it.
//!
//! ```text
//! {"rule": "soft-hebb", "keywords": {"units": 96, ...}}
//! {"rule": "convolution", "keywords": {"kernel": 5, "input": [3, 32, 32], ...}, "layers": [{"rule": "soft-hebb", ...}]}
//! {"rule": "stack", "keywords": {"greedy_epochs": []}, "layers": [...]}
//! ```

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;
use hebbian::{
    Composite, Convolution, ConvolutionConfig, Foldiak, ImageSize, LEARNING_RULES, Learning, LearningRule,
    Pooling, Registry, Rule, Stack, WithRule, with_rule,
};
use hebbian_training::Generator;
use serde_json::{Map, Value, json};

use crate::memory::Memory;
use crate::values::config;

/// What the layers of a spec are built with.
pub struct Builder<'b> {
    /// Draws what is random.
    pub generator: Generator,
    /// Where the layers lie.
    pub device: &'b Device,
    /// What the machine has room for.
    pub memory: Memory,
}

/// A layer, and the images that it gives, where it gives images.
struct Built {
    rule: Box<dyn LearningRule>,
    images: Option<ImageSize>,
}

/// The layer that `spec` says, for so many `inputs` per sample.
pub fn build(spec: &Value, inputs: usize, builder: &mut Builder<'_>) -> Result<Box<dyn LearningRule>> {
    Ok(layer(spec, inputs, None, builder)?.rule)
}

/// The name of the rule of `spec`.
pub fn name(spec: &Value) -> Result<&str> {
    spec["rule"].as_str().context("a layer needs a rule")
}

fn layer(spec: &Value, inputs: usize, images: Option<ImageSize>, builder: &mut Builder<'_>) -> Result<Built> {
    let (name, none) = (name(spec)?, Map::new());
    let keywords = spec["keywords"].as_object().unwrap_or(&none);
    let layers = spec["layers"].as_array().map_or(&[][..], Vec::as_slice);
    if LEARNING_RULES.contains(&name) {
        let built = with_rule(name, Create { keywords, inputs, builder });
        return Ok(Built { rule: built.context("a rule")??, images: None });
    }
    let images = size(&keywords.get("input").cloned().unwrap_or_default(), inputs, images)?;
    match (name, layers) {
        (<Stack as Composite>::NAME, layers) => stack(keywords, layers, inputs, images, builder),
        (<Convolution as Composite>::NAME, [filters]) => convolution(keywords, filters, images, builder),
        (_, []) => fixed(name, keywords, images, builder),
        _ => bail!("the layer `{name}` is not made of others like this"),
    }
}

/// Makes a rule of which only the name is known.
struct Create<'c, 'b> {
    keywords: &'c Map<String, Value>,
    inputs: usize,
    builder: &'c mut Builder<'b>,
}

impl WithRule for Create<'_, '_> {
    type Output = Result<Box<dyn LearningRule>>;

    fn with<R: Rule<Config: Clone + Default>>(self) -> Self::Output {
        let Self { keywords, inputs, builder } = self;
        let config: R::Config = config(keywords)?;
        let written = json!(config);
        let units = written["units"].as_u64().context("units")? as usize;
        // The units of this one have weights among themselves too.
        let among = if R::NAME == Foldiak::NAME { units } else { 0 };
        builder.memory.allow(units, inputs.max(among))?;
        Ok(Box::new(R::new(config, inputs, &mut builder.generator, builder.device)?))
    }
}

fn stack(
    keywords: &Map<String, Value>,
    layers: &[Value],
    inputs: usize,
    images: ImageSize,
    builder: &mut Builder<'_>,
) -> Result<Built> {
    ensure!(!layers.is_empty(), "layers = [] is not allowed: at least one layer");
    let (mut rules, mut seen) = (Vec::<Box<dyn LearningRule>>::new(), Some(images));
    for (place, spec) in layers.iter().enumerate() {
        let inputs = rules.last().map_or(inputs, |below| below.units());
        let built = layer(spec, inputs, seen, builder).with_context(|| format!("layer {place}"))?;
        rules.push(built.rule);
        seen = built.images;
    }
    let epochs = keywords.get("greedy_epochs").and_then(Value::as_array).cloned().unwrap_or_default();
    let epochs = epochs.iter().map(|number| number.as_u64().map(|number| number as usize));
    let epochs = epochs.collect::<Option<Vec<usize>>>().context("greedy_epochs: whole numbers only")?;
    let learning = if epochs.is_empty() { Learning::Online } else { Learning::Greedy(epochs) };
    Ok(Built { rule: Box::new(Stack::new(rules, learning)?), images: seen })
}

fn convolution(
    keywords: &Map<String, Value>,
    filters: &Value,
    images: ImageSize,
    builder: &mut Builder<'_>,
) -> Result<Built> {
    let mut written = json!(ConvolutionConfig::new(images, 1));
    for (name, value) in keywords.iter().filter(|(name, _)| *name != "input") {
        ensure!(written.get(name).is_some(), "there is no parameter {name}");
        written[name] = value.clone();
    }
    let config: ConvolutionConfig = serde_json::from_value(written)?;
    let filters = layer(filters, config.patch_values(), None, builder)?.rule;
    let layer = Convolution::new(filters, config)?;
    let output = layer.output();
    builder.memory.allow(output.channels, output.positions())?;
    Ok(Built { rule: Box::new(layer), images: Some(output) })
}

fn fixed(
    name: &str,
    keywords: &Map<String, Value>,
    images: ImageSize,
    builder: &mut Builder<'_>,
) -> Result<Built> {
    let mut written = Value::Object(keywords.clone());
    written["input"] = json!(images);
    let (registry, inputs) = (Registry::builtin(), images.values());
    let rule = registry.create(name, &written, inputs, &mut builder.generator, builder.device)?;
    let images = rule.downcast_ref::<Pooling>().map_or(images, |pooling| pooling.output());
    Ok(Built { rule, images: Some(images) })
}

/// The images that `inputs` values are: as `given`, `(channels, height, width)`, as the layer `below` gives them, square and
/// gray, or a line of single values.
fn size(given: &Value, inputs: usize, below: Option<ImageSize>) -> Result<ImageSize> {
    let size = match (given.as_array().map(Vec::as_slice), below) {
        (Some([channels, height, width]), _) => {
            let number = |value: &Value| value.as_u64().map(|number| number as usize);
            let numbers = number(channels).zip(number(height)).zip(number(width));
            let ((channels, height), width) = numbers.context("input: whole numbers only")?;
            ImageSize::new(channels, height, width)
        }
        (Some(other), _) => bail!("input = {other:?} is not allowed: (channels, height, width)"),
        (None, Some(below)) => below,
        (None, None) => {
            let side = inputs.isqrt();
            let square = side * side == inputs;
            if square { ImageSize::new(1, side, side) } else { ImageSize::new(1, 1, inputs) }
        }
    };
    let ImageSize { channels, height, width } = size;
    ensure!(
        size.values() == inputs,
        "images of {channels} x {height} x {width} have {} values, and samples have {inputs}",
        size.values()
    );
    Ok(size)
}
