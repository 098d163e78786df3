//! Medians, ratios and their spread; markdown for people, JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::measure::{Measured, Round};
use super::scenario::Scenario;
use crate::report::{Environment, count, micros};

/// All that was measured.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) environment: Environment,
    pub(super) server_core: usize,
    pub(super) client_core: usize,
    pub(super) seconds_per_round: f64,
    pub(super) scenarios: Vec<Line>,
}

/// One scenario over its rounds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) title: &'static str,
    /// What `kvcore` and `against` are: operations a second, microseconds, per cent.
    pub(super) unit: Unit,
    pub(super) kvcore: Spread,
    pub(super) against: Option<Spread>,
    /// kvcore over what it is held against, of each round.
    pub(super) ratio: Option<Spread>,
    pub(super) kvcore_cpu_us: Option<f64>,
    pub(super) against_cpu_us: Option<f64>,
    pub(super) target: String,
    pub(super) met: bool,
    pub(super) rounds: Vec<Round>,
}

/// What a scenario's figures are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    OpsPerSec,
    Us,
    Percent,
}

/// The median of the rounds, and the least and the greatest.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Of one or more figures.
    fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<_> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, min, max })
    }
}

/// What a scenario has to reach.
enum Target {
    RatioAtLeast(f64),
    RatioAtMost(f64),
    AtLeast(f64),
    AtMost(f64),
}

impl Scenario {
    fn unit(self) -> Unit {
        match self {
            Self::GetPipeline1 | Self::GetPipeline32 | Self::PutDurable => Unit::OpsPerSec,
            Self::CommitUnderReads | Self::GetUnderCompaction | Self::GetBesidePuts => Unit::Us,
            Self::Idle => Unit::Percent,
        }
    }

    fn target(self) -> Target {
        match self {
            Self::GetPipeline1 => Target::RatioAtLeast(0.8),
            Self::GetPipeline32 => Target::RatioAtLeast(0.5),
            Self::PutDurable => Target::AtLeast(100_000.0),
            Self::CommitUnderReads => Target::AtMost(5_000.0),
            Self::GetUnderCompaction | Self::GetBesidePuts => Target::RatioAtMost(2.0),
            Self::Idle => Target::AtMost(1.0),
        }
    }
}

impl Line {
    /// The line of `scenario`.
    ///
    /// # Panics
    /// If there was no round.
    pub(super) fn new(scenario: Scenario, rounds: Vec<Round>) -> Self {
        let all = |value: fn(&Measured) -> f64| {
            let of_kvcore = Spread::of(rounds.iter().map(|round| value(&round.kvcore)));
            let of_other = Spread::of(rounds.iter().filter_map(|r| r.against.as_ref()).map(value));
            (of_kvcore.expect("at least one round"), of_other)
        };
        let (kvcore, against) = all(|measured| measured.value);
        let (kvcore_cpu, against_cpu) = all(|measured| measured.server_cpu_us.unwrap_or(0.0));
        let ratio = Spread::of(rounds.iter().filter_map(|round| {
            let against = round.against.filter(|against| against.value > 0.0)?;
            Some(round.kvcore.value / against.value)
        }));
        let median_ratio = ratio.map(|ratio| ratio.median);
        let unit = scenario.unit();
        let (target, met) = match scenario.target() {
            Target::RatioAtLeast(least) => {
                (format!("ratio >= {least}"), median_ratio.is_some_and(|ratio| ratio >= least))
            }
            Target::RatioAtMost(most) => {
                (format!("ratio <= {most}"), median_ratio.is_some_and(|ratio| ratio <= most))
            }
            Target::AtLeast(least) => (format!(">= {}", show(unit, least)), kvcore.median >= least),
            Target::AtMost(most) => (format!("<= {}", show(unit, most)), kvcore.median <= most),
        };
        Self {
            name: scenario.name(),
            title: scenario.title(),
            unit,
            kvcore,
            against,
            ratio,
            kvcore_cpu_us: Some(kvcore_cpu.median).filter(|&us| us > 0.0),
            against_cpu_us: against_cpu.map(|cpu| cpu.median).filter(|&us| us > 0.0),
            target,
            met,
            rounds,
        }
    }

    /// A row of the markdown table.
    fn row(&self) -> String {
        let spread = |spread: &Spread, show: &dyn Fn(f64) -> String| {
            let Spread { median, min, max } = *spread;
            format!("{} ({} .. {})", show(median), show(min), show(max))
        };
        let figure = |value: f64| show(self.unit, value);
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let cpu =
            [self.kvcore_cpu_us, self.against_cpu_us].map(|us| us.map(|us| format!("{us:.2}")));
        let cpu = cpu.into_iter().flatten().collect::<Vec<_>>().join(" / ");
        format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            self.title,
            spread(&self.kvcore, &figure),
            or_dash(self.against.as_ref().map(|it| spread(it, &figure))),
            or_dash(self.ratio.as_ref().map(|it| spread(it, &|ratio| format!("{ratio:.2}")))),
            if cpu.is_empty() { "-" } else { &cpu },
            self.target,
            if self.met { "met" } else { "MISSED" },
        )
    }
}

impl Summary {
    /// The table, and what was run where.
    pub(super) fn markdown(&self) -> String {
        let here = &self.environment;
        let mut text = String::new();
        let mut line = |line: &str| writeln!(text, "{line}").expect("a string takes all");
        line("| work | kvcore | against | ratio | CPU us/request | target | |");
        line("|---|---|---|---|---|---|---|");
        self.scenarios.iter().for_each(|scenario| line(&scenario.row()));
        line("");
        line(&format!(
            "Median of {} rounds of {} s, least and greatest in brackets; servers in turns on CPU \
             {}, load on CPU {}.",
            self.scenarios.first().map_or(0, |scenario| scenario.rounds.len()),
            self.seconds_per_round,
            self.server_core,
            self.client_core,
        ));
        line(&format!(
            "{}, {} CPUs, Linux {}, kvbench {} {}.",
            here.cpu,
            here.cpus,
            here.kernel,
            here.version,
            here.commit.as_deref().unwrap_or("(commit not known)"),
        ));
        text
    }
}

/// A figure in its unit.
pub(super) fn show(unit: Unit, value: f64) -> String {
    match unit {
        Unit::OpsPerSec => format!("{}/s", count(value.round() as u64)),
        Unit::Us => micros(value),
        Unit::Percent => format!("{value:.2} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(value: f64) -> Measured {
        Measured { value, ops_per_sec: value, p99_us: 10.0, server_cpu_us: Some(2.0) }
    }

    fn rounds(pairs: &[(f64, f64)]) -> Vec<Round> {
        let round = |&(kvcore, echo): &(f64, f64)| Round {
            kvcore: measured(kvcore),
            against: Some(measured(echo)),
        };
        pairs.iter().map(round).collect()
    }

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_ratios_not_of_the_medians() {
        // The machine slowed down in the second round: both fell, the ratio did not.
        let line = Line::new(
            Scenario::GetPipeline1,
            rounds(&[(90.0, 100.0), (18.0, 20.0), (85.0, 100.0)]),
        );
        assert_eq!(line.ratio, Some(Spread { median: 0.9, min: 0.85, max: 0.9 }));
        assert_eq!(line.kvcore.median, 85.0);
        assert!(line.met);
        assert!(!Line::new(Scenario::GetPipeline1, rounds(&[(79.0, 100.0)])).met);
    }

    #[test]
    fn targets_are_held_by_medians() {
        let alone = |value| vec![Round { kvcore: measured(value), against: None }];
        assert!(Line::new(Scenario::PutDurable, alone(100_001.0)).met);
        assert!(!Line::new(Scenario::PutDurable, alone(99_999.0)).met);
        assert!(!Line::new(Scenario::CommitUnderReads, alone(5_001.0)).met);
        assert!(Line::new(Scenario::Idle, alone(0.1)).met);
        assert!(Line::new(Scenario::GetUnderCompaction, rounds(&[(200.0, 100.0)])).met);
        assert!(!Line::new(Scenario::GetUnderCompaction, rounds(&[(201.0, 100.0)])).met);
    }

    #[test]
    fn a_row_is_one_line_of_markdown() {
        let line = Line::new(Scenario::GetPipeline1, rounds(&[(90_000.0, 100_000.0)]));
        assert_eq!(
            line.row(),
            "| GET 100 B in memory, 50 connections x 1 | 90,000/s (90,000/s .. 90,000/s) \
             | 100,000/s (100,000/s .. 100,000/s) | 0.90 (0.90 .. 0.90) | 2.00 / 2.00 \
             | ratio >= 0.8 | met |"
        );
    }

    #[test]
    fn medians_of_even_numbers_are_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0].into_iter()).unwrap();
        assert_eq!(spread, Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of([].into_iter()), None);
    }
}
