//! Documents to bytes and back; bytes that are none.

use fastrand::Rng;
use proptest::prelude::*;
use schemas::ids::Vnode;

use super::*;
use crate::autoscale::{LatencyTarget, Policy, Settings};
use crate::topology::sample::{change, cluster, first, member, replication};
use crate::topology::{Change, Policy as Conflicts, ScaleStep, Settings as Copies, apply};

/// A document with a history of random changes.
fn document(seed: u64, changes: usize) -> Document {
    let mut rng = Rng::with_seed(seed);
    let mut document = first();
    for _ in 0..changes {
        let change = change(&document, &mut rng);
        document = apply(&document, &change).unwrap_or(document);
    }
    document
}

fn with_crc(mut body: Vec<u8>) -> Vec<u8> {
    put_crc(&mut body);
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_document_is_what_its_bytes_say(seed in any::<u64>(), changes in 0usize..60) {
        let encoded = Encoded::new(document(seed, changes));
        let decoded = Encoded::decode(encoded.bytes());
        prop_assert_eq!(decoded.as_ref().map(|it| it.document()), Ok(encoded.document()));
        prop_assert_eq!(decoded.as_ref(), Ok(&encoded));
    }

    #[test]
    fn flipped_and_cut_bytes_are_no_document(seed in any::<u64>(), bit in 0u8..8) {
        let encoded = Encoded::new(document(seed, 30));
        let mut bytes = encoded.bytes().to_vec();
        for at in 0..bytes.len() {
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Encoded::decode(&bytes), Err(DecodeError::Checksum));
            bytes[at] ^= 1 << bit;
            prop_assert!(Encoded::decode(&bytes[..at]).is_err());
            let short = Encoded::decode(&with_crc(bytes[..at].to_vec()));
            prop_assert!(at == bytes.len() - 4 || short.is_err());
        }
        bytes.push(0);
        prop_assert!(Encoded::decode(&bytes).is_err());
    }

    /// Whoever can compute a checksum gets a document that checks and is written like this in no
    /// other way, or an error.
    #[test]
    fn hostile_bytes_are_refused_or_sound(
        seed in any::<u64>(),
        edits in prop::collection::vec((any::<u16>(), any::<u8>()), 1..4),
    ) {
        let encoded = Encoded::new(document(seed, 30));
        let len = encoded.bytes().len() - 4;
        for (at, byte) in &edits {
            for at in [len, len.min(64), len.min(256)].map(|it| usize::from(*at) % it) {
                let mut body = encoded.bytes()[..len].to_vec();
                body[at] = *byte;
                let bytes = with_crc(body);
                if let Ok(decoded) = Encoded::decode(&bytes) {
                    prop_assert_eq!(decoded.bytes(), &bytes[..]);
                    prop_assert_eq!(decoded.document().check(), Ok(()));
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Encoded::decode(&with_crc(body.clone())).is_err());
        let versioned = [&[VERSION], &body[..]].concat();
        prop_assert!(Encoded::decode(&with_crc(versioned)).is_err());
    }
}

/// The bytes are on disks and on the wire.
#[test]
fn the_bytes_are_what_the_module_draws() {
    let join = Change::Join(member(0x0203, "b", "r2"));
    let settings = Copies { replication: replication(&[("b", 1)]), is_strict: true, ttl_ms: 5 };
    let create =
        Change::CreateNamespace { name: "n".into(), policy: Conflicts::Siblings, settings };
    let joined = apply(&first(), &join).expect("it joins");
    let document = apply(&joined, &create).expect("it is created");
    let mut body = vec![1];
    body.extend([&[7][..], &[0; 15]].concat());
    body.extend([3, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
    body.extend([2, 0]);
    body.extend([1, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 4, 1, b'a', 2, b'r', b'1']);
    body.extend([4, 10, 0, 0, 1, 0x58, 0x1b]);
    body.extend([3, 2, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 4, 1, b'b', 2, b'r', b'2']);
    body.extend([4, 10, 0, 2, 3, 0x58, 0x1b]);
    body.extend([1, 0, 0]);
    body.extend([2, 0, 0, 0, 2, 0]);
    body.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    body.extend([&b"default"[..], &[1, 1, b'a', 3]].concat());
    body.extend([2, 0, 0, 0, 3, 5, 0, 0, 0, 0, 0, 0, 0, 1, b'n', 1, 1, b'b', 1]);
    body.push(0);
    body.extend([8, 1]);
    body.extend([0, 0, 255, 255, 255, 255, 255, 255].repeat(8));
    body.extend([0, 0, 255, 255, 255, 255, 1, 0].repeat(8));
    assert_eq!(Encoded::new(document).bytes(), with_crc(body));
}

/// Where data centres follow their load.
#[test]
fn the_bytes_of_a_policy_are_what_the_module_draws() {
    let policy = Policy::new(Settings {
        p99: Some(LatencyTarget { p99_us: 0x0102, cpu_floor_permille: 300 }),
        ..Settings::between(3, 12)
    });
    let change = Change::Autoscale(Some(policy.expect("settings in their ranges")));
    let scaled = apply(&first(), &change).expect("a policy is set");
    let start = Change::Scale { dc: "a".into(), since: Epoch(2), step: ScaleStep::Start(5) };
    let scaled = apply(&scaled, &start).expect("they start");
    let numbers = [3, 12, 600, 700, 100, 4];
    let times = [180_000, 1_800_000, 600_000, 1_200_000, 60_000];
    let bytes = |numbers: &[u32]| -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    };
    let drawn = [
        &[1][..],
        &bytes(&numbers),
        &bytes(&times),
        &bytes(&[334]),
        &[1, 2, 1, 0, 0, 0, 0, 0, 0, 44, 1, 0, 0],
        &[1, 1, b'a', 5, 0, 0, 0, 3, 0, 0, 0],
    ]
    .concat();
    let mut out = Vec::new();
    put_scaling(scaled.scaling.as_deref(), &mut out);
    assert_eq!(out, drawn);
    assert_eq!(super::scaling(&mut Reader(&out)), Ok(scaled.scaling));
    let mut none = out;
    none[18] = 0xff;
    assert_eq!(super::scaling(&mut Reader(&none)), Err(DecodeError::Malformed), "a band too wide");
}

#[test]
fn other_versions_and_sizes_are_named() {
    let mut body = Encoded::new(first()).bytes().to_vec();
    body.truncate(body.len() - 4);
    body[0] = 2;
    assert_eq!(Encoded::decode(&with_crc(body)), Err(DecodeError::Version(2)));
    let long = vec![0; DOCUMENT_BYTES_MAX + 1];
    assert_eq!(Encoded::decode(&long), Err(DecodeError::TooLong(long.len())));
}

/// Longer runs or numbers than it takes say the same, and are refused.
#[test]
fn a_document_has_one_form() {
    let bytes = Encoded::new(cluster(1)).bytes().to_vec();
    let slots = 8 * 3 * 2;
    let (head, ring) = bytes[..bytes.len() - 4].split_at(bytes.len() - 4 - slots - 2);
    assert_eq!(ring[..2], [8, 0], "a run of eight vnodes, stable since this epoch");
    assert!(Encoded::decode(&with_crc([head, &[8, 0], &ring[2..]].concat())).is_ok());
    for runs in [&[3, 0, 5, 0][..], &[0x88, 0, 0], &[8, 0x80, 0], &[0, 0, 8, 0], &[9, 0]] {
        let body = [head, runs, &ring[2..]].concat();
        assert!(Encoded::decode(&with_crc(body)).is_err(), "{runs:?}");
    }
}

/// A thousand members and the most vnodes, each changed at another epoch, and one in ten moving.
#[test]
fn a_large_document_stays_small() {
    let mut rng = Rng::with_seed(1);
    let mut document = first();
    document.members =
        (1..=1_000).map(|it| member(it, "a", &format!("rack-{:02}", it % 40))).collect();
    document.epoch = Epoch(5_000);
    document.bits = VnodeBits::new(16).expect("the most");
    document.ring = Ring::new(1 << 16, document.layout(), Epoch(1));
    let mut longest = 0;
    for (moving, most) in [(0, 700 << 10), (10, 750 << 10), (100, 1_100 << 10)] {
        for vnode in 0..=u16::MAX {
            let member = |it: u64| Some(MemberIndex((it % 1_000) as u16));
            let base = rng.u64(..1_000);
            let moves = rng.u8(..100) < moving;
            let slot = |at: u64| {
                let successor =
                    if moves { member(base + 7 * at + 1) } else { member(base + 7 * at) };
                Slot { reader: member(base + 7 * at), successor }
            };
            let slots = [slot(0), slot(1), slot(2)];
            document.ring.set(Vnode(vnode), &slots, Phase::Moving, Epoch(rng.u32(1..=5_000)));
        }
        let encoded = Encoded::new(document.clone());
        longest = encoded.bytes().len();
        assert!(longest < most, "{moving} % moving: {longest}");
        assert_eq!(Encoded::decode(encoded.bytes()).as_ref(), Ok(&encoded));
    }
    assert!(longest > 900 << 10, "moving costs something: {longest}");
}
