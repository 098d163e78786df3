//! P3: quorum reads are regular, and with blocking repair they never go back.
//!
//! Among operations of [`Level::Quorum`], a read that is called after a write was acknowledged
//! shows it or what came after it; and so it does for what a read showed, whoever it was answered
//! to, that wrote back before it answered, or that was of the settled store.

use super::findings::{Findings, Promise};
use super::index::Key;
use super::missed::{Duty, SweepMarks, sweep};
use crate::history::{Level, Operation};

/// Whether reads of [`Level::Quorum`] have to show what this operation did or showed.
pub(super) fn obliges(operation: &Operation<'_>) -> bool {
    let is_everywhere = operation.blocking_repair || operation.settled;
    operation.level == Level::Quorum && (operation.is_write() || is_everywhere)
}

pub(super) fn judge(key: &Key<'_>, marks: &mut SweepMarks, findings: &mut Findings) {
    let duty = Duty { obliges, judged: |it: &Operation<'_>| it.level == Level::Quorum };
    sweep(key, &key.events, marks, &duty, |missed| {
        let operations = [missed.earlier, missed.read];
        findings.violation(Promise::P3, key.name, &operations, || {
            format!("a stale quorum read: {}", missed.tell(key))
        });
    });
}
