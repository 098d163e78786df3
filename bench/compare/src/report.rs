//! What was measured, for people and for programs.

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::{Value, json};

use crate::child::Figures;
use crate::engines::EngineKind;
use crate::scenario::Scenario;

/// One measurement.
pub(crate) struct Measured {
    pub(crate) engine: EngineKind,
    pub(crate) scenario: Scenario,
    pub(crate) figures: Figures,
}

/// Columns: what, and how it is shown. All are medians over the rounds.
const COLUMNS: &[(&str, fn(&Figures) -> f64, fn(f64) -> String)] =
    &[
        ("ops/s", |it| it.operations as f64 / it.seconds, |it| grouped(it as u64)),
        (
            "with rest",
            |it| it.operations as f64 / (it.seconds + it.rest_seconds),
            |it| grouped(it as u64),
        ),
        ("p50 us", |it| it.p50_us, |it| format!("{it:.1}")),
        ("p99 us", |it| it.p99_us, |it| format!("{it:.1}")),
        ("p99.9 us", |it| it.p999_us, |it| format!("{it:.1}")),
        ("CPU us/op", |it| it.usage.cpu_s * 1e6 / it.operations as f64, |it| format!("{it:.2}")),
        ("written/user", write_amplification, |it| {
            if it > 0.0 { format!("{it:.2}") } else { "".into() }
        }),
        ("disk MiB", |it| it.disk_bytes as f64 / f64::from(1 << 20), |it| format!("{it:.0}")),
        ("memory MiB", |it| it.memory_bytes as f64 / f64::from(1 << 20), |it| format!("{it:.0}")),
    ];

fn write_amplification(figures: &Figures) -> f64 {
    if figures.user_bytes == 0 {
        return 0.0;
    }
    figures.usage.written_bytes as f64 / figures.user_bytes as f64
}

/// A markdown table for each scenario.
pub(crate) fn table(measured: &[Measured]) -> String {
    let mut text = String::new();
    for &scenario in Scenario::ALL {
        let engines = engines_of(measured, scenario);
        if engines.is_empty() {
            continue;
        }
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let names = COLUMNS.iter().map(|column| column.0.to_owned());
        table.set_header(["engine".to_owned(), "kvcore x".to_owned()].into_iter().chain(names));
        for &engine in &engines {
            let median = |of: fn(&Figures) -> f64| median(&values(measured, scenario, engine, of));
            let cells = COLUMNS.iter().map(|column| (column.2)(median(column.1)));
            let ratio = ratio(measured, scenario, engine);
            table.add_row([engine.name(), ratio].into_iter().chain(cells));
        }
        text += &format!("\n**{}**\n\n{table}\n", scenario.name());
    }
    text
}

/// How many times as fast kvcore was, round by round: median (least to most).
fn ratio(measured: &[Measured], scenario: Scenario, engine: EngineKind) -> String {
    let speed = COLUMNS[0].1;
    let ours = values(measured, scenario, EngineKind::Kvcore, speed);
    let theirs = values(measured, scenario, engine, speed);
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    if engine == EngineKind::Kvcore || ratios.is_empty() {
        return String::new();
    }
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2} to {most:.2})", median(&ratios))
}

/// Every measurement, and the medians.
pub(crate) fn json(measured: &[Measured]) -> anyhow::Result<String> {
    let mut medians = Vec::new();
    for &scenario in Scenario::ALL {
        for engine in engines_of(measured, scenario) {
            let of = |column: &(&str, fn(&Figures) -> f64, _)| {
                let values = values(measured, scenario, engine, column.1);
                (column.0.to_owned(), Value::from(median(&values)))
            };
            let columns: serde_json::Map<String, Value> = COLUMNS.iter().map(of).collect();
            medians.push(json!({ "scenario": scenario, "engine": engine, "medians": columns }));
        }
    }
    let each = |it: &Measured| {
        json!({
            "scenario": it.scenario, "engine": it.engine, "figures": it.figures,
        })
    };
    let rounds: Vec<Value> = measured.iter().map(each).collect();
    Ok(serde_json::to_string_pretty(&json!({ "medians": medians, "rounds": rounds }))?)
}

fn engines_of(measured: &[Measured], scenario: Scenario) -> Vec<EngineKind> {
    let mut engines = Vec::new();
    for it in measured.iter().filter(|it| it.scenario == scenario) {
        if !engines.contains(&it.engine) {
            engines.push(it.engine);
        }
    }
    engines
}

fn values(
    measured: &[Measured],
    scenario: Scenario,
    engine: EngineKind,
    of: fn(&Figures) -> f64,
) -> Vec<f64> {
    let mine = measured.iter().filter(|it| (it.scenario, it.engine) == (scenario, engine));
    mine.map(|it| of(&it.figures)).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
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
    fn numbers_are_for_people() {
        assert_eq!(
            (grouped(7), grouped(1234), grouped(1_234_567)),
            ("7".into(), "1,234".into(), "1,234,567".into())
        );
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
