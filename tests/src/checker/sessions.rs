//! P8: a session reads its own writes, and what it reads and writes never goes back.
//!
//! - A read of [`Level::Quorum`] shows what the session's earlier operations of that level wrote or
//!   showed, or what came after that.
//! - In an `lww` namespace a write's stamp is above every stamp of the key that its session had
//!   seen, and above the stamp that its request told of, at every level.

use std::num::NonZeroU32;

use super::findings::{Findings, Promise};
use super::index::{Event, Key};
use super::missed::{Duty, SweepMarks, sweep};
use crate::history::{Level, Operation, Policy};

pub(super) fn judge(key: &Key<'_>, marks: &mut SweepMarks, findings: &mut Findings) {
    if key.policy == Policy::Lww {
        stamps_seen(key, findings);
    }
    let mut events: Vec<(NonZeroU32, Event)> = key
        .events
        .iter()
        .filter_map(|event| Some((key.operation(event.operation).session?, *event)))
        .collect();
    events.sort_unstable();
    let mut session_events = Vec::new();
    for session in events.chunk_by(|a, b| a.0 == b.0) {
        session_events.clear();
        session_events.extend(session.iter().map(|it| it.1));
        reads(key, &session_events, marks, findings);
        if key.policy == Policy::Lww {
            stamps(key, &session_events, findings);
        }
    }
}

fn reads(key: &Key<'_>, events: &[Event], marks: &mut SweepMarks, findings: &mut Findings) {
    let quorum = |it: &Operation<'_>| it.level == Level::Quorum;
    let duty = Duty { obliges: quorum, judged: quorum };
    sweep(key, events, marks, &duty, |missed| {
        let operations = [missed.earlier, missed.read];
        findings.violation(Promise::P8, key.name, &operations, || {
            format!("a session went back: {}", missed.tell(key))
        });
    });
}

/// The stamps of a session's writes, against what it had seen of the key.
fn stamps(key: &Key<'_>, events: &[Event], findings: &mut Findings) {
    let mut greatest = None;
    for event in events {
        let (number, operation) = (event.operation, key.operation(event.operation));
        let Some(version) = key.version(number) else { continue };
        if event.is_return {
            greatest = greatest.max(Some((version, number)));
        } else if let Some((seen, earlier)) = greatest.filter(|it| it.0 >= version)
            && operation.may_take_effect()
        {
            findings.violation(Promise::P8, key.name, &[earlier, number], || {
                let (earlier, write) = (key.tell(earlier), key.tell(number));
                format!(
                    "{write} was given the stamp {:x}, no greater than {:x}, which its session \
                     had of {earlier}",
                    version.hlc.0, seen.hlc.0
                )
            });
        }
    }
}

/// The stamps of all writes, against what their requests told of.
fn stamps_seen(key: &Key<'_>, findings: &mut Findings) {
    for &number in key.writes() {
        let write = key.operation(number);
        let Some(version) = key.stamp_of(number).filter(|it| it.hlc <= write.seen) else {
            continue;
        };
        findings.violation(Promise::P8, key.name, &[number], || {
            format!(
                "{} was given the stamp {:x}, no greater than {:x}, which its request told of",
                key.tell(number),
                version.hlc.0,
                write.seen.0
            )
        });
    }
}
