//! What a shard's store does, as far as the shard can tell: it merges, forgets nothing, and is done
//! when the test says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::rc::Rc;

use schemas::clock::VnodeClock;
use schemas::ids::{NamespaceId, NodeId, Token, Vnode, VnodeBits};

use crate::event::{Hint, Order, Page, Stored, Ticket};
use crate::horizon::oldest;
use crate::record::{Digest, Key, Record, merge};
use crate::repair::LEAVES;

/// What was asked of the store and is not done.
#[derive(Debug)]
pub(super) enum Job {
    Keep(Ticket, Order),
    Answer(Ticket, Order),
}

/// A store in memory.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) records: BTreeMap<Key, Rc<Record>>,
    pub(super) hints: BTreeMap<(NodeId, Key), Hint>,
    clocks: BTreeMap<Vnode, VnodeClock>,
    /// Vnodes whose clocks have run out of room.
    pub(super) overflowed: BTreeSet<Vnode>,
    pub(super) jobs: VecDeque<Job>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            records: BTreeMap::new(),
            hints: BTreeMap::new(),
            clocks: BTreeMap::new(),
            overflowed: BTreeSet::new(),
            jobs: VecDeque::new(),
        }
    }

    /// Does what was to be kept.
    pub(super) fn keep(&mut self, bits: VnodeBits, order: Order) {
        match order {
            Order::Put(record) => {
                let clock = self.clocks.entry(record.key.token.vnode(bits)).or_default();
                for dot in record.dots() {
                    clock.insert(dot);
                }
                let known = self.records.get(&record.key);
                let merged = known.map_or_else(|| Rc::clone(&record), |it| merge(it, &record));
                self.records.insert(record.key.clone(), merged);
            }
            Order::PutHint { target, record, is_counted } => {
                self.hints.insert((target, record.key.clone()), Hint { record, is_counted });
            }
            Order::DropHint { target, key, digest } => {
                let place = (target, key);
                let is_it = |hint: &Hint| -> bool { Digest::eq(&hint.record.digest(), &digest) };
                if self.hints.get(&place).is_some_and(is_it) {
                    self.hints.remove(&place);
                }
            }
            Order::Join(vnode, clock) => {
                self.clocks.entry(vnode).or_default().join(&clock);
            }
            Order::Hold(..) | Order::SetAside(_) | Order::Horizon(..) | Order::Exact(_) => {}
            Order::Clear(vnode) => {
                self.clocks.remove(&vnode);
            }
            Order::Recount(vnode) => {
                self.overflowed.remove(&vnode);
            }
            Order::Drop(vnode) => {
                self.records.retain(|key, _| key.token.vnode(bits) != vnode);
                self.clocks.remove(&vnode);
            }
            order => unreachable!("{order:?} keeps nothing"),
        }
    }

    /// What is asked for.
    pub(super) fn answer(&self, bits: VnodeBits, order: &Order) -> Stored {
        let clock = |vnode: &Vnode| self.clocks.get(vnode).cloned().unwrap_or_default();
        match order {
            Order::Get(key) => Stored::Record(self.records.get(key).cloned()),
            Order::Clock(vnode) => Stored::Clock(clock(vnode)),
            Order::Dots { vnode, actor } => {
                let mut dots = clock(vnode);
                let hints =
                    self.hints.values().filter(|it| it.record.key.token.vnode(bits) == *vnode);
                for dot in hints.flat_map(|it| it.record.dots()) {
                    dots.insert(dot);
                }
                let is_all = !self.overflowed.contains(vnode);
                Stored::Dots(is_all.then(|| dots.only(*actor)))
            }
            Order::OldestHint => {
                Stored::OldestHint(self.hints.values().map(|it| oldest(&it.record)).min())
            }
            Order::Hints { target, after, count_max } => {
                let is_behind = |key: &Key| after.as_ref().is_none_or(|after| key > after);
                let all = self.hints.iter().filter(|((node, _), _)| node == target);
                let mut all = all.filter(|((_, key), _)| is_behind(key)).map(|it| it.1);
                let hints = all.by_ref().take(*count_max).cloned().collect();
                Stored::Hints(hints, all.next().is_some())
            }
            Order::Since { vnode, after, bytes_max, .. } => {
                let page = self.page(bits.tokens(*vnode), after.as_ref(), *bytes_max);
                Stored::Since(clock(vnode), Some(page))
            }
            Order::Leaves { vnode, .. } => Stored::Leaves(
                clock(vnode),
                vec![clock(vnode).count_beyond(&VnodeClock::default()); usize::from(LEAVES)],
            ),
            Order::Page { tokens, after, bytes_max } => {
                Stored::Page(self.page(*tokens, after.as_ref(), *bytes_max))
            }
            order => unreachable!("{order:?} asks for nothing"),
        }
    }

    fn page(&self, tokens: (Token, Token), after: Option<&Key>, bytes_max: usize) -> Page {
        let first = Key { token: tokens.0, namespace: NamespaceId(0), bytes: Rc::from([]) };
        let from = match after {
            Some(after) => Bound::Excluded(after.clone()),
            None => Bound::Included(first),
        };
        let behind = self.records.range((from, Bound::Unbounded)).map(|it| it.1);
        let mut page = Page::default();
        let mut bytes = 0;
        for record in behind.take_while(|it| it.key.token <= tokens.1) {
            bytes += 64 + record.value.len();
            if bytes > bytes_max && !page.records.is_empty() {
                page.has_more = true;
                break;
            }
            page.records.push(Rc::clone(record));
        }
        page
    }
}
