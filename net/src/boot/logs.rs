//! Logs go to stderr through a thread of their own, so that a core never waits for a terminal. And
//! a panic anywhere ends the process: a dead core is a dead node.

use std::io::{self, IsTerminal};
use std::panic;
use std::process;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Lines that wait to be written. Past it lines are dropped, and counted.
const LINES_MAX: usize = 16_384;

/// Logs, until this is dropped: then what waits is written.
pub(super) struct Logs {
    _guard: WorkerGuard,
    dropped: ErrorCounter,
}

impl Logs {
    /// Starts logging. Once a process.
    ///
    /// # Panics
    /// If logs were started before, or `level` is no filter: checked where it is configured.
    #[must_use]
    pub(super) fn start(format: LogFormat, level: &str) -> Self {
        let builder = NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).lossy(true);
        let (writer, guard) = builder.thread_name("logs").finish(io::stderr());
        let dropped = writer.error_counter();
        // What glommio warns of is said in our own words, see `checks::check_pinned`.
        let filter = EnvFilter::try_new(format!("glommio=error,{level}"));
        let filter = filter.expect("checked when it was configured");
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
        match format {
            LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).init(),
            LogFormat::Json => lines.json().flatten_event(true).init(),
        }
        Self { _guard: guard, dropped }
    }

    /// Counts the lines that were dropped because stderr was too slow.
    #[must_use]
    pub(super) fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

/// From here on a panic on any thread ends the process, after it was told on stderr.
pub(super) fn abort_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        tell(info);
        process::abort();
    }));
}
