//! Documents and changes for tests.

use std::net::SocketAddr;
use std::num::NonZeroU64;

use fastrand::Rng;
use schemas::ids::{ClusterId, NamespaceId, NodeId, Vnode, VnodeBits};

use super::{
    Change, DataCentre, Document, Epoch, Member, Phase, Policy, ScaleStep, Settings, Standing,
    apply,
};
use crate::autoscale::{self, LatencyTarget};

/// The node of a number above 0.
pub(crate) fn node(number: u64) -> NodeId {
    NodeId(NonZeroU64::new(number).expect("nodes count from 1"))
}

/// An address of that number.
pub(crate) fn address(number: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 7000))
}

/// A member that stays, with a weight of 100.
pub(crate) fn member(number: u64, dc: &str, rack: &str) -> Member {
    Member {
        id: node(number),
        dc: dc.into(),
        rack: rack.into(),
        weight: 100,
        standing: Standing::Member,
        address: address(number),
        may_vote: true,
    }
}

/// `copies` copies in each of `dcs`.
pub(crate) fn replication(dcs: &[(&str, u8)]) -> Vec<DataCentre> {
    dcs.iter().map(|(name, copies)| DataCentre { name: (*name).into(), copies: *copies }).collect()
}

/// Settings with these copies.
pub(crate) fn settings(dcs: &[(&str, u8)]) -> Settings {
    Settings { replication: replication(dcs), is_strict: false, ttl_ms: 0 }
}

/// A cluster of one node in data centre "a", of 8 vnodes and a namespace of three copies.
pub(crate) fn first() -> Document {
    let bits = VnodeBits::new(3).expect("few bits");
    let first = member(1, "a", "r1");
    Document::create(ClusterId(7), 9, bits, first, 3).expect("a document")
}

/// A cluster of the nodes from 1 to `nodes`, in racks by threes, with all moves done.
pub(crate) fn cluster(nodes: u64) -> Document {
    let rack = |number: u64| format!("r{}", 1 + number % 3);
    let joined = (2..=nodes).fold(first(), |document, number| {
        done(&document, &Change::Join(member(number, "a", &rack(number))))
    });
    settled(joined)
}

/// What `change` makes of `document`.
pub(crate) fn done(document: &Document, change: &Change) -> Document {
    let next = apply(document, change).expect("it is allowed");
    next.check().expect("it checks");
    next
}

/// The vnodes in `phase`, and since when.
pub(crate) fn vnodes_in(document: &Document, phase: Phase) -> Vec<(Vnode, Epoch)> {
    let ring = &document.ring;
    let vnodes = ring.all().filter(|vnode| ring.phase(*vnode) == phase);
    vnodes.map(|vnode| (vnode, ring.epoch(vnode))).collect()
}

/// The document once all moves are done.
pub(crate) fn settled(mut document: Document) -> Document {
    for _ in 0..8 {
        let (moving, settling) =
            (vnodes_in(&document, Phase::Moving), vnodes_in(&document, Phase::Settling));
        if !settling.is_empty() {
            document = done(&document, &Change::Finish(settling));
        } else if !moving.is_empty() {
            document = done(&document, &Change::Settle(moving));
        } else {
            return document;
        }
    }
    panic!("vnodes keep on moving: {document:?}");
}

/// A change that may or may not be allowed, of nodes 1 to 12, data centres "a" to "c".
pub(crate) fn change(document: &Document, rng: &mut Rng) -> Change {
    let other = rng.u64(1..=12);
    let any = document.members[rng.usize(..document.members.len())].id;
    let dc = ["a", "a", "b", "c"][rng.usize(..4)];
    let new = member(other, dc, ["r1", "r2", "r3"][rng.usize(..3)]);
    let namespace = NamespaceId(rng.u32(1..=document.last_namespace.0 + 1));
    let some = |phase, rng: &mut Rng| {
        let mut vnodes = vnodes_in(document, phase);
        vnodes.retain(|_| rng.u8(..4) > 0);
        vnodes
    };
    match rng.u8(..30) {
        0..=4 => Change::Join(new),
        5 => Change::Leave(any),
        6 => Change::Lost { node: any, with_last_copies: rng.u8(..4) == 0 },
        7 => {
            let dc = &document.member(document.index_of(any).expect("a member")).dc;
            let new = Member { dc: dc.clone(), ..new };
            Change::Replace { old: any, new, is_lost: rng.bool() }
        }
        8 => Change::Weight { node: any, weight: [0, 50, 100, 200][rng.usize(..4)] },
        9 => Change::Address { node: any, address: address(rng.u64(1..=20)) },
        10 => Change::ReplaceVoters { absent: vec![any], back: vec![] },
        11 => Change::ReplaceVoters { absent: vec![], back: vec![any] },
        12 => Change::CreateNamespace {
            name: format!("n{}", rng.u8(..6)).into(),
            policy: if rng.bool() { Policy::Siblings } else { Policy::LastWriterWins },
            settings: settings(&[(dc, rng.u8(1..=4))]),
        },
        13 | 14 => {
            let dcs = [("a", rng.u8(1..=4)), ("b", rng.u8(1..=3))];
            let settings = settings(&dcs[..rng.usize(1..=2)]);
            Change::AlterNamespace { id: namespace, settings }
        }
        15 => Change::DropNamespace(namespace),
        16 => Change::Pause,
        17 => Change::Resume,
        18 => Change::Abort,
        19 => {
            let mut settings = autoscale::Settings::between(rng.u32(1..4), rng.u32(4..12));
            let (p99_us, cpu_floor_permille) = (rng.u64(1..=9_000), 300);
            settings.p99 = rng.bool().then_some(LatencyTarget { p99_us, cpu_floor_permille });
            let policy = autoscale::Policy::new(settings).expect("settings in their ranges");
            Change::Autoscale((rng.u8(..4) > 0).then_some(policy))
        }
        20..=22 => {
            let since = document.scaled(dc).map_or(document.epoch, |it| it.changed);
            let step = match rng.u8(..4) {
                0 => ScaleStep::Remove(any),
                1 => ScaleStep::GiveUp,
                _ => ScaleStep::Start(rng.u32(1..3)),
            };
            Change::Scale { dc: dc.into(), since, step }
        }
        23..=26 => Change::Settle(some(Phase::Moving, rng)),
        _ => Change::Finish(some(Phase::Settling, rng)),
    }
}
