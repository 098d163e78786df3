//! What people and programs are shown of runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::tally::{Failed, Tally};
use super::verdict::Verdict;
use crate::checker::{Anomaly, Findings, Promise, Violation};
use crate::duration::tell;
use crate::history::{ABSENT, History, NEVER, Operation};
use crate::scenario::Recipe;
use crate::sim::Class;

/// Violations of one run that people are told; the rest is counted.
const TOLD_MAX: usize = 5;

/// The line that runs a seed again.
#[must_use]
pub fn replay(recipe: &Recipe, seed: u64, file: Option<&str>) -> String {
    let mut line = format!("kvsim run --seed {seed}");
    if let Some(file) = file {
        let _ = write!(line, " --scenario {file}");
    } else {
        let seconds = recipe.safety.as_secs();
        let _ = write!(line, " --nodes {} --seconds {seconds}", recipe.nodes);
        if let Some(copies) = recipe.copies {
            let _ = write!(line, " --copies {copies}");
        }
        if let Some(data_centres) = recipe.data_centres {
            let _ = write!(line, " --data-centres {data_centres}");
        }
        if let Some(classes) = &recipe.classes {
            let names: Vec<&str> = classes.iter().map(|it| it.name()).collect();
            let list = if names.is_empty() { "none".to_owned() } else { names.join(",") };
            let _ = write!(line, " --faults {list}");
        }
    }
    for mutation in recipe.mutations.iter() {
        let _ = write!(line, " --mutation {}", mutation.name());
    }
    line
}

/// Runs for programs.
#[derive(Serialize)]
struct Json<'a> {
    simulated_s: f64,
    cpu_s: f64,
    trace_hash: String,
    runs: u64,
    operations: u64,
    messages: u64,
    events: u64,
    violations: u64,
    anomalies: &'a BTreeMap<Anomaly, u64>,
    failed: &'a [Failed],
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<&'a Findings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaches: Option<&'a [String]>,
}

/// Runs for programs: one line of JSON; with all that was found in the run if there was one.
#[must_use]
pub(super) fn json(tally: &Tally, cpu: Duration, only: Option<&Verdict>) -> String {
    let outcome = only.and_then(|verdict| verdict.end.as_ref().ok());
    let json = Json {
        simulated_s: tally.simulated.as_secs_f64(),
        cpu_s: cpu.as_secs_f64(),
        trace_hash: format!("{:016x}", tally.trace_hash()),
        runs: tally.runs,
        operations: tally.operations,
        messages: tally.messages,
        events: tally.events,
        violations: tally.violations,
        anomalies: &tally.anomalies,
        failed: &tally.failed,
        findings: outcome.map(|outcome| &outcome.findings),
        failures: outcome.map(|outcome| &outcome.failures[..]),
        breaches: outcome.map(|outcome| &outcome.breaches[..]),
    };
    serde_json::to_string(&json).expect("plain values")
}

/// Runs for people.
#[must_use]
pub(super) fn text(tally: &Tally, cpu: Duration) -> String {
    let mut text = String::new();
    let whole = Duration::from_secs(tally.simulated.as_secs());
    let per_cpu = tally.simulated.as_secs_f64() / cpu.as_secs_f64().max(1e-9);
    let _ = writeln!(
        text,
        "{} simulated in {:.2} s of CPU time ({per_cpu:.0} x): {} runs, {} operations, {} messages",
        tell(whole),
        cpu.as_secs_f64(),
        count(tally.runs),
        count(tally.operations),
        count(tally.messages),
    );
    let _ = writeln!(text, "trace {:016x}", tally.trace_hash());
    text.push_str(&anomalies(tally.anomalies.iter().map(|(&kind, &count)| (kind, count))));
    if tally.is_sound() {
        text.push_str("no promise was broken\n");
    }
    text
}

/// Runs that failed, for people: what is wrong with each, and the line that runs it again.
#[must_use]
pub(super) fn failed(tally: &Tally) -> String {
    let mut text = String::new();
    for failed in &tally.failed {
        let by = failed.caught_by.join(", ");
        let _ = writeln!(text, "\nseed {}: {by}: {}", failed.seed, failed.why);
        let _ = writeln!(text, "  {}", failed.replay);
    }
    text
}

/// What a run is like, for people.
#[must_use]
pub(super) fn head(verdict: &Verdict) -> String {
    let (options, faults) = (&verdict.scenario.options, &verdict.scenario.faults);
    let (clients, copies) = (&options.clients, options.copies_in_all());
    let mut text = format!(
        "seed {}: {} nodes of {} cores in {} data centres, {copies} copies, {} vnodes; {} clients, \
         {} keys\n",
        options.seed,
        options.nodes,
        options.shards,
        options.places.data_centres,
        options.vnodes,
        clients.processes,
        clients.keys
    );
    let kinds = Class::ALL.into_iter().filter_map(|(class, name)| {
        let count = faults.iter().filter(|fault| fault.what.class() == class).count();
        (count > 0).then(|| format!("{name} {count}"))
    });
    let kinds: Vec<String> = kinds.collect();
    let list = if kinds.is_empty() { "no faults".to_owned() } else { kinds.join(", ") };
    let (safety, liveness) = (tell(options.safety), tell(options.liveness));
    let _ = writeln!(text, "{safety} under {list}; then {liveness} without");
    text
}

/// What is wrong with a run, for people: each with the operations that show it.
#[must_use]
pub(super) fn wrongs(verdict: &Verdict) -> String {
    match &verdict.end {
        Err(said) => format!("\n{said}\n"),
        Ok(outcome) => {
            let mut text = violations(&outcome.findings, &outcome.history);
            for breach in &outcome.breaches {
                let _ = writeln!(text, "\nat a step: {breach}");
            }
            for failure in &outcome.failures {
                let _ = writeln!(text, "\nat the end: {failure}");
            }
            text
        }
    }
}

/// Broken promises with the operations that show them.
#[must_use]
pub(super) fn violations(findings: &Findings, history: &History) -> String {
    let mut text = String::new();
    for violation in findings.violations.iter().take(TOLD_MAX) {
        let Violation { promise, key, operations, why } = violation;
        let (namespace, key) = (key.namespace, key.key);
        let _ = writeln!(text, "\n{}, key {key} of namespace {namespace}:", broken(*promise));
        let _ = writeln!(text, "  {why}");
        for &number in operations {
            let _ = writeln!(text, "  #{number} {}", line(&history.operation(number)));
        }
    }
    let told = findings.violations.len().min(TOLD_MAX) as u64;
    let more = findings.violation_count() - told;
    if more > 0 {
        let _ = writeln!(text, "\nand {} more", count(more));
    }
    text
}

/// Admitted anomalies, one a line.
#[must_use]
pub(super) fn anomalies(found: impl Iterator<Item = (Anomaly, u64)>) -> String {
    let mut text = String::new();
    for (kind, times) in found {
        let what = match kind {
            Anomaly::ReadWentBack => "reads that showed less than one before, without repair",
            Anomaly::WriteOrder => "writes ordered against real time, within the skew of clocks",
            Anomaly::StaleSloppy => "reads that missed something, one of both sloppy",
            Anomaly::StaleWeak => "reads that missed something, one of both of too few copies",
        };
        let _ = writeln!(text, "admitted: {:>9} {what}", count(times));
    }
    text
}

fn broken(promise: Promise) -> &'static str {
    match promise {
        Promise::P1 => "P1 broken: an acknowledged write is lost",
        Promise::P2 => "P2 broken: what is read was never written so",
        Promise::P3 => "P3 broken: a quorum read is stale",
        Promise::P5 => "P5 broken: the deleted came back",
        Promise::P8 => "P8 broken: a session went back",
        Promise::P9 => "P9 broken: siblings or contexts grow without bound",
        Promise::Skew => "stamps are further from real time than clocks are",
        Promise::Linearizable => "not linearizable, and nothing admits it",
    }
}

fn line(operation: &Operation<'_>) -> String {
    let at = |ns: u64| {
        if ns == NEVER { "never".to_owned() } else { format!("{:.6} s", ns as f64 / 1e9) }
    };
    let value = match operation.value {
        ABSENT => "nothing".to_owned(),
        value => value.to_string(),
    };
    let stamp = operation.stamp.map(|it| format!(", stamp {:x}", it.hlc.0)).unwrap_or_default();
    format!(
        "process {} {:?} {value}{stamp}, {:?}, {:?}, from {} to {}",
        operation.process,
        operation.kind,
        operation.level,
        operation.outcome,
        at(operation.call_ns),
        at(operation.return_ns),
    )
}

/// A count with its thousands apart.
#[must_use]
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }
}
