//! Contexts and sets for tests: of few actors and stamps, so that they meet.

use std::num::NonZeroU64;

use proptest::prelude::*;
use schemas::ids::{Actor, Dot, Hlc, NodeId, Version};

use super::context::Context;
use super::siblings::{Sibling, Siblings};

pub(super) const ACTORS: u8 = 4;
pub(super) const STAMPS: u64 = 14;

const BYTES: &[u8] = b"every value is some of these bytes, told by its version";

pub(super) fn actor(number: u8) -> Actor {
    let node = NodeId(NonZeroU64::new(u64::from(number / 2) + 1).unwrap());
    Actor { node, boot: u32::from(number % 2) + 1 }
}

/// The write of an actor at a stamp. Counters have gaps: other keys have those.
pub(super) fn version(number: u8, stamp: u64) -> Version {
    Version { hlc: Hlc(stamp), dot: Dot { actor: actor(number), counter: stamp } }
}

pub(super) fn sibling(number: u8, stamp: u64) -> Sibling<'static> {
    let len = (stamp % 5) as usize;
    let expires_at_ms = stamp % 3 * 1000;
    Sibling {
        version: version(number, stamp),
        expires_at_ms,
        value: &BYTES[stamp as usize..][..len],
    }
}

/// Every write that there may be.
pub(super) fn all_writes() -> impl Iterator<Item = Sibling<'static>> {
    (0..ACTORS).flat_map(|number| (1..=STAMPS).map(move |stamp| sibling(number, stamp)))
}

pub(super) fn context_of(floor: u64, seen: &[(u8, u64)]) -> Context {
    let mut context = Context::default();
    for &(number, stamp) in seen {
        context.add(&version(number, stamp));
    }
    context.raise_floor(Hlc(floor));
    context
}

pub(super) fn context() -> impl Strategy<Value = Context> {
    let seen = prop::collection::vec((0..ACTORS, 1..=STAMPS), 0..6);
    (0..STAMPS / 2, seen).prop_map(|(floor, seen)| context_of(floor, &seen))
}

/// A set that was written at least once; of what it has seen a part stands.
pub(super) fn set() -> impl Strategy<Value = Siblings<'static>> {
    let seen = prop::collection::vec((0..ACTORS, 1..=STAMPS), 1..6);
    let stands = prop::collection::vec(any::<bool>(), usize::from(ACTORS) * STAMPS as usize);
    (0..STAMPS / 2, seen, stands).prop_map(|(floor, seen, stands)| {
        let &(number, stamp) = seen.iter().max_by_key(|it| (it.1, actor(it.0))).unwrap();
        let context = context_of(floor.min(stamp), &seen);
        let live = all_writes().zip(stands).filter(|it| it.1 && context.covers(&it.0.version));
        let mut live: Vec<_> = live.map(|it| it.0).collect();
        live.sort();
        Siblings::new(context, version(number, stamp), live).expect("it is a set")
    })
}
