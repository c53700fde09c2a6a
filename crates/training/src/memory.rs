//! Whether something fits into memory, asked before it is allocated.

use std::fmt;
use std::fs;

/// What is so small that nobody asks.
const SMALL: u64 = 64 << 20;

/// More than memory holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TooLarge {
    shape: Vec<usize>,
    /// None where the number is larger than any.
    needed: Option<u64>,
    available: u64,
}

impl From<TooLarge> for candle_core::Error {
    fn from(too_large: TooLarge) -> Self {
        candle_core::Error::wrap(too_large)
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        let needed = match self.needed {
            Some(bytes) => format!("{:.1} GB", gigabytes(bytes)),
            None => "more bytes than can be counted".to_owned(),
        };
        let (shape, available) = (shape.join(" x "), gigabytes(self.available));
        write!(f, "{shape} values need {needed} of memory, and {available:.1} GB are there")
    }
}

/// Checks that an array of this shape, each value of `bytes` bytes, fits into the memory that is there.
///
/// Where the system does not say how much that is, only what can be addressed is refused.
pub fn fits(shape: &[usize], bytes: usize) -> Result<(), TooLarge> {
    let needed = shape.iter().try_fold(bytes as u64, |product, &size| product.checked_mul(size as u64));
    if needed.is_some_and(|needed| needed <= SMALL) {
        return Ok(());
    }
    fits_into(shape, needed, available().unwrap_or(isize::MAX as u64))
}

fn fits_into(shape: &[usize], needed: Option<u64>, available: u64) -> Result<(), TooLarge> {
    match needed {
        Some(needed) if needed <= available => Ok(()),
        needed => Err(TooLarge { shape: shape.to_vec(), needed, available }),
    }
}

/// What Linux says is there, or what the container may have if that is less.
fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let bytes = 1024 * kilobytes.trim().trim_end_matches(" kB").parse::<u64>().ok()?;
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|limit| limit.trim().parse().ok());
    Some(limit.map_or(bytes, |limit: u64| limit.min(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_refused_with_what_it_needs_and_what_is_there() {
        let refused = fits_into(&[1_000_000, 784], Some(3_136_000_000), 2_000_000_000).unwrap_err();
        let text = refused.to_string();
        assert_eq!(text, "1000000 x 784 values need 3.1 GB of memory, and 2.0 GB are there");
        assert_eq!(fits(&[1000, 784], 4), Ok(()));
        let text = fits(&[usize::MAX, 784], 4).unwrap_err().to_string();
        assert!(text.contains("need more bytes than can be counted"), "{text}");
        fits(&[1 << 40, 784], 4).unwrap_err();
    }
}
