//! The k largest of each row, in rank order, ties to the lowest index.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
#[cfg(feature = "cuda")]
use candle_core::{
    CudaStorage,
    cuda_backend::{WrapErr, cudarc::driver::PushKernelArg},
};
use multiversion::multiversion;
use rayon::prelude::*;

use super::cpu;
#[cfg(feature = "cuda")]
use super::cuda;

/// The indices `(rows, k)` u32 of the `k` largest values of each row of `(rows, columns)`, the largest first.
///
/// Of equal values the one with the lower index comes first, on every device (candle's own sorts differ in this from
/// device to device). A NaN ranks below every number.
pub fn top_k(values: &Tensor, k: usize) -> Result<Tensor> {
    let (_, columns) = values.dims2()?;
    if k == 0 || k > columns {
        bail!("top_k: k = {k} is not in 1 to {columns}, the number of columns");
    }
    match values.device().is_metal() {
        false => values.contiguous()?.apply_op1_no_bwd(&TopK(k)),
        true => graph(values, k),
    }
}

/// `k` times: the maximum, the lowest index that has it, and that one taken out.
fn graph(values: &Tensor, k: usize) -> Result<Tensor> {
    let (rows, columns) = values.dims2()?;
    let device = values.device();
    let index = Tensor::arange(0u32, columns as u32, device)?.broadcast_as((rows, columns))?;
    let nowhere = Tensor::full(columns as u32, (rows, columns), device)?;
    let lowest = Tensor::full(f32::NEG_INFINITY, (rows, columns), device)?;
    let is_number = values.eq(values)?;
    let mut rest = is_number.where_cond(values, &lowest)?;
    let mut free = rest.ones_like()?.to_dtype(DType::U8)?;
    let mut ranked = Vec::with_capacity(k);
    for _ in 0..k {
        let is_largest = (rest.broadcast_eq(&rest.max_keepdim(1)?)? * &free)?;
        let first = is_largest.where_cond(&index, &nowhere)?.min_keepdim(1)?;
        let is_first = index.broadcast_eq(&first)?;
        rest = is_first.where_cond(&lowest, &rest)?;
        free = is_first.where_cond(&free.zeros_like()?, &free)?;
        ranked.push(first);
    }
    Tensor::cat(&ranked, 1)
}

struct TopK(usize);

impl CustomOp1 for TopK {
    fn name(&self) -> &'static str {
        "top-k"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let values = cpu::values(storage, layout)?;
        let mut ranked = vec![0; rows * self.0];
        ranked
            .par_chunks_mut(self.0)
            .zip(values.par_chunks(columns))
            .with_min_len(ROWS_A_TASK)
            .for_each(|(ranked, row)| rank_row(row, ranked));
        Ok((CpuStorage::U32(ranked), Shape::from((rows, self.0))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let values = cuda::values::<f32>(storage, layout)?;
        let device = &storage.device;
        let mut ranked = device.alloc_zeros::<u32>(rows * self.0)?;
        let (width, k) = (columns as u32, self.0 as u32);
        let load = |name| device.get_or_load_custom_func(name, "hebbian-top-k", cuda::TOP_K);
        let grid = cuda::blocks(rows, 1, 256);
        if self.0 <= MOST_ROUNDS {
            let kernel = load("top_few")?;
            let mut launch = kernel.builder();
            launch.arg(&values).arg(&mut ranked).arg(&width).arg(&k);
            // SAFETY: the arguments are those of the kernel, which writes `rows * k` indices.
            unsafe { launch.launch(grid) }.w()?;
        } else {
            let kernel = load("top_many")?;
            let mut chosen = device.alloc_zeros::<u64>(rows * self.0)?;
            let mut launch = kernel.builder();
            launch.arg(&values).arg(&mut chosen).arg(&mut ranked).arg(&width).arg(&k);
            // SAFETY: the arguments are those of the kernel, which writes `rows * k` places and as many indices.
            unsafe { launch.launch(grid) }.w()?;
        }
        Ok((CudaStorage::wrap_cuda_slice(ranked, device.clone()), Shape::from((rows, self.0))))
    }
}

/// Up to this rank, a round for each is cheaper on CUDA than bisecting.
#[cfg(feature = "cuda")]
const MOST_ROUNDS: usize = 32;

/// Below this, handing rows to another thread costs more than it saves.
const ROWS_A_TASK: usize = 8;

/// Up to this rank a sorted list of the best so far is cheaper than sorting the row.
const LONGEST_LIST: usize = 64;

/// Fills `ranked` with the indices of the largest values of `row`; up to [`LONGEST_LIST`] of them, nothing is allocated.
pub(crate) fn rank_row(row: &[f32], ranked: &mut [u32]) {
    if ranked.len() <= LONGEST_LIST {
        scan_row(row, ranked);
    } else {
        sort_row(row, ranked);
    }
}

/// Keeps the best so far in order, of the few values that can be among them; equal values come in index order, so a later
/// one never displaces an earlier one.
#[multiversion(targets = "simd")]
fn scan_row(row: &[f32], ranked: &mut [u32]) {
    let least = bound(row, ranked.len());
    let mut best = [f32::NEG_INFINITY; LONGEST_LIST];
    let mut found = 0;
    for (block, values) in row.chunks(BLOCK).enumerate() {
        if all_below(values, least) {
            continue;
        }
        for (part, values) in values.chunks(PART).enumerate() {
            if all_below(values, least) {
                continue;
            }
            for (offset, &value) in values.iter().enumerate() {
                let value = if value.is_nan() { f32::NEG_INFINITY } else { value };
                if value < least || (found == ranked.len() && value <= best[found - 1]) {
                    continue;
                }
                found = (found + 1).min(ranked.len());
                let rank = best[..found - 1].partition_point(|&better| better >= value);
                best.copy_within(rank..found - 1, rank + 1);
                ranked.copy_within(rank..found - 1, rank + 1);
                best[rank] = value;
                ranked[rank] = (block * BLOCK + part * PART + offset) as u32;
            }
        }
    }
}

/// Values that are compared before any of them is looked at.
const BLOCK: usize = 64;
const PART: usize = 16;

/// What the `k` largest values of a row are not below: that is the k-th largest of the maxima of any k or more of its
/// parts. Here a part is each 64th value, so that all maxima come from one pass of vector comparisons.
#[inline(always)]
fn bound(row: &[f32], k: usize) -> f32 {
    let larger = |most: f32, value: f32| if value > most { value } else { most };
    let mut maxima = [f32::NEG_INFINITY; LONGEST_LIST];
    let (chunks, rest) = row.as_chunks::<LONGEST_LIST>();
    for chunk in chunks {
        maxima.iter_mut().zip(chunk).for_each(|(most, &value)| *most = larger(*most, value));
    }
    maxima.iter_mut().zip(rest).for_each(|(most, &value)| *most = larger(*most, value));
    let (_, bound, _) = maxima.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    *bound
}

/// A NaN is not below anything.
#[inline(always)]
fn all_below(values: &[f32], bound: f32) -> bool {
    values.iter().fold(true, |all, &value| all & (value < bound))
}

fn sort_row(row: &[f32], ranked: &mut [u32]) {
    let mut order: Vec<(u32, u32)> =
        row.iter().zip(0..).map(|(&value, index)| (descending(value), index)).collect();
    if ranked.len() < order.len() {
        order.select_nth_unstable(ranked.len() - 1);
        order.truncate(ranked.len());
    }
    order.sort_unstable();
    for (rank, (_, index)) in ranked.iter_mut().zip(order) {
        *rank = index;
    }
}

/// A key that sorts f32 from the largest to the smallest, with -0 equal to 0 and NaN at the end with -infinity.
fn descending(value: f32) -> u32 {
    let value = if value.is_nan() { f32::NEG_INFINITY } else { value + 0.0 };
    let bits = value.to_bits();
    if value.is_sign_negative() { bits } else { !bits & (u32::MAX >> 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    fn ranks(row: &[f32], k: usize) -> Vec<u32> {
        let row = Tensor::from_slice(row, (1, row.len()), &Device::Cpu).unwrap();
        top_k(&row, k).unwrap().to_vec2().unwrap().remove(0)
    }

    #[test]
    fn ties_go_to_the_lowest_index() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0, 3.0], 5), [0, 2, 4, 3, 1]);
        assert_eq!(ranks(&[0.0, -0.0, 0.0], 3), [0, 1, 2]);
    }

    #[test]
    fn long_lists_follow_the_same_order_as_short_ones() {
        let row: Vec<f32> = (0..300).map(|index| ((index * 37) % 50) as f32).collect();
        let all = ranks(&row, 300);
        for k in [1, 63, 64, 65, 299] {
            assert_eq!(ranks(&row, k), all[..k]);
        }
    }

    #[test]
    fn not_a_number_ranks_last() {
        assert_eq!(ranks(&[f32::NAN, 1.0, f32::NEG_INFINITY, 2.0], 4), [3, 1, 0, 2]);
        let row: Vec<f32> = (0..150).map(|at| if at % 3 == 0 { at as f32 } else { f32::NAN }).collect();
        assert_eq!(ranks(&row, 50), Vec::from_iter((0..150).step_by(3).rev()));
        assert_eq!(ranks(&row, 53)[50..], [1, 2, 4]);
    }

    #[test]
    fn a_rank_beyond_the_row_is_refused() {
        let row = Tensor::new(&[[1f32, 2.0]], &Device::Cpu).unwrap();
        assert!(top_k(&row, 0).is_err());
        assert_eq!(
            top_k(&row, 3).unwrap_err().to_string().lines().next(),
            Some("top_k: k = 3 is not in 1 to 2, the number of columns")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn kernel_and_graph_and_a_stable_sort_agree(
            rows in 1usize..12, columns in 1usize..200, k in 1usize..200, levels in 1u32..40, seed in any::<u64>(),
        ) {
            let k = k.min(columns);
            let draws = hebbian_training::Generator::new(seed, "top-k")
                .uniform((rows, columns), 0.0, f64::from(levels), &Device::Cpu).unwrap().floor().unwrap();
            let kernel = top_k(&draws, k).unwrap().to_vec2::<u32>().unwrap();
            prop_assert_eq!(&kernel, &graph(&draws, k).unwrap().to_vec2::<u32>().unwrap());
            for (row, ranked) in draws.to_vec2::<f32>().unwrap().iter().zip(kernel) {
                let mut order: Vec<u32> = (0..columns as u32).collect();
                order.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
                prop_assert_eq!(&order[..k], &ranked);
            }
        }
    }
}
