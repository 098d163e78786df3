//! [`Head`]: of the actors that write to a vnode now, up to which counter all their dots are there.
//!
//! Nearly every row brings the next counter of such an actor. Then its head is all that the row
//! touches of the clock: one line of memory, whatever else the clock has.

use std::collections::BTreeMap;

use schemas::ids::{Actor, Dot};

/// Actors of a head. As many as a vnode has owners, and some that are on their way out.
pub(super) const SLOTS: usize = 6;

/// The number of an actor among those that a shard has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ActorNumber(u16);

/// Of no actor.
pub(super) const NOBODY: ActorNumber = ActorNumber(u16::MAX);

/// The actors that a shard has seen since its start, by number.
#[derive(Clone, Default, Debug)]
pub(super) struct Actors {
    actors: Vec<Actor>,
    numbers: BTreeMap<Actor, ActorNumber>,
}

impl Actors {
    /// The number of `actor`, if it has one.
    pub(super) fn find(&self, actor: Actor) -> Option<ActorNumber> {
        self.numbers.get(&actor).copied()
    }

    /// Gives `actor` a number; [`NOBODY`] if there are no more.
    pub(super) fn add(&mut self, actor: Actor) -> ActorNumber {
        if self.actors.len() == usize::from(NOBODY.0) {
            return NOBODY;
        }
        let number = ActorNumber(self.actors.len() as u16);
        self.actors.push(actor);
        self.numbers.insert(actor, number);
        number
    }

    /// The actor with `number`; `None` for [`NOBODY`].
    #[inline]
    pub(super) fn get(&self, number: ActorNumber) -> Option<Actor> {
        self.actors.get(usize::from(number.0)).copied()
    }
}

/// What a head says of a dot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// It was not there, and is now.
    New(ActorNumber),
    /// It was there.
    There,
    /// The clock has to be asked.
    Unknown,
}

/// For a few actors of a vnode: all counters up to this one are there, and none above.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Head {
    upto: [u64; SLOTS],
    actors: [ActorNumber; SLOTS],
    /// The slot that is given away next.
    next: u16,
}

impl Head {
    /// One that says nothing.
    pub(super) const EMPTY: Self = Self { upto: [0; SLOTS], actors: [NOBODY; SLOTS], next: 0 };

    /// Adds `dot`, if it is the next of an actor that is here.
    #[inline]
    pub(super) fn insert(&mut self, actors: &Actors, dot: Dot) -> Said {
        for (upto, &number) in self.upto.iter_mut().zip(&self.actors) {
            if actors.get(number) != Some(dot.actor) {
                continue;
            }
            if dot.counter <= *upto {
                return Said::There;
            }
            if dot.counter - 1 == *upto {
                *upto = dot.counter;
                return Said::New(number);
            }
            return Said::Unknown;
        }
        Said::Unknown
    }

    /// The actors that are here.
    pub(super) fn slots(&self) -> impl Iterator<Item = (ActorNumber, u64)> {
        let slots = self.actors.iter().copied().zip(self.upto);
        slots.filter(|(number, _)| *number != NOBODY)
    }

    /// Lets go of an actor, and says up to where it was.
    pub(super) fn take(&mut self, number: ActorNumber) -> Option<u64> {
        let at = self.actors.iter().position(|it| *it == number && number != NOBODY)?;
        self.actors[at] = NOBODY;
        Some(self.upto[at])
    }

    /// Puts in an actor that is not here, and says whose place it takes.
    pub(super) fn put(&mut self, number: ActorNumber, upto: u64) -> Option<(ActorNumber, u64)> {
        let free = self.actors.iter().position(|it| *it == NOBODY);
        let at = free.unwrap_or_else(|| {
            self.next = (self.next + 1) % SLOTS as u16;
            usize::from(self.next)
        });
        let before = (self.actors[at], self.upto[at]);
        (self.actors[at], self.upto[at]) = (number, upto);
        (before.0 != NOBODY).then_some(before)
    }
}
