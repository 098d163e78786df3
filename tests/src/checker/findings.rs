//! What oracles find: violations of a promise, and anomalies that the documentation admits.
//!
//! Both are counted without limit and kept in memory within one.

use std::collections::{BTreeMap, BTreeSet};

use schemas::ids::NamespaceId;
use serde::Serialize;

use crate::limits::{ANOMALIES_TOLD_MAX, VIOLATIONS_TOLD_MAX};

/// What is promised, by its number in the table of promises.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub enum Promise {
    /// No acknowledged write is lost.
    P1,
    /// Siblings are never dropped nor invented; every value read was written.
    P2,
    /// Quorum reads are regular, and with blocking repair they never go back.
    P3,
    /// The deleted stays deleted.
    P5,
    /// A session reads its own writes, and its reads and stamps never go back.
    P8,
    /// Siblings and contexts are bounded.
    P9,
    /// Stamps disagree with real time by no more than clocks may.
    Skew,
    /// Whatever is not linearizable is so by an admitted anomaly.
    Linearizable,
}

/// What the documentation admits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Anomaly {
    /// A quorum read without blocking repair shows less than one that had returned: regular reads
    /// without write-back are not linearizable.
    ReadWentBack,
    /// An `lww` write has a smaller stamp than something that had returned and that its client had
    /// not seen: within the skew of clocks, two such writers can be ordered against real time.
    WriteOrder,
    /// A read misses something that had returned, and one of both was sloppy.
    StaleSloppy,
    /// A read misses something that had returned, and one of both asked too few replicas.
    StaleWeak,
}

/// A key of a namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct KeyName {
    /// The namespace's number.
    pub namespace: u32,
    /// The key's number.
    pub key: u64,
}

impl KeyName {
    /// A key of a namespace.
    #[must_use]
    pub fn new(namespace: NamespaceId, key: u64) -> Self {
        Self { namespace: namespace.0, key }
    }
}

/// One broken promise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Violation {
    /// The promise.
    pub promise: Promise,
    /// The key it was broken for.
    pub key: KeyName,
    /// The numbers of the operations that show it.
    pub operations: Vec<u32>,
    /// A sentence that says how.
    pub why: String,
}

/// Anomalies of one kind.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Admitted {
    /// How many there are.
    pub count: u64,
    /// The first of them: the operation that shows it, and the one it should have followed.
    pub first: Vec<(u32, u32)>,
}

/// What was found so far.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Findings {
    /// The first violations of each promise, in the order of keys.
    pub violations: Vec<Violation>,
    /// How many violations of each promise there are, those that are not told included.
    pub violation_counts: BTreeMap<Promise, u64>,
    /// Anomalies that the documentation admits.
    pub anomalies: BTreeMap<Anomaly, Admitted>,
    /// Keys that are not linearizable, each by an anomaly or a violation that is listed.
    pub keys_not_linearizable: u64,
    /// Keys that are not linearizable where nobody can say why: something read of them as absent,
    /// of which no record was left, may have been any of their deletes.
    pub keys_undecided: u64,
    /// Keys with acknowledged writes that were never read after heal: [`Promise::P1`] says nothing
    /// of these.
    pub keys_unsettled: u64,
    /// Keys with a violation or an anomaly.
    #[serde(skip)]
    pub(super) keys_found: BTreeSet<KeyName>,
}

impl Findings {
    /// How many violations there are of all promises.
    #[must_use]
    pub fn violation_count(&self) -> u64 {
        self.violation_counts.values().sum()
    }

    /// How many anomalies of a kind there are.
    #[must_use]
    pub fn anomaly_count(&self, anomaly: Anomaly) -> u64 {
        self.anomalies.get(&anomaly).map_or(0, |it| it.count)
    }

    /// Adds a violation; `why` is asked for if it is to be told.
    pub(super) fn violation(
        &mut self,
        promise: Promise,
        key: KeyName,
        operations: &[u32],
        why: impl FnOnce() -> String,
    ) {
        let count = self.violation_counts.entry(promise).or_default();
        *count += 1;
        if *count <= VIOLATIONS_TOLD_MAX as u64 {
            let operations = operations.to_vec();
            self.violations.push(Violation { promise, key, operations, why: why() });
        }
        self.keys_found.insert(key);
    }

    /// Adds an anomaly that `operation` shows, which should have followed `earlier`.
    pub(super) fn anomaly(&mut self, kind: Anomaly, key: KeyName, operation: u32, earlier: u32) {
        let admitted = self.anomalies.entry(kind).or_default();
        admitted.count += 1;
        if admitted.first.len() < ANOMALIES_TOLD_MAX {
            admitted.first.push((operation, earlier));
        }
        self.keys_found.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_without_limit_and_told_within_one() {
        let mut findings = Findings::default();
        let key = KeyName { namespace: 1, key: 2 };
        for operation in 0..1000 {
            findings.violation(Promise::P3, key, &[operation], || "stale".to_owned());
            findings.anomaly(Anomaly::WriteOrder, key, operation, 0);
        }
        findings.violation(Promise::P1, key, &[7], || "lost".to_owned());
        assert_eq!(findings.violations.len(), VIOLATIONS_TOLD_MAX + 1);
        assert_eq!(findings.violation_count(), 1001);
        assert_eq!(findings.anomaly_count(Anomaly::WriteOrder), 1000);
        assert_eq!(findings.anomaly_count(Anomaly::StaleWeak), 0);
        assert_eq!(findings.anomalies[&Anomaly::WriteOrder].first.len(), ANOMALIES_TOLD_MAX);
    }
}
