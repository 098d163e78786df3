//! [`check`]: a history before all oracles.

use super::findings::{Findings, Promise};
use super::index::{Index, Key, Shown};
use super::missed::SweepMarks;
use super::{bounds, deletes, kept, order, regular, sessions, siblings, values, zones};
use crate::history::{History, Kind, Policy};

/// What a run was allowed: the limits that its nodes and its faults had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowed {
    /// Milliseconds that clocks, and so stamps and expiries, may be apart.
    pub skew_ms: u64,
    /// Siblings of one key.
    pub siblings_max: usize,
    /// Entries of one context.
    pub context_entries_max: u16,
}

/// One of the oracles.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Oracle {
    /// P1.
    Kept,
    /// P2, values and versions.
    Values,
    /// P2, siblings.
    Siblings,
    /// P3.
    Regular,
    /// P5.
    Deletes,
    /// P8.
    Sessions,
    /// P9.
    Bounds,
    /// Admitted anomalies, and the skew of stamps.
    Order,
    /// Linearizability: of a key that is not, another oracle before this one must have found why.
    /// Alone it asks for linearizable keys. It looks at `lww` namespaces.
    Linearizable,
}

impl Oracle {
    /// All of them, in the order in which they have to be asked.
    pub const ALL: [Self; 9] = [
        Self::Kept,
        Self::Values,
        Self::Siblings,
        Self::Regular,
        Self::Deletes,
        Self::Sessions,
        Self::Bounds,
        Self::Order,
        Self::Linearizable,
    ];
}

/// What all oracles find in a history.
///
/// # Panics
///
/// If two writes have one value ([`History::written_twice`]).
#[must_use]
pub fn check(history: &History, allowed: &Allowed) -> Findings {
    check_with(history, allowed, &Oracle::ALL)
}

/// What some oracles find in a history.
///
/// # Panics
///
/// If two writes have one value ([`History::written_twice`]).
#[must_use]
pub fn check_with(history: &History, allowed: &Allowed, oracles: &[Oracle]) -> Findings {
    let mut findings = Findings::default();
    let index = Index::new(history, allowed.skew_ns());
    for key in index.keys() {
        let mut marks = SweepMarks::new(&key);
        for oracle in oracles {
            match oracle {
                Oracle::Kept => kept::judge(&key, &mut marks, &mut findings),
                Oracle::Values => values::judge(&key, &mut findings),
                Oracle::Siblings => siblings::judge(&key, &mut findings),
                Oracle::Regular => regular::judge(&key, &mut marks, &mut findings),
                Oracle::Deletes => deletes::judge(&key, &mut findings),
                Oracle::Sessions => sessions::judge(&key, &mut marks, &mut findings),
                Oracle::Bounds => bounds::judge(&key, allowed, &mut findings),
                Oracle::Order => order::judge(&key, allowed.skew_ms, &mut marks, &mut findings),
                Oracle::Linearizable => linearizable(&key, &mut findings),
            }
        }
    }
    findings
}

impl Allowed {
    /// The same skew in nanoseconds.
    pub(super) fn skew_ns(&self) -> u64 {
        self.skew_ms.saturating_mul(1_000_000)
    }
}

fn linearizable(key: &Key<'_>, findings: &mut Findings) {
    if key.policy != Policy::Lww {
        return;
    }
    let conflicts = zones::judge(key);
    let Some(first) = conflicts.first() else { return };
    if findings.keys_found.contains(&key.name) {
        findings.keys_not_linearizable += 1;
    } else if is_ambiguous(key) {
        findings.keys_undecided += 1;
    } else {
        findings.violation(Promise::Linearizable, key.name, &first.operations, || {
            format!("not linearizable, and nothing admits it: {}", first.why)
        });
    }
}

/// Whether a read of the key found nothing, and nobody can say which of its removals it saw.
fn is_ambiguous(key: &Key<'_>) -> bool {
    let found_nothing = |number: &u32| {
        let operation = key.operation(*number);
        operation.kind == Kind::Get && key.shown(&operation) == Shown::Nothing
    };
    let ambiguous = !key.removals.is_empty() && key.operations.iter().any(found_nothing);
    ambiguous || key.removals.is_expiring()
}
