//! P2, with siblings: none is dropped, none invented.
//!
//! - No sibling of a read covers another, and none is there twice.
//! - The context that comes with siblings covers each of them: a write with it replaces what was
//!   read.
//! - It covers nothing else but what a write has replaced: a value that it covers, that is not
//!   among the siblings, and that no write covers, was dropped.
//!
//! That a write replaces no more than its context covers shows in reads afterwards: what must be
//! there and is not, P1 and P3 find.

use std::collections::BTreeSet;

use super::causes::Marks;
use super::findings::{Findings, Promise};
use super::index::{Key, Write};
use crate::history::{Kind, Operation, Policy};

pub(super) fn judge(key: &Key<'_>, findings: &mut Findings) {
    if key.policy != Policy::Siblings {
        return;
    }
    let mut pairs = Pairs { marks: Marks::new(key.write_count()), apart: BTreeSet::new() };
    for &number in key.operations {
        let get = key.operation(number);
        if get.is_answered_get() {
            pairs.judge(key, number, &get, findings);
            context(key, number, &get, findings);
        }
    }
}

/// Pairs of siblings.
struct Pairs {
    marks: Marks,
    /// Of which the second was found not to cover the first.
    apart: BTreeSet<(Write, Write)>,
}

impl Pairs {
    fn judge(&mut self, key: &Key<'_>, number: u32, get: &Operation<'_>, found: &mut Findings) {
        for two in get.siblings.windows(2).filter(|two| two[0] == two[1]) {
            found.violation(Promise::P2, key.name, &[number], || {
                format!("{} shows {} twice", key.tell(number), two[0])
            });
        }
        let mut shown: Vec<Write> =
            get.siblings.iter().filter_map(|&value| key.write_of(value)).collect();
        shown.sort_unstable();
        for &earlier in &shown {
            // Who covers it was called no earlier than the first whose context lists it.
            let Some(&first) = key.causes.covered_by(earlier).first() else { continue };
            let first_ns = key.causes.node(first).call_ns;
            let from = shown.partition_point(|&it| key.causes.node(it).call_ns < first_ns);
            for &later in shown[from..].iter().filter(|it| **it != earlier) {
                if self.covers(key, later, earlier) {
                    let [earlier, later] =
                        [earlier, later].map(|write| key.writes()[write as usize]);
                    found.violation(Promise::P2, key.name, &[earlier, later, number], || {
                        let [get, earlier, later] = [number, earlier, later].map(|it| key.tell(it));
                        format!("{get} shows both {earlier} and {later}, which covers it")
                    });
                }
            }
        }
    }

    fn covers(&mut self, key: &Key<'_>, later: Write, earlier: Write) -> bool {
        if self.apart.contains(&(earlier, later)) {
            return false;
        }
        let covers = key.causes.descends(later, earlier, &mut self.marks);
        if !covers {
            self.apart.insert((earlier, later));
        }
        covers
    }
}

fn context(key: &Key<'_>, number: u32, get: &Operation<'_>, findings: &mut Findings) {
    let Some(context) = get.context_out else { return };
    for &value in get.siblings.iter().filter(|it| context.binary_search(it).is_err()) {
        findings.violation(Promise::P2, key.name, &[number], || {
            format!("{}: its context does not cover {value}", key.tell(number))
        });
    }
    for &value in context.iter().filter(|it| get.siblings.binary_search(it).is_err()) {
        let Some(write) = key.write_of(value) else {
            findings.violation(Promise::P2, key.name, &[number], || {
                format!("{}: its context covers {value}, which is no write of it", key.tell(number))
            });
            continue;
        };
        let covered = key.write(write);
        let replaced = |by: &Write| key.causes.node(*by).call_ns <= get.return_ns;
        if covered.kind == Kind::Put
            && !key.may_have_expired(&covered, get.return_ns)
            && !key.causes.covered_by(write).iter().any(replaced)
        {
            let writer = key.writes()[write as usize];
            findings.violation(Promise::P2, key.name, &[writer, number], || {
                let (get, put) = (key.tell(number), key.tell(writer));
                format!("{get}: its context covers {put}, which is not there and nobody replaced")
            });
        }
    }
}
