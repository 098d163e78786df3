//! [`Holes`]: tokens whose records are gone from the tables there were, which are not written anew
//! for it.
//!
//! A vnode that is given up has some blocks in nearly every table. A hole takes them all away with
//! one edit: of tables as of a moment before it nothing with its tokens is there any more. What is
//! written later is.

use std::collections::BinaryHeap;

use schemas::ids::Token;

use crate::sstable::{FileId, TokenRange};

/// Tokens of which tables as of a moment before `before` have nothing any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hole {
    /// The tokens.
    pub tokens: TokenRange,
    /// Tables as of this file, or as of a later one, still have what they hold:
    /// [`TableEntry::as_of`](super::TableEntry::as_of).
    pub before: FileId,
}

/// The holes of a shard, in the order of their tokens, of which they share none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Holes {
    holes: Vec<Hole>,
}

impl Holes {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.holes.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Hole> {
        self.holes.iter()
    }

    /// What is read now, without what these holes hide, is as of this file.
    #[must_use]
    pub fn upto(&self) -> FileId {
        self.holes.iter().map(|hole| hole.before).max().unwrap_or(FileId(0))
    }

    /// What of `tokens` is hidden in a table as of file `as_of`: in order, neighbours as one.
    #[must_use]
    pub fn hidden(&self, as_of: FileId, tokens: TokenRange) -> Vec<TokenRange> {
        let mut hidden: Vec<TokenRange> = Vec::new();
        let from = self.holes.partition_point(|hole| hole.tokens.last() < tokens.first());
        for hole in &self.holes[from..] {
            let Some(part) = hole.tokens.intersection(tokens) else { break };
            if hole.before <= as_of {
                continue;
            }
            match hidden.last_mut().filter(|last| last.is_followed_by(part)) {
                Some(last) => *last = last.hull(part),
                None => hidden.push(part),
            }
        }
        hidden
    }

    /// Adds `more`, in any order. Where there are several, the one that hides most counts.
    pub(super) fn add(&mut self, more: &[Hole]) {
        let mut holes: Vec<Hole> = self.holes.drain(..).chain(more.iter().copied()).collect();
        holes.sort_by_key(|hole| hole.tokens.first());
        // Those that have begun, the deepest first; what has ended is found out when it is on top.
        let mut open: BinaryHeap<(FileId, Token)> = BinaryHeap::new();
        let (mut next, mut at) = (holes.into_iter().peekable(), Token(0));
        loop {
            while open.peek().is_some_and(|&(_, last)| last < at) {
                open.pop();
            }
            if open.is_empty() {
                let Some(hole) = next.peek() else { return };
                at = at.max(hole.tokens.first());
            }
            while let Some(hole) = next.next_if(|hole| hole.tokens.first() <= at) {
                open.push((hole.before, hole.tokens.last()));
            }
            let Some(&(before, last)) = open.peek() else { continue };
            let last = match next.peek() {
                Some(hole) => last.min(Token(hole.tokens.first().0 - 1)),
                None => last,
            };
            self.extend(Hole { tokens: TokenRange::new(at, last).expect("it is open"), before });
            match last.0.checked_add(1) {
                Some(next) => at = Token(next),
                None => return,
            }
        }
    }

    /// Adds a hole behind all the others.
    fn extend(&mut self, hole: Hole) {
        let joins =
            |it: &&mut Hole| it.before == hole.before && it.tokens.is_followed_by(hole.tokens);
        match self.holes.last_mut().filter(joins) {
            Some(last) => last.tokens = last.tokens.hull(hole.tokens),
            None => self.holes.push(hole),
        }
    }

    /// Keeps those for which `hides` says that some table still has what they hide.
    pub(super) fn retain(&mut self, hides: impl FnMut(&Hole) -> bool) {
        self.holes.retain(hides);
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn range(first: u64, last: u64) -> TokenRange {
        TokenRange::new(Token(first), Token(last)).unwrap()
    }

    /// Against an array with a place for each token.
    #[test]
    fn holes_hide_what_an_array_of_tokens_says() {
        for seed in 0..200 {
            let mut rng = Rng::with_seed(seed);
            let (mut holes, mut model) = (Holes::default(), [0; 64]);
            for before in (0..20).map(|_| rng.u64(1..20)).collect::<Vec<_>>() {
                let first = rng.u64(0..64);
                let tokens = range(first, rng.u64(first..64));
                holes.add(&[Hole { tokens, before: FileId(before) }]);
                let there = &mut model[first as usize..=tokens.last().0 as usize];
                there.iter_mut().for_each(|it| *it = before.max(*it));
                let (as_of, seen) = (rng.u64(0..=before), range(rng.u64(0..32), rng.u64(32..64)));
                let hidden = holes.hidden(FileId(as_of), seen);
                assert!(hidden.windows(2).all(|two| two[0].last().0 + 1 < two[1].first().0));
                for token in 0..64 {
                    let is_hidden = hidden.iter().any(|it| it.contains(Token(token)));
                    let expected = seen.contains(Token(token)) && model[token as usize] > as_of;
                    assert_eq!(is_hidden, expected, "seed {seed}, token {token}");
                }
                assert_eq!(holes.upto(), FileId(model.into_iter().max().unwrap()));
            }
        }
    }

    #[test]
    fn neighbours_of_one_moment_are_one_hole() {
        let mut holes = Holes::default();
        for vnode in [0, 2, 1, 3] {
            let tokens = range(vnode * 16, vnode * 16 + 15);
            holes.add(&[Hole { tokens, before: FileId(7) }]);
        }
        assert_eq!(holes.iter().map(|it| it.tokens).collect::<Vec<_>>(), [range(0, 63)]);
    }
}
