//! The bytes of a set, drawn, and any others.

use proptest::prelude::*;

use super::*;
use crate::version::context::Context;
use crate::version::fixture::{set, sibling, version};

fn bytes_of(set: &Siblings<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    set.encode(&mut bytes);
    bytes
}

/// They are on disks and between nodes of two releases.
#[test]
fn the_bytes_are_as_drawn() {
    let first = Siblings::default().write(sibling(0, 1), &Context::NOTHING, Hlc(0)).unwrap();
    let set = first.write(sibling(3, 4), &Context::NOTHING, Hlc(1)).unwrap();
    let mut drawn = Vec::new();
    for (number, width) in [
        (1, 8),
        (2, 4),
        (2, 4), // floor, actors, values
        (1, 8),
        (1, 4),
        (1, 8), // node, boot, last stamp
        (2, 8),
        (2, 4),
        (4, 8),
        (1, 8),
        (1, 8),
        (1, 4),
        (1, 8),
        (1000, 8),
        (1, 4), // stamp, dot, expires_at, length
        (4, 8),
        (2, 8),
        (2, 4),
        (4, 8),
        (1000, 8),
        (4, 4),
    ] {
        drawn.extend_from_slice(&u64::to_le_bytes(number)[..width]);
    }
    drawn.extend_from_slice(b"vy va");
    assert_eq!(bytes_of(&set), drawn);
    assert_eq!(Siblings::decode(version(3, 4), &drawn), Ok(set));
}

#[test]
fn what_is_wrong_is_told() {
    let set = Siblings::default().write(sibling(0, 2), &Context::NOTHING, Hlc(0)).unwrap();
    let good = bytes_of(&set);
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Siblings::decode(version(0, 2), &bytes).map(drop)
    };
    let length = Err(SetError::Length { got: good.len() });
    for cut in 0..good.len() {
        let decoded = Siblings::decode(version(0, 2), &good[..cut]);
        assert_eq!(decoded, Err(SetError::Length { got: cut }));
    }
    let longer = [&good[..], &[0]].concat();
    let decoded = Siblings::decode(version(0, 2), &longer);
    assert_eq!(decoded, Err(SetError::Length { got: longer.len() }));
    let mut of_nobody = good.clone();
    (of_nobody[36], of_nobody[44]) = (1, 2);
    assert_eq!(Siblings::decode(version(0, 2), &of_nobody), Err(SetError::Contradiction));
    assert_eq!(changed(8, 200), length);
    assert_eq!(changed(15, 255), length);
    assert_eq!(changed(16, 0), Err(SetError::NoNode));
    assert_eq!(changed(0, 3), Err(SetError::Contradiction));
    assert_eq!(changed(28, 1), Err(SetError::Contradiction));
    assert_eq!(Siblings::decode(version(0, 3), &good), Err(SetError::Contradiction));
    assert_eq!(Siblings::decode(version(1, 2), &good), Err(SetError::Contradiction));
}

proptest! {
    #[test]
    fn equal_sets_have_equal_bytes_and_bytes_tell_the_set(a in set(), b in set()) {
        let bytes = bytes_of(&a);
        prop_assert_eq!(bytes.len(), a.encoded_len());
        prop_assert_eq!(bytes == bytes_of(&b) && a.version() == b.version(), a == b);
        prop_assert_eq!(Siblings::decode(a.version().unwrap(), &bytes), Ok(a));
    }

    /// What is read from anywhere is a set in its one form, or refused.
    #[test]
    fn hostile_bytes_are_refused_or_sound(
        set in set(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let (mut bytes, version) = (bytes_of(&set), set.version().unwrap());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.map_or(bytes.len(), |at| at.index(bytes.len())));
        if let Ok(found) = Siblings::decode(version, &bytes) {
            prop_assert_eq!(&bytes_of(&found), &bytes);
            prop_assert_eq!(&found.join(&found), &found);
            let is_sound = |it: &Sibling<'_>| {
                it.version <= version && found.history().covers(&it.version)
            };
            prop_assert!(found.live().iter().all(is_sound));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_sound(bytes in prop::collection::vec(0u8..3, 0..200)) {
        if let Ok(found) = Siblings::decode(version(0, 1), &bytes) {
            prop_assert_eq!(bytes_of(&found), bytes);
        }
    }
}
