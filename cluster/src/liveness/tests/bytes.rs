//! The format of datagrams: pinned, and strict.

use foca::{Message, State};
use proptest::prelude::*;

use super::super::datagram::{Datagram, Refusal};
use super::super::identity::Identity;
use super::super::record::{Load, Record, Told};
use super::network::{CLUSTER, Faults, Flight, Network, id};
use super::{Forged, at, identity, seconds};
use crate::horizon::Promise;
use crate::liveness::Tunables;
use crate::topology::Epoch;
use schemas::ids::{Actor, ClusterId, Hlc};

fn told() -> Told {
    let load = Load {
        cpu_permille: 1_000,
        disk_used_bytes: 7,
        disk_total_bytes: 8,
        p99_us: 9,
        ops_per_s: 10,
    };
    let promise = Promise { epoch: Epoch(2), below: Hlc(5), last: Hlc(6) };
    let record = Record { epoch: Epoch(3), wall_ms: (1 << 48) - 1, load, promise };
    Told { actor: Actor { node: id(1), boot: 2 }, sequence: 5, record }
}

/// Two versions of the server gossip with each other while a cluster is upgraded.
#[test]
fn the_format_is_pinned() {
    let mut forged = Forged::from(identity(1, 2, 3)).telling(&told());
    forged.incarnation = 0x0405;
    forged.dst = Identity { address: at("fe80::1", 258), ..identity(0, 1, 0) };
    forged.message = Message::PingReq { target: identity(2, 1, 0), probe_number: 6 };
    let bytes = forged.claiming(identity(2, 1, 0), 7, State::Suspect).bytes();
    let node = |index| id(index).0.get().to_le_bytes();
    let mut expected = vec![1];
    expected.extend_from_slice(&CLUSTER.0.to_le_bytes());
    expected.extend_from_slice(&node(1));
    expected.extend_from_slice(&[2, 0, 0, 0, 3, 0, 0, 0, 4, 10, 0, 0, 1, 0xe9, 3, 5, 4]);
    expected.extend_from_slice(&node(0));
    expected.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 6, 0xfe, 0x80, 0, 0, 0, 0, 0, 0]);
    expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 2, 6]);
    let third = [&node(2)[..], &[1, 0, 0, 0, 0, 0, 0, 0, 4, 10, 0, 0, 1, 0xea, 3]].concat();
    expected.extend_from_slice(&third);
    expected.extend_from_slice(&[0, 1]);
    expected.extend_from_slice(&third);
    expected.extend_from_slice(&[7, 0, 1, 0, 88]);
    expected.extend_from_slice(&node(1));
    expected.extend_from_slice(&[2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
    expected.extend_from_slice(&[255, 255, 255, 255, 255, 255, 0, 0, 0xe8, 3, 0, 0]);
    for value in [7u8, 8, 9, 10] {
        expected.extend_from_slice(&[value, 0, 0, 0, 0, 0, 0, 0]);
    }
    expected.extend_from_slice(&[2, 0, 0, 0]);
    for value in [5u8, 6] {
        expected.extend_from_slice(&[value, 0, 0, 0, 0, 0, 0, 0]);
    }
    assert_eq!(bytes, expected);
}

#[test]
fn a_later_version_may_add_to_a_record() {
    let mut bytes = told().encode();
    bytes.extend_from_slice(&[1, 2, 3]);
    assert_eq!(Told::decode(&bytes), Ok(told()));
    bytes.resize(129, 0);
    assert!(Told::decode(&bytes).is_err());
}

#[test]
fn records_no_node_can_have_are_refused() {
    let bad: [fn(&mut Told); 5] = [
        |it| it.actor.boot = 0,
        |it| it.sequence = 0,
        |it| it.record.wall_ms = 1 << 48,
        |it| it.record.load.cpu_permille = 1_001,
        |it| it.record.load.disk_used_bytes = 9,
    ];
    for spoil in bad {
        let mut told = told();
        spoil(&mut told);
        assert!(Told::decode(&told.encode()).is_err(), "{told:?}");
    }
    for length in 0..told().encode().len() {
        assert!(Told::decode(&told().encode()[..length]).is_err());
    }
}

#[test]
fn identities_no_node_can_have_are_refused() {
    let fine = identity(1, 1, 0);
    let read = |src: Identity| Datagram::read(CLUSTER, &Forged::from(src).bytes()).map(|_| ());
    assert_eq!(read(fine), Ok(()));
    assert_eq!(read(Identity { boot: 0, ..fine }), Err(Refusal::Malformed));
    for (ip, port) in [
        ("10.0.0.1", 0),
        ("0.0.0.0", 1),
        ("255.255.255.255", 1),
        ("224.0.0.1", 1),
        ("::", 1),
        ("ff02::1", 1),
        ("::ffff:224.0.0.1", 1),
    ] {
        assert_eq!(read(Identity { address: at(ip, port), ..fine }), Err(Refusal::Malformed));
    }
}

#[test]
fn what_is_not_of_this_cluster_and_version_is_dropped_unread() {
    let bytes = Forged::from(identity(1, 1, 0)).bytes();
    let read = |cluster, bytes: &[u8]| Datagram::read(cluster, bytes).err();
    assert_eq!(read(CLUSTER, &bytes), None);
    assert_eq!(read(ClusterId(1), &bytes), Some(Refusal::Foreign));
    let mut newer = bytes.clone();
    newer[0] = 2;
    assert_eq!(read(CLUSTER, &newer), Some(Refusal::Unversioned));
    let mut longer = bytes;
    longer.resize(1_401, 0);
    assert_eq!(read(CLUSTER, &longer), Some(Refusal::Malformed));
}

/// What machines say to each other is what others of them read, cut anywhere it is nothing.
#[test]
fn real_datagrams_are_read_whole_or_not_at_all() {
    let mut network = Network::new(9, Tunables::lan(), Faults::loss(200), 1);
    network.tap = Some(Vec::new());
    network.run(seconds(60));
    network.crash(3);
    network.run(seconds(30));
    let tap = network.tap.take().unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for Flight { bytes, .. } in &tap {
        let datagram = Datagram::read(CLUSTER, bytes).unwrap();
        kinds.insert(
            format!("{:?}", datagram.header.message).split(['(', ' ']).next().map(str::to_owned),
        );
        for length in 0..bytes.len() {
            assert!(Datagram::read(CLUSTER, &bytes[..length]).is_err());
        }
    }
    assert!(kinds.len() >= 9, "{kinds:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Datagram::read(CLUSTER, &bytes).is_err());
        let ours = [&super::prefix(CLUSTER)[..], &bytes].concat();
        _ = Datagram::read(CLUSTER, &ours);
        _ = Told::decode(&bytes);
    }
}
