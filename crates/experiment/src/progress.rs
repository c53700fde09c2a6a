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
