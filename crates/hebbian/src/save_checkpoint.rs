//! The observer that keeps a checkpoint on disk up to date.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use candle_core::Result;
use hebbian_training::Observer;

use crate::fit::{Ended, Event, Fit};
use crate::rule::LearningRule;

/// Replaces a checkpoint at the end of each epoch, and within an epoch when the last one is a minute old or as old as
/// [`every`](Self::every) says.
///
/// Put it last among the observers: what the others wrote is then never behind the checkpoint.
///
/// ```
/// # use candle_core::Device;
/// # use hebbian::{Fit, FitConfig, KrotovHopfield, KrotovHopfieldConfig, Registry, Rule, SaveCheckpoint};
/// # use hebbian_training::{Checkpoint, Generator};
/// # let folder = std::env::temp_dir().join(format!("save-checkpoint-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("checkpoint.safetensors");
/// # let inputs = Generator::new(0, "inputs").uniform((500, 16), 0.0, 1.0, &Device::Cpu)?;
/// # let config = KrotovHopfieldConfig { units: 10, k: 2, ..Default::default() };
/// # let mut rule = KrotovHopfield::new(config, 16, &mut Generator::new(0, "weights"), &Device::Cpu)?;
/// let mut save = SaveCheckpoint::new(&path).every_steps(3);
/// Fit::new(FitConfig { epochs: 2, ..Default::default() }, 0)?.run(&mut rule, &inputs, &mut [&mut save])?;
///
/// // Whenever it was killed, the training goes on with this as if it had not been.
/// let checkpoint = Checkpoint::load(&path, &Device::Cpu)?;
/// let (mut fit, mut rule) = Fit::from_checkpoint(&checkpoint, &Registry::builtin())?;
/// fit.run(&mut *rule, &inputs, &mut [&mut save])?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SaveCheckpoint {
    path: PathBuf,
    every: Every,
}

/// How old a checkpoint becomes within an epoch.
#[derive(Clone, Copy, Debug)]
enum Every {
    Steps(usize),
    Time { every: Duration, last: Instant },
}

impl SaveCheckpoint {
    /// The checkpoint at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), every: Every::Steps(0) }.every(Duration::from_secs(60))
    }

    /// Within an epoch, after the first step that ends so long after the last checkpoint; [`Duration::MAX`] for the ends of
    /// epochs alone.
    pub fn every(self, every: Duration) -> Self {
        Self { every: Every::Time { every, last: Instant::now() }, ..self }
    }

    /// Within an epoch, whenever the steps since the training began are a multiple of `steps`; 0 for the ends of epochs
    /// alone.
    pub fn every_steps(self, steps: usize) -> Self {
        Self { every: Every::Steps(steps), ..self }
    }

    fn is_due(&self, fit: &Fit) -> bool {
        match self.every {
            Every::Steps(0) => false,
            Every::Steps(steps) => fit.step().is_multiple_of(steps),
            Every::Time { every, last } => last.elapsed() >= every,
        }
    }
}

impl<R: LearningRule + ?Sized> Observer<Event<'_, R>> for SaveCheckpoint {
    fn observe(&mut self, event: &Event<'_, R>) -> Result<()> {
        if matches!(event.ended, Ended::Step(_)) && !self.is_due(event.fit) {
            return Ok(());
        }
        event.fit.checkpoint(event.rule)?.save(&self.path)?;
        if let Every::Time { last, .. } = &mut self.every {
            *last = Instant::now();
        }
        Ok(())
    }
}
