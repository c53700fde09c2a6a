//! Devices by their names.

use anyhow::anyhow;
use candle_core::Device;
use hebbian_experiment::DeviceChoice;
use pyo3::PyResult;

use crate::failure::exception;

/// The device called so.
pub fn open(device: &str) -> PyResult<Device> {
    let choice: DeviceChoice = device
        .parse()
        .map_err(|allowed: String| exception(anyhow!("device = {device:?} is not allowed: {allowed}")))?;
    choice
        .open()
        .map_err(|error| exception(anyhow!("{}", format!("{error:#}").replace("--device ", "device "))))
}
