//! The few tensor operations that candle lacks or does slowly, one file each.
//!
//! Each has two bodies: a graph of candle ops, which runs wherever candle does and says what the operation is, and a
//! CPU kernel. A test holds them equal. Where a GPU would be slow with the graph, or wrong, there is a third, a CUDA kernel
//! (`kernels/`, with the feature `cuda`), held equal to the CPU's by the tests that run on every device. Kernels choose their instruction set at run time, and since none of them
//! reorders a sum, they give the same bits whatever the vector width and the number of threads.

mod competition;
pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod currents;
mod fault;
mod frames;
mod row_norms;
mod running_average;
mod signed_power;
mod top_k;
mod total;

pub use crate::rules::comp_spec::overlap_scores;
pub use crate::rules::foldiak::{Layer, settle};
pub use competition::{Competition, Scale, Strength, Updated};
pub(crate) use cpu::{NEGLIGIBLE, sum_of};
pub use currents::Currents;
pub(crate) use fault::{no_update, settle_update, size_or_fault, unless_fault, zero_if_finite};
pub(crate) use frames::{check_frames, lots, relative_error, relative_error_of};
pub(crate) use row_norms::LENGTH_FLOOR;
pub use row_norms::{RowNorm, refresh_row_norms, row_norms};
pub use running_average::running_average;
pub(crate) use running_average::running_average_from;
pub use signed_power::{refresh_signed_power, signed_power};
pub(crate) use top_k::rank_row;
pub use top_k::top_k;
pub(crate) use total::total;
