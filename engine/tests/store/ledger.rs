//! What the client knows: the model of a store.

use std::collections::BTreeMap;

use engine::store::ReadError;
use schemas::ids::{Vnode, VnodeBits};

use crate::harness::{KEYS, token_of};

/// A write that the store took.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) key: u32,
    /// Its place in the ledger, and its dot.
    pub(crate) index: usize,
    pub(crate) hlc: u64,
    /// `None` for a delete.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) expires_at_ms: u64,
}

impl Write {
    /// A put of a value that no other write has.
    pub(crate) fn put(key: u32, index: usize, len: usize) -> Self {
        let mut value = format!("{key}/{index}/").into_bytes();
        let fill = value.len().max(len);
        value.resize(fill, index as u8);
        Self { key, index, hlc: index as u64 + 1, value: Some(value), expires_at_ms: 0 }
    }

    pub(crate) fn delete(key: u32, index: usize) -> Self {
        Self { key, index, hlc: index as u64 + 1, value: None, expires_at_ms: 0 }
    }

    fn shown(&self, now_ms: u64) -> Option<&[u8]> {
        let dead = self.expires_at_ms != 0 && self.expires_at_ms <= now_ms;
        self.value.as_deref().filter(|_| !dead)
    }
}

/// A vnode that was dropped, or is being.
#[derive(Clone, Debug)]
pub(crate) struct DroppedVnode {
    pub(crate) vnode: Vnode,
    pub(crate) bits: VnodeBits,
    /// Of its writes those before this one go.
    pub(crate) at: usize,
    pub(crate) done: bool,
}

/// What the client knows.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    /// Keys there are.
    pub(crate) keys: u32,
    /// In the order in which they were taken.
    pub(crate) writes: Vec<Write>,
    /// So many of them, the first, are acknowledged.
    pub(crate) acknowledged: usize,
    /// Vnodes that were dropped, or are being.
    pub(crate) drops: Vec<DroppedVnode>,
    /// The wall clock when it was last looked at: the next simulation goes on from there.
    pub(crate) wall_ms: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { keys: KEYS, writes: Vec::new(), acknowledged: 0, drops: Vec::new(), wall_ms: 0 }
    }
}

/// What came of a read: the key's value, if it has one.
pub(crate) type Answer = Result<Option<Vec<u8>>, ReadError>;

/// What a store shows: each key's value.
pub(crate) type Shown = BTreeMap<u32, Option<Vec<u8>>>;

impl DroppedVnode {
    fn has(&self, key: u32) -> bool {
        token_of(key).vnode(self.bits) == self.vnode
    }
}

impl Ledger {
    /// Notes a drop, and says where.
    pub(crate) fn note_drop(&mut self, drop: DroppedVnode) -> usize {
        self.drops.push(drop);
        self.drops.len() - 1
    }

    /// Drops that are not done.
    pub(crate) fn pending_drops(&self) -> impl Iterator<Item = (usize, Vnode)> {
        let drops = self.drops.iter().enumerate().filter(|(_, drop)| !drop.done);
        drops.map(|(at, drop)| (at, drop.vnode))
    }

    /// Whether the vnode of `key` is being dropped.
    pub(crate) fn is_dropping(&self, key: u32) -> bool {
        self.drops.iter().any(|drop| !drop.done && drop.has(key))
    }

    /// What a store shows that has the first `count` writes.
    pub(crate) fn after(&self, count: usize, now_ms: u64) -> Shown {
        self.after_drops(count, now_ms, false)
    }

    /// As [`after`](Self::after); and `dropped` says whether drops that are not done count.
    pub(crate) fn after_drops(&self, count: usize, now_ms: u64, dropped: bool) -> Shown {
        let drops = || self.drops.iter().filter(|drop| drop.done || dropped);
        let is_gone =
            |write: &&Write| drops().any(|drop| write.index < drop.at && drop.has(write.key));
        let mut stands: BTreeMap<u32, &Write> = BTreeMap::new();
        for write in self.writes[..count].iter().filter(|write| !is_gone(write)) {
            let held = stands.entry(write.key).or_insert(write);
            if (write.hlc, write.index) > (held.hlc, held.index) {
                *held = write;
            }
        }
        let shown = |key: u32| stands.get(&key)?.shown(now_ms).map(<[u8]>::to_vec);
        (0..self.keys).map(|key| (key, shown(key))).collect()
    }

    /// Checks what a store shows after a restart, and says how many writes it has. The writes it
    /// has not are forgotten. It was read from `now_ms` to `later_ms`: what expired meanwhile may
    /// be there or not.
    pub(crate) fn recovered(
        &mut self,
        shown: &Shown,
        now_ms: u64,
        later_ms: u64,
    ) -> Result<usize, String> {
        let fits_with = |count: usize, dropped: bool| {
            let now = self.after_drops(count, now_ms, dropped);
            *shown == now || {
                let later = self.after_drops(count, later_ms, dropped);
                shown.iter().all(|(key, value)| now[key] == *value || later[key] == *value)
            }
        };
        let fits = |count: &usize| fits_with(*count, false) || fits_with(*count, true);
        if let Some(count) = (self.acknowledged..=self.writes.len()).rev().find(fits) {
            self.writes.truncate(count);
            self.acknowledged = count;
            self.drops.iter_mut().for_each(|drop| drop.at = drop.at.min(count));
            return Ok(count);
        }
        let (acknowledged, all) = (self.acknowledged, self.writes.len());
        let before = (0..acknowledged).rev().find(fits);
        let expected = self.after(acknowledged, now_ms);
        let wrong = shown.iter().find(|(key, value)| expected[key] != **value);
        let text = |value: &Option<Vec<u8>>| {
            value
                .as_ref()
                .map(|value| String::from_utf8_lossy(&value[..value.len().min(12)]).into_owned())
        };
        let wrong = wrong.map(|(key, value)| (key, text(value), text(&expected[key])));
        Err(format!(
            "of {all} writes, {acknowledged} acknowledged, the store shows none of the prefixes; \
             a shorter one fits: {before:?}; key, shown, acknowledged: {wrong:?}"
        ))
    }
}
