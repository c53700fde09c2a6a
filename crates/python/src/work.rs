//! Work without the interpreter's lock, on threads of our own, that Ctrl-C can end.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::failure::{exception, fault};

/// How often signals are looked for.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// Whether the work is to end early.
pub struct Stop(AtomicBool);

impl Stop {
    /// An error once somebody has asked for an end.
    pub fn check(&self) -> candle_core::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => candle_core::bail!("interrupted"),
            false => Ok(()),
        }
    }
}

/// Does `work` on so many `threads`, all cores if none are named, while other Python threads run: see [`on_threads`].
pub fn detached<T: Send>(
    py: Python<'_>,
    threads: Option<usize>,
    work: impl FnOnce(&Stop) -> Result<T> + Send,
) -> PyResult<T> {
    py.detach(|| on_threads(threads, work))
}

/// Does `work` on so many `threads`, all cores if none are named. A panic becomes a `RuntimeError`, an interruption what
/// its handler raised. To be called without the interpreter's lock.
///
/// `work` must not wait for a lock that other work may hold: while one of our threads waits for its share of other work, it
/// may take up this. Locks are for the thread that calls.
pub fn on_threads<T: Send>(
    threads: Option<usize>,
    work: impl FnOnce(&Stop) -> Result<T> + Send,
) -> PyResult<T> {
    let pool = pool(threads)?;
    let stop = Stop(AtomicBool::new(false));
    let (mut done, mut raised) = (None, None);
    pool.in_place_scope(|scope| {
        let (end, ended) = channel::<()>();
        let (stop, done) = (&stop, &mut done);
        scope.spawn(move |_| {
            *done = Some(catch_unwind(AssertUnwindSafe(|| work(stop))));
            drop(end);
        });
        while ended.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
            if let Err(signal) = Python::attach(|py| py.check_signals()) {
                stop.0.store(true, Ordering::Relaxed);
                raised = Some(signal);
            }
        }
    });
    match (raised, done) {
        (Some(signal), _) => Err(signal),
        (None, Some(Ok(result))) => result.map_err(exception),
        (None, Some(Err(panic))) => Err(fault(panic)),
        (None, None) => Err(fault(Box::new("the work was not done"))),
    }
}

/// The pools by process and size: threads do not follow into a process that was forked.
type Pools = Mutex<Option<HashMap<(u32, usize), Arc<ThreadPool>>>>;

static POOLS: Pools = Mutex::new(None);

fn pool(threads: Option<usize>) -> PyResult<Arc<ThreadPool>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.unwrap_or(cores).clamp(1, cores);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = pools.get_or_insert_with(HashMap::new);
    let key = (std::process::id(), threads);
    if let Some(pool) = pools.get(&key) {
        return Ok(pool.clone());
    }
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = Arc::new(pool.map_err(|error| exception(error.into()))?);
    pools.insert(key, pool.clone());
    Ok(pool)
}
