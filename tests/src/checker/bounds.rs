//! P9: siblings and contexts are bounded.
//!
//! - A read shows no more siblings than there are writes, called by its return, of which no two are
//!   ordered by contexts. What is computed is the number of chains into which the writes can be cut
//!   greedily: no less than that (Dilworth, 1950), and no read without a pair that breaks P2 can
//!   have more.
//! - It shows no more than the namespace allows.
//! - A context has no more entries than is allowed.

use super::causes::Marks;
use super::findings::{Findings, Promise};
use super::index::{Key, Write};
use super::judge::Allowed;
use crate::history::Policy;

pub(super) fn judge(key: &Key<'_>, allowed: &Allowed, findings: &mut Findings) {
    if key.policy != Policy::Siblings {
        return;
    }
    let chains = chain_starts(key);
    for &number in key.operations {
        let operation = key.operation(number);
        let concurrent = chains.partition_point(|&start_ns| start_ns <= operation.done_ns());
        let distinct = || operation.siblings.chunk_by(|a, b| a == b).map(|it| it[0]);
        // What was not written to this key is no writer of it.
        let written = distinct().filter(|&value| key.write_of(value).is_some()).count();
        let shown = distinct().count();
        if written > concurrent || shown > allowed.siblings_max {
            findings.violation(Promise::P9, key.name, &[number], || {
                let (get, siblings_max) = (key.tell(number), allowed.siblings_max);
                format!("{get} shows {shown} siblings; there are {concurrent} concurrent writers")
                    + &format!(", and {siblings_max} are allowed")
            });
        }
        let (entries, entries_max) = (operation.context_entries, allowed.context_entries_max);
        if entries > entries_max {
            findings.violation(Promise::P9, key.name, &[number], || {
                format!("{} has a context of {entries} entries", key.tell(number))
                    + &format!(", {entries_max} are allowed")
            });
        }
    }
}

/// When each chain begins, ascending: each write goes on with one that its context lists, if that
/// is the last of a chain.
fn chain_starts(key: &Key<'_>) -> Vec<u64> {
    let mut followed = Marks::new(key.write_count());
    let mut starts = Vec::new();
    for write in 0..key.write_count() as Write {
        let operation = key.write(write);
        let goes_on = key.causes.covers(write).iter().any(|it| followed.insert(*it));
        if operation.may_take_effect() && !goes_on {
            starts.push(operation.call_ns);
        }
    }
    starts
}
