//! `kvsim check`: a saved history before the oracles.

use std::fs::File;
use std::io::BufReader;

use anyhow::Context as _;

use super::args::{CheckArgs, Output};
use super::command::print;
use super::report;
use crate::checker::{Allowed, check};
use crate::history;

/// Judges; whether nothing is wrong.
///
/// # Errors
/// If the file cannot be read, or is no history.
pub(super) fn judge(args: &CheckArgs) -> anyhow::Result<bool> {
    let name = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("cannot read {name}"))?;
    let history = history::read(&mut BufReader::new(file)).with_context(|| name.to_string())?;
    let allowed = Allowed {
        skew_ms: u64::try_from(args.skew.as_millis()).unwrap_or(u64::MAX),
        siblings_max: args.siblings,
        context_entries_max: args.entries,
    };
    let findings = check(&history, &allowed);
    let is_sound = findings.violation_count() == 0;
    if args.output == Output::Json {
        print(&format!("{}\n", serde_json::to_string(&findings).context("plain values")?));
        return Ok(is_sound);
    }
    print(&format!("{name}: {} operations\n", report::count(history.len() as u64)));
    print(&report::anomalies(findings.anomalies.iter().map(|(&kind, it)| (kind, it.count))));
    if findings.keys_unsettled > 0 {
        let keys = report::count(findings.keys_unsettled);
        print(&format!("{keys} keys were not read at the end: whether they lost writes is open\n"));
    }
    print(if is_sound { "no promise was broken\n" } else { "" });
    print(&report::violations(&findings, &history));
    Ok(is_sound)
}
