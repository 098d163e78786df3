//! [`Table`]: the operations under way, and when each is to be looked at again.
//!
//! Bounded. A number is never given twice, not even by another life of the node: what comes late
//! finds nobody.

use std::collections::BTreeSet;

use crate::message::OpId;
use crate::time::Instant;

/// Numbers that one life of a node may give.
const BOOT_SHIFT: u32 = 40;

#[derive(Debug)]
pub(super) struct Table<T> {
    /// An operation's place is its number modulo their count.
    places: Vec<Option<(OpId, T)>>,
    count_max: usize,
    count: usize,
    next: u64,
    alarms: BTreeSet<(Instant, OpId)>,
}

impl<T> Table<T> {
    /// For `count_max` operations at a time, in the life `boot` of a node.
    pub(super) fn new(boot: u32, count_max: usize) -> Self {
        // Twice the room, so that a free place is near.
        let places = (count_max.max(1) * 2).next_power_of_two();
        Self {
            places: std::iter::repeat_with(|| None).take(places).collect(),
            count_max,
            count: 0,
            next: u64::from(boot) << BOOT_SHIFT,
            alarms: BTreeSet::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= self.count_max
    }

    /// # Panics
    /// If the table is full.
    pub(super) fn insert(&mut self, operation: T) -> OpId {
        assert!(!self.is_full(), "asked before");
        loop {
            let id = OpId(self.next);
            self.next += 1;
            let place = self.place(id);
            if self.places[place].is_none() {
                self.places[place] = Some((id, operation));
                self.count += 1;
                return id;
            }
        }
    }

    pub(super) fn get_mut(&mut self, id: OpId) -> Option<&mut T> {
        let place = self.place(id);
        let (found, operation) = self.places[place].as_mut()?;
        (*found == id).then_some(operation)
    }

    pub(super) fn remove(&mut self, id: OpId) -> Option<T> {
        self.get_mut(id)?;
        let place = self.place(id);
        self.count -= 1;
        self.places[place].take().map(|(_, operation)| operation)
    }

    /// All operations, in no particular order but always the same.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten().map(|(_, operation)| operation)
    }

    /// The numbers of all operations, in no particular order but always the same.
    pub(super) fn ids(&self) -> Vec<OpId> {
        self.places.iter().flatten().map(|(id, _)| *id).collect()
    }

    /// All operations with their numbers, in no particular order but always the same.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (OpId, &T)> {
        self.places.iter().flatten().map(|(id, operation)| (*id, operation))
    }

    /// The next number: operations that there are have smaller ones.
    pub(super) fn next(&self) -> OpId {
        OpId(self.next)
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Wakes `id` at `at`, if it is still there.
    pub(super) fn set_alarm(&mut self, id: OpId, at: Instant) {
        self.alarms.insert((at, id));
    }

    pub(super) fn cancel_alarm(&mut self, id: OpId, at: Instant) {
        self.alarms.remove(&(at, id));
    }

    /// Wakes `id` at `after` instead of `before`.
    pub(super) fn change_alarm(&mut self, id: OpId, before: Instant, after: Instant) {
        if before != after {
            self.cancel_alarm(id, before);
            self.set_alarm(id, after);
        }
    }

    /// Moments at which operations are to be looked at.
    pub(super) fn alarms(&self) -> usize {
        self.alarms.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// The next operation whose moment has come.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<OpId> {
        let &(at, id) = self.alarms.first().filter(|(at, _)| *at <= now)?;
        self.alarms.remove(&(at, id));
        Some(id)
    }

    fn place(&self, id: OpId) -> usize {
        id.0 as usize & (self.places.len() - 1)
    }
}
