//! Which device the user wants, as it is typed and kept in settings.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which device the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// A hardware GPU if there is one, else the processor.
    #[default]
    Auto,
    /// The best adapter, even if it is a software one.
    Gpu,
    /// The adapter at this place of [`adapters`](super::adapters), from 0: `gpu:1`.
    Numbered(u32),
    /// The adapter with this address, which says the same in every process and on every boot: `gpu:0000:41:00.0`.
    At(PciAddress),
    /// The processor.
    Cpu,
}

/// Where on the PCI bus a device is, as Linux, SLURM and makers' tools write it: `0000:41:00.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl FromStr for PciAddress {
    type Err = String;

    /// Also without the domain (`41:00.0`), and with one of eight digits, as `nvidia-smi` prints it.
    fn from_str(typed: &str) -> Result<Self, String> {
        let wrong = || format!("{typed} is not a PCI address such as 0000:41:00.0");
        let hex = |digits: &str, most: usize| {
            let is_hex = (1..=most).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
        };
        let (place, function) = typed.rsplit_once('.').ok_or_else(wrong)?;
        let (domain, bus, device) = match place.split(':').collect::<Vec<_>>()[..] {
            [bus, device] => ("0", bus, device),
            [domain, bus, device] => (domain, bus, device),
            _ => return Err(wrong()),
        };
        let byte = |digits| hex(digits, 2).map(|value| value as u8).ok_or_else(wrong);
        let domain = hex(domain, 8).ok_or_else(wrong)?;
        Ok(Self { domain, bus: byte(bus)?, device: byte(device)?, function: byte(function)? })
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, bus, device, function } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function:x}")
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        match typed {
            "auto" => return Ok(Self::Auto),
            "gpu" => return Ok(Self::Gpu),
            "cpu" => return Ok(Self::Cpu),
            _ => {}
        }
        let rule = "it must be auto, cpu, gpu, or one of several GPUs: gpu:1 (by its number, as `doctor` lists them) or \
                    gpu:0000:41:00.0 (by its PCI address)";
        let which = typed.strip_prefix("gpu:").ok_or(rule)?;
        if which.bytes().all(|digit| digit.is_ascii_digit())
            && let Ok(number) = which.parse()
        {
            return Ok(Self::Numbered(number));
        }
        which.parse().map(Self::At).map_err(|_| rule.to_owned())
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Gpu => f.write_str("gpu"),
            Self::Cpu => f.write_str("cpu"),
            Self::Numbered(number) => write!(f, "gpu:{number}"),
            Self::At(address) => write!(f, "gpu:{address}"),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(typed: String) -> Result<Self, String> {
        typed.parse()
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
    fn a_choice_is_read_as_it_is_written() {
        for typed in ["auto", "gpu", "cpu", "gpu:0", "gpu:12", "gpu:0000:41:00.0", "gpu:10de:0a:1f.7"] {
            assert_eq!(typed.parse::<DeviceChoice>().unwrap().to_string(), typed);
        }
        let at: DeviceChoice = "gpu:0000:41:00.0".parse().unwrap();
        for other in ["gpu:41:00.0", "gpu:00000000:41:00.0", "gpu:0:41:0.0"] {
            assert_eq!(other.parse::<DeviceChoice>().unwrap(), at, "{other}");
        }
        assert_eq!(serde_json::to_value(at).unwrap(), "gpu:0000:41:00.0");
        assert_eq!(serde_json::from_value::<DeviceChoice>("gpu:3".into()).unwrap(), DeviceChoice::Numbered(3));
    }

    #[test]
    fn what_is_no_device_is_answered_with_what_it_must_be() {
        let wrong = [
            "",
            "GPU",
            "gpu:",
            "gpu:-1",
            "gpu:+1",
            "gpu:41:00",
            "gpu:0:0:0:0.0",
            "gpu:41:00.",
            "gpu:441:00.0",
            "cuda:0",
            "gpu:41:g0.0",
        ];
        for typed in wrong {
            let said = typed.parse::<DeviceChoice>().unwrap_err();
            assert!(said.contains("gpu:1") && said.contains("cpu"), "{typed}: {said}");
        }
    }
}
