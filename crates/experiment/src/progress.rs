//! What a person sees while waiting.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hebbian::Report;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::say::tell;

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
        self.styled("{prefix:28} {bar:30} epoch {pos}/{len}, {eta} left  {msg}", what, (length, done), "")
    }

    /// What is seen of a rule that learns for so many steps and epochs, `done` of the steps behind it already.
    pub fn learning(&self, what: &str, (steps, epochs): (usize, usize), done: usize) -> LearningBar {
        let epoch = format!("epoch {}/{epochs}", done * epochs / steps.max(1));
        let bar = self.styled("{prefix:28} {bar:30} {eta} left  {msg}", what, (steps, done), &epoch);
        let said = (!self.quiet && !std::io::stderr().is_terminal()).then(Instant::now);
        LearningBar { bar, what: what.to_owned(), epochs, said }
    }

    fn styled(
        &self,
        template: &str,
        what: &str,
        (length, done): (usize, usize),
        message: &str,
    ) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(
            Some(length as u64),
            if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() },
        );
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.to_owned());
        bar.set_message(message.to_owned());
        bar.set_position(done as u64);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    }

    /// A line that stays.
    pub fn say(&self, line: impl std::fmt::Display) {
        if !self.quiet {
            tell(line);
        }
    }
}

/// The progress of a rule: the time that is left, its rate, how many units win and how large the updates are. Where nobody
/// sees a bar move, a line now and then.
#[derive(Debug)]
pub struct LearningBar {
    bar: ProgressBar,
    what: String,
    epochs: usize,
    /// When the last line was said, if lines are.
    said: Option<Instant>,
}

/// Between two lines.
const NOW_AND_THEN: Duration = Duration::from_secs(60);

impl LearningBar {
    /// One more step is done.
    pub fn step(&self) {
        self.bar.inc(1);
    }

    /// An epoch is done, at the rate `rate` for a rule that has one.
    pub fn epoch(&mut self, epoch: usize, rate: Option<f64>, report: &Report) {
        let message = describe((epoch, self.epochs), rate, report);
        if let Some(said) = self.said.as_mut().filter(|said| said.elapsed() >= NOW_AND_THEN) {
            *said = Instant::now();
            tell(format_args!("{}: {} left, {message}", self.what, HumanDuration(self.bar.eta())));
        }
        self.bar.set_message(message);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn describe((epoch, epochs): (usize, usize), rate: Option<f64>, report: &Report) -> String {
    let rate = rate.map(|rate| format!(", rate {rate:.2e}"));
    let won = report.share_that_won().map(|share| format!(", {:.1} % of units won", 100.0 * share));
    let measure = report.measures.first();
    let measure =
        measure.map(|(name, measured)| format!(", {} {:.3e}", name.replace('_', " "), measured.mean));
    let parts: String = [rate, won, measure].into_iter().flatten().collect();
    format!("epoch {epoch}/{epochs}{parts}")
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
        let line = format!("\r{file}: {:.1} of {:.1} MB{end}", megabytes(bytes), megabytes(of));
        // Where it cannot be said, the download goes on.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    }
}

/// The bar of the files that are being read. A watcher is a function, so the bar has to outlive its calls.
static READING: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Shows how many files of a dataset have been read, where somebody sees it, until [`reading_ends`].
pub(crate) fn reading(what: &str, done: u64, of: u64) {
    let Ok(mut bar) = READING.lock() else { return };
    let template = "{prefix:28} {bar:30} {pos}/{len}, {eta} left";
    let new = || Progress::new(false).styled(template, &format!("reading {what}"), (of as usize, 0), "");
    bar.get_or_insert_with(new).set_position(done);
}

/// Takes the bar of the files away, all of them read or one refused.
pub(crate) fn reading_ends() {
    if let Some(bar) = READING.lock().ok().and_then(|mut bar| bar.take()) {
        bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hebbian::Measured;

    #[test]
    fn an_epoch_is_told_with_its_rate_winners_and_first_measure_as_far_as_the_rule_has_them() {
        let measured = Measured { mean: 12.5, largest: 20.0 };
        let report = Report {
            wins: Some(vec![3, 0, 1, 4]),
            measures: vec![("largest_update".to_owned(), measured)],
            ..Report::default()
        };
        let told = describe((3, 300), Some(0.04), &report);
        assert_eq!(told, "epoch 3/300, rate 4.00e-2, 75.0 % of units won, largest update 1.250e1");
        assert_eq!(describe((3, 300), None, &Report::default()), "epoch 3/300");
    }
}
