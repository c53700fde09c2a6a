//! The few tensor operations that candle lacks or does slowly, one file each.
//!
//! Each has two bodies: a graph of candle ops, which runs wherever candle does and says what the operation is, and a
//! CPU kernel. A test holds them equal. Kernels choose their instruction set at run time, and since none of them
//! reorders a sum, they give the same bits whatever the vector width and the number of threads.

mod anti_hebbian;
mod competition;
mod cpu;
mod logistic;
mod overlap_scores;
mod row_norms;
mod settling;
mod signed_power;
mod top_k;

pub use anti_hebbian::{AntiHebbian, Learnt, Rates};
pub use competition::{Competition, Scale, Strength, Updated};
pub use logistic::logistic;
pub(crate) use overlap_scores::LENGTH_FLOOR;
pub use overlap_scores::overlap_scores;
pub use row_norms::{RowNorm, refresh_row_norms, row_norms};
pub use settling::{Layer, Settling, settle};
pub use signed_power::{refresh_signed_power, signed_power};
pub use top_k::top_k;
