//! P5: the deleted stays deleted.
//!
//! What a delete removed is, in an `lww` namespace, every value of a smaller version; with
//! siblings, every value that its context covers, by itself or through others. A read shows none
//! of it
//!
//! - at [`Level::Quorum`], if the delete was acknowledged at that level before the read was called;
//!   a value that expired by everybody's clock, behind an acknowledged put of that level, is such a
//!   delete;
//! - of the settled store, if the delete was acknowledged at any level;
//! - at any level, if a read of the settled store did not show it any more: from then on nobody has
//!   it, and what is read of it came back.
//!
//! Other reads may be stale and are not judged here.

use std::collections::BTreeMap;

use schemas::ids::Version;

use super::causes::Marks;
use super::findings::{Findings, Promise};
use super::index::{Key, Shown, Write};
use crate::history::{ABSENT, Kind, Level, NEVER, Operation, Policy};

pub(super) fn judge(key: &Key<'_>, findings: &mut Findings) {
    match key.policy {
        Policy::Lww => Bounds::new(key).judge(key, findings),
        Policy::Siblings => Gone::new(key).judge(key, findings),
    }
}

fn tell(key: &Key<'_>, read: u32, write: Write, since: u32, findings: &mut Findings) {
    let writer = key.writes()[write as usize];
    findings.violation(Promise::P5, key.name, &[writer, since, read], || {
        let [read, put, since] = [read, writer, since].map(|it| key.tell(it));
        format!("{read} shows {put}, gone since {since}")
    });
}

/// A version, and the operation that set it.
type Bound = Option<(Version, u32)>;

/// Versions of an `lww` key below which everything is gone.
struct Bounds {
    /// To reads at [`Level::Quorum`].
    quorum: Bound,
    /// To reads of the settled store.
    acknowledged: Bound,
    /// To all reads.
    settled: Bound,
    /// Values that expire, by when they have, last first.
    expiring: Vec<(u64, Version, u32)>,
    /// For settled reads that have not returned, what was acknowledged when they were called.
    at_call: BTreeMap<u32, Bound>,
}

impl Bounds {
    fn new(key: &Key<'_>) -> Self {
        let expiring = key.writes().iter().filter_map(|&number| {
            let put = key.operation(number);
            let quorum = put.level == Level::Quorum && put.is_acknowledged();
            let expires = quorum && put.expires_ns != NEVER;
            let at_ns = expires.then(|| key.expires_upto(&put).max(put.return_ns))?;
            Some((at_ns, key.stamp_of(number)?, number))
        });
        let mut expiring: Vec<_> = expiring.collect();
        expiring.sort_unstable_by(|a, b| b.cmp(a));
        let (quorum, acknowledged, settled) = (None, None, None);
        Self { quorum, acknowledged, settled, expiring, at_call: BTreeMap::new() }
    }

    fn judge(&mut self, key: &Key<'_>, findings: &mut Findings) {
        for event in &key.events {
            let (number, operation) = (event.operation, key.operation(event.operation));
            while let Some((.., version, put)) =
                self.expiring.pop_if(|expired| expired.0 < event.at_ns)
            {
                self.quorum = self.quorum.max(Some((version, put)));
            }
            match (event.is_return, operation.is_write()) {
                (true, true) => self.written(key, number, &operation),
                (true, false) => self.settle(key, number, &operation),
                (false, true) => {}
                (false, false) => self.read(key, number, &operation, findings),
            }
        }
    }

    fn written(&mut self, key: &Key<'_>, number: u32, write: &Operation<'_>) {
        if let (Kind::Delete, Some(version)) = (write.kind, key.stamp_of(number)) {
            let bound = Some((version, number));
            self.acknowledged = self.acknowledged.max(bound);
            if write.level == Level::Quorum {
                self.quorum = self.quorum.max(bound);
            }
        }
    }

    fn settle(&mut self, key: &Key<'_>, number: u32, get: &Operation<'_>) {
        if get.settled {
            let at_call = self.at_call.remove(&number).flatten();
            let bound = match key.shown(get) {
                Shown::Version(version) => Some((version, number)),
                Shown::Nothing => at_call.map(|(version, _)| (version, number)),
                Shown::Unknown => None,
            };
            self.settled = self.settled.max(bound);
        }
    }

    fn read(&mut self, key: &Key<'_>, number: u32, get: &Operation<'_>, findings: &mut Findings) {
        if !get.is_answered_get() {
            return;
        }
        if get.settled {
            self.at_call.insert(number, self.acknowledged);
        }
        let (Shown::Version(version), false) = (key.shown(get), get.value == ABSENT) else {
            return;
        };
        let quorum = self.quorum.filter(|_| get.level == Level::Quorum);
        let acknowledged = self.acknowledged.filter(|_| get.settled);
        let bound = quorum.max(acknowledged).max(self.settled);
        if let Some((_, since)) = bound.filter(|bound| version < bound.0)
            && let Some(write) = key.write_of(get.value)
        {
            tell(key, number, write, since, findings);
        }
    }
}

/// Since which operation each value of a key with siblings is gone.
struct Gone {
    /// To reads at [`Level::Quorum`].
    quorum: Vec<Option<u32>>,
    /// To reads of the settled store.
    acknowledged: Vec<Option<u32>>,
    /// To all reads.
    settled: Vec<Option<u32>>,
    /// Values that a write covers, by when it was called, as far as they are not settled.
    covered: Vec<(u64, Write)>,
    /// Those that were among them.
    listed: Marks,
}

impl Gone {
    fn new(key: &Key<'_>) -> Self {
        let count = key.write_count();
        let [quorum, acknowledged, settled] = [(); 3].map(|()| vec![None; count]);
        Self { quorum, acknowledged, settled, covered: Vec::new(), listed: Marks::new(count) }
    }

    fn judge(&mut self, key: &Key<'_>, findings: &mut Findings) {
        for event in &key.events {
            let (number, operation) = (event.operation, key.operation(event.operation));
            match (event.is_return, operation.is_write()) {
                (true, true) if operation.kind == Kind::Delete => {
                    remove(key, number, &operation, &mut self.acknowledged);
                    if operation.level == Level::Quorum {
                        remove(key, number, &operation, &mut self.quorum);
                    }
                }
                (true, false) if operation.settled => {
                    self.settle(key, number, &operation);
                }
                (true, _) => {}
                (false, true) if operation.may_take_effect() => {
                    let own = key.write_of(operation.value).expect("a write has its number");
                    let covers = key.causes.covers(own).iter();
                    let new = covers.filter(|it| self.listed.insert(**it));
                    self.covered.extend(new.map(|it| (event.at_ns, *it)));
                }
                (false, true) => {}
                (false, false) => self.read(key, number, &operation, findings),
            }
        }
    }

    /// What was covered when a settled read was called, and is not shown, is gone.
    fn settle(&mut self, key: &Key<'_>, number: u32, get: &Operation<'_>) {
        let settled = &mut self.settled;
        self.covered.retain(|&(since_ns, write)| {
            let is_shown = get.siblings.binary_search(&key.causes.node(write).value).is_ok();
            let stays = since_ns >= get.call_ns || is_shown;
            if !stays {
                settled[write as usize] = Some(number);
            }
            stays
        });
    }

    fn read(&self, key: &Key<'_>, number: u32, get: &Operation<'_>, findings: &mut Findings) {
        if !get.is_answered_get() {
            return;
        }
        for &value in get.siblings {
            let Some(write) = key.write_of(value) else { continue };
            let at = write as usize;
            let quorum = self.quorum[at].filter(|_| get.level == Level::Quorum);
            let acknowledged = self.acknowledged[at].filter(|_| get.settled);
            if let Some(since) = quorum.or(acknowledged).or(self.settled[at]) {
                tell(key, number, write, since, findings);
            }
        }
    }
}

/// Everything that a delete covers is gone since it.
fn remove(key: &Key<'_>, number: u32, delete: &Operation<'_>, gone: &mut [Option<u32>]) {
    let own = key.write_of(delete.value).expect("a write has its number");
    let mut pending = key.causes.covers(own).to_vec();
    while let Some(write) = pending.pop() {
        let since = &mut gone[write as usize];
        if since.is_none() {
            *since = Some(number);
            pending.extend_from_slice(key.causes.covers(write));
        }
    }
}
