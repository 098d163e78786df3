//! Histories by hand, as short as they can be said, and what is expected of them.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};

use schemas::ids::{Actor, Dot, Hlc, NodeId, Version};
use tests::checker::{Allowed, Anomaly, Findings, Promise, check};
use tests::history::{ABSENT, History, Kind, Level, NEVER, Operation, Outcome, Policy};

/// Clocks 10 ms apart, at most 3 siblings, contexts of at most 4 entries.
pub(crate) const ALLOWED: Allowed =
    Allowed { skew_ms: 10, siblings_max: 3, context_entries_max: 4 };

/// One operation. Moments are milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Told(Operation<'static>);

fn told(kind: Kind, value: u64) -> Told {
    Told(Operation { value, ..Operation::new(kind, Policy::Lww, 1) })
}

pub(crate) fn put(value: u64) -> Told {
    told(Kind::Put, value)
}

pub(crate) fn delete(value: u64) -> Told {
    told(Kind::Delete, value)
}

pub(crate) fn get(value: u64) -> Told {
    told(Kind::Get, value)
}

pub(crate) fn nothing() -> Told {
    get(ABSENT)
}

pub(crate) fn siblings(siblings: &'static [u64]) -> Told {
    Told(Operation { siblings, ..told(Kind::Get, ABSENT).0 })
}

/// The version of a stamp in milliseconds.
pub(crate) fn version(ms: u64) -> Version {
    let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
    Version { hlc: Hlc::from_millis(ms), dot: Dot { actor, counter: 1 } }
}

impl Told {
    pub(crate) fn ms(self, call_ms: u64, return_ms: u64) -> Self {
        let (call_ns, return_ns) = (call_ms * 1_000_000, return_ms * 1_000_000);
        Self(Operation { call_ns, return_ns, ..self.0 })
    }

    pub(crate) fn stamp(self, ms: u64) -> Self {
        Self(Operation { stamp: Some(version(ms)), ..self.0 })
    }

    pub(crate) fn seen(self, ms: u64) -> Self {
        Self(Operation { seen: Hlc::from_millis(ms), ..self.0 })
    }

    pub(crate) fn covers(self, values: &'static [u64]) -> Self {
        Self(Operation { context_in: Some(values), ..self.0 })
    }

    pub(crate) fn context(self, values: &'static [u64]) -> Self {
        Self(Operation { context_out: Some(values), ..self.0 })
    }

    pub(crate) fn entries(self, context_entries: u16) -> Self {
        Self(Operation { context_entries, ..self.0 })
    }

    pub(crate) fn weak(self) -> Self {
        Self(Operation { level: Level::Weak, ..self.0 })
    }

    pub(crate) fn sloppy(self) -> Self {
        Self(Operation { level: Level::Sloppy, ..self.0 })
    }

    pub(crate) fn repaired(self) -> Self {
        Self(Operation { blocking_repair: true, ..self.0 })
    }

    pub(crate) fn settled(self) -> Self {
        Self(Operation { settled: true, ..self.0 })
    }

    pub(crate) fn session(self, session: u32) -> Self {
        Self(Operation { session: NonZeroU32::new(session), ..self.0 })
    }

    pub(crate) fn expires(self, ms: u64) -> Self {
        Self(Operation { expires_ns: ms * 1_000_000, ..self.0 })
    }

    pub(crate) fn unknown(self) -> Self {
        Self(Operation { outcome: Outcome::Unknown, return_ns: NEVER, ..self.0 })
    }

    pub(crate) fn failed(self) -> Self {
        Self(Operation { outcome: Outcome::Fail, ..self.0 })
    }

    pub(crate) fn key(self, key: u64) -> Self {
        Self(Operation { key, ..self.0 })
    }
}

/// A history in a namespace of a policy.
pub(crate) fn history(policy: Policy, operations: &[Told]) -> History {
    let mut history = History::new();
    for told in operations {
        history.push(&Operation { policy, ..told.0 }).expect("a sound operation");
    }
    history
}

/// A history, and all that is to be found in it.
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) operations: Vec<Told>,
    pub(crate) broken: &'static [Promise],
    pub(crate) admitted: &'static [(Anomaly, u64)],
}

/// A history in which nothing is to be found.
pub(crate) fn fine(what: &'static str, operations: impl Into<Vec<Told>>) -> Case {
    Case { what, operations: operations.into(), broken: &[], admitted: &[] }
}

/// One that breaks promises: those, and no others.
pub(crate) fn broken(
    promises: &'static [Promise],
    what: &'static str,
    operations: impl Into<Vec<Told>>,
) -> Case {
    Case { broken: promises, ..fine(what, operations) }
}

impl Case {
    /// With these anomalies, and no others.
    pub(crate) fn admits(self, admitted: &'static [(Anomaly, u64)]) -> Self {
        Self { admitted, ..self }
    }
}

/// Checks that each case is found to be what it is.
pub(crate) fn judge(policy: Policy, cases: impl IntoIterator<Item = Case>) {
    for case in cases {
        let findings = check(&history(policy, &case.operations), &ALLOWED);
        let promises: Vec<Promise> = findings.violation_counts.keys().copied().collect();
        let anomalies: Vec<(Anomaly, u64)> =
            findings.anomalies.iter().map(|(kind, admitted)| (*kind, admitted.count)).collect();
        assert_eq!(promises, case.broken, "{}: {findings:#?}", case.what);
        assert_eq!(anomalies, case.admitted, "{}: {findings:#?}", case.what);
        assert_told(&findings, case.what);
    }
}

/// Each violation names operations, and says why with each of them.
fn assert_told(findings: &Findings, what: &str) {
    let mut counts: BTreeMap<Promise, u64> = BTreeMap::new();
    for violation in &findings.violations {
        *counts.entry(violation.promise).or_default() += 1;
        for number in &violation.operations {
            let name = format!("#{number},");
            assert!(violation.why.contains(&name), "{what}: {name} not in {}", violation.why);
        }
        assert!(!violation.operations.is_empty(), "{what}: {}", violation.why);
    }
    assert_eq!(counts, findings.violation_counts, "{what}");
}
