//! What a person sees while waiting.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Talks to the person at the terminal: a bar for what runs, a line for what is done. Silent under `--quiet`; without a
/// terminal only the lines appear.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    quiet: bool,
}

impl Progress {
    /// `quiet` says nothing at all.
    pub fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// A bar of `length` epochs, `done` of them behind it already.
    pub fn bar(&self, what: &str, length: usize, done: usize) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(
            Some(length as u64),
            if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() },
        );
        let style = ProgressStyle::with_template("{prefix:28} {bar:30} epoch {pos}/{len}, {eta} left  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.to_owned());
        bar.set_position(done as u64);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    }

    /// A line that stays.
    pub fn say(&self, line: impl std::fmt::Display) {
        if !self.quiet {
            eprintln!("{line}");
        }
    }
}

/// Says how far the download of `file` has come, in one line that is written over.
#[cfg(feature = "hub")]
pub(crate) fn download(file: &str, bytes: u64, of: u64) {
    use std::io::IsTerminal;
    use std::sync::atomic::{AtomicU64, Ordering};

    // Where nobody sees the line being written over, one line at the end of each file is enough.
    static SAID: AtomicU64 = AtomicU64::new(u64::MAX);
    let (terminal, whole) = (std::io::stderr().is_terminal(), of > 0 && bytes >= of);
    let tenths = 10 * bytes / of.max(1);
    if whole || (terminal && SAID.swap(tenths, Ordering::Relaxed) != tenths) {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let end = if whole { "\n" } else { "" };
        eprint!("\r{file}: {:.1} of {:.1} MB{end}", megabytes(bytes), megabytes(of));
    }
}
