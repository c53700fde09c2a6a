//! The few tensor operations that candle lacks or does slowly, one file each.
//!
//! Each has two bodies: a graph of candle ops, which runs wherever candle does and says what the operation is, and a
//! CPU kernel. A test holds them equal. Where a GPU would be slow with the graph, or wrong, there is a third, a CUDA kernel
//! (`kernels/`, with the feature `cuda`), held equal to the CPU's by the tests that run on every device. Kernels choose their instruction set at run time, and since none of them
//! reorders a sum, they give the same bits whatever the vector width and the number of threads.

mod anti_hebbian;
mod basin;
mod bit_sets;
mod competition;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod currents;
mod exp;
mod fault;
mod frames;
mod invariance_steps;
mod largest;
mod lateral;
mod logistic;
mod multi_winner_steps;
mod overlap_counts;
mod overlap_scores;
mod row_norms;
mod running_average;
mod settling;
mod signed_power;
mod symmetric;
mod top_k;
mod total;

pub use anti_hebbian::{AntiHebbian, Learnt, Rates};
pub(crate) use bit_sets::{BitSets, elements_on, words};
pub use competition::{Competition, Scale, Strength, Updated};
pub(crate) use cpu::{NEGLIGIBLE, sum_of};
pub use currents::Currents;
pub(crate) use exp::exp;
pub(crate) use fault::{no_update, size_or_fault, unless_fault, zero_if_finite};
pub use frames::check_frames;
pub(crate) use frames::lots;
pub use invariance_steps::{InvarianceStepped, InvarianceSteps, RowScale, Workspace};
pub(crate) use largest::{below, largest, smallest};
pub use logistic::logistic;
pub use multi_winner_steps::{MultiWinnerStepped, MultiWinnerSteps, Panels};
pub(crate) use overlap_counts::overlap_counts;
pub(crate) use overlap_scores::LENGTH_FLOOR;
pub use overlap_scores::overlap_scores;
pub use row_norms::{RowNorm, refresh_row_norms, row_norms};
pub use running_average::running_average;
pub(crate) use running_average::running_average_from;
pub use settling::{Layer, Settling, settle};
pub use signed_power::{refresh_signed_power, signed_power};
pub use top_k::top_k;
pub(crate) use total::total;
