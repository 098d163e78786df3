//! How a change of the topology reaches everybody.

use std::time::Duration;

use cluster::node::NodeTunables;
use cluster::topology::{Change, Encoded, Policy, Settings};

use super::layout::document;
use super::network::Links;
use super::nodes::{Nodes, NodesOptions, Told};

/// Changes that made the document before: each vnode was changed by one of them.
const EPOCHS: u32 = 20_000;

/// After this all nodes are given up on, in microseconds.
const LONG_US: u64 = 120_000_000;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct ChangeOptions {
    /// Nodes.
    pub nodes: usize,
    /// Vnodes, a power of two.
    pub vnodes: u32,
    /// What a node sends in a second, in bytes.
    pub bytes_per_s: u64,
    /// Gossip that is lost.
    pub loss_permille: u32,
}

/// What was measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Changed {
    /// Bytes of the document.
    pub document_bytes: u64,
    /// From the proposal on until it was decided, in milliseconds.
    pub decided_ms: u64,
    /// From then on until half of all nodes had it on disk.
    pub half_ms: u64,
    /// And until all had; `None` if that took too long.
    pub all_ms: Option<u64>,
    /// Bytes that all nodes sent for it, gossip apart.
    pub bytes: u64,
    /// Bytes of the node that sent most.
    pub most_bytes: u64,
    /// Bytes of gossip that a node sent in a second meanwhile, on average.
    pub gossip_bytes_per_s: u64,
}

/// Proposes a change of such a cluster, one that moves nothing, and follows it.
#[must_use]
pub fn change(options: &ChangeOptions, seed: u64) -> Option<Changed> {
    let document = document(options.nodes, options.vnodes, EPOCHS, seed);
    let links = Links {
        bytes_per_s: options.bytes_per_s,
        loss_permille: options.loss_permille,
        ..Links::lan()
    };
    let mut nodes = Nodes::new(
        NodesOptions {
            seed,
            most: options.nodes,
            links,
            sync: Duration::from_millis(2),
            catch_up: Duration::from_secs(1),
            tunables: NodeTunables::default(),
        },
        &document,
    );
    let document_bytes = Encoded::new(document).bytes().len() as u64;
    nodes.run(nodes.now_us() + 2_000_000);
    nodes.told.clear();
    let before: Vec<_> = (0..options.nodes).map(|node| nodes.sent_by(node)).collect();
    let from_us = nodes.now_us();
    let proposer = options.nodes / 2;
    let replication = nodes.document(proposer)?.namespaces[0].replication.clone();
    let settings = Settings { replication, is_strict: false, ttl_ms: 0 };
    let (name, policy) = ("second".into(), Policy::Siblings);
    let create = Change::CreateNamespace { name, policy, settings };
    nodes.propose(proposer, create, Duration::from_secs(60));
    let mut decided = None;
    let mut adopted = Vec::new();
    while adopted.len() < options.nodes && nodes.now_us() < from_us + LONG_US {
        nodes.run(nodes.now_us() + 10_000);
        for (at_us, _, told) in std::mem::take(&mut nodes.told) {
            match told {
                Told::Topology(_) => adopted.push(at_us),
                Told::Outcome(result) => decided = decided.or(result.ok().map(|_| at_us)),
                _ => {}
            }
        }
    }
    let (until_us, decided_us) = (nodes.now_us(), decided?);
    // What is offered a second time is part of what it costs.
    nodes.run(until_us + 4_000_000);
    adopted.sort_unstable();
    let ms = |at_us: &u64| at_us.saturating_sub(decided_us) / 1_000;
    let sent = (0..options.nodes).map(|node| nodes.sent_by(node).since(before[node]));
    let sent: Vec<_> = sent.collect();
    let seconds = (nodes.now_us() - from_us) / 1_000_000;
    let gossip: u64 = sent.iter().map(|it| it.datagram_bytes).sum();
    Some(Changed {
        document_bytes,
        decided_ms: (decided_us - from_us) / 1_000,
        half_ms: adopted.get(options.nodes / 2).map(ms)?,
        all_ms: adopted.get(options.nodes - 1).map(ms),
        bytes: sent.iter().map(|it| it.message_bytes).sum(),
        most_bytes: sent.iter().map(|it| it.message_bytes).max().unwrap_or(0),
        gossip_bytes_per_s: gossip / seconds.max(1) / options.nodes as u64,
    })
}
