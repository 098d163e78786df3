//! The identifiers every layer shares.
//!
//! Each is a newtype over one integer, ordered as that integer, little-endian wherever it is
//! stored or sent. Nothing here does I/O or reads a clock.

use std::fmt;
use std::num::NonZeroU64;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A key's place on the ring: `xxh3_64(key, seed)`, uniform over all of `u64`.
///
/// The seed belongs to the cluster and never changes; clients learn it in the handshake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Token(pub u64);

impl Token {
    /// The token of `key` in the cluster whose seed is `seed`.
    #[inline]
    #[must_use]
    pub fn of(key: &[u8], seed: u64) -> Self {
        Self(xxh3_64_with_seed(key, seed))
    }

    /// The virtual node that holds this token: its top bits.
    #[inline]
    #[must_use]
    pub fn vnode(self, bits: VnodeBits) -> Vnode {
        // A shift by 64 is undefined for u64, hence the detour for the ring of one vnode.
        Vnode(self.0.checked_shr(64 - u32::from(bits.0)).unwrap_or(0) as u16)
    }
}

/// The ring has `2^VnodeBits` equal virtual nodes, 1 to 65,536, fixed when a cluster is created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VnodeBits(u8);

impl VnodeBits {
    /// 4,096 virtual nodes.
    pub const DEFAULT: Self = Self(12);

    /// The bits of a ring of `count` virtual nodes; `None` unless `count` is a power of two in
    /// 1..=65,536.
    #[must_use]
    pub fn from_count(count: u32) -> Option<Self> {
        (count.is_power_of_two() && count <= 1 << 16).then(|| Self(count.trailing_zeros() as u8))
    }

    /// A ring of `2^bits` virtual nodes; `None` for more than 16 bits.
    #[must_use]
    pub const fn new(bits: u8) -> Option<Self> {
        if bits <= 16 { Some(Self(bits)) } else { None }
    }

    /// The bits of a token that name its vnode, 0 to 16.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// How many virtual nodes the ring has.
    #[must_use]
    pub fn count(self) -> u32 {
        1 << self.0
    }

    /// The first and last token of `vnode`.
    #[must_use]
    pub fn tokens(self, vnode: Vnode) -> (Token, Token) {
        let shift = 64 - u32::from(self.0);
        let first = u64::from(vnode.0).checked_shl(shift).unwrap_or(0);
        (Token(first), Token(first | u64::MAX.checked_shr(u32::from(self.0)).unwrap_or(0)))
    }
}

/// A virtual node: one of the ring's equal ranges of tokens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Vnode(pub u16);

impl Vnode {
    /// The core, of `shards`, that owns this vnode on a node: contiguous runs of vnodes, so a core
    /// owns one range of tokens. `shards` is at least 1.
    #[inline]
    #[must_use]
    pub fn shard(self, bits: VnodeBits, shards: u16) -> ShardId {
        ShardId(((u32::from(self.0) * u32::from(shards)) >> bits.0) as u16)
    }
}

/// One core of a node, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The tokens this shard owns of a ring, first and last; `None` where there are more shards
    /// than vnodes and this one owns none.
    #[must_use]
    pub fn tokens(self, bits: VnodeBits, shards: u16) -> Option<(Token, Token)> {
        let first = |shard: u32| (shard << bits.0).div_ceil(u32::from(shards));
        let (low, end) = (first(u32::from(self.0)), first(u32::from(self.0) + 1));
        (low < end)
            .then(|| (bits.tokens(Vnode(low as u16)).0, bits.tokens(Vnode((end - 1) as u16)).1))
    }
}

/// A hybrid logical clock's stamp: 48 bits of Unix milliseconds, then a 16-bit counter.
///
/// Kulkarni et al., "Logical Physical Clocks", OPODIS 2014. Zero is older than every stamp given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The first stamp of a millisecond; milliseconds past 48 bits (year 10,889) saturate.
    #[must_use]
    pub fn from_millis(unix_ms: u64) -> Self {
        Self(unix_ms.min((1 << 48) - 1) << 16)
    }

    /// The wall-clock part, in Unix milliseconds.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.0 >> 16
    }
}

/// A node's random identity, born with its data directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub NonZeroU64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A cluster's random identity, born with its first node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Who gives dots: a node during one of its lives.
///
/// `boot` is incremented and synced at every start, so an actor never repeats a counter, whatever
/// a crash lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Actor {
    /// The node.
    pub node: NodeId,
    /// Which of its starts, from 1.
    pub boot: u32,
}

/// The name of one write: the `counter`-th, from 1, that `actor` gave in a vnode.
///
/// Preguica et al., "Dotted Version Vectors", 2010.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Dot {
    /// Who gave it.
    pub actor: Actor,
    /// Its place among those the actor gave in this vnode.
    pub counter: u64,
}

/// A version of a record: later stamps win, and dots break ties between equal stamps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version {
    /// When it was written.
    pub hlc: Hlc,
    /// Which write it was.
    pub dot: Dot,
}

/// A namespace's number; never used again after the namespace is dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NamespaceId(pub u32);

impl NamespaceId {
    /// The namespace that exists from the start.
    pub const DEFAULT: Self = Self(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash decides where data lies: it may never change.
    #[test]
    fn tokens_match_their_golden_vectors() {
        assert_eq!(Token::of(b"", 0), Token(0x2d06_8005_38d3_94c2));
        assert_eq!(Token::of(b"kvcore", 0), Token(xxh3_64_with_seed(b"kvcore", 0)));
    }

    #[test]
    fn vnodes_and_shards_cut_the_ring_without_gap_or_overlap() {
        for count in [1u32, 2, 64, 4096, 65_536] {
            let bits = VnodeBits::from_count(count).expect("a power of two");
            for shards in [1u16, 2, 3, 7, 16, 63] {
                let mut next = Some(0u64);
                for shard in 0..shards {
                    let Some((low, high)) = ShardId(shard).tokens(bits, shards) else { continue };
                    assert_eq!(Some(low.0), next);
                    for token in [low, high] {
                        assert_eq!(token.vnode(bits).shard(bits, shards), ShardId(shard));
                    }
                    next = high.0.checked_add(1);
                }
                assert_eq!(next, None, "the last shard ends the ring");
            }
        }
    }

    #[test]
    fn a_ring_is_a_power_of_two() {
        for count in [0, 3, 100, 65_537, 1 << 17] {
            assert_eq!(VnodeBits::from_count(count), None);
        }
        assert_eq!(VnodeBits::from_count(4096), Some(VnodeBits::DEFAULT));
    }
}
