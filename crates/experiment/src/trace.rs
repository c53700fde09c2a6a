//! A timeline of the run, for chrome://tracing or Perfetto.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use tracing_chrome::{ChromeLayerBuilder, FlushGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Writes all spans to `path` until the guard is dropped.
pub(crate) fn start(path: Option<&Path>) -> Result<Option<FlushGuard>> {
    let Some(path) = path else { return Ok(None) };
    let file = File::create(path).with_context(|| format!("--trace {}", path.display()))?;
    let (layer, guard) = ChromeLayerBuilder::new().writer(file).include_args(true).build();
    tracing_subscriber::registry().with(layer).try_init().context("--trace")?;
    Ok(Some(guard))
}
