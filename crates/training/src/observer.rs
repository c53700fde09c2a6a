//! Those who watch training without taking part.

use candle_core::Result;

/// Whoever wants to know what happened: a progress bar, a log, a film, a checkpoint on disk.
///
/// Any `FnMut(&Event) -> Result<()>` is an observer. An error stops the training.
pub trait Observer<Event> {
    /// Sees one event, in the order in which they happen.
    fn observe(&mut self, event: &Event) -> Result<()>;
}

impl<Event, F: FnMut(&Event) -> Result<()>> Observer<Event> for F {
    fn observe(&mut self, event: &Event) -> Result<()> {
        self(event)
    }
}
