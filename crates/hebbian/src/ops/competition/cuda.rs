//! The update of competing units on CUDA, see `kernels/competition.cu`.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{LaunchConfig, PushKernelArg};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, CustomOp3, InplaceOp3, Layout, Result, Shape, Tensor, bail,
};

use super::{Competition, Scale, Strength, Updated};
use crate::ops::cuda;

/// Columns per block.
const TILE: usize = 128;

/// Updates `weights` in place, in three launches: the changes, the largest of their entries, and their addition.
pub(super) fn update(competition: &Competition<'_>, weights: &Tensor) -> Result<Updated> {
    let Competition { attraction, repulsion, scale, .. } = *competition;
    let assignments = Assignments::of(competition)?;
    let changes = weights.apply_op3_no_bwd(
        &competition.inputs.contiguous()?,
        &competition.currents.contiguous()?,
        &Changes { assignments: &assignments, attraction, repulsion },
    )?;
    let largest = changes.apply_op2_no_bwd(competition.before, &Size { columns: weights.dim(1)? })?;
    weights.inplace_op3(&changes, &largest, &Apply { assignments: &assignments, scale })?;
    Ok(Updated { largest, rows: None })
}

/// Which unit each sample attracts and repels.
struct Assignments {
    winners: Tensor,
    repelled: Option<Tensor>,
}

impl Assignments {
    fn of(competition: &Competition<'_>) -> Result<Self> {
        let repelled = competition.repelled.map(Tensor::contiguous).transpose()?;
        Ok(Self { winners: competition.winners.contiguous()?, repelled })
    }

    fn count(&self) -> usize {
        2 * self.winners.elem_count()
    }
}

fn tiles(columns: usize) -> usize {
    columns.div_ceil(TILE)
}

fn grid(assignments: &Assignments, columns: usize) -> LaunchConfig {
    cuda::blocks(assignments.count(), tiles(columns), TILE as u32)
}

/// The name under which candle keeps the compiled kernels.
const MODULE: &str = "hebbian-competition";

/// The changes `(assignments, columns + tiles)`, see `competition_change`.
struct Changes<'a> {
    assignments: &'a Assignments,
    attraction: Strength<'a>,
    repulsion: Strength<'a>,
}

impl CustomOp3 for Changes<'_> {
    fn name(&self) -> &'static str {
        "competition-changes"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("the CPU has a kernel of its own")
    }

    fn cuda_fwd(
        &self,
        weights: &CudaStorage,
        weights_layout: &Layout,
        inputs: &CudaStorage,
        inputs_layout: &Layout,
        currents: &CudaStorage,
        currents_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (units, columns) = weights_layout.shape().dims2()?;
        let device = &weights.device;
        let shape = (self.assignments.count(), columns + tiles(columns));
        let mut changes = device.alloc_zeros::<f32>(shape.0 * shape.1)?;
        let weights = cuda::values::<f32>(weights, weights_layout)?;
        let inputs = cuda::values::<f32>(inputs, inputs_layout)?;
        let currents = cuda::values::<f32>(currents, currents_layout)?;
        let (attraction, each_attraction) = split(self.attraction)?;
        let (repulsion, each_repulsion) = split(self.repulsion)?;
        let winners = cuda::address::<u32>(Some(&self.assignments.winners), device)?;
        let repelled = cuda::address::<u32>(self.assignments.repelled.as_ref(), device)?;
        let (attractions, repulsions) = (
            cuda::address::<f32>(attraction.as_ref(), device)?,
            cuda::address::<f32>(repulsion.as_ref(), device)?,
        );
        let (units, width) = (units as u32, columns as u32);
        let kernel = device.get_or_load_custom_func("competition_change", MODULE, cuda::COMPETITION)?;
        let mut launch = kernel.builder();
        launch.arg(&weights).arg(&inputs).arg(&currents).arg(&winners).arg(&repelled).arg(&attractions);
        launch.arg(&repulsions).arg(&each_attraction).arg(&each_repulsion).arg(&mut changes);
        launch.arg(&units).arg(&width);
        // SAFETY: the arguments are those of the kernel, of the lengths that `Competition::check` asks for. It writes the
        // rows of changes that its grid spans, and passes over numbers that are not below `units`. The tensors behind
        // the addresses live until the launch is queued.
        unsafe { launch.launch(grid(self.assignments, columns)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(changes, device.clone()), Shape::from(shape)))
    }
}

/// What a strength is as two arguments of a kernel, of which it looks at the first if there is one.
fn split(strength: Strength<'_>) -> Result<(Option<Tensor>, f32)> {
    match strength {
        Strength::Each(strength) => Ok((None, strength as f32)),
        Strength::Mean(strengths) => Ok((Some(strengths.contiguous()?), 0.0)),
    }
}

/// The largest entry of the changes, a scalar, see `competition_size`.
struct Size {
    columns: usize,
}

impl CustomOp2 for Size {
    fn name(&self) -> &'static str {
        "competition-size"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("the CPU has a kernel of its own")
    }

    fn cuda_fwd(
        &self,
        changes: &CudaStorage,
        changes_layout: &Layout,
        before: &CudaStorage,
        before_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let device = &changes.device;
        let assignments = changes_layout.dims()[0] as u32;
        let changes = cuda::values::<f32>(changes, changes_layout)?;
        let before = cuda::values::<f32>(before, before_layout)?;
        let mut size = device.alloc_zeros::<f32>(1)?;
        let (columns, tiles) = (self.columns as u32, tiles(self.columns) as u32);
        let kernel = device.get_or_load_custom_func("competition_size", MODULE, cuda::COMPETITION)?;
        let mut launch = kernel.builder();
        launch.arg(&changes).arg(&before).arg(&mut size).arg(&assignments).arg(&columns).arg(&tiles);
        // SAFETY: the arguments are those of the kernel, which writes one number.
        unsafe { launch.launch(cuda::blocks(1, 1, TILE as u32)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(size, device.clone()), Shape::from(())))
    }
}

/// Adds the changes to the weights, see `competition_apply`.
struct Apply<'a> {
    assignments: &'a Assignments,
    scale: Scale,
}

impl InplaceOp3 for Apply<'_> {
    fn name(&self) -> &'static str {
        "competition-apply"
    }

    fn cpu_fwd(
        &self,
        _: &mut CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<()> {
        bail!("the CPU has a kernel of its own")
    }

    fn cuda_fwd(
        &self,
        weights: &mut CudaStorage,
        weights_layout: &Layout,
        changes: &CudaStorage,
        changes_layout: &Layout,
        size: &CudaStorage,
        size_layout: &Layout,
    ) -> Result<()> {
        let (_, columns) = weights_layout.shape().dims2()?;
        let device = weights.device.clone();
        let mut weights = cuda::values_mut::<f32>(weights, weights_layout)?;
        let changes = cuda::values::<f32>(changes, changes_layout)?;
        let size = cuda::values::<f32>(size, size_layout)?;
        let winners = cuda::address::<u32>(Some(&self.assignments.winners), &device)?;
        let repelled = cuda::address::<u32>(self.assignments.repelled.as_ref(), &device)?;
        let rate = match self.scale {
            Scale::AsIs => -1.0,
            Scale::LargestIs(rate) => rate,
        };
        let width = columns as u32;
        let kernel = device.get_or_load_custom_func("competition_apply", MODULE, cuda::COMPETITION)?;
        let mut launch = kernel.builder();
        launch.arg(&mut weights).arg(&changes).arg(&size).arg(&winners).arg(&repelled).arg(&rate).arg(&width);
        // SAFETY: the arguments are those of the kernel, which writes rows of units that the assignments name, if they are
        // below `units`; the tensors behind the addresses live until the launch is queued.
        unsafe { launch.launch(grid(self.assignments, columns)) }.w()?;
        Ok(())
    }
}
