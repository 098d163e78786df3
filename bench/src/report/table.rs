//! The report for people.

use std::fmt::Write as _;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use super::json::Report;
use crate::latency::Quantiles;

/// The report as text: a line of totals, a table of latencies, and what else there is to say.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut latencies = Table::new();
    latencies.load_style(UTF8_FULL_CONDENSED).set_header([
        "operation",
        "count",
        "latency",
        "mean",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "p99.99",
        "max",
    ]);
    for (name, operation) in &report.ops {
        let rows = [("service", &operation.service_us), ("response", &operation.response_us)];
        for (which, quantiles) in rows.into_iter().filter(|(_, q)| q.max > 0.0) {
            latencies.add_row(row(name, operation.count, which, quantiles));
        }
    }
    for column in latencies.column_iter_mut().skip(1).filter(|column| column.index != 2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{latencies}\n\n");
    for (name, value) in facts(report) {
        writeln!(text, "{name:<11} {value}").expect("writing to a string cannot fail");
    }
    text
}

fn row(name: &str, operations: u64, which: &str, quantiles: &Quantiles) -> Vec<String> {
    let Quantiles { mean, p50, p90, p99, p999, p9999, max } = *quantiles;
    let mut row = vec![name.replace('_', "-"), count(operations), which.to_owned()];
    row.extend([mean, p50, p90, p99, p999, p9999, max].map(micros));
    row
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let mut facts = vec![(
        "throughput",
        format!(
            "{} operations/s over {:.1} s{}",
            count(report.ops_per_sec.round() as u64),
            report.measured_s,
            if report.interrupted { " (ended early)" } else { "" },
        ),
    )];
    if let Some(schedule) = &report.schedule {
        let operations = &report.operations;
        facts.push((
            "offered",
            format!(
                "{} operations/s; {} due, {} sent, {} completed; sent late by p99 {}",
                count(schedule.offered_per_sec.round() as u64),
                count(operations.offered),
                count(operations.sent),
                count(operations.completed),
                micros(schedule.send_lateness_us.p99),
            ),
        ));
    }
    let kinds: Vec<_> =
        report.errors_by_kind.iter().map(|(kind, n)| format!("{kind} {}", count(*n))).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    facts.push(("errors", format!("{}{kinds}", count(report.errors))));
    if report.not_found > 0 {
        facts.push(("not found", count(report.not_found)));
    }
    if let Some(mismatches) = report.value_mismatches {
        facts.push(("verified", format!("{} values did not match", count(mismatches))));
    }
    if report.retries > 0 {
        facts.push(("retries", count(report.retries)));
    }
    if let Some(writes) = &report.ledger {
        let (acknowledged, unknown) = (count(writes.acknowledged), count(writes.unknown));
        facts.push(("ledger", format!("{acknowledged} writes acknowledged, {unknown} unknown")));
    }
    if let Some(cpu) = &report.server_cpu {
        let each = cpu.us_per_request.map_or(String::new(), |us| format!(", {us:.3} us a request"));
        facts.push(("server CPU", format!("{:.2} s{each}", cpu.cpu_s)));
    }
    facts.push(("own CPU", format!("{:.2} s", report.generator_cpu_s)));
    let server = &report.server;
    facts.push(("server", format!("{}, {} shards", server.server, server.shards)));
    let here = &report.environment;
    facts.push(("machine", format!("{}, {} CPUs, Linux {}", here.cpu, here.cpus, here.kernel)));
    facts.push((
        "kvbench",
        format!("{} {}", here.version, here.commit.as_deref().unwrap_or("(commit not known)")),
    ));
    facts
}

/// A number with its thousands apart.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds in the unit that suits them.
#[must_use]
pub fn micros(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{us:.1} us"),
        us if us < 1_000_000.0 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        for (us, text) in [(0.0, "0.0 us"), (999.94, "999.9 us"), (1_500.0, "1.50 ms")] {
            assert_eq!(micros(us), text);
        }
        assert_eq!(micros(2_345_678.0), "2.35 s");
    }
}
