//! How soon a crash is known to all, and how often one is seen that was none.

use cluster::liveness::{Health, Tunables};
use cluster::topology::Epoch;

use super::gossip::Gossip;
use super::network::Links;

const SECOND_US: u64 = 1_000_000;

/// After a crash, or a claim, this is enough for all.
const LONG_US: u64 = 120 * SECOND_US;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// Nodes.
    pub nodes: usize,
    /// Datagrams that are lost.
    pub loss_permille: u32,
    /// How long nothing happens, in seconds.
    pub quiet_s: u64,
    /// How many nodes crash after that, one after the other.
    pub crashes: usize,
    /// Whether nodes tell of themselves as they do in a cluster.
    pub with_records: bool,
}

/// What was measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Watched {
    /// Suspicions of nodes that were up, each counted once however many hear of it.
    pub suspicions: u64,
    /// Times that some node had another as down that was up.
    pub false_positives: u64,
    /// What a node sent in a second while nothing happened: bytes.
    pub bytes_per_s: u64,
    /// And datagrams, in tenths.
    pub datagrams_per_10_s: u64,
    /// For each crash until half of the others, and all of them, had the node as down, in
    /// milliseconds; `None` for one that was not known to all in the longest that is waited.
    pub down_ms: Vec<Option<(u64, u64)>>,
    /// The time that the tunables give a suspect of such a cluster, in milliseconds.
    pub suspicion_ms: u64,
}

/// Watches.
#[must_use]
pub fn watch(watch: &Watch, seed: u64) -> Watched {
    let links = Links { loss_permille: watch.loss_permille, ..Links::lan() };
    let mut gossip = Gossip::new(watch.nodes, links, seed);
    if watch.with_records {
        (0..watch.nodes).for_each(|node| gossip.tell(node, Epoch(1)));
    }
    let settled_us = gossip.now_us() + 10 * SECOND_US;
    gossip.run(settled_us);
    gossip.found.clear();
    let before = gossip.sent();
    gossip.run(settled_us + watch.quiet_s * SECOND_US);
    let sent = gossip.sent().since(before);
    let found = std::mem::take(&mut gossip.found);
    let node_seconds = watch.nodes as u64 * watch.quiet_s.max(1);
    let false_positives = found.iter().filter(|it| it.health == Health::Down).count() as u64;
    let suspicions = first_suspicions(&found);
    let mut down_ms = Vec::new();
    for victim in 0..watch.crashes.min(watch.nodes - 2) {
        down_ms.push(crash(&mut gossip, victim, watch.nodes - victim - 1));
    }
    Watched {
        suspicions,
        false_positives,
        bytes_per_s: sent.datagram_bytes / node_seconds,
        datagrams_per_10_s: sent.datagrams * 10 / node_seconds,
        down_ms,
        suspicion_ms: Tunables::lan().suspicion(watch.nodes).as_millis() as u64,
    }
}

/// How often somebody was suspected whom nobody had suspected in the two seconds before.
fn first_suspicions(found: &[super::gossip::Found]) -> u64 {
    let mut last = std::collections::BTreeMap::new();
    let suspected = found.iter().filter(|it| it.health == Health::Suspect);
    let is_first = |it: &&super::gossip::Found| {
        let before = last.insert(it.of, it.at_us);
        before.is_none_or(|at_us| it.at_us > at_us + 2 * SECOND_US)
    };
    suspected.filter(is_first).count() as u64
}

/// Milliseconds until half of `others`, and all, had `victim` as down.
fn crash(gossip: &mut Gossip, victim: usize, others: usize) -> Option<(u64, u64)> {
    gossip.found.clear();
    let from_us = gossip.now_us();
    gossip.crash(victim);
    while gossip.miss(victim) < others {
        if gossip.now_us() > from_us + LONG_US {
            return None;
        }
        gossip.run(gossip.now_us() + SECOND_US / 10);
    }
    let is_down = |it: &&super::gossip::Found| it.of == victim && it.health == Health::Down;
    let mut at_us: Vec<u64> = gossip.found.iter().filter(is_down).map(|it| it.at_us).collect();
    at_us.sort_unstable();
    let ms = |at_us: Option<&u64>| at_us.map_or(0, |at_us| (at_us - from_us) / 1_000);
    Some((ms(at_us.get(at_us.len() / 2)), ms(at_us.last())))
}

/// How one record, and one claim, spread while all else is quiet.
#[derive(Clone, PartialEq, Debug)]
pub struct Spread {
    /// Rounds of gossip until half of all had the record, and until all had.
    pub record_rounds: (u64, u64),
    /// Bytes that a node sent for it, beside what it sends anyway, on average.
    pub record_bytes: u64,
    /// The same of the claim that a node is down, from the first who had it on.
    pub claim_rounds: (u64, u64),
    /// Datagrams that a node sends in ten seconds when nothing happens.
    pub quiet_datagrams_per_10_s: u64,
    /// Bytes in a second.
    pub quiet_bytes_per_s: u64,
}

/// Spreads one record, then lets one node crash.
#[must_use]
pub fn spread(nodes: usize, seed: u64) -> Option<Spread> {
    let round_us = Tunables::lan().gossip_period.as_micros() as u64;
    let mut gossip = Gossip::new(nodes, Links::lan(), seed);
    let settled_us = gossip.now_us() + 5 * SECOND_US;
    gossip.run(settled_us);
    let window_us = 4 * SECOND_US;
    let before = gossip.sent();
    gossip.run(settled_us + window_us);
    let quiet = gossip.sent().since(before);

    let from_us = gossip.now_us();
    let before = gossip.sent();
    gossip.tell(0, Epoch(2));
    let (mut half, mut all) = (None, None);
    while gossip.now_us() < from_us + window_us {
        gossip.run(gossip.now_us() + round_us / 4);
        let (know, at_us) = (gossip.know(0, Epoch(2)), gossip.now_us() - from_us);
        half = half.or((know >= nodes / 2).then_some(at_us));
        all = all.or((know >= nodes - 1).then_some(at_us));
    }
    let told = gossip.sent().since(before);
    let record_bytes = told.bytes().saturating_sub(quiet.bytes()) / nodes as u64;

    gossip.found.clear();
    gossip.crash(1);
    let down = crash_found(&mut gossip, nodes)?;
    let rounds = |at_us: u64| at_us.div_ceil(round_us);
    Some(Spread {
        record_rounds: (rounds(half?), rounds(all?)),
        record_bytes,
        claim_rounds: (rounds(down.0), rounds(down.1)),
        quiet_datagrams_per_10_s: quiet.datagrams * 10 * SECOND_US / window_us / nodes as u64,
        quiet_bytes_per_s: quiet.bytes() * SECOND_US / window_us / nodes as u64,
    })
}

/// Microseconds from the first who had node 1 as down until half and all had.
fn crash_found(gossip: &mut Gossip, nodes: usize) -> Option<(u64, u64)> {
    let from_us = gossip.now_us();
    while gossip.miss(1) < nodes - 1 {
        if gossip.now_us() > from_us + LONG_US {
            return None;
        }
        gossip.run(gossip.now_us() + SECOND_US / 20);
    }
    let down = gossip.found.iter().filter(|it| it.of == 1 && it.health == Health::Down);
    let mut at_us: Vec<u64> = down.map(|it| it.at_us).collect();
    at_us.sort_unstable();
    let first = *at_us.first()?;
    Some((at_us[at_us.len() / 2] - first, at_us.last()? - first))
}
