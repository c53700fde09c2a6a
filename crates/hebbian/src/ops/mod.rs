//! Operations that candle lacks or does slowly, and that two or more rules share.
//!
//! The entry point of each checks its arguments and is a graph of candle ops, which says what the operation is and runs
//! wherever candle does. Beside it lie a CPU kernel and, where a GPU would be slow with the graph, or wrong, a CUDA kernel
//! (`kernels/`, with the feature `cuda`): `mod.rs`, `cpu.rs` and `cuda.rs` of its folder. Tests hold the bodies equal.
//! Kernels choose their instruction set at run time, and since none of them reorders a sum, they give the same bits whatever
//! the vector width and the number of threads.
//!
//! Public is what a rule outside this crate needs. Whatever is given to these functions, they refuse it with an error or
//! compute; no argument leads to a panic, or to memory that is not the arguments' own.

mod batch;
pub(crate) mod blocks;
pub(crate) mod check;
mod competition;
pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod currents;
mod exp;
mod fault;
mod frames;
mod process;
pub(crate) mod product;
mod row_norms;
mod running_average;
mod signed_power;
mod top_k;
mod total;

pub use batch::check_batch;
pub(crate) use batch::{check_batch_of, check_inputs, check_samples, in_portions};
pub use competition::{Competition, Scale, Strength, Updated};
pub(crate) use cpu::{NEGLIGIBLE, has_kernel, sum_of};
pub use currents::Currents;
pub(crate) use exp::exp;
pub(crate) use fault::{no_update, settle_update, size_or_fault, unless_fault, zero_if_finite};
pub(crate) use frames::{check_frames, minibatches, reconstruction_error, relative_error, relative_error_of};
pub use process::prepare_process;
pub(crate) use row_norms::{LENGTH_FLOOR, norm_of_row};
pub use row_norms::{RowNorm, refresh_row_norms, row_norms};
pub use running_average::running_average;
pub(crate) use running_average::running_average_from;
pub(crate) use signed_power::{power_of_planes, refresh_signed_power};
pub(crate) use top_k::rank_row;
pub use top_k::top_k;
pub(crate) use total::total;
