//! `kvctl compact`: all tables of a running node are written anew.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::admin::{Answer, ask};
use crate::cli::CompactArgs;

/// How often the node is asked how far it is.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How far a node is.
struct State {
    /// Cores that answered.
    cores: usize,
    /// Those of them that are not done.
    left: usize,
    /// Bytes of all tables.
    table_bytes: u64,
}

/// Has a node write all its tables anew, and waits for it unless it should not.
///
/// # Errors
/// A sentence of the node's, or why it cannot be asked.
pub(crate) fn run(args: &CompactArgs, json: bool) -> anyhow::Result<bool> {
    let admin = &*args.admin.admin;
    let before = state(&ask(admin, "GET", "/compactions")?)?;
    let begun = ask(admin, "POST", "/compactions")?;
    if begun.status != 202 {
        bail!("{}", begun.body.trim_end());
    }
    if args.no_wait {
        return tell(json, "begun", &before, &before);
    }
    let style = ProgressStyle::with_template("{spinner} [{elapsed_precise}] {msg}")?;
    let bar = if args.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let bar = bar.with_style(style);
    let after = loop {
        let now = state(&ask(admin, "GET", "/compactions")?)?;
        // A core that has not answered in time may not be done.
        if now.left == 0 && now.cores >= before.cores {
            break now;
        }
        let bytes = HumanBytes(now.table_bytes);
        bar.set_message(format!("{} of {} cores left, {bytes} of tables", now.left, now.cores));
        bar.tick();
        thread::sleep(ASK_AGAIN);
    };
    bar.finish_and_clear();
    tell(json, "done", &before, &after)
}

fn tell(json: bool, what: &str, before: &State, after: &State) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    if json {
        let (before, after) = (before.table_bytes, after.table_bytes);
        let told = json!({ "state": what, "table_bytes_before": before, "table_bytes": after });
        writeln!(out, "{told}")?;
    } else {
        let (before, after) = (HumanBytes(before.table_bytes), HumanBytes(after.table_bytes));
        writeln!(out, "{what}: tables had {before} and have {after}")?;
    }
    Ok(true)
}

fn state(answer: &Answer) -> anyhow::Result<State> {
    if answer.status != 200 {
        bail!("{}", answer.body.trim_end());
    }
    let mut state = State { cores: 0, left: 0, table_bytes: 0 };
    for line in answer.body.lines() {
        let core: Value = serde_json::from_str(line).context("the node's answer is no JSON")?;
        state.cores += 1;
        state.left += usize::from(core["full"] == true);
        state.table_bytes += core["table_bytes"].as_u64().unwrap_or(0);
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned() }
    }

    #[test]
    fn cores_that_are_not_done_are_counted() {
        let two = "{\"core\":0,\"full\":false,\"table_bytes\":7}\n\
                   {\"core\":1,\"full\":true,\"table_bytes\":5}\n";
        let state = super::state(&answer(200, two)).unwrap();
        assert_eq!((state.cores, state.left, state.table_bytes), (2, 1, 12));
        assert!(super::state(&answer(404, "")).is_err());
        assert!(super::state(&answer(200, "ok\n")).is_err());
    }
}
