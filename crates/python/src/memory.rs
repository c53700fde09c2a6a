//! Whether what is asked for has room in memory: an allocation that fails would end the interpreter.

use anyhow::{Result, bail};
use pyo3::prelude::*;

use crate::failure::TooLarge;

/// Bytes of memory that the machine has, where it tells.
#[derive(Clone, Copy, Debug)]
pub struct Memory(u64);

/// Copies of what is allowed that a layer may make: its state, what is derived from it, and what a step needs.
const COPIES: u64 = 4;

impl Memory {
    /// That of this machine.
    pub fn of_machine(py: Python<'_>) -> Self {
        let sysconf =
            |name| -> PyResult<u64> { py.import("os")?.call_method1("sysconf", (name,))?.extract() };
        let size =
            sysconf("SC_PHYS_PAGES").and_then(|pages| Ok(pages.saturating_mul(sysconf("SC_PAGE_SIZE")?)));
        Self(size.unwrap_or(1 << 40))
    }

    /// Refuses a layer, or a batch of one, of `rows` times so many `columns` that has no room.
    pub fn allow(self, rows: usize, columns: usize) -> Result<()> {
        self.has(rows, columns, COPIES)
    }

    /// Refuses an array of `rows` times so many `columns` that has no room.
    pub fn hold(self, rows: usize, columns: usize) -> Result<()> {
        self.has(rows, columns, 1)
    }

    fn has(self, rows: usize, columns: usize, copies: u64) -> Result<()> {
        let values = (rows as u64).saturating_mul(columns as u64);
        let bytes = values.saturating_mul(4 * copies);
        if bytes <= self.0 {
            return Ok(());
        }
        let (needed, has) = (bytes >> 20, self.0 >> 20);
        bail!(TooLarge(format!(
            "{rows} x {columns} numbers need about {needed} MiB to be worked with, and this machine has {has} MiB"
        )))
    }
}
