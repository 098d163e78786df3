//! [`Tally`]: what many runs come to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::report::replay;
use super::verdict::{Breach, Verdict};
use crate::checker::Anomaly;
use crate::scenario::Recipe;

/// What some runs come to.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// How many there were.
    pub runs: u64,
    /// Their own time.
    pub simulated: Duration,
    /// Operations of clients.
    pub operations: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// Things that happened.
    pub events: u64,
    /// Broken promises, each time that one was, and whatever else is wrong.
    pub violations: u64,
    /// What is admitted, and how often.
    pub anomalies: BTreeMap<Anomaly, u64>,
    /// Runs in which something is wrong.
    pub failed: Vec<Failed>,
    /// By seed.
    hashes: BTreeMap<u64, u64>,
}

/// A run in which something is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    /// Its seed.
    pub seed: u64,
    /// What says so.
    pub caught_by: Vec<&'static str>,
    /// The first thing that is wrong.
    pub why: String,
    /// What runs it again.
    pub replay: String,
}

impl Tally {
    /// Counts a run of a recipe, which was read from `file` if it was.
    pub fn add(&mut self, verdict: &Verdict, recipe: &Recipe, file: Option<&str>) {
        let seed = verdict.scenario.options.seed;
        self.runs += 1;
        if let Ok(outcome) = &verdict.end {
            self.simulated += outcome.simulated;
            self.operations += outcome.history.len() as u64;
            self.messages += outcome.messages;
            self.events += outcome.events;
            let others = outcome.breaches.len() + outcome.failures.len();
            self.violations += outcome.findings.violation_count() + others as u64;
            for (&anomaly, admitted) in &outcome.findings.anomalies {
                *self.anomalies.entry(anomaly).or_default() += admitted.count;
            }
            self.hashes.insert(seed, outcome.trace_hash);
        } else {
            self.violations += 1;
        }
        if !verdict.is_sound() {
            let caught_by = verdict.breaches().into_iter().map(Breach::name).collect();
            let replay = replay(recipe, seed, file);
            self.failed.push(Failed { seed, caught_by, why: verdict.why(), replay });
        }
    }

    /// The trace of one run, or a hash of those of many in the order of seeds.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        let mut hashes = self.hashes.values();
        match (hashes.next(), self.hashes.len()) {
            (Some(&hash), 1) => hash,
            _ => {
                let bytes = self.hashes.values().flat_map(|hash| hash.to_le_bytes());
                xxh3_64(&bytes.collect::<Vec<u8>>())
            }
        }
    }

    /// Whether nothing was wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.failed.is_empty()
    }
}
