//! What a node hears of nobody of the cluster, or in its own name.

use super::*;
use crate::liveness::Tunables;
use crate::topology::fixture::{self, node};

const START: Now = Now { at: Instant(1_000_000), wall_ms: 1_790_000_000_000 };

/// Node `number`, with a document of five nodes, on its disk.
fn started(number: u64) -> Node {
    let me = Actor { node: node(number), boot: 1 };
    let address = SocketAddr::from(([127, 0, 0, 1], 7000 + (number % 50_000) as u16));
    let origin = Origin::Create(fixture::document(5, 3, 8));
    let tunables = NodeTunables { liveness: Tunables::lan(), ..NodeTunables::default() };
    let mut it = Node::new(START, me, address, origin, &tunables, number).expect("nothing is read");
    drain(&mut it, START);
    it
}

/// Carries out what a node wants of its disk, and gives the rest.
fn drain(it: &mut Node, now: Now) -> Vec<NodeEffect> {
    let mut others = Vec::new();
    while let Some(effect) = it.poll() {
        match effect {
            NodeEffect::Persist { ticket, .. } => it.handle(now, NodeEvent::Persisted(ticket)),
            effect => others.push(effect),
        }
    }
    others
}

/// Datagrams that nodes outside of the topology, but of the cluster, send to node 1.
fn strangers(count: u64) -> impl Iterator<Item = Box<[u8]>> {
    (0..count).flat_map(|number| {
        let mut stranger = started(1000 + number);
        let mut found = Vec::new();
        for second in 0..4 {
            let now = Now { at: START.at + Duration::from_secs(second), ..START };
            stranger.handle(now, NodeEvent::Due);
            let sent = drain(&mut stranger, now);
            found.extend(sent.into_iter().filter_map(|effect| match effect {
                NodeEffect::Datagram { to, bytes, .. } if to == node(1) => Some(bytes),
                _ => None,
            }));
        }
        found
    })
}

/// Each stranger that was met was told of to all cores and kept in mind for ever, though gossip
/// itself forgets them.
#[test]
fn cores_are_told_of_members_alone() {
    let mut it = started(1);
    let before = it.sizes();
    let mut heard = 0;
    for (number, bytes) in strangers(400).enumerate() {
        let now = Now { at: START.at + Duration::from_secs(5 + number as u64), ..START };
        it.handle(now, NodeEvent::Datagram(&bytes));
        it.handle(now, NodeEvent::Due);
        let told = drain(&mut it, now).into_iter().filter_map(|effect| match effect {
            NodeEffect::Liveness { node, .. } => Some(node),
            _ => None,
        });
        assert!(told.into_iter().all(|of| of < node(6)));
        heard += 1;
    }
    assert!(heard >= 100, "{heard}");
    let sizes = it.sizes();
    assert_eq!((sizes.told, sizes.effects), (before.told, 0));
    assert!(sizes.known <= 4 + 64 && sizes.records <= 4 + 64, "{sizes:?}");
    assert!(sizes.known > 4, "some are known: {sizes:?}");
}

#[test]
fn a_hundred_thousand_fake_members_report_in_vain() {
    let mut it = started(1);
    let before = it.sizes();
    let reports = vec![(Vnode(0), Epoch(1)), (Vnode(7), Epoch(9)), (Vnode(u16::MAX), Epoch(0))];
    for number in 6..100_006 {
        let message = NodeMessage::CaughtUp(reports.clone());
        it.handle(START, NodeEvent::Received { from: node(number), message });
    }
    for from in [1, 2] {
        let message = NodeMessage::CaughtUp(reports.clone());
        it.handle(START, NodeEvent::Received { from: node(from), message });
    }
    drain(&mut it, START);
    assert_eq!(it.sizes(), before);
    let counts = it.counts();
    assert_eq!((counts.reports_ignored, counts.impostors), (300_003, 1));
}
