//! Bodies that lie: every decode answers with a status, none panics, and what passes is within
//! the limits. The checksum is right here: it keeps out accidents, not malice.

use proptest::prelude::*;
use schemas::consistency::Consistency;
use schemas::frame::{self, Frame, Message};
use schemas::header::{HEADER_BYTES, Header};
use schemas::ids::{Hlc, NamespaceId};
use schemas::kind::Kind;
use schemas::limits::{
    CONTEXT_BYTES_MAX, FRAME_BYTES_MAX, KEY_BYTES_MAX, MULTI_GET_KEYS_MAX,
    MULTI_GET_VALUES_BYTES_MAX, TTL_MS_MAX, VALUE_BYTES_MAX,
};
use schemas::message::{
    Delete, Get, GetReply, KeyResult, MultiGet, MultiGetReply, MultiGetReplyWriter, Put,
};
use schemas::status::Status;

use super::samples;

fn frame_of(kind: u8, body: &[u8]) -> Frame<'_> {
    Frame { kind_byte: kind, header: Header::request(1), body }
}

#[test]
fn a_body_cut_anywhere_is_refused_or_means_what_is_left() {
    for sample in samples::all() {
        let (kind, body) = (sample.bytes[9], &sample.bytes[HEADER_BYTES..]);
        for len in 0..body.len() {
            if let Err(status) = samples::decode(&frame_of(kind, &body[..len])) {
                assert!(!status.closes(), "{} cut at {len}: {status:?}", sample.name);
            }
        }
    }
}

#[test]
fn a_body_with_any_byte_changed_never_panics() {
    for sample in samples::all() {
        let (kind, mut body) = (sample.bytes[9], sample.bytes[HEADER_BYTES..].to_vec());
        for at in 0..body.len() {
            let sound = body[at];
            for wrong in [0, 1, 0x7f, 0x80, 0xff, sound.wrapping_add(1), sound ^ 0x10] {
                body[at] = wrong;
                let _ = samples::decode(&frame_of(kind, &body));
            }
            body[at] = sound;
        }
    }
}

#[test]
fn a_body_given_to_another_kind_never_panics() {
    for sample in samples::all() {
        for kind in Kind::ALL {
            let _ = samples::decode(&frame_of(kind as u8, &sample.bytes[HEADER_BYTES..]));
        }
    }
}

proptest! {
    #[test]
    fn a_body_of_any_bytes_never_panics(body in prop::collection::vec(any::<u8>(), 0..400)) {
        for kind in Kind::ALL {
            let _ = samples::decode(&frame_of(kind as u8, &body));
        }
    }

    #[test]
    fn a_damaged_body_never_panics(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let samples = samples::all();
        let sample = which.get(&samples);
        let mut body = sample.bytes[HEADER_BYTES..].to_vec();
        for (at, byte) in damage {
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
        }
        let _ = samples::decode(&frame_of(sample.bytes[9], &body));
    }
}

fn body_of(message: &impl Message) -> Vec<u8> {
    let mut body = vec![0; message.body_len()];
    message.write_body(&mut body);
    body
}

#[test]
fn keys_values_and_times_past_their_limits_are_named() {
    let put = samples::put();
    let key = vec![b'k'; KEY_BYTES_MAX + 1];
    let value = vec![b'v'; VALUE_BYTES_MAX + 1];
    let context = vec![b'c'; CONTEXT_BYTES_MAX + 1];
    let cases = [
        (Put { key: b"", ..put }, Err(Status::KeyEmpty)),
        (Put { key: &key[..1], ..put }, Ok(())),
        (Put { key: &key[..KEY_BYTES_MAX], ..put }, Ok(())),
        (Put { key: &key, ..put }, Err(Status::KeyTooLong)),
        (Put { value: b"", ..put }, Ok(())),
        (Put { value: &value[..VALUE_BYTES_MAX], ..put }, Ok(())),
        (Put { value: &value, ..put }, Err(Status::ValueTooLarge)),
        (Put { ttl_ms: TTL_MS_MAX, ..put }, Ok(())),
        (Put { ttl_ms: TTL_MS_MAX + 1, ..put }, Err(Status::TtlTooLong)),
        (Put { context: &context[..CONTEXT_BYTES_MAX], ..put }, Ok(())),
        (Put { context: &context, ..put }, Err(Status::MalformedBody)),
    ];
    for (put, expected) in cases {
        assert_eq!(put.check(), expected);
        assert_eq!(Put::decode(&body_of(&put)).map(|_| ()), expected);
    }
    for (key, expected) in [
        (&b""[..], Err(Status::KeyEmpty)),
        (&key[..KEY_BYTES_MAX], Ok(())),
        (&key[..], Err(Status::KeyTooLong)),
    ] {
        let get = Get {
            namespace: NamespaceId::DEFAULT,
            key,
            consistency: Consistency::Default,
            hlc_seen: Hlc(0),
            key_only: false,
        };
        assert_eq!(Get::decode(&body_of(&get)).map(|_| ()), expected);
        let delete = Delete {
            namespace: NamespaceId::DEFAULT,
            key,
            context: b"",
            consistency: Consistency::Default,
            hlc_seen: Hlc(0),
        };
        assert_eq!(delete.check(), expected);
        assert_eq!(Delete::decode(&body_of(&delete)).map(|_| ()), expected);
    }
}

#[test]
fn lengths_in_a_head_are_checked_before_they_are_used() {
    let body = body_of(&samples::put());
    // Offsets of value_len, context_len and key_len in PutHead.
    for (at, width) in [(20, 4), (24, 4), (28, 2)] {
        for len in [u32::MAX, u32::MAX - 7, 1 << 31, (1 << 31) - 1, 0xffff_fffe, 0x0001_ffff] {
            let mut body = body.clone();
            body[at..at + width].copy_from_slice(&len.to_le_bytes()[..width]);
            assert!(Put::decode(&body).is_err(), "{len} at {at}");
        }
    }
    let reply = GetReply { found: true, value: b"abc", ..GetReply::ABSENT };
    for at in [36, 40] {
        let mut body = body_of(&reply);
        body[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(GetReply::decode(&body).is_err(), "at {at}");
    }
}

#[test]
fn flags_and_levels_that_are_not_known_are_refused() {
    let get = Get {
        namespace: NamespaceId::DEFAULT,
        key: b"k",
        consistency: Consistency::Default,
        hlc_seen: Hlc(0),
        key_only: false,
    };
    for (at, byte) in [(14, 133), (14, 255), (15, 2), (15, 0x81)] {
        let mut body = body_of(&get);
        body[at] = byte;
        assert_eq!(Get::decode(&body), Err(Status::Unsupported));
    }
    for (at, byte) in [(30, 200), (31, 1)] {
        let mut body = body_of(&samples::put());
        body[at] = byte;
        assert_eq!(Put::decode(&body), Err(Status::Unsupported));
    }
}

fn multi_get<'k>(keys: impl ExactSizeIterator<Item = &'k [u8]>) -> Result<Vec<u8>, Status> {
    let mut out = Vec::new();
    let (header, level) = (Header::request(1), Consistency::Default);
    MultiGet::encode(&header, NamespaceId(1), level, Hlc(0), false, keys, &mut out)?;
    Ok(out)
}

#[test]
fn a_multi_get_has_one_key_to_its_limit() {
    let long = vec![b'k'; KEY_BYTES_MAX];
    for (count, expected) in [
        (0, Err(Status::TooManyKeys)),
        (1, Ok(())),
        (MULTI_GET_KEYS_MAX, Ok(())),
        (MULTI_GET_KEYS_MAX + 1, Err(Status::TooManyKeys)),
    ] {
        let bytes = multi_get(vec![&long[..]; count].into_iter());
        assert_eq!(bytes.as_ref().err(), expected.as_ref().err());
        if let Ok(bytes) = bytes {
            let frame = frame::read(&bytes, FRAME_BYTES_MAX).expect("sound").expect("whole").0;
            assert_eq!(MultiGet::decode(frame.body).expect("sound").key_count(), count);
        }
    }
    assert_eq!(multi_get([&b""[..]].into_iter()), Err(Status::KeyEmpty));
    let too_long = vec![b'k'; KEY_BYTES_MAX + 1];
    assert_eq!(multi_get([&too_long[..]].into_iter()), Err(Status::KeyTooLong));
}

#[test]
fn values_that_do_not_fit_a_multi_get_reply_are_asked_for_again() {
    let value = vec![1; VALUE_BYTES_MAX];
    let found = KeyResult { found: true, value: &value, ..KeyResult::ABSENT };
    let rest = MULTI_GET_VALUES_BYTES_MAX - VALUE_BYTES_MAX;
    let mut writer = MultiGetReplyWriter::new(4);
    writer.set(3, found);
    writer.set(0, found);
    writer.set(1, KeyResult { value: &value[..rest], ..found });
    let mut bytes = Vec::new();
    writer.encode(&Header::reply(1, 1), &mut bytes);
    let frame = frame::read(&bytes, FRAME_BYTES_MAX).expect("fits").expect("whole").0;
    let reply = MultiGetReply::decode(frame.body).expect("sound");
    let results: Vec<_> = reply.results().map(|it| (it.status, it.value.len())).collect();
    let expected = [
        (Status::ReplyFull as u8, 0),
        (0, rest),
        (Status::Internal as u8, 0),
        (0, VALUE_BYTES_MAX),
    ];
    assert_eq!(results, expected);
}
