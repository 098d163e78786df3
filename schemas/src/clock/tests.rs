//! A clock against the set of dots that it stands for.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn actor(number: u8) -> Actor {
    let node = NodeId(NonZeroU64::new(u64::from(number / 2) + 1).unwrap());
    Actor { node, boot: u32::from(number % 2) + 1 }
}

fn dot(number: u8, counter: u64) -> Dot {
    Dot { actor: actor(number), counter }
}

/// Few actors and counters, so that runs meet.
fn dots() -> impl Strategy<Value = Vec<Dot>> {
    prop::collection::vec((0u8..4, 1u64..40).prop_map(|(it, counter)| dot(it, counter)), 0..80)
}

fn clock_of(dots: &[Dot]) -> VnodeClock {
    let mut clock = VnodeClock::default();
    for &dot in dots {
        clock.insert(dot);
    }
    clock
}

fn set_of(clock: &VnodeClock) -> BTreeSet<Dot> {
    let dots = |it: &ActorClock| {
        let actor = it.actor();
        let runs = it.runs().iter().flat_map(|run| run.0..=run.1).collect::<Vec<_>>();
        (1..=it.upto()).chain(runs).map(move |counter| Dot { actor, counter })
    };
    clock.actors().iter().flat_map(dots).collect()
}

fn joined(a: &VnodeClock, b: &VnodeClock) -> VnodeClock {
    let mut joined = a.clone();
    joined.join(b);
    joined
}

fn encoded(clock: &VnodeClock) -> Vec<u8> {
    let mut bytes = Vec::new();
    clock.encode(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn it_is_the_set_of_the_dots_put_in(dots in dots()) {
        let (mut clock, mut set) = (VnodeClock::default(), BTreeSet::new());
        for dot in dots {
            prop_assert_eq!(clock.contains(dot), set.contains(&dot));
            prop_assert_eq!(clock.insert(dot), set.insert(dot));
            prop_assert!(clock.contains(dot));
            prop_assert_eq!(&set_of(&clock), &set);
        }
        for counter in 1..42 {
            for it in 0..5 {
                prop_assert_eq!(clock.contains(dot(it, counter)), set.contains(&dot(it, counter)));
            }
        }
    }

    /// One set has one form, whatever the order: clocks of equal sets are equal, bytes and all.
    #[test]
    fn the_order_does_not_matter(mut dots in dots(), seed in any::<u64>()) {
        let clock = clock_of(&dots);
        shuffle(&mut dots, seed);
        prop_assert_eq!(encoded(&clock_of(&dots)), encoded(&clock));
    }

    #[test]
    fn join_is_a_semilattice_and_dominates_its_order(a in dots(), b in dots(), c in dots()) {
        let (a, b, c) = (clock_of(&a), clock_of(&b), clock_of(&c));
        let ab = joined(&a, &b);
        let both: BTreeSet<Dot> = set_of(&a).union(&set_of(&b)).copied().collect();
        prop_assert_eq!(set_of(&ab), both);
        prop_assert_eq!(&ab, &joined(&b, &a));
        prop_assert_eq!(joined(&ab, &c), joined(&a, &joined(&b, &c)));
        prop_assert_eq!(&joined(&a, &a), &a);
        prop_assert!(ab.dominates(&a) && ab.dominates(&b) && a.dominates(&a));
        prop_assert_eq!(a.dominates(&b), set_of(&a).is_superset(&set_of(&b)));
        prop_assert_eq!(a.clone().join(&b), !a.dominates(&b));
    }

    #[test]
    fn one_actor_of_it_is_a_clock(dots in dots()) {
        let clock = clock_of(&dots);
        for it in 0..5 {
            let of_one: Vec<Dot> = dots.iter().copied().filter(|d| d.actor == actor(it)).collect();
            prop_assert_eq!(clock.only(actor(it)), clock_of(&of_one));
        }
    }

    #[test]
    fn what_another_lacks_is_counted(a in dots(), b in dots()) {
        let (a, b) = (clock_of(&a), clock_of(&b));
        let beyond = set_of(&a).difference(&set_of(&b)).count() as u64;
        prop_assert_eq!(a.count_beyond(&b), beyond);
        prop_assert_eq!(beyond == 0, b.dominates(&a));
    }

    #[test]
    fn all_up_to_a_counter_are_put_in_at_once(a in dots(), upto in 0u64..45) {
        let (mut at_once, mut one_by_one) = (clock_of(&a), clock_of(&a));
        at_once.insert_upto(actor(1), upto);
        for counter in 1..=upto {
            one_by_one.insert(dot(1, counter));
        }
        prop_assert_eq!(at_once, one_by_one);
    }

    #[test]
    fn its_bytes_tell_it(dots in dots(), behind in prop::collection::vec(any::<u8>(), 0..9)) {
        let clock = clock_of(&dots);
        let mut bytes = encoded(&clock);
        prop_assert_eq!(bytes.len(), clock.encoded_len());
        bytes.extend_from_slice(&behind);
        prop_assert_eq!(VnodeClock::decode(&bytes), Some((clock, &behind[..])));
    }

    /// What is read from anywhere is a clock in its one form, or refused.
    #[test]
    fn hostile_bytes_are_refused_or_sound(
        dots in dots(),
        changes in prop::collection::vec((any::<u16>(), any::<u8>()), 0..4),
        cut in any::<u16>(),
    ) {
        let mut bytes = encoded(&clock_of(&dots));
        for (at, value) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(bytes.len().saturating_sub(usize::from(cut) % 3 * 8));
        if let Some((clock, rest)) = VnodeClock::decode(&bytes) {
            prop_assert_eq!(encoded(&clock), &bytes[..bytes.len() - rest.len()]);
            prop_assert_eq!(joined(&VnodeClock::default(), &clock), clock);
        }
    }

    /// Past its bounds it forgets, and never makes up.
    #[test]
    fn a_full_clock_has_nothing_that_was_not_put_in(seed in any::<u64>()) {
        let mut random = seed;
        let (mut clock, mut set) = (VnodeClock::default(), BTreeSet::new());
        for _ in 0..4 * CLOCK_RUNS_MAX {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let dot = dot((random >> 60) as u8 % 3, 1 + (random >> 33) % 5000);
            clock.insert(dot);
            set.insert(dot);
        }
        prop_assert!(clock.runs <= CLOCK_RUNS_MAX && !clock.is_empty());
        prop_assert!(set_of(&clock).is_subset(&set));
        prop_assert!(VnodeClock::decode(&encoded(&clock)).is_some());
    }
}

fn shuffle(dots: &mut [Dot], mut seed: u64) {
    for at in (1..dots.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        dots.swap(at, (seed >> 33) as usize % (at + 1));
    }
}

#[test]
fn the_ends_of_counters_are_dots_too() {
    let mut clock = VnodeClock::default();
    assert!(clock.contains(dot(1, 0)) && !clock.insert(dot(1, 0)) && clock.is_empty());
    assert!(clock.insert(dot(1, u64::MAX)) && !clock.insert(dot(1, u64::MAX)));
    assert!(clock.insert(dot(1, u64::MAX - 1)) && clock.insert(dot(1, 1)));
    assert_eq!(clock.of(actor(1)).unwrap().runs(), [(u64::MAX - 1, u64::MAX)]);
    let mut whole = VnodeClock::default();
    whole.actors.push(ActorClock { actor: actor(1), upto: u64::MAX, runs: Vec::new() });
    assert!(whole.dominates(&clock) && clock.join(&whole) && clock == whole);
    assert!(!clock.insert(dot(1, u64::MAX)));
    assert_eq!(clock.count_beyond(&VnodeClock::default()), u64::MAX);
    assert_eq!(VnodeClock::default().count_beyond(&clock), 0);
}

#[test]
fn actors_past_the_bound_are_not_seen() {
    let mut clock = VnodeClock::default();
    let of = |boot: usize| Actor { boot: boot as u32, ..actor(0) };
    for boot in 0..CLOCK_ACTORS_MAX {
        assert!(clock.insert(Dot { actor: of(boot), counter: 1 }));
    }
    assert!(!clock.insert(Dot { actor: of(CLOCK_ACTORS_MAX), counter: 1 }));
    assert!(clock.insert(Dot { actor: of(7), counter: 2 }));
    assert_eq!(clock.actors().len(), CLOCK_ACTORS_MAX);
    assert!(VnodeClock::decode(&encoded(&clock)).is_some());
}

/// The bytes are on disks and on the wire.
#[test]
fn the_bytes_are_what_the_document_draws() {
    let clock = clock_of(&[dot(1, 1), dot(1, 2), dot(1, 5)]);
    let mut bytes = Vec::new();
    bytes.extend(1u32.to_le_bytes());
    bytes.extend([&1u64.to_le_bytes()[..], &2u32.to_le_bytes(), &1u32.to_le_bytes()].concat());
    bytes.extend([2u64, 5, 5].into_iter().flat_map(u64::to_le_bytes));
    assert_eq!(encoded(&clock), bytes);
}
