//! What is seen while a run goes on: on stderr, so that the report on stdout stays clean.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::report::{count, micros};
use crate::runner::Second;

/// How a run shows its progress.
#[derive(Debug)]
pub enum Progress {
    /// A bar that is redrawn.
    Bar(ProgressBar),
    /// A line each second.
    Lines,
    /// Nothing.
    Quiet,
}

/// How far a run has to go.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// So many operations.
    Operations(u64),
    /// So long.
    Time(Duration),
}

impl Progress {
    /// A bar on a terminal, lines elsewhere, nothing if `quiet`.
    ///
    /// # Panics
    /// Never: the bar's template is a constant.
    #[must_use]
    pub fn new(goal: Goal, quiet: bool) -> Self {
        if quiet {
            return Self::Quiet;
        }
        if !io::stderr().is_terminal() {
            return Self::Lines;
        }
        let length = match goal {
            Goal::Operations(operations) => operations,
            Goal::Time(time) => time.as_secs().max(1),
        };
        let template = "{wide_bar} {percent:>3} %  {msg}";
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        Self::Bar(ProgressBar::new(length).with_style(style))
    }

    /// Shows one second of a run towards `goal`.
    pub fn second(&self, goal: Goal, second: &Second) {
        let position = match goal {
            Goal::Operations(_) => second.total,
            Goal::Time(_) => second.at,
        };
        self.show(second.at, position, &line(second));
    }

    /// Shows where something is `at` seconds after its start, and a line of what there is to say.
    pub fn show(&self, at: u64, position: u64, text: &str) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(position);
                bar.set_message(text.to_owned());
            }
            Self::Lines => eprintln!("{at:>5} s  {text}"),
            Self::Quiet => {}
        }
    }

    /// Clears what was drawn.
    pub fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn line(second: &Second) -> String {
    let outcome = &second.outcome;
    let us = |nanos: u64| micros(nanos as f64 / 1e3);
    format!(
        "{:>9} requests/s  p50 {:>9}  p99 {:>9}  max {:>9}  errors {}{}",
        count(outcome.requests),
        us(outcome.p50),
        us(outcome.p99),
        us(outcome.max),
        count(outcome.errors),
        if second.warming_up { "  (warm-up)" } else { "" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::SecondOutcome;

    #[test]
    fn a_second_is_one_line() {
        let outcome = SecondOutcome {
            requests: 1_234_567,
            errors: 2,
            p50: 45_000,
            p99: 1_500_000,
            max: 20_000_000,
        };
        let second = Second { at: 3, warming_up: true, outcome, total: 9 };
        assert_eq!(
            line(&second),
            "1,234,567 requests/s  p50   45.0 us  p99   1.50 ms  max  20.00 ms  errors 2  (warm-up)"
        );
    }
}
