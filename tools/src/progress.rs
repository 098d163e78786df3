//! What is seen while a transfer goes on: on stderr, a bar where that is a terminal, and every
//! problem as it comes.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressStyle};

use crate::entry::Problem;

/// The progress of one transfer. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar, unless `quiet` or there is no terminal.
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet || !io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden() };
        }
        let template = "{wide_bar} {percent:>3} %  {elapsed_precise}  {msg}";
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        Self { bar: ProgressBar::new(0).with_style(style) }
    }

    /// How far there is to go, in whatever `at` counts.
    pub(crate) fn goal(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// How far it is.
    pub(crate) fn at(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// How much was moved.
    pub(crate) fn moved(&self, records: u64, bytes: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{records} records, {} MiB", bytes >> 20));
        }
    }

    /// Says what did not arrive.
    pub(crate) fn problem(&self, problem: &Problem) {
        let Problem { outcome, what, why } = problem;
        self.bar.suspend(|| eprintln!("{}: {what}: {why}", outcome.name()));
    }

    /// Clears the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
