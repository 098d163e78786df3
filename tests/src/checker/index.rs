//! A history ordered for judging: operations by key, and those of a key by moment.
//!
//! Writes of a key are numbered by their calls ([`Write`]); everything that oracles remember of
//! writes is an array over these numbers.

use std::collections::BTreeMap;
use std::ops::Range;

use schemas::ids::Version;

use super::causes::Causes;
use super::findings::KeyName;
use super::removals::Removals;
use crate::history::{ABSENT, History, Kind, NEVER, Operation, Outcome, Policy};

/// The number of a write among those of its key, in the order of calls.
pub(super) type Write = u32;

/// A history by keys.
pub(super) struct Index<'h> {
    history: &'h History,
    /// How far clocks may be apart.
    skew_ns: u64,
    /// Operations by key and call.
    by_key: Vec<u32>,
    keys: Vec<(KeyName, Range<usize>)>,
    /// Values with the operations that wrote them, ascending.
    written: Vec<(u64, u32)>,
    /// Stamps of writes that were told none, as reads told them.
    learned: BTreeMap<u32, Version>,
    /// Of puts with unknown outcomes that expire, when a read first returned that showed them.
    shown_by: BTreeMap<u32, u64>,
}

/// A call or a return. Calls come before returns of the same moment: such operations overlap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Event {
    pub(super) at_ns: u64,
    pub(super) is_return: bool,
    pub(super) operation: u32,
}

/// What a get of an `lww` key showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shown {
    /// A record of this version.
    Version(Version),
    /// No record.
    Nothing,
    /// A value whose version nobody ever told.
    Unknown,
}

/// One key's operations.
pub(super) struct Key<'h> {
    pub(super) name: KeyName,
    pub(super) policy: Policy,
    /// The numbers of its operations, by call.
    pub(super) operations: &'h [u32],
    /// Calls of all operations, and returns of those that succeeded.
    pub(super) events: Vec<Event>,
    /// Which write covers which, in a namespace with siblings.
    pub(super) causes: Causes,
    /// What may have removed values, in an `lww` namespace.
    pub(super) removals: Removals,
    /// The operations that wrote, by call.
    writes: Vec<u32>,
    by_value: Vec<(u64, Write)>,
    index: &'h Index<'h>,
}

impl<'h> Index<'h> {
    /// # Panics
    ///
    /// If a value was written twice: such a history cannot be judged.
    pub(super) fn new(history: &'h History, skew_ns: u64) -> Self {
        let mut order: Vec<(KeyName, u64, u32)> = history
            .operations()
            .map(|(number, it)| (KeyName::new(it.namespace, it.key), it.call_ns, number))
            .collect();
        order.sort_unstable();
        let mut keys: Vec<(KeyName, Range<usize>)> = Vec::new();
        for (at, &(name, ..)) in order.iter().enumerate() {
            match keys.last_mut() {
                Some((last, range)) if *last == name => range.end = at + 1,
                _ => keys.push((name, at..at + 1)),
            }
        }
        let written = history.written();
        let twice = written.windows(2).find(|two| two[0].0 == two[1].0);
        assert_eq!(twice, None, "each write has a value of its own");
        let by_key = order.into_iter().map(|(.., number)| number).collect();
        let (learned, shown_by) = (BTreeMap::new(), BTreeMap::new());
        let mut index = Self { history, skew_ns, by_key, keys, written, learned, shown_by };
        index.learn_stamps();
        index.learn_moments();
        index
    }

    fn learn_moments(&mut self) {
        for (_, get) in self.history.operations().filter(|(_, it)| it.is_answered_get()) {
            let one = (get.policy == Policy::Lww && get.value != ABSENT).then_some(get.value);
            for value in one.into_iter().chain(get.siblings.iter().copied()) {
                let Some(writer) = self.writer(value) else { continue };
                let put = self.history.operation(writer);
                if put.outcome == Outcome::Unknown && put.expires_ns != NEVER {
                    let first_ns = self.shown_by.entry(writer).or_insert(get.return_ns);
                    *first_ns = get.return_ns.min(*first_ns);
                }
            }
        }
    }

    fn learn_stamps(&mut self) {
        for (_, get) in self.history.operations().filter(|(_, it)| it.is_answered_get()) {
            let (Some(stamp), true) = (get.stamp, get.value != ABSENT) else { continue };
            let Some(writer) = self.writer(get.value) else { continue };
            if self.history.operation(writer).stamp.is_none() {
                self.learned.entry(writer).or_insert(stamp);
            }
        }
    }

    /// The operation that wrote a value, whatever the key.
    pub(super) fn writer(&self, value: u64) -> Option<u32> {
        let found = self.written.binary_search_by_key(&value, |it| it.0).ok()?;
        Some(self.written[found].1)
    }

    /// All keys, in their order.
    pub(super) fn keys(&'h self) -> impl Iterator<Item = Key<'h>> {
        self.keys.iter().map(|(name, range)| Key::new(self, *name, &self.by_key[range.clone()]))
    }
}

impl<'h> Key<'h> {
    fn new(index: &'h Index<'h>, name: KeyName, operations: &'h [u32]) -> Self {
        let mut events = Vec::with_capacity(2 * operations.len());
        let mut writes = Vec::new();
        let mut by_value = Vec::new();
        for &operation in operations {
            let it = index.history.operation(operation);
            events.push(Event { at_ns: it.call_ns, is_return: false, operation });
            if it.outcome == Outcome::Ok {
                events.push(Event { at_ns: it.return_ns, is_return: true, operation });
            }
            if it.is_write() {
                by_value.push((it.value, writes.len() as Write));
                writes.push(operation);
            }
        }
        events.sort_unstable();
        by_value.sort_unstable();
        let policy = index.history.operation(operations[0]).policy;
        let (causes, removals) = (Causes::default(), Removals::default());
        let mut key =
            Self { name, policy, operations, events, causes, removals, writes, by_value, index };
        match policy {
            Policy::Siblings => key.causes = Causes::new(&key),
            Policy::Lww => key.removals = Removals::new(&key),
        }
        key
    }

    /// The operation of a number in the history.
    #[inline]
    pub(super) fn operation(&self, number: u32) -> Operation<'h> {
        self.index.history.operation(number)
    }

    /// How many writes there are.
    pub(super) fn write_count(&self) -> usize {
        self.writes.len()
    }

    /// The numbers of the operations that wrote, by call.
    pub(super) fn writes(&self) -> &[u32] {
        &self.writes
    }

    /// The operation of a write.
    #[inline]
    pub(super) fn write(&self, write: Write) -> Operation<'h> {
        self.operation(self.writes[write as usize])
    }

    /// The write of a value, if it is one of this key.
    #[inline]
    pub(super) fn write_of(&self, value: u64) -> Option<Write> {
        let found = self.by_value.binary_search_by_key(&value, |it| it.0).ok()?;
        Some(self.by_value[found].1)
    }

    /// The operation that wrote a value to another key.
    pub(super) fn foreign_writer(&self, value: u64) -> Option<u32> {
        self.index.writer(value)
    }

    /// The version that a write was given, if anybody was told.
    #[inline]
    pub(super) fn stamp_of(&self, operation: u32) -> Option<Version> {
        let told = self.operation(operation).stamp;
        told.or_else(|| self.index.learned.get(&operation).copied())
    }

    /// Whether what an operation wrote had expired at a moment, by the clock of some node.
    #[inline]
    pub(super) fn may_have_expired(&self, write: &Operation<'_>, at_ns: u64) -> bool {
        write.expires_ns != NEVER && write.expires_ns.saturating_sub(self.index.skew_ns) <= at_ns
    }

    /// Whether what an operation wrote had expired at a moment, by the clocks of all nodes.
    ///
    /// Its time begins when it is stamped. A put whose outcome is unknown may have been on its way
    /// to an owner for long: it was stamped by the time a read first returned that showed it.
    #[inline]
    pub(super) fn has_expired(&self, operation: u32, at_ns: u64) -> bool {
        let write = self.operation(operation);
        let shown_by = self.index.shown_by.get(&operation);
        let late_ns = shown_by.map_or(0, |shown_ns| shown_ns.saturating_sub(write.call_ns));
        let upto_ns = self.expires_upto(&write).saturating_add(late_ns);
        write.expires_ns != NEVER && upto_ns <= at_ns
    }

    /// When what an operation wrote expires at the earliest.
    pub(super) fn expires_from(&self, write: &Operation<'_>) -> u64 {
        write.expires_ns.saturating_sub(self.index.skew_ns).max(write.call_ns)
    }

    /// When what an operation wrote has expired at the latest.
    pub(super) fn expires_upto(&self, write: &Operation<'_>) -> u64 {
        write.expires_ns.saturating_add(self.index.skew_ns)
    }

    /// What an answered get of an `lww` key showed.
    #[inline]
    pub(super) fn shown(&self, get: &Operation<'_>) -> Shown {
        let known = || {
            let writer = self.writes[self.write_of(get.value)? as usize];
            self.stamp_of(writer)
        };
        match get.stamp.or_else(known) {
            Some(version) => Shown::Version(version),
            None if get.value == ABSENT => Shown::Nothing,
            None => Shown::Unknown,
        }
    }

    /// The version that an operation on an `lww` key wrote or showed, if anybody was told.
    pub(super) fn version(&self, number: u32) -> Option<Version> {
        let operation = self.operation(number);
        if operation.is_write() {
            return self.stamp_of(number);
        }
        match self.shown(&operation) {
            Shown::Version(version) => Some(version),
            Shown::Nothing | Shown::Unknown => None,
        }
    }

    /// An operation in words.
    pub(super) fn tell(&self, number: u32) -> String {
        let it = self.operation(number);
        let what = match it.kind {
            Kind::Put => format!("put of {}", it.value),
            Kind::Delete => format!("delete {}", it.value),
            Kind::Get if it.policy == Policy::Siblings => format!("get of {:?}", it.siblings),
            Kind::Get if it.value == ABSENT => "get of nothing".to_owned(),
            Kind::Get => format!("get of {}", it.value),
        };
        let returned = match it.done_ns() {
            NEVER => "for ever".to_owned(),
            at => at.to_string(),
        };
        format!("{what} (#{number}, process {}, {} to {returned} ns)", it.process, it.call_ns)
    }
}
