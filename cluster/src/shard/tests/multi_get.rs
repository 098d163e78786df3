//! Reads of several keys.

use std::rc::Rc;
use std::time::Duration;

use schemas::consistency::Consistency;
use schemas::ids::{Hlc, NamespaceId};
use schemas::limits::{MULTI_GET_KEYS_MAX, MULTI_GET_VALUES_BYTES_MAX, VALUE_BYTES_MAX};
use schemas::status::Status;

use super::network::{NAMESPACE, Network};
use crate::coordinator::{MultiGet, Refused, Reply};
use crate::event::{Event, RequestId};
use crate::record::Record;
use crate::topology::fixture;
use crate::tunables::Tunables;

fn network(tunables: &Tunables) -> Network {
    Network::new(fixture::document(4, 3, 8), tunables)
}

fn wanted(keys: &[&[u8]]) -> MultiGet {
    MultiGet {
        namespace: NAMESPACE,
        keys: keys.iter().map(|&key| key.into()).collect(),
        level: Consistency::Quorum,
        repairs_first: false,
        seen: Hlc(0),
        patience: Duration::from_secs(1),
    }
}

fn ask(network: &mut Network, number: usize, wanted: MultiGet) -> RequestId {
    network.ask(number, |id| Event::MultiGet(id, Rc::new(wanted)))
}

/// What was said of each key: its value, nothing, or why not.
fn told(network: &Network, id: RequestId) -> Vec<Result<Option<Vec<u8>>, Status>> {
    let Some(Reply::FoundAll(found)) = network.replies.get(&id) else {
        panic!("{:?}", network.replies.get(&id))
    };
    let value = |it: &Result<Option<Rc<Record>>, Refused>| match it {
        Ok(record) => Ok(record.as_ref().map(|it| it.value.to_vec())),
        Err(refused) => Err(refused.status),
    };
    found.iter().map(value).collect()
}

fn refused(network: &Network, id: RequestId) -> Status {
    match network.replies.get(&id) {
        Some(Reply::Refused(refused)) => refused.status,
        reply => panic!("{reply:?}"),
    }
}

#[test]
fn keys_of_several_vnodes_come_in_one_reply_in_their_order() {
    let mut network = network(&Tunables::default());
    for byte in 0..20u8 {
        network.put(1, &[byte], &[byte, byte], Consistency::Quorum);
    }
    let keys: Vec<[u8; 1]> = (0..25).rev().map(|byte| [byte]).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    let id = ask(&mut network, 2, wanted(&keys));
    let value = |byte: u8| Ok((byte < 20).then(|| vec![byte, byte]));
    let expected: Vec<_> = (0..25).rev().map(value).collect();
    assert_eq!(told(&network, id), expected);
    assert_eq!(network.nodes[1].shard.sizes().operations, 0);
}

#[test]
fn a_key_that_cannot_be_read_says_so_by_itself() {
    let mut network = network(&Tunables::default());
    network.put(1, b"a", b"1", Consistency::All);
    let long = [0; schemas::limits::KEY_BYTES_MAX + 1];
    let id = ask(&mut network, 1, wanted(&[b"a", b"", &long, b"none"]));
    let expected =
        [Ok(Some(b"1".to_vec())), Err(Status::KeyEmpty), Err(Status::KeyTooLong), Ok(None)];
    assert_eq!(told(&network, id), expected);
    // Of a vnode with two copies cut off there is no quorum; of others there is.
    network.node(3).is_cut_off = true;
    network.node(4).is_cut_off = true;
    let keys: Vec<[u8; 1]> = (0..40).map(|byte| [byte]).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    let id = ask(&mut network, 1, wanted(&keys));
    assert!(!network.replies.contains_key(&id), "it waits for those");
    network.pass(Duration::from_secs(2));
    let told = told(&network, id);
    let counts =
        |what: Result<Option<Vec<u8>>, Status>| told.iter().filter(|it| **it == what).count();
    let (found, not) = (counts(Ok(None)), counts(Err(Status::Unavailable)));
    assert!(found > 5 && not > 5 && found + not == 40, "{found} {not}");
}

#[test]
fn each_key_takes_a_place_and_all_or_none_are_begun() {
    let mut network = network(&Tunables { operations_max: 4, ..Tunables::default() });
    let id = ask(&mut network, 1, wanted(&[b"a", b"b", b"c", b"d", b"e"]));
    assert_eq!(refused(&network, id), Status::Overloaded);
    assert_eq!((network.messages, network.nodes[0].shard.counts().overloaded), (0, 1));
    for number in 2..=4 {
        network.node(number).is_cut_off = true;
    }
    let three = ask(&mut network, 1, wanted(&[b"a", b"b", b"c"]));
    assert_eq!(network.nodes[0].shard.sizes().operations, 3);
    let two = ask(&mut network, 1, wanted(&[b"d", b"e"]));
    assert_eq!(refused(&network, two), Status::Overloaded);
    assert!(!network.replies.contains_key(&three));
    network.pass(Duration::from_secs(2));
    assert_eq!(told(&network, three), [const { Err(Status::Unavailable) }; 3]);
    assert_eq!(network.nodes[0].shard.sizes().operations, 0);
}

#[test]
fn what_cannot_be_begun_for_any_key_is_refused_as_one() {
    let mut network = network(&Tunables::default());
    let many: Vec<&[u8]> = vec![b"k"; MULTI_GET_KEYS_MAX + 1];
    for (wanted, status) in [
        (wanted(&[]), Status::TooManyKeys),
        (wanted(&many), Status::TooManyKeys),
        (MultiGet { namespace: NamespaceId(9), ..wanted(&[b"k"]) }, Status::UnknownNamespace),
        (MultiGet { patience: Duration::ZERO, ..wanted(&[b"k"]) }, Status::DeadlineExceeded),
        (MultiGet { seen: Hlc(u64::MAX), ..wanted(&[b"k"]) }, Status::StampAhead),
    ] {
        let id = ask(&mut network, 1, wanted);
        assert_eq!(refused(&network, id), status);
    }
    assert_eq!(network.messages, 0);
}

#[test]
fn values_are_given_as_far_as_a_reply_has_room() {
    let mut network = network(&Tunables::default());
    let value = vec![7; VALUE_BYTES_MAX];
    for key in [b"a", b"b", b"c"] {
        network.put(1, key, &value, Consistency::All);
    }
    let id = ask(&mut network, 1, wanted(&[b"a", b"b", b"c", b"none"]));
    let told = told(&network, id);
    let bytes: usize = told.iter().flatten().flatten().map(Vec::len).sum();
    assert!((VALUE_BYTES_MAX..=MULTI_GET_VALUES_BYTES_MAX).contains(&bytes), "{bytes}");
    assert_eq!(told.iter().filter(|it| **it == Err(Status::ReplyFull)).count(), 2);
    assert_eq!(told[3], Ok(None));
}

/// What a multi-get costs is what its keys cost: two copies asked of each, one of them for data.
#[test]
fn it_takes_two_messages_a_key_and_other_copy() {
    let mut network = Network::new(fixture::document(3, 3, 8), &Tunables::default());
    let keys: Vec<[u8; 1]> = (0..100).map(|byte| [byte]).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    ask(&mut network, 1, wanted(&keys));
    assert_eq!(network.messages, 200);
}
