//! [`merge`]: what two records of one key come to. It never reads a clock.
//!
//! | records | what stands |
//! |---|---|
//! | values and tombstones | the greater by stamp and dot: last writer wins |
//! | sets of siblings | their join |
//! | a set and bytes that are none | the set |
//! | anything else: no namespace has both | the greater by stamp and dot |
//!
//! It is commutative and idempotent; and associative over records of one policy, damaged ones too.
//! A namespace never changes its policy, so where a value meets a set one of them was damaged, or
//! never written by us. The engine's reads stop at a value that is newer than what is left to read,
//! so there the newer has to stand, and what three such records come to depends on the order.

use std::cmp::Ordering;

use schemas::ids::Version;

use super::siblings::Siblings;
use crate::record::Kind;

/// What a record says of its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Content<'a> {
    /// Stamp and dot.
    pub version: Version,
    /// What `value` is.
    pub kind: Kind,
    /// Unix milliseconds from which it counts as deleted; 0 for never.
    pub expires_at_ms: u64,
    /// The value, or the encoding of a set.
    pub value: &'a [u8],
}

/// What two records come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stands<'a> {
    /// The first.
    First,
    /// The second; of two that are the same, either.
    Second,
    /// A third, made of both. Values are still where they were.
    Third(Siblings<'a>),
}

impl<'a> Content<'a> {
    /// The set that it is; `None` if it is none, or not what a set's record is.
    pub(crate) fn set(&self) -> Option<Siblings<'a>> {
        let set = Siblings::decode(self.version, self.value).ok()?;
        let is_so = set.kind() == self.kind && set.expires_at_ms() == self.expires_at_ms;
        is_so.then_some(set)
    }

    /// By stamp and dot; of two of one version, which only damage makes different, by the rest.
    fn order(&self, other: &Self) -> Ordering {
        let rest = |it: &Self| (it.version, it.kind as u8, it.expires_at_ms);
        rest(self).cmp(&rest(other)).then_with(|| self.value.cmp(other.value))
    }
}

/// What two records of one key come to.
///
/// A third may be longer than a record may be only if more sets than
/// [`SETS_APART_MAX`](crate::limits::SETS_APART_MAX) were written apart: it is whole all the same.
#[must_use]
pub fn merge<'a>(first: &Content<'a>, second: &Content<'a>) -> Stands<'a> {
    let may_be_set = |it: &Content<'_>| matches!(it.kind, Kind::Siblings | Kind::Context);
    if may_be_set(first) && may_be_set(second) {
        match (first.set(), second.set()) {
            (Some(first), Some(second)) => return join(&first, &second),
            (Some(_), None) => return Stands::First,
            (None, Some(_)) => return Stands::Second,
            (None, None) => {}
        }
    }
    match first.order(second) {
        Ordering::Greater => Stands::First,
        Ordering::Less | Ordering::Equal => Stands::Second,
    }
}

fn join<'a>(first: &Siblings<'a>, second: &Siblings<'a>) -> Stands<'a> {
    let both = first.join(second);
    if both == *second {
        Stands::Second
    } else if both == *first {
        Stands::First
    } else {
        Stands::Third(both)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::version::fixture::{set, sibling, version};

    /// A record that owns its value.
    type Owned = (Version, Kind, u64, Vec<u8>);

    fn content(it: &Owned) -> Content<'_> {
        Content { version: it.0, kind: it.1, expires_at_ms: it.2, value: &it.3 }
    }

    fn record(set: &Siblings<'_>) -> Owned {
        let mut value = Vec::new();
        set.encode(&mut value);
        (set.version().expect("written"), set.kind(), set.expires_at_ms(), value)
    }

    fn merged(a: &Owned, b: &Owned) -> Owned {
        match merge(&content(a), &content(b)) {
            Stands::First => a.clone(),
            Stands::Second => b.clone(),
            Stands::Third(set) => record(&set),
        }
    }

    /// Records of values and tombstones, of which two of one version may differ.
    fn plain() -> impl Strategy<Value = Owned> {
        (0u8..3, 1u64..4, any::<bool>(), 0u64..2).prop_map(|(number, stamp, is_dead, it)| {
            let kind = if is_dead { Kind::Tombstone } else { Kind::Value };
            (version(number, stamp), kind, it, vec![it as u8; usize::from(!is_dead)])
        })
    }

    /// Records of sets, some of them damaged.
    fn of_siblings() -> impl Strategy<Value = Owned> {
        (set(), prop::option::weighted(0.2, any::<(u16, u8)>())).prop_map(|(set, damage)| {
            let mut record = record(&set);
            if let Some((at, byte)) = damage {
                let at = usize::from(at) % record.3.len();
                record.3[at] = byte;
            }
            record
        })
    }

    #[test]
    fn of_a_value_and_a_set_the_newer_stands() {
        let set = Siblings::default().write(sibling(0, 2), &Default::default(), Default::default());
        let set = record(&set.expect("within the limits"));
        for (stamp, is_set) in [(1, true), (3, false)] {
            let value = (version(0, stamp), Kind::Value, 0, vec![1]);
            assert_eq!(merged(&set, &value) == set, is_set);
            assert_eq!(merged(&value, &set) == set, is_set);
        }
    }

    #[test]
    fn damage_does_not_stand_against_a_set() {
        let set = Siblings::default().write(sibling(0, 2), &Default::default(), Default::default());
        let set = record(&set.expect("within the limits"));
        let cut = (version(1, 9), Kind::Siblings, 0, set.3[1..].to_vec());
        let other_kind = (set.0, Kind::Context, set.2, set.3.clone());
        for damaged in [cut, other_kind] {
            assert_eq!(merged(&set, &damaged), set);
            assert_eq!(merged(&damaged, &set), set);
        }
    }

    fn is_a_semilattice(a: &Owned, b: &Owned, c: &Owned) -> Result<(), TestCaseError> {
        let (ab, bc) = (merged(a, b), merged(b, c));
        prop_assert_eq!(&ab, &merged(b, a));
        prop_assert_eq!(merged(&ab, c), merged(a, &bc));
        prop_assert_eq!(&merged(a, a), a);
        prop_assert_eq!(&merged(&ab, a), &ab);
        Ok(())
    }

    proptest! {
        #[test]
        fn last_writer_wins_in_every_order(a in plain(), b in plain(), c in plain()) {
            is_a_semilattice(&a, &b, &c)?;
            prop_assert_eq!(merged(&a, &b).0, a.0.max(b.0));
        }

        #[test]
        fn sets_come_to_the_same_in_every_order(
            a in of_siblings(),
            b in of_siblings(),
            c in of_siblings(),
        ) {
            is_a_semilattice(&a, &b, &c)?;
            if let (Some(first), Some(second)) = (content(&a).set(), content(&b).set()) {
                prop_assert_eq!(merged(&a, &b), record(&first.join(&second)));
            }
        }
    }
}
