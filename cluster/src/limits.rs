//! The numbers that bound this crate: value, unit, reason, what happens past each.

/// How far ahead of the node's own clock a stamp brought by a client may be, in milliseconds.
///
/// Past it the request is refused: a client with a broken clock would drag the whole cluster's
/// stamps into the future. 500 ms is far more than synchronised clocks differ by.
pub const SKEW_MS_MAX: u64 = 500;

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
    assert!(slots + states + members + namespaces + 4096 <= DOCUMENT_BYTES_MAX, "any fits");
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

/// How often a member that does not answer is offered a document. After that it has to ask.
pub const OFFER_TRIES_MAX: u8 = 5;
