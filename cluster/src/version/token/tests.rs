//! Tokens: whole ones, damaged ones, others' and invented ones.

use proptest::prelude::*;

use super::*;
use crate::version::fixture::{actor, context, context_of};

const NAMESPACE: NamespaceId = NamespaceId(3);

fn token(context: &Context) -> Vec<u8> {
    let mut bytes = Vec::new();
    context.encode_token(NAMESPACE, b"key", &mut bytes);
    bytes
}

fn decoded(bytes: &[u8]) -> Result<Context, TokenError> {
    Context::decode_token(NAMESPACE, b"key", bytes)
}

/// A token that says what it likes, and is otherwise in order.
fn invented(key: &[u8], floor: u64, actors: &[u8]) -> Vec<u8> {
    let mut body = hash(NAMESPACE, key).to_le_bytes().to_vec();
    body.extend_from_slice(&floor.to_le_bytes());
    body.extend_from_slice(actors);
    [&[TOKEN_VERSION], xxh3_64(&body).to_le_bytes().as_slice(), &body].concat()
}

fn actors(of: &[(u64, u32, u64)]) -> Vec<u8> {
    of.iter()
        .flat_map(|(node, boot, hlc)| {
            [&node.to_le_bytes()[..], &boot.to_le_bytes(), &hlc.to_le_bytes()].concat()
        })
        .collect()
}

/// Clients keep them from one release to the next.
#[test]
fn the_bytes_are_as_drawn() {
    let context = context_of(4, &[(0, 5), (3, 7)]);
    assert_eq!(token(&context), invented(b"key", 4, &actors(&[(1, 1, 5), (2, 2, 7)])));
    assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
    assert_eq!(token(&Context::NOTHING), b"");
    assert_eq!(decoded(b""), Ok(Context::NOTHING));
}

#[test]
fn each_damage_has_its_name() {
    let good = token(&context_of(0, &[(0, 5)]));
    let length = |got| Err(TokenError::Length { got });
    assert_eq!(decoded(&vec![1; CONTEXT_BYTES_MAX + 1]), length(CONTEXT_BYTES_MAX + 1));
    assert_eq!(decoded(&good[..1]), length(1));
    assert_eq!(decoded(&good[..good.len() - 1]), length(good.len() - 1));
    assert_eq!(decoded(&good[..good.len() - ACTOR_BYTES]), Err(TokenError::Damaged));
    let other = [&[9], &good[1..]].concat();
    assert_eq!(decoded(&other), Err(TokenError::Version { got: 9 }));
    let of_key = Context::decode_token(NAMESPACE, b"kez", &good);
    assert_eq!(of_key, Err(TokenError::OtherKey));
    let of_namespace = Context::decode_token(NamespaceId(4), b"key", &good);
    assert_eq!(of_namespace, Err(TokenError::OtherKey));
}

#[test]
fn invented_tokens_are_contexts_or_refused() {
    let contradiction = Err(TokenError::Contradiction);
    for (floor, of) in [
        (0, vec![]),
        (0, vec![(0, 1, 5)]),
        (0, vec![(1, 1, 5), (1, 1, 6)]),
        (0, vec![(2, 1, 5), (1, 1, 6)]),
        (9, vec![(1, 1, 8)]),
    ] {
        assert_eq!(decoded(&invented(b"key", floor, &actors(&of))), contradiction, "{of:?}");
    }
    let far = decoded(&invented(b"key", u64::MAX, &[])).unwrap();
    assert_eq!((far.hlc(), far.seen().len()), (Hlc(u64::MAX), 0));
}

/// The longest that a reader is given fits, whatever a set has come to.
#[test]
fn a_token_is_never_too_long() {
    let seen = (1..=TOKEN_ACTORS_MAX as u32).map(|boot| {
        let mut actor = actor(0);
        actor.boot = boot;
        (actor, Hlc(u64::from(boot)))
    });
    let bytes = token(&Context::new(Hlc(0), seen.collect()).unwrap());
    assert!(bytes.len() <= CONTEXT_BYTES_MAX && decoded(&bytes).is_ok());
}

proptest! {
    #[test]
    fn a_token_tells_its_context(context in context()) {
        prop_assert_eq!(decoded(&token(&context)), Ok(context));
    }

    #[test]
    fn a_changed_token_is_refused(
        context in context().prop_filter("it has bytes", |it| !it.is_empty()),
        at in any::<prop::sample::Index>(),
        by in 1u8..,
    ) {
        let mut bytes = token(&context);
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        prop_assert!(decoded(&bytes).is_err());
    }

    /// Sums in order, everything else as it comes.
    #[test]
    fn an_invented_token_is_a_context_in_its_one_form_or_refused(
        floor in 0u64..4,
        of in prop::collection::vec((0u64..4, 0u32..3, 0u64..8), 0..4),
    ) {
        let bytes = invented(b"key", floor, &actors(&of));
        if let Ok(context) = decoded(&bytes) {
            prop_assert_eq!(token(&context), bytes);
        }
    }
}
