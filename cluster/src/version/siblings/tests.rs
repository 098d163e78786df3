//! Sets of siblings, against what they stand for: of every write, whether it is seen and stands.

use proptest::prelude::*;

use super::*;
use crate::version::fixture::{ACTORS, all_writes, context, context_of, set, sibling, version};

const NOTHING: Context = Context::NOTHING;
const NO_HORIZON: Hlc = Hlc(0);

fn stamps(set: &Siblings<'_>) -> Vec<u64> {
    set.live().iter().map(|it| it.version.hlc.0).collect()
}

fn write<'a>(set: &Siblings<'a>, written: Sibling<'a>, context: &Context) -> Siblings<'a> {
    set.write(written, context, NO_HORIZON).expect("within the limits")
}

/// What a set says of a write; later ones are never taken back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum State {
    NotSeen,
    Stands,
    Gone,
}

fn state(set: &Siblings<'_>, version: &Version) -> State {
    match (set.history().covers(version), set.find(version)) {
        (false, None) => State::NotSeen,
        (true, Some(_)) => State::Stands,
        (true, None) => State::Gone,
        (false, Some(_)) => unreachable!("a value that nobody has seen"),
    }
}

#[test]
fn a_write_replaces_what_its_context_covers_and_nothing_else() {
    let first = write(&Siblings::default(), sibling(0, 1), &NOTHING);
    let two = write(&first, sibling(0, 2), &NOTHING);
    assert_eq!(stamps(&two), [1, 2]);
    let three = write(&two, sibling(1, 3), &first.context());
    assert_eq!(stamps(&three), [2, 3]);
    let one = write(&three, sibling(1, 4), &three.context());
    assert_eq!(stamps(&one), [4]);
}

#[test]
fn a_delete_is_not_undone_by_a_copy_that_comes_late() {
    let first = write(&Siblings::default(), sibling(0, 1), &NOTHING);
    let deleted = first.delete(version(1, 2), &first.context(), NO_HORIZON).unwrap();
    assert_eq!((deleted.kind(), deleted.version()), (Kind::Context, Some(version(1, 2))));
    assert_eq!(deleted.join(&first), deleted);
    assert!(deleted.is_dead(0) && deleted.is_empty());
}

#[test]
fn a_delete_leaves_what_its_client_has_not_seen() {
    let first = write(&Siblings::default(), sibling(0, 1), &NOTHING);
    let two = write(&first, sibling(1, 2), &NOTHING);
    assert_eq!(stamps(&two.delete(version(0, 3), &first.context(), NO_HORIZON).unwrap()), [2]);
    assert_eq!(stamps(&two.delete(version(0, 3), &NOTHING, NO_HORIZON).unwrap()), [1, 2]);
}

/// A client of one replica overwrites at another that has not heard of what it read.
#[test]
fn a_context_covers_what_the_set_has_not_seen_yet() {
    let elsewhere = write(&Siblings::default(), sibling(0, 1), &NOTHING);
    let here = write(&Siblings::default(), sibling(1, 2), &elsewhere.context());
    assert_eq!(stamps(&here.join(&elsewhere)), [2]);
}

/// The record of a delete was purged; then a copy arrives that was made before it.
#[test]
fn a_late_copy_brings_no_value_back_from_below_the_horizon() {
    let first = write(&Siblings::default(), sibling(0, 1), &NOTHING);
    let late = write(&first, sibling(1, 9), &NOTHING);
    assert_eq!(late.oldest(), Some(Hlc(1)));
    let horizon = Hlc(5);
    let stored = late.clone().late(&Siblings::default(), horizon);
    assert_eq!((stamps(&stored), stored.version()), (vec![9], late.version()));
    assert_eq!(stored.join(&late), stored);
    assert_eq!(late.clone().late(&first, horizon), late);
}

#[test]
fn a_horizon_takes_the_place_of_the_actors_below_it() {
    let mut set = Siblings::default();
    for number in 0..4 {
        set = write(&set, sibling(number, u64::from(number) + 1), &set.context());
    }
    assert_eq!(set.history().seen().len(), 4);
    let after = set.write(sibling(0, 9), &NOTHING, Hlc(4)).unwrap();
    assert_eq!(stamps(&after), [4, 9]);
    assert_eq!(after.history(), &context_of(4, &[(3, 4), (0, 9)]));
    assert_eq!(set.join(&after), after);
}

#[test]
fn values_past_their_time_stand_but_are_not_shown() {
    let forever = Sibling { expires_at_ms: 0, ..sibling(1, 1) };
    let short = Sibling { expires_at_ms: 10, ..sibling(0, 2) };
    let long = Sibling { expires_at_ms: 20, ..sibling(0, 3) };
    let set = write(&write(&Siblings::default(), short, &NOTHING), long, &NOTHING);
    assert_eq!((set.values(9).count(), set.values(10).count(), set.values(20).count()), (2, 1, 0));
    assert_eq!((set.is_dead(19), set.is_dead(20), set.is_empty()), (false, true, false));
    assert_eq!(set.expires_at_ms(), 20);
    let mixed = write(&Siblings::default(), forever, &NOTHING).join(&set);
    assert_eq!((mixed.expires_at_ms(), mixed.is_dead(u64::MAX)), (0, false));
}

#[test]
fn who_wrote_blindly_is_not_told_to_have_seen_the_others() {
    let first = write(&Siblings::default(), sibling(0, 1), &NOTHING);
    let blind = write(&first, sibling(0, 2), &NOTHING);
    let brought = blind.context_of_writer(&NOTHING);
    assert_eq!(stamps(&write(&blind, sibling(0, 3), &brought)), [1, 2, 3]);
    let alone = write(&blind, sibling(0, 3), &blind.context());
    let brought = alone.context_of_writer(&blind.context());
    assert_eq!(stamps(&write(&alone, sibling(0, 4), &brought)), [4]);
}

#[test]
fn one_value_too_many_is_refused_until_some_are_replaced() {
    let mut set = Siblings::default();
    for stamp in 1..=SIBLINGS_MAX as u64 {
        set = write(&set, Sibling { version: version(0, stamp), ..sibling(0, 1) }, &NOTHING);
    }
    let more = Sibling { version: version(1, 1000), ..sibling(0, 1) };
    let (got, max) = (SIBLINGS_MAX + 1, SIBLINGS_MAX);
    let refused = Err(WriteError::Siblings { got, max });
    assert_eq!(set.write(more, &NOTHING, NO_HORIZON), refused);
    assert_eq!(write(&set, more, &context_of(0, &[(0, 1)])).live().len(), SIBLINGS_MAX);
}

/// What was written apart is joined whole, and the next write makes it less, or is refused.
#[test]
fn a_join_is_as_large_as_it_has_to_be() {
    let value = vec![7; SIBLINGS_BYTES_MAX - 200];
    let sides = (0..4).map(|number| {
        let written = Sibling { value: &value, ..sibling(number, u64::from(number) + 1) };
        write(&Siblings::default(), written, &NOTHING)
    });
    let all = sides.fold(Siblings::default(), |all, side| all.join(&side));
    assert_eq!(all.live().len(), 4);
    let refused = all.write(sibling(0, 9), &NOTHING, NO_HORIZON);
    assert!(matches!(refused, Err(WriteError::Bytes { .. })), "{refused:?}");
    assert_eq!(stamps(&write(&all, sibling(0, 9), &all.context())), [9]);
    assert_eq!(all.delete(version(0, 9), &NOTHING, NO_HORIZON).unwrap().live().len(), 4);
}

/// Whoever invents actors cannot fill the set for those who write it.
#[test]
fn a_context_of_too_many_actors_is_refused_and_the_actors_own_are_not() {
    let seen: Vec<(u8, u64)> = (0..=255).map(|number| (number, 1)).collect();
    let set = Siblings::default();
    let full = set.write(sibling(0, 2), &context_of(0, &seen), NO_HORIZON).unwrap();
    assert_eq!(full.history().seen().len(), SEEN_ACTORS_MAX);
    let mut other = version(0, 3);
    other.dot.actor.boot = 99;
    let own = full.write(Sibling { version: other, ..sibling(0, 1) }, &full.context(), NO_HORIZON);
    let own = own.unwrap();
    assert_eq!(own.history().seen().len(), SEEN_ACTORS_MAX + 1);
    let mut invented = Context::NOTHING;
    let mut of_nobody = version(0, 1);
    of_nobody.dot.actor.boot = 100;
    invented.add(&of_nobody);
    let (got, max) = (SEEN_ACTORS_MAX + 2, SEEN_ACTORS_MAX + 1);
    let refused = Err(WriteError::Actors { got, max });
    assert_eq!(own.delete(version(0, 9), &invented, NO_HORIZON), refused);
    let settled = own.delete(version(0, 9), &invented, Hlc(2)).unwrap();
    assert_eq!(settled.history().seen().len(), 2);
}

#[test]
#[should_panic(expected = "a stamp above what was seen")]
fn a_stamp_that_goes_back_is_our_own_bug() {
    let first = write(&Siblings::default(), sibling(0, 5), &NOTHING);
    let _ = first.write(sibling(1, 5), &NOTHING, NO_HORIZON);
}

proptest! {
    #[test]
    fn join_is_a_semilattice_that_takes_no_state_back(a in set(), b in set(), c in set()) {
        let ab = a.join(&b);
        for it in all_writes() {
            let (first, second) = (state(&a, &it.version), state(&b, &it.version));
            prop_assert_eq!(state(&ab, &it.version), first.max(second), "{:?}", it);
        }
        prop_assert_eq!(ab.version(), a.version().max(b.version()));
        prop_assert_eq!(&ab, &b.join(&a));
        prop_assert_eq!(ab.join(&c), a.join(&b.join(&c)));
        prop_assert_eq!(&a.join(&a), &a);
        prop_assert_eq!(&a.join(&Siblings::default()), &a);
        let parts = (ab.history().clone(), ab.version().unwrap(), ab.live().to_vec());
        prop_assert_eq!(Siblings::new(parts.0, parts.1, parts.2), Some(ab));
    }

    /// Of each write: it is gone if the context covers it, and as it was otherwise.
    #[test]
    fn a_write_changes_what_its_context_covers(set in set(), context in context()) {
        let written = sibling(ACTORS, 20);
        let after = write(&set, written, &context);
        for it in all_writes() {
            let covered = if context.covers(&it.version) { State::Gone } else { State::NotSeen };
            let expected = state(&set, &it.version).max(covered);
            prop_assert_eq!(state(&after, &it.version), expected, "{:?}", it);
        }
        prop_assert_eq!(state(&after, &written.version), State::Stands);
        prop_assert_eq!(after.version(), Some(written.version));
    }

    /// What somebody claims to have seen covers nothing that is stamped after it, anywhere.
    #[test]
    fn an_invented_context_discards_nothing_later(here in set(), there in set(), it in context()) {
        let both = here.join(&there);
        let after = write(&here, sibling(ACTORS, 20), &it).join(&there);
        for value in both.live().iter().filter(|value| value.version.hlc > it.hlc()) {
            prop_assert!(after.find(&value.version).is_some(), "{:?}", value);
        }
    }
}
