//! Progress for people: a bar on a terminal, plain lines elsewhere.

use std::{
    io::{Write, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use throng_bench::progress::Observer;

/// Time between two lines of one phase.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// A bar on the error output.
pub(super) struct Bar {
    bar: ProgressBar,
}

/// A line per phase, and one every two seconds.
#[derive(Default)]
pub(super) struct Lines {
    phase: &'static str,
    total: u64,
    last: Option<Instant>,
}

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("{prefix:>12} [{bar:32}] {percent:>3} % {msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar }
    }
}

impl Observer for Bar {
    fn phase(&mut self, name: &'static str, total: u64) {
        self.bar.set_position(0);
        self.bar.set_message("");
        self.bar.set_length(total);
        self.bar.set_prefix(name);
    }

    fn advance(&mut self, done: u64, detail: &str) {
        self.bar.set_position(done);
        self.bar.set_message(detail.to_owned());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Lines {
    fn phase(&mut self, name: &'static str, total: u64) {
        (self.phase, self.total) = (name, total);
        self.last = Some(Instant::now());
        // Progress is a courtesy: a run does not fail because nobody reads it.
        let _ = writeln!(stderr(), "{name}");
    }

    fn advance(&mut self, done: u64, detail: &str) {
        if self.last.is_some_and(|last| last.elapsed() >= LINE_EVERY) {
            self.last = Some(Instant::now());
            let percent = done.min(self.total) * 100 / self.total.max(1);
            let _ = writeln!(stderr(), "{} {percent} % {detail}", self.phase);
        }
    }
}
