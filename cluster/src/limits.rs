//! The numbers that bound this crate: value, unit, reason, what happens past each.

use std::time::Duration;

use schemas::limits::VALUE_BYTES_MAX;

/// Nodes of one data centre that an autoscale policy may ask for: as many as a route tells clients
/// of. A policy that allows more is refused.
pub const AUTOSCALE_NODES_MAX: u32 = 1024;

/// The band of an autoscale policy, in permille of its targets. A wider one is refused: half the
/// target is where nodes would stand idle.
pub const AUTOSCALE_BAND_PERMILLE_MAX: u32 = 500;

/// The used part of a disk that an autoscale policy may wait for, in permille: where the engine
/// begins to warn. Beyond it a move could fill the disk before the new node took anything off it.
pub const AUTOSCALE_DISK_PERMILLE_MAX: u32 = 850;

/// A latency, in microseconds, that a node can tell or a policy ask for: an hour. A record with
/// more counts as none.
pub const AUTOSCALE_P99_US_MAX: u64 = 3_600_000_000;

/// The shortest time of an autoscale policy: no load is known better than gossip carries it.
pub const AUTOSCALE_PERIOD_MIN: Duration = Duration::from_secs(1);

/// The longest time of an autoscale policy. A longer one is refused: it is meant to be "never".
pub const AUTOSCALE_PERIOD_MAX: Duration = Duration::from_secs(30 * 86_400);

/// Nodes that are tried for removal in one evaluation, best first; each looks at all others. Past
/// it the rest would be worse choices with the same outcome.
pub const AUTOSCALE_CANDIDATES_MAX: usize = 16;

const _: () = assert!(AUTOSCALE_NODES_MAX as usize <= schemas::limits::ROUTE_NODES_MAX);
const _: () = assert!(AUTOSCALE_BAND_PERMILLE_MAX < 1000);

/// How far ahead of the node's own clock a stamp brought by a client may be, in milliseconds.
///
/// Past it the request is refused: a client with a broken clock would drag the whole cluster's
/// stamps into the future. 500 ms is far more than synchronised clocks differ by.
pub const SKEW_MS_MAX: u64 = 500;

/// How far ahead of the node's own clock a purge horizon that another copy has may be, in
/// milliseconds: a day.
///
/// Past it the other is not believed: all that is written here would be late. A node whose clock is
/// behind by more has worse to fear.
pub const HORIZON_AHEAD_MS_MAX: u64 = 86_400_000;

/// How far ahead of what is in use the synced ceiling of the clock is set, in milliseconds.
///
/// Large enough that a renewal which takes a second (a disk with a full queue) is never waited
/// for; small enough that a node which crashed and came back at once, and so starts above its old
/// ceiling, stamps only this far into the future.
pub const CEILING_LEAD_MS: u64 = 2_000;

// A stamp at the edge of the allowed skew must fit below a ceiling that is half used.
const _: () = assert!(SKEW_MS_MAX < CEILING_LEAD_MS / 2);

/// Voters of an epoch. Seven outlive three losses; more would only make each change slower.
pub const VOTERS_MAX: usize = 7;

/// Members of a cluster. Joins past it are refused: each costs every node a record and the ring an
/// index of 16 bits.
pub const MEMBERS_MAX: usize = 10_000;

/// Copies of a vnode in all data centres together. Past it a namespace is refused: a coordinator
/// keeps a line for each.
pub const COPIES_MAX: usize = 32;

const _: () = assert!(MEMBERS_MAX < u16::MAX as usize, "an index, and one for nobody");

/// Values of one key that stand side by side after a write. One more is refused: the client reads
/// what is there, and writes what replaces it.
pub const SIBLINGS_MAX: usize = 64;

/// Sets of one key that are written apart, each without the others, before they meet: one a side of
/// a cluster that is cut into this many, each with nodes enough for a write. What they come to is
/// never cut down, so with more, each as large as a write may leave it, a record would be too long.
pub const SETS_APART_MAX: usize = 16;

/// Bytes of a set of siblings, encoded, after a write. A longer one is refused as a value that is
/// too large.
pub const SIBLINGS_BYTES_MAX: usize = VALUE_BYTES_MAX / SETS_APART_MAX;

/// Actors that a context may leave a key's set with. One that brings more is refused: contexts that
/// are read do not, and an invented one would be kept until the purge horizon has passed it.
pub const SEEN_ACTORS_MAX: usize = 256;

/// Actors in the context that a client is given. A set that has more leaves out of it those that
/// have no value in it and were seen first, so that some values stay beside what is written with
/// it.
pub const TOKEN_ACTORS_MAX: usize = 800;

const _: () = assert!(SEEN_ACTORS_MAX <= TOKEN_ACTORS_MAX, "what one write leaves is told whole");
/// Namespaces of a cluster. More are refused: each is a line of the document that every change
/// writes anew.
pub const NAMESPACES_MAX: usize = 1_000;

/// Bytes of the name of a data centre or a rack. Longer ones are refused: members repeat them.
pub const PLACE_BYTES_MAX: usize = 64;

/// Weight of a member. Greater ones are refused: sums of all members' weights stay exact.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// Bytes of a document. Longer input is refused unread. The largest document there can be is
/// smaller: 65,536 vnodes, all of them moving, of the most copies, and lists of the most entries.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;

const _: () = {
    let slots = (1 << 16) * COPIES_MAX * 2 * 2;
    let states = (1 << 16) * (3 + 5);
    let members = MEMBERS_MAX * (8 + 4 + 1 + 2 * (1 + PLACE_BYTES_MAX) + 19);
    let dcs = COPIES_MAX * (2 + PLACE_BYTES_MAX);
    let namespaces = NAMESPACES_MAX * (4 + 256 + 1 + 8 + 1 + dcs) + dcs;
    let scaled = COPIES_MAX * (1 + PLACE_BYTES_MAX + 8);
    assert!(
        slots + states + members + namespaces + scaled + 4096 <= DOCUMENT_BYTES_MAX,
        "any fits"
    );
};

/// Changes that wait at one node to be proposed. More are refused: each waits for the one before.
pub const PROPOSALS_MAX: usize = 64;

/// Rounds of one epoch. A greater number is no proposer's, and is ignored: it would leave nobody a
/// greater one to propose with.
pub const ROUND_MAX: u64 = u32::MAX as u64;

/// Seeds that a node asks. More are ignored.
pub const SEEDS_MAX: usize = 16;

/// Members that are offered a new document at a time: each that lacks it asks for it, so this many
/// copies of it are on their way at once.
pub const OFFERS_MAX: usize = 16;

/// Members to whom a new document is offered by one that was given it. More would have the first
/// send more, fewer the last wait longer: 1,000 nodes are three steps.
pub const OFFER_HEIRS: usize = 4;

/// How often a member that does not answer is offered a document. After that it has to ask.
pub const OFFER_TRIES_MAX: u8 = 5;
/// Nodes that liveness keeps of those outside the topology: nodes that are joining or have left.
/// Past it new ones are not listened to, unless one that is down can be forgotten for them.
pub const STRANGERS_MAX: usize = 64;

/// Bytes of a gossip datagram: with a MAC around it, it still goes unfragmented over Ethernet.
/// Longer ones are dropped.
pub const GOSSIP_BYTES_MAX: usize = 1_400;

/// Bytes that a gossip datagram may be tuned down to; the longest header and a few members fit.
pub const GOSSIP_BYTES_MIN: usize = 512;

/// Records that a core sets aside for whoever runs the cluster. Past it new ones are counted and
/// not kept: they come from a node that was given up for lost and came back, all at once.
pub const SET_ASIDE_MAX: usize = 10_000;

/// Bytes of a node's record on gossip. Longer ones are dropped: one must not crowd others out.
pub const RECORD_BYTES_MAX: usize = 128;

/// Scans that a core coordinates at a time. More are refused as overload: each keeps a page of each
/// copy that is read, [`SCAN_PAGE_BYTES_MAX`](schemas::limits::SCAN_PAGE_BYTES_MAX) at most.
pub const SCANS_MAX: usize = 32;

/// How long an operation is under way at most. Who wants to wait longer is told after this long: an
/// operation that never ends would keep its place in a bounded table for ever.
pub const PATIENCE_MAX: Duration = Duration::from_secs(300);

/// Orders to the store of one core that other nodes wait for. Past it they are told that it is
/// busy: more than any disk has under way, and few enough to be remembered.
pub const ASKED_MAX: usize = 1 << 16;

/// Of these, how many may be of comparisons, each of which brings along what the other has. Past it
/// the other is told that this core is busy, and comes again.
pub const COMPARED_MAX: usize = 64;

/// Records of a page in a comparison. Longer ones are cut, and are refused from others.
pub const PAGE_RECORDS_MAX: usize = 8192;

/// Hashes of what one side of a comparison has of a page. The rest is not told of, and comes once
/// more; who tells of more is refused.
pub const HAS_MAX: usize = PAGE_RECORDS_MAX;

/// Cores of another node that forward requests to one of this: as many as a node may have. What
/// comes from more is refused as if it had come before.
pub const LANES_MAX: usize = 1024;
