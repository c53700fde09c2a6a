//! The k largest of each row, in rank order, ties to the lowest index.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};

use super::cpu::values;
pub(crate) use cpu::rank_row;

/// The indices `(rows, k)` u32 of the `k` largest values of each row of `(rows, columns)`, the largest first.
///
/// Of equal values the one with the lower index comes first, on every device (candle's own sorts differ in this from
/// device to device). A NaN ranks below every number. `values` must be f32 and `k` 1 to `columns`.
pub fn top_k(values: &Tensor, k: usize) -> Result<Tensor> {
    let (_, columns) = values.dims2()?;
    if k == 0 || k > columns {
        bail!("top_k: k = {k} is not in 1 to {columns}, the number of columns");
    }
    if values.dtype() != DType::F32 {
        bail!("top_k: dtype {:?}; allowed: F32", values.dtype());
    }
    if values.elem_count() == 0 {
        return Tensor::zeros((0, k), DType::U32, values.device());
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
        let ranked = cpu::top_k(values(storage, layout)?, rows, columns, self.0);
        Ok((CpuStorage::U32(ranked), Shape::from((rows, self.0))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        cuda::top_k(storage, layout, self.0)
    }
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

    #[test]
    fn values_of_another_type_are_refused_and_no_row_has_no_rank() -> Result<()> {
        let refused = top_k(&Tensor::zeros((2, 3), DType::F64, &Device::Cpu)?, 1).unwrap_err().to_string();
        assert!(refused.starts_with("top_k: dtype F64; allowed: F32"), "{refused}");
        assert_eq!(top_k(&Tensor::zeros((0, 3), DType::F32, &Device::Cpu)?, 2)?.dims(), [0, 2]);
        Ok(())
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
