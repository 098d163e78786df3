//! [`Clocks`]: the clocks of all vnodes of a shard.
//!
//! What rows bring goes to heads, and from there to a clock only when its actor leaves the head. A
//! clone is a snapshot that costs a pointer for some vnodes each: a memtable that is frozen keeps
//! one, and what is written later copies what it touches.

use std::rc::Rc;

use schemas::clock::VnodeClock;
use schemas::ids::{Dot, Token, Vnode, VnodeBits};

use super::heads::{ActorNumber, Actors, Head, NOBODY, Said};

/// Vnodes whose clocks are copied together: well below a microsecond each.
const CLOCKS: usize = 16;

/// Vnodes whose heads are copied together: 4 KiB. There are so few pieces that whether one is to
/// be copied is known from the nearest cache.
const HEADS: usize = 64;

/// The clocks of all vnodes of a shard. Clones are snapshots.
#[derive(Clone, Debug)]
pub struct Clocks {
    bits: VnodeBits,
    first: Vnode,
    count: usize,
    /// What heads say is not all in them; but each actor of a head is.
    clocks: Vec<Rc<[VnodeClock]>>,
    heads: Vec<Rc<[Head]>>,
    actors: Rc<Actors>,
}

impl Clocks {
    /// Empty clocks for a shard that owns the tokens from `tokens.0` to `tokens.1`.
    pub(crate) fn new(bits: VnodeBits, tokens: (Token, Token)) -> Self {
        let (first, last) = (tokens.0.vnode(bits), tokens.1.vnode(bits));
        let count = usize::from(last.0.saturating_sub(first.0)) + 1;
        let clocks = || Rc::from(vec![VnodeClock::default(); CLOCKS]);
        let heads = || Rc::from(vec![Head::EMPTY; HEADS]);
        Self {
            bits,
            first,
            count,
            clocks: (0..count.div_ceil(CLOCKS)).map(|_| clocks()).collect(),
            heads: (0..count.div_ceil(HEADS)).map(|_| heads()).collect(),
            actors: Rc::default(),
        }
    }

    /// How many vnodes there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How the ring is cut.
    pub(crate) fn bits(&self) -> VnodeBits {
        self.bits
    }

    /// The place of `vnode` among the shard's; `None` if it is another's.
    #[inline]
    pub(crate) fn index(&self, vnode: Vnode) -> Option<usize> {
        let index = usize::from(vnode.0).checked_sub(usize::from(self.first.0))?;
        (index < self.count).then_some(index)
    }

    /// The vnode at `index`.
    pub(crate) fn vnode(&self, index: usize) -> Vnode {
        Vnode(self.first.0 + index as u16)
    }

    /// The actors that have numbers.
    pub(super) fn actors(&self) -> &Actors {
        &self.actors
    }

    /// The clock at `index`.
    pub(crate) fn at(&self, index: usize) -> VnodeClock {
        let mut clock = self.clocks[index / CLOCKS][index % CLOCKS].clone();
        for (number, upto) in self.heads[index / HEADS][index % HEADS].slots() {
            let actor = self.actors.get(number).expect("it has the number");
            clock.insert_upto(actor, upto);
        }
        clock
    }

    /// Whether the clock at `index` has no dot.
    pub(crate) fn is_empty_at(&self, index: usize) -> bool {
        self.clocks[index / CLOCKS][index % CLOCKS].is_empty()
    }

    /// Adds `dot` to the clock at `index`. `None`: it was there, or there is no room for it; else
    /// the number of its actor, if there is one.
    #[inline]
    pub(super) fn insert(&mut self, index: usize, dot: Dot) -> Option<ActorNumber> {
        let heads = Rc::make_mut(&mut self.heads[index / HEADS]);
        match heads[index % HEADS].insert(&self.actors, dot) {
            Said::New(number) => Some(number),
            Said::There => None,
            Said::Unknown => self.insert_into_clock(index, dot),
        }
    }

    #[cold]
    fn insert_into_clock(&mut self, index: usize, dot: Dot) -> Option<ActorNumber> {
        let known = self.actors.find(dot.actor);
        let number = known.unwrap_or_else(|| Rc::make_mut(&mut self.actors).add(dot.actor));
        let clock = &mut Rc::make_mut(&mut self.clocks[index / CLOCKS])[index % CLOCKS];
        let head = &mut Rc::make_mut(&mut self.heads[index / HEADS])[index % HEADS];
        if let Some(upto) = head.take(number) {
            clock.insert_upto(dot.actor, upto);
        }
        if !clock.insert(dot) {
            return None;
        }
        // Where there are gaps, the clock is asked until they close.
        let whole = clock.of(dot.actor).filter(|it| it.runs().is_empty() && number != NOBODY);
        if let Some((number, upto)) = whole.and_then(|it| head.put(number, it.upto()))
            && let Some(actor) = self.actors.get(number)
        {
            clock.insert_upto(actor, upto);
        }
        Some(number)
    }

    /// Adds all of `clock` to the clock at `index`.
    pub(super) fn join(&mut self, index: usize, clock: &VnodeClock) {
        let mut all = self.at(index);
        all.join(clock);
        self.set(index, all);
    }

    /// Empties the clock at `index`.
    pub(super) fn clear(&mut self, index: usize) {
        self.set(index, VnodeClock::default());
    }

    fn set(&mut self, index: usize, clock: VnodeClock) {
        Rc::make_mut(&mut self.heads[index / HEADS])[index % HEADS] = Head::EMPTY;
        Rc::make_mut(&mut self.clocks[index / CLOCKS])[index % CLOCKS] = clock;
    }

    /// All vnodes with their clocks, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Vnode, VnodeClock)> {
        (0..self.count).map(|index| (self.vnode(index), self.at(index)))
    }
}
