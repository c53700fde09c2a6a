//! Rows of a matrix as f32: chosen, widened and masked in one pass.

use std::ops::Range;

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor, bail};
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use crate::dropout::Dropout;

/// Rows of `columns` f32 that fit into `bytes`, and at least one.
pub(crate) fn within(bytes: usize, columns: usize) -> usize {
    (bytes / (size_of::<f32>() * columns.max(1))).max(1)
}

/// Where the numbers of a contiguous tensor lie in its storage.
pub(crate) fn place(layout: &Layout) -> Result<Range<usize>> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("the tensor must be contiguous") };
    Ok(start..end)
}

/// The matrix as f32 where it is f16; any other stays as it is.
pub(crate) fn widened(matrix: &Tensor) -> Result<Tensor> {
    match matrix.dtype() == DType::F16 {
        false => Ok(matrix.clone()),
        true if matrix.device().is_cpu() && matrix.is_contiguous() => {
            let wide = Tensor::zeros(matrix.shape(), DType::F32, matrix.device())?;
            let all: Vec<u32> = (0..matrix.dim(0)? as u32).collect();
            wide.inplace_op2(matrix, &Rows { indices: &all, masks: None })?;
            Ok(wide)
        }
        true => matrix.to_dtype(DType::F32),
    }
}

/// Writes the rows `indices` of a matrix `(rows, columns)`, f32 or f16, into one of f32 `(indices, columns)`, on the CPU.
pub(crate) struct Rows<'a> {
    pub(crate) indices: &'a [u32],
    /// What is left out of them, and the number of the first example in the stream of masks.
    pub(crate) masks: Option<(&'a Dropout, u64)>,
}

/// Numbers per task: small enough to share the work, large enough to be worth handing over.
const CHUNK: usize = 1 << 14;

/// What a matrix is made of.
trait Number: Copy + Sync {
    /// Both are of one length.
    fn widen(from: &[Self], to: &mut [f32]);
}

impl Number for f32 {
    fn widen(from: &[f32], to: &mut [f32]) {
        to.copy_from_slice(from);
    }
}

impl Number for f16 {
    fn widen(from: &[f16], to: &mut [f32]) {
        from.convert_to_f32_slice(to);
    }
}

impl Rows<'_> {
    /// `to` has as many rows of `columns` as there are indices, which are below the number of rows of `from`.
    fn copy<T: Number>(&self, from: &[T], to: &mut [f32], columns: usize) {
        let rows = to.par_chunks_exact_mut(columns).with_min_len(CHUNK.div_ceil(columns));
        rows.zip(self.indices).enumerate().for_each(|(place, (to, &index))| {
            let from = &from[index as usize * columns..][..columns];
            match self.masks {
                None => T::widen(from, to),
                Some((dropout, first)) => dropout.apply(first + place as u64, to, |start, block| {
                    T::widen(&from[start..start + block.len()], block);
                }),
            }
        });
    }
}

impl InplaceOp2 for Rows<'_> {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn cpu_fwd(
        &self,
        to: &mut CpuStorage,
        to_layout: &Layout,
        from: &CpuStorage,
        from_layout: &Layout,
    ) -> Result<()> {
        let (place, from_place) = (place(to_layout)?, place(from_layout)?);
        let ((rows, columns), shape) = (from_layout.shape().dims2()?, to_layout.shape().dims2()?);
        if shape != (self.indices.len(), columns) || self.indices.iter().any(|&index| index as usize >= rows)
        {
            bail!("rows: {} of a matrix ({rows}, {columns}) into {shape:?}", self.indices.len());
        }
        let CpuStorage::F32(to) = to else { bail!("rows: the result must be f32") };
        let to = &mut to[place];
        match from {
            _ if columns == 0 => (),
            CpuStorage::F32(from) => self.copy(&from[from_place], to, columns),
            CpuStorage::F16(from) => self.copy(&from[from_place], to, columns),
            _ => bail!("rows: a matrix must be f32 or f16"),
        }
        Ok(())
    }
}
