//! Which server and core a key belongs to.
//!
//! The servers resolve the ring; a client only looks up. A route is immutable: a newer one
//! replaces it.

use schemas::ids::{NodeId, Token};
use schemas::message::{Owner, RouteNode, RouteReply};

/// The holders of every key, at one epoch of the ring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    table: RouteReply,
    ring_seed: u64,
}

impl Route {
    /// The route that a server told; `ring_seed` is of its handshake, `connected_to` the address
    /// that nodes without one of their own are at.
    #[must_use]
    pub fn new(mut table: RouteReply, ring_seed: u64, connected_to: &str) -> Self {
        for node in table.nodes.iter_mut().filter(|node| node.address.is_empty()) {
            connected_to.clone_into(&mut node.address);
        }
        Self { table, ring_seed }
    }

    /// The epoch it is of.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.table.epoch
    }

    /// The nodes; [`Owner::node`] is an index into them.
    #[must_use]
    pub fn nodes(&self) -> &[RouteNode] {
        &self.table.nodes
    }

    /// The node of that id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&RouteNode> {
        self.table.nodes.iter().find(|node| node.id == id)
    }

    /// The place of `key` on the ring.
    #[inline]
    #[must_use]
    pub fn token(&self, key: &[u8]) -> Token {
        Token::of(key, self.ring_seed)
    }

    /// The holders of a token's key, the preferred first.
    #[inline]
    pub fn owners(&self, token: Token) -> impl Iterator<Item = Owner> + '_ {
        let vnode = usize::from(token.vnode(self.table.vnode_bits).0);
        let copies = usize::from(self.table.copies);
        self.table.owners[vnode * copies..][..copies].iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use schemas::ids::{ShardId, VnodeBits};

    use super::*;

    fn node(id: u64, address: &str) -> RouteNode {
        let id = NodeId(NonZeroU64::new(id).expect("not 0"));
        RouteNode { id, address: address.to_owned(), shards: 3 }
    }

    #[test]
    fn a_key_belongs_to_the_shard_that_its_vnode_is_on() {
        let bits = VnodeBits::DEFAULT;
        let route = Route::new(RouteReply::single(4, bits, node(1, "")), 99, "seed:7400");
        assert_eq!(route.nodes()[0].address, "seed:7400");
        for key in [&b"a"[..], b"carts/17", b"\xff\x00"] {
            let token = route.token(key);
            assert_eq!(token, Token::of(key, 99));
            let owners: Vec<Owner> = route.owners(token).collect();
            assert_eq!(owners, [Owner { node: 0, shard: token.vnode(bits).shard(bits, 3) }]);
        }
    }

    #[test]
    fn owners_come_in_order_and_holes_are_left_out() {
        let table = RouteReply {
            epoch: 1,
            vnode_bits: VnodeBits::new(1).expect("16 or less"),
            copies: 2,
            nodes: vec![node(1, "a:1"), node(2, "b:1")],
            owners: vec![
                Some(Owner { node: 1, shard: ShardId(2) }),
                Some(Owner { node: 0, shard: ShardId(0) }),
                None,
                Some(Owner { node: 0, shard: ShardId(1) }),
            ],
        };
        let route = Route::new(table, 0, "seed:7400");
        let of =
            |token: u64| route.owners(Token(token)).map(|owner| owner.node).collect::<Vec<_>>();
        assert_eq!(of(0), [1, 0]);
        assert_eq!(of(u64::MAX), [0]);
    }
}
