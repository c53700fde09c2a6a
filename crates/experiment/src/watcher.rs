//! Those who watch a rule learn for an experiment, and outlive a kill.

use anyhow::{Result, ensure};
use hebbian::Event;
use hebbian_training::State;
use serde_json::{Map, Value};

/// Whoever adds to the metrics of a rule that learns.
///
/// A run goes on from its last checkpoint, which may lie in the middle of an epoch. What has been added to the epoch's line
/// by then is kept with it. A watcher that remembers something else from step to step gives it as its
/// [`state`](Self::state), and makes its next record the same whether the run was killed in between or not. One that begins
/// with an epoch, as each does after a kill between two, needs no state.
pub trait Watcher<R> {
    /// Sees the rule after each step and each epoch. It may add to the epoch's `line` of the metrics, which goes to disk
    /// with the epoch: what a picture needs of the epochs before a kill belongs there.
    fn observe(&mut self, event: &Event<'_, R>, line: &mut Map<String, Value>) -> Result<()>;

    /// What it must know of the epoch under way to go on, by name. It is asked in the middle of an epoch, and written once a
    /// minute: it should be small.
    fn state(&self) -> Result<State> {
        Ok(State::new())
    }

    /// Takes over what [`state`](Self::state) once gave.
    fn restore(&mut self, state: State) -> Result<()> {
        ensure!(state.is_empty(), "there are notes of a watcher, and this one takes none");
        Ok(())
    }
}

/// One that remembers nothing from step to step.
pub(crate) struct Forgetful<F>(pub F);

impl<R, F> Watcher<R> for Forgetful<F>
where
    F: FnMut(&Event<'_, R>, &mut Map<String, Value>) -> Result<()>,
{
    fn observe(&mut self, event: &Event<'_, R>, line: &mut Map<String, Value>) -> Result<()> {
        (self.0)(event, line)
    }
}
