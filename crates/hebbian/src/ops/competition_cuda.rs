//! The update of competing units on CUDA, see `kernels/competition.cu`.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{LaunchConfig, PushKernelArg};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, CustomOp3, InplaceOp3, Layout, Result, Shape, Tensor, bail,
};

use super::super::cuda;
use super::{Competition, Scale, Strength};

/// Columns a block.
const TILE: usize = 128;

/// Which unit each sample attracts and repels.
pub(super) struct Claims {
    winners: Tensor,
    repelled: Option<Tensor>,
}

impl Claims {
    pub(super) fn of(competition: &Competition<'_>) -> Result<Self> {
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

fn grid(claims: &Claims, columns: usize) -> LaunchConfig {
    cuda::blocks(claims.count(), tiles(columns), TILE as u32)
}

/// The name under which candle keeps the compiled kernels.
const MODULE: &str = "hebbian-competition";

/// The changes `(claims, columns + tiles)`, see `competition_change`.
pub(super) struct Changes<'a> {
    pub(super) claims: &'a Claims,
    pub(super) attraction: Strength<'a>,
    pub(super) repulsion: Strength<'a>,
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
        let shape = (self.claims.count(), columns + tiles(columns));
        let mut changes = device.alloc_zeros::<f32>(shape.0 * shape.1)?;
        let weights = cuda::values::<f32>(weights, weights_layout)?;
        let inputs = cuda::values::<f32>(inputs, inputs_layout)?;
        let currents = cuda::values::<f32>(currents, currents_layout)?;
        let (attraction, each_attraction) = split(self.attraction)?;
        let (repulsion, each_repulsion) = split(self.repulsion)?;
        let winners = cuda::address::<u32>(Some(&self.claims.winners))?;
        let repelled = cuda::address::<u32>(self.claims.repelled.as_ref())?;
        let (attractions, repulsions) =
            (cuda::address::<f32>(attraction.as_ref())?, cuda::address::<f32>(repulsion.as_ref())?);
        let (units, width) = (units as u32, columns as u32);
        let kernel = device.get_or_load_custom_func("competition_change", MODULE, cuda::COMPETITION)?;
        let mut launch = kernel.builder();
        launch.arg(&weights).arg(&inputs).arg(&currents).arg(&winners).arg(&repelled).arg(&attractions);
        launch.arg(&repulsions).arg(&each_attraction).arg(&each_repulsion).arg(&mut changes);
        launch.arg(&units).arg(&width);
        // SAFETY: the arguments are those of the kernel, which writes the rows of changes that its grid spans; units
        // are ranks among `units`, and the tensors behind the addresses live until the launch is queued.
        unsafe { launch.launch(grid(self.claims, columns)) }.w()?;
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
pub(super) struct Size {
    pub(super) columns: usize,
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
        let claims = changes_layout.dims()[0] as u32;
        let changes = cuda::values::<f32>(changes, changes_layout)?;
        let before = cuda::values::<f32>(before, before_layout)?;
        let mut size = device.alloc_zeros::<f32>(1)?;
        let (columns, tiles) = (self.columns as u32, tiles(self.columns) as u32);
        let kernel = device.get_or_load_custom_func("competition_size", MODULE, cuda::COMPETITION)?;
        let mut launch = kernel.builder();
        launch.arg(&changes).arg(&before).arg(&mut size).arg(&claims).arg(&columns).arg(&tiles);
        // SAFETY: the arguments are those of the kernel, which writes one number.
        unsafe { launch.launch(cuda::blocks(1, 1, TILE as u32)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(size, device.clone()), Shape::from(())))
    }
}

/// Adds the changes to the weights, see `competition_apply`.
pub(super) struct Apply<'a> {
    pub(super) claims: &'a Claims,
    pub(super) scale: Scale,
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
        let winners = cuda::address::<u32>(Some(&self.claims.winners))?;
        let repelled = cuda::address::<u32>(self.claims.repelled.as_ref())?;
        let rate = match self.scale {
            Scale::AsIs => -1.0,
            Scale::LargestIs(rate) => rate,
        };
        let width = columns as u32;
        let kernel = device.get_or_load_custom_func("competition_apply", MODULE, cuda::COMPETITION)?;
        let mut launch = kernel.builder();
        launch.arg(&mut weights).arg(&changes).arg(&size).arg(&winners).arg(&repelled).arg(&rate).arg(&width);
        // SAFETY: the arguments are those of the kernel, which writes rows of units that the claims name; the tensors
        // behind the addresses live until the launch is queued.
        unsafe { launch.launch(grid(self.claims, columns)) }.w()?;
        Ok(())
    }
}
