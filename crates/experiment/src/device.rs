//! Which device computes.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use candle_core::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `--device` was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(!try_from, !into, with = "String", inline, extend("x-allowed" = ALLOWED))]
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
        self.open_with_reason().map(|(device, _)| device)
    }

    /// Opens the device, and says what led to it if that was left to the program.
    pub(crate) fn open_with_reason(self) -> Result<(Device, Option<String>)> {
        if self != DeviceChoice::Auto {
            return match self.try_open() {
                Ok(device) => Ok((device, None)),
                Err(reason) => bail!("--device {self}: {reason}"),
            };
        }
        let mut passed_over = Vec::new();
        for choice in [DeviceChoice::Cuda(0), DeviceChoice::Metal] {
            match choice.try_open() {
                Ok(device) => {
                    passed_over.push("it opened".to_owned());
                    return Ok((device, Some(passed_over.join("; "))));
                }
                Err(reason) => passed_over.push(format!("no {choice}, {reason}")),
            }
        }
        Ok((Device::Cpu, Some(passed_over.join("; "))))
    }

    /// The device, or in one line why there is none.
    fn try_open(self) -> Result<Device, String> {
        let (device, feature, compiled) = match self {
            DeviceChoice::Auto | DeviceChoice::Cpu => return Ok(Device::Cpu),
            DeviceChoice::Cuda(ordinal) => {
                (Device::new_cuda(ordinal), "cuda", candle_core::utils::cuda_is_available())
            }
            DeviceChoice::Metal => (Device::new_metal(0), "metal", candle_core::utils::metal_is_available()),
        };
        if !compiled {
            return Err(format!("this program was built without it (--features {feature})"));
        }
        device.map_err(|error| {
            let error = error.to_string();
            format!("this machine has no such device: {}", error.lines().next().unwrap_or_default().trim())
        })
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

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
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
    fn auto_always_finds_a_device_and_says_why() {
        let (device, reason) = DeviceChoice::Auto.open_with_reason().unwrap();
        let reason = reason.unwrap();
        assert_eq!(
            device.is_cpu(),
            reason.contains("no cuda:0, this ") && reason.contains("no metal, this ")
        );
        assert_eq!(reason.lines().count(), 1, "{reason}");
    }

    #[test]
    fn a_device_that_was_asked_for_needs_no_reason() {
        assert_eq!(DeviceChoice::Cpu.open_with_reason().unwrap().1, None);
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_was_not_built_in_is_refused_with_what_to_do() {
        let error = format!("{:#}", DeviceChoice::Cuda(0).open().unwrap_err());
        assert_eq!(error, "--device cuda:0: this program was built without it (--features cuda)");
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn a_device_that_the_machine_does_not_have_is_refused_in_one_line() {
        let error = format!("{:#}", DeviceChoice::Cuda(999).open().unwrap_err());
        assert!(error.starts_with("--device cuda:999: this machine has no such device: "), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
