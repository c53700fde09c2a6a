//! candle's CPU storage as plain slices.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// The f32 values of a contiguous tensor.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the tensor must be contiguous") };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Whether a kernel of the CPU computes from `inputs`. It has no gradient: inputs that track one take candle's operations.
pub(crate) fn has_kernel(inputs: &Tensor) -> bool {
    inputs.device().is_cpu() && !inputs.track_op()
}

/// What `read` makes of the f32 values of contiguous tensors on the CPU.
pub(crate) fn with_values<T, const N: usize>(
    tensors: [&Tensor; N],
    read: impl FnOnce([&[f32]; N]) -> Result<T>,
) -> Result<T> {
    let stored = tensors.map(Tensor::storage_and_layout);
    let mut all: [&[f32]; N] = [&[]; N];
    for (all, (storage, layout)) in all.iter_mut().zip(&stored) {
        let Storage::Cpu(storage) = &**storage else { bail!("the tensor must be on the CPU") };
        *all = values(storage, layout)?;
    }
    read(all)
}

/// The f32 values of a contiguous tensor, to write to.
pub(crate) fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the tensor must be contiguous") };
    match storage {
        CpuStorage::F32(values) => Ok(&mut values[start..end]),
        _ => bail!("the tensor must be f32"),
    }
}

/// The named `rows` (ascending, distinct) of a row-major `matrix`, each to write to on its own.
pub(crate) fn rows_mut<'a>(matrix: &'a mut [f32], columns: usize, rows: &[u32]) -> Vec<&'a mut [f32]> {
    let mut rest = matrix;
    let mut next = 0;
    let mut taken = Vec::with_capacity(rows.len());
    for &row in rows {
        let (_, from_row) = rest.split_at_mut((row as usize - next) * columns);
        let (this, after) = from_row.split_at_mut(columns);
        taken.push(this);
        rest = after;
        next = row as usize + 1;
    }
    taken
}

/// What falls for ever, a weight or a mean that nothing raises, is 0 from here on: arithmetic with the subnormal numbers that
/// it, or a product with it, would end in takes many times longer, and nothing of a visible size has a bit that depends on it.
pub(crate) const NEGLIGIBLE: f32 = 1e-30;

/// The sum of `term` over `values` in sixteen partial sums, whatever the vector width: the bits do not depend on it.
#[inline(always)]
pub(crate) fn sum_of(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut partial = [0f32; 16];
    let (chunks, rest) = values.as_chunks::<16>();
    for chunk in chunks {
        partial.iter_mut().zip(chunk).for_each(|(sum, &value)| *sum += term(value));
    }
    partial.iter().chain(&[rest.iter().map(|&value| term(value)).sum()]).sum()
}
