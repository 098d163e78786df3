//! [`Promises`]: what this node's cores promise together, and what all members do.
//!
//! - A node promises when all of its cores have.
//! - A member that is lost promises nothing any more; every other has to, up or down.
//! - Members that join may stamp below what was promised before they were asked. So nothing is
//!   told while any member was heard to have a newer topology; and a node that joins learns from
//!   one that has that topology above which stamp it is to give its own.

use std::collections::BTreeMap;

use schemas::ids::{Hlc, NodeId};

use crate::horizon::{Promise, Promised};
use crate::liveness::Record;
use crate::topology::{Document, Epoch, Standing};

/// What is promised of what is old.
#[derive(Debug, Default)]
pub(super) struct Promises {
    cores: BTreeMap<u16, Promise>,
    /// How many cores there are; zero until one has said so.
    count: usize,
    /// The first topology that this life saw itself a member of.
    joined: Option<Epoch>,
    told: Option<Promised>,
}

impl Promises {
    /// A core promises, one of `count`. Whether all have.
    pub(super) fn of_core(&mut self, core: u16, count: u16, promise: Promise) -> bool {
        self.cores.insert(core, promise);
        self.count = usize::from(count);
        self.is_complete()
    }

    fn is_complete(&self) -> bool {
        self.count > 0 && self.cores.len() >= self.count
    }

    /// What the node promises.
    pub(super) fn own(&self) -> Promise {
        let all = self.cores.values().copied().reduce(Promise::and);
        all.filter(|_| self.is_complete()).unwrap_or_default()
    }

    /// The topology that this node goes by from now on.
    pub(super) fn topology(&mut self, document: &Document, me: NodeId) {
        let is_member = document.index_of(me).is_some();
        self.joined = is_member.then(|| self.joined.unwrap_or(document.epoch));
    }

    /// What all members promise, if that is news. `heard` is what a member last told of itself.
    pub(super) fn of_all(
        &mut self,
        document: &Document,
        me: NodeId,
        heard: impl Fn(NodeId) -> Option<Record>,
    ) -> Option<Promised> {
        let joined = self.joined?;
        let mut promise = self.own();
        let mut floor = None;
        let is_lost = |node: NodeId| {
            let index = document.index_of(node);
            index.is_none_or(|index| document.member(index).standing == Standing::Lost)
        };
        let others = document.members.iter().map(|it| it.id).filter(|&node| node != me);
        let mut is_alone = true;
        for node in others {
            let record = heard(node);
            is_alone &= is_lost(node);
            if let Some(record) = record.filter(|it| it.epoch >= joined && it.promise.last > Hlc(0))
            {
                let last = record.promise.last;
                // Any of them will do.
                floor = Some(floor.map_or(last, |floor| last.min(floor)));
            }
            if is_lost(node) {
                continue;
            }
            let is_of_now = |it: &Record| it.epoch <= document.epoch;
            let theirs = record.filter(is_of_now).map(|it| it.promise).unwrap_or_default();
            promise = promise.and(theirs);
        }
        if is_alone {
            floor = Some(promise.last);
        }
        let promised = Promised { topology: document.epoch, promise, floor };
        let is_news = self.told != Some(promised);
        self.told = Some(promised);
        is_news.then_some(promised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::fixture::{self, node};

    fn promise(epoch: u32, below: u64) -> Promise {
        Promise { epoch: Epoch(epoch), below: Hlc(below), last: Hlc(below + 100) }
    }

    fn record(epoch: u32, below: u64) -> Record {
        Record { epoch: Epoch(epoch), promise: promise(epoch, below), ..Record::default() }
    }

    fn promises(document: &Document) -> Promises {
        let mut promises = Promises::default();
        promises.topology(document, node(1));
        assert!(!promises.of_core(0, 2, promise(5, 60)));
        assert!(promises.of_core(1, 2, promise(5, 50)));
        promises
    }

    #[test]
    fn all_members_promise_what_the_least_of_them_does() {
        let mut document = fixture::document(3, 1, 1);
        document.epoch = Epoch(5);
        let mut promises = promises(&document);
        let below = |promised: Option<Promised>| promised.unwrap().promise.below.0;
        let of = |two: Option<Record>, three: Option<Record>| {
            move |it: NodeId| if it == node(2) { two } else { three }
        };
        let (two, three) = (Some(record(5, 40)), Some(record(4, 45)));
        assert_eq!(below(promises.of_all(&document, node(1), of(two, three))), 40);
        assert_eq!(promises.of_all(&document, node(1), of(two, three)), None, "no news");
        assert_eq!(below(promises.of_all(&document, node(1), of(two, None))), 0);
        let newer = Some(record(6, 90));
        assert_eq!(below(promises.of_all(&document, node(1), of(newer, three))), 0);
        document.members[1].standing = Standing::Lost;
        assert_eq!(below(promises.of_all(&document, node(1), of(None, three))), 45);
    }

    #[test]
    fn a_node_that_joined_stamps_above_what_was_promised_without_it() {
        let mut document = fixture::document(2, 1, 1);
        document.epoch = Epoch(5);
        let mut promises = promises(&document);
        let floor = |promised: Option<Promised>| promised.unwrap().floor;
        let of_all =
            |it: &mut Promises, record: Record| it.of_all(&document, node(1), |_| Some(record));
        assert_eq!(
            floor(of_all(&mut promises, record(4, 40))),
            None,
            "it may not know of this one"
        );
        assert_eq!(floor(of_all(&mut promises, record(5, 40))), Some(Hlc(140)));
    }
}
