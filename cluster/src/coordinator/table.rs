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
    places: Vec<Option<Place<T>>>,
    count_max: usize,
    count: usize,
    next: u64,
    alarms: BTreeSet<(Instant, OpId)>,
}

#[derive(Debug)]
struct Place<T> {
    id: OpId,
    operation: T,
    alarm: Option<Instant>,
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
                self.places[place] = Some(Place { id, operation, alarm: None });
                self.count += 1;
                return id;
            }
        }
    }

    pub(super) fn get_mut(&mut self, id: OpId) -> Option<&mut T> {
        let place = self.place(id);
        let it = self.places[place].as_mut().filter(|it| it.id == id)?;
        Some(&mut it.operation)
    }

    pub(super) fn remove(&mut self, id: OpId) -> Option<T> {
        let place = self.place(id);
        let it = self.places[place].take_if(|it| it.id == id)?;
        self.count -= 1;
        if let Some(at) = it.alarm {
            self.alarms.remove(&(at, id));
        }
        Some(it.operation)
    }

    /// All operations, in no particular order but always the same.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten().map(|it| &it.operation)
    }

    /// The numbers of all operations, in no particular order but always the same.
    pub(super) fn ids(&self) -> Vec<OpId> {
        self.places.iter().flatten().map(|it| it.id).collect()
    }

    /// All operations with their numbers, in no particular order but always the same.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (OpId, &T)> {
        self.places.iter().flatten().map(|it| (it.id, &it.operation))
    }

    /// The next number: operations that there are have smaller ones.
    pub(super) fn next(&self) -> OpId {
        OpId(self.next)
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Wakes `id` at `at`, if it is still there, and at no other moment.
    pub(super) fn set_alarm(&mut self, id: OpId, at: Instant) {
        let place = self.place(id);
        let Some(it) = self.places[place].as_mut().filter(|it| it.id == id) else { return };
        if it.alarm == Some(at) {
            return;
        }
        if let Some(before) = it.alarm.replace(at) {
            self.alarms.remove(&(before, id));
        }
        self.alarms.insert((at, id));
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
        let place = self.place(id);
        if let Some(it) = &mut self.places[place] {
            it.alarm = None;
        }
        Some(id)
    }

    fn place(&self, id: OpId) -> usize {
        id.0 as usize & (self.places.len() - 1)
    }
}
