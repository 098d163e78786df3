//! A context against the writes that it covers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::version::fixture::{actor, all_writes, context, context_of, version};

fn covered(context: &Context) -> BTreeSet<Version> {
    all_writes().map(|it| it.version).filter(|it| context.covers(it)).collect()
}

#[test]
fn what_is_below_the_floor_is_seen_of_everybody() {
    let context = context_of(5, &[(0, 3), (1, 5), (2, 9)]);
    assert_eq!(context.seen(), [(actor(1), Hlc(5)), (actor(2), Hlc(9))]);
    assert_eq!((context.floor(), context.hlc()), (Hlc(5), Hlc(9)));
    assert!(context.covers(&version(3, 4)) && !context.covers(&version(3, 5)));
    assert!(context.covers(&version(1, 5)) && !context.covers(&version(1, 6)));
}

#[test]
fn of_too_many_actors_those_that_matter_stay_and_then_the_last() {
    let context = context_of(0, &[(0, 1), (1, 9), (2, 5), (3, 7)]);
    let kept = |context: Context| context.seen().iter().map(|it| it.1.0).collect::<Vec<_>>();
    assert_eq!(kept(context.clone().narrowed(4, |_| false)), [1, 9, 5, 7]);
    assert_eq!(kept(context.clone().narrowed(2, |_| false)), [9, 7]);
    assert_eq!(kept(context.narrowed(2, |it| it == actor(0))), [1, 9]);
}

proptest! {
    #[test]
    fn join_is_a_semilattice_and_dominates_its_order(
        a in context(),
        b in context(),
        c in context(),
    ) {
        let joined = |a: &Context, b: &Context| {
            let mut joined = a.clone();
            joined.join(b);
            joined
        };
        let ab = joined(&a, &b);
        prop_assert!(Context::new(ab.floor(), ab.seen().to_vec()).is_some(), "{ab:?}");
        let both: BTreeSet<Version> = covered(&a).union(&covered(&b)).copied().collect();
        prop_assert_eq!(covered(&ab), both);
        prop_assert_eq!(&ab, &joined(&b, &a));
        prop_assert_eq!(joined(&ab, &c), joined(&a, &joined(&b, &c)));
        prop_assert_eq!(&joined(&a, &a), &a);
        prop_assert_eq!(ab.hlc(), a.hlc().max(b.hlc()));
        prop_assert_eq!(a.dominates(&b), ab == a);
        prop_assert!(!a.dominates(&b) || covered(&a).is_superset(&covered(&b)));
    }
}
