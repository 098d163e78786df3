//! Where operations can be seen to disagree with real time: the anomalies that the documentation
//! admits, counted by kind, and stamps that disagree by more than clocks may.
//!
//! For `lww` keys these are all there are. If every write has a greater version than whatever had
//! returned when it was called, and every read shows no smaller one than whatever had returned when
//! it was called, then the order of versions (reads behind the write that they show) respects real
//! time, and the key is linearizable (Lynch, "Distributed Algorithms", 1996, lemma 13.16). So a key
//! that is not linearizable has one of these, or broke P3.

use super::findings::{Anomaly, Findings, Promise};
use super::index::Key;
use super::missed::{Duty, Missed, SweepMarks, sweep};
use super::regular;
use crate::history::{Level, Operation, Policy};

pub(super) fn judge(key: &Key<'_>, skew_ms: u64, marks: &mut SweepMarks, findings: &mut Findings) {
    let duty = Duty { obliges: |_: &Operation<'_>| true, judged: |_: &Operation<'_>| true };
    sweep(key, &key.events, marks, &duty, |missed| {
        if let Some(kind) = admitted(key, &missed) {
            findings.anomaly(kind, key.name, missed.read, missed.earlier);
        }
    });
    if key.policy == Policy::Lww {
        write_order(key, skew_ms, findings);
    }
}

/// What a missing read is called; `None` if it is a violation of P3.
fn admitted(key: &Key<'_>, missed: &Missed) -> Option<Anomaly> {
    let both = [key.operation(missed.earlier), key.operation(missed.read)];
    if both.iter().any(|it| it.level == Level::Sloppy) {
        Some(Anomaly::StaleSloppy)
    } else if both.iter().any(|it| it.level == Level::Weak) {
        Some(Anomaly::StaleWeak)
    } else {
        (!regular::obliges(&both[0])).then_some(Anomaly::ReadWentBack)
    }
}

fn write_order(key: &Key<'_>, skew_ms: u64, findings: &mut Findings) {
    let mut greatest = None;
    for event in &key.events {
        let (number, operation) = (event.operation, key.operation(event.operation));
        let Some(version) = key.version(number) else { continue };
        if event.is_return {
            greatest = greatest.max(Some((version, number)));
            continue;
        }
        let Some((before, earlier)) = greatest.filter(|it| it.0 >= version) else { continue };
        let was_seen = operation.seen >= before.hlc
            || (operation.session.is_some() && operation.session == key.operation(earlier).session);
        // What was seen is for P8 to judge.
        if !operation.may_take_effect() || was_seen {
            continue;
        }
        let apart_ms = before.hlc.millis() - version.hlc.millis();
        if apart_ms <= skew_ms {
            findings.anomaly(Anomaly::WriteOrder, key.name, number, earlier);
            continue;
        }
        findings.violation(Promise::Skew, key.name, &[earlier, number], || {
            let (earlier, write) = (key.tell(earlier), key.tell(number));
            format!("{write} has a stamp {apart_ms} ms below that of {earlier}, which had returned")
        });
    }
}
