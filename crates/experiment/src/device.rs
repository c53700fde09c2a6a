//! Which device computes.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result};
use candle_core::Device;
use serde::{Serialize, Serializer};

/// What `--device` was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first of CUDA 0, Metal and CPU that opens.
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by its number.
    Cuda(usize),
    /// The Metal device.
    Metal,
}

const ALLOWED: &str = "auto, cpu, cuda, cuda:N, metal";

impl DeviceChoice {
    /// Opens the device. `auto` tries the accelerators by opening them: what was compiled in says nothing about what
    /// the machine has.
    pub fn open(self) -> Result<Device> {
        match self {
            DeviceChoice::Auto => {
                Ok(Device::new_cuda(0).or_else(|_| Device::new_metal(0)).unwrap_or(Device::Cpu))
            }
            DeviceChoice::Cpu => Ok(Device::Cpu),
            DeviceChoice::Cuda(ordinal) => Device::new_cuda(ordinal)
                .with_context(|| refusal(self, "cuda", candle_core::utils::cuda_is_available())),
            DeviceChoice::Metal => Device::new_metal(0)
                .with_context(|| refusal(self, "metal", candle_core::utils::metal_is_available())),
        }
    }
}

fn refusal(choice: DeviceChoice, feature: &str, compiled: bool) -> String {
    match compiled {
        true => format!("--device {choice}: this machine has no such device; allowed: {ALLOWED}"),
        false => format!(
            "--device {choice}: this program was built without it; allowed: auto, cpu, or build with --features {feature}"
        ),
    }
}

/// `cpu`, `cuda:0` or `metal`, as results name it.
pub(crate) fn device_name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".to_owned(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { .. } => "metal".to_owned(),
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("cuda:").map(str::parse)) {
            ("auto", _) => Ok(DeviceChoice::Auto),
            ("cpu", _) => Ok(DeviceChoice::Cpu),
            ("cuda", _) => Ok(DeviceChoice::Cuda(0)),
            ("metal", _) => Ok(DeviceChoice::Metal),
            (_, Some(Ok(ordinal))) => Ok(DeviceChoice::Cuda(ordinal)),
            _ => Err(format!("allowed: {ALLOWED}")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => write!(formatter, "auto"),
            DeviceChoice::Cpu => write!(formatter, "cpu"),
            DeviceChoice::Cuda(ordinal) => write!(formatter, "cuda:{ordinal}"),
            DeviceChoice::Metal => write!(formatter, "metal"),
        }
    }
}

impl Serialize for DeviceChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nonsense_is_refused() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for text in ["", "gpu", "cuda:", "cuda:x", "cpu:0"] {
            assert!(text.parse::<DeviceChoice>().unwrap_err().contains(ALLOWED), "{text}");
        }
    }

    #[test]
    fn auto_always_finds_a_device() {
        DeviceChoice::Auto.open().unwrap();
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_was_not_built_in_is_refused_with_what_to_do() {
        let error = format!("{:#}", DeviceChoice::Cuda(0).open().unwrap_err());
        assert!(error.starts_with("--device cuda:0: this program was built without it"), "{error}");
        assert!(error.contains("--features cuda"), "{error}");
    }
}
