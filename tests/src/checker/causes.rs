//! [`Causes`]: which write of a key replaces which, as contexts say.
//!
//! A write covers the values that its context lists, and whatever those cover: the graph has the
//! listed ones as edges, and everything else is a walk along them. An edge leads from a write to
//! one that was called no later; edges to values that are no writes of the key are left out, here
//! and nowhere else (what a context may list is [`siblings`](super::siblings)' to judge).

use std::ops::Range;

use super::index::{Key, Write};
use crate::history::{Kind, NEVER};

/// Which write of a key covers which.
#[derive(Default)]
pub(super) struct Causes {
    nodes: Vec<Node>,
    covers: Edges,
    covered_by: Edges,
}

/// What a walk looks at of a write; neighbours of a walk are neighbours here.
pub(super) struct Node {
    pub(super) value: u64,
    pub(super) call_ns: u64,
    /// From when on it may have removed what it covers and left nothing: a delete from its call, a
    /// value from its expiry. [`NEVER`] for other values.
    pub(super) removes_ns: u64,
}

/// For each write, writes in the order of their calls.
#[derive(Default)]
struct Edges {
    /// Where the list of each write begins, and the end of the last.
    starts: Vec<u32>,
    ends: Vec<Write>,
}

/// A set of writes that is emptied at no cost.
pub(super) struct Marks {
    round: u32,
    marked: Vec<u32>,
}

impl Causes {
    pub(super) fn new(key: &Key<'_>) -> Self {
        let count = key.write_count();
        let nodes: Vec<Node> = (0..count as Write).map(|it| Node::new(key, it)).collect();
        let mut pairs: Vec<(Write, Write)> = Vec::new();
        for by in 0..count as Write {
            let write = key.write(by);
            if !write.may_take_effect() {
                continue;
            }
            let covered = write.covers().iter().filter_map(|&value| key.write_of(value));
            let earlier = |it: &Write| *it != by && nodes[*it as usize].call_ns <= write.call_ns;
            pairs.extend(covered.filter(earlier).map(|it| (by, it)));
        }
        let covers = Edges::new(count, &mut pairs);
        for pair in &mut pairs {
            *pair = (pair.1, pair.0);
        }
        let covered_by = Edges::new(count, &mut pairs);
        Self { nodes, covers, covered_by }
    }

    /// A write, for a walk.
    #[inline]
    pub(super) fn node(&self, write: Write) -> &Node {
        &self.nodes[write as usize]
    }

    /// Writes whose context lists this one, and that may take effect.
    #[inline]
    pub(super) fn covered_by(&self, write: Write) -> &[Write] {
        self.covered_by.of(write)
    }

    /// Writes that the context of this one lists.
    #[inline]
    pub(super) fn covers(&self, write: Write) -> &[Write] {
        self.covers.of(write)
    }

    /// Whether `later` covers `earlier`, by itself or through others.
    pub(super) fn descends(&self, later: Write, earlier: Write, marks: &mut Marks) -> bool {
        // Whoever covers `earlier` was called no earlier than the first that lists it.
        let Some(&first) = self.covered_by(earlier).first() else { return false };
        let first_ns = self.node(first).call_ns;
        let mut pending = vec![later];
        marks.clear();
        while let Some(write) = pending.pop() {
            if self.node(write).call_ns < first_ns || !marks.insert(write) {
                continue;
            }
            let covered = self.covers(write);
            if covered.binary_search(&earlier).is_ok() {
                return true;
            }
            pending.extend_from_slice(covered);
        }
        false
    }
}

impl Node {
    fn new(key: &Key<'_>, write: Write) -> Self {
        let operation = key.write(write);
        let removes_ns = match operation.kind {
            Kind::Delete => operation.call_ns,
            _ if operation.expires_ns == NEVER => NEVER,
            _ => key.expires_from(&operation),
        };
        Self { value: operation.value, call_ns: operation.call_ns, removes_ns }
    }
}

impl Edges {
    fn new(writes: usize, pairs: &mut Vec<(Write, Write)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        let mut starts = vec![0; writes + 1];
        for &(from, _) in pairs.iter() {
            starts[from as usize + 1] += 1;
        }
        for at in 0..writes {
            starts[at + 1] += starts[at];
        }
        Self { starts, ends: pairs.iter().map(|pair| pair.1).collect() }
    }

    #[inline]
    fn of(&self, write: Write) -> &[Write] {
        let at = write as usize;
        let range: Range<usize> = self.starts[at] as usize..self.starts[at + 1] as usize;
        &self.ends[range]
    }
}

impl Marks {
    /// The empty set, for so many writes.
    pub(super) fn new(writes: usize) -> Self {
        Self { round: 1, marked: vec![0; writes] }
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.round += 1;
    }

    /// Adds a write. Whether it was not there.
    #[inline]
    pub(super) fn insert(&mut self, write: Write) -> bool {
        let before = std::mem::replace(&mut self.marked[write as usize], self.round);
        before != self.round
    }

    /// Whether it has a write.
    #[inline]
    pub(super) fn contains(&self, write: Write) -> bool {
        self.marked[write as usize] == self.round
    }
}
