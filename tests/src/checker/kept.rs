//! P1: no acknowledged write is lost.
//!
//! A read of the settled store, called after a write was acknowledged at any level, shows what the
//! write wrote or what came after it: in an `lww` namespace a version that is no smaller, in one
//! with siblings the value or one that covers it, unless a delete covers it or it expired.

use super::findings::{Findings, Promise};
use super::index::Key;
use super::missed::{Duty, SweepMarks, sweep};
use crate::history::Operation;

pub(super) fn judge(key: &Key<'_>, marks: &mut SweepMarks, findings: &mut Findings) {
    let mut acknowledged = key.writes().iter().filter(|it| key.operation(**it).is_acknowledged());
    let settled = |number: &u32| {
        let operation = key.operation(*number);
        operation.settled && operation.is_answered_get()
    };
    let unsettled = acknowledged.next().is_some() && !key.operations.iter().any(settled);
    findings.keys_unsettled += u64::from(unsettled);

    let obliges = |it: &Operation<'_>| it.is_acknowledged();
    let duty = Duty { obliges, judged: |it: &Operation<'_>| it.settled };
    sweep(key, &key.events, marks, &duty, |missed| {
        let operations = [missed.earlier, missed.read];
        findings.violation(Promise::P1, key.name, &operations, || {
            format!("acknowledged and lost: {}", missed.tell(key))
        });
    });
}
