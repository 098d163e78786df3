//! Who holds what: the ring, resolved.

use std::num::NonZeroU64;

use flatbuffers::FlatBufferBuilder;

use crate::generated::tables as fb;
use crate::header::Header;
use crate::ids::{NodeId, ShardId, Vnode, VnodeBits};
use crate::kind::Kind;
use crate::limits::{ADDRESS_BYTES_MAX, ROUTE_COPIES_MAX, ROUTE_NODES_MAX};
use crate::message::table;
use crate::status::Status;

/// The node index of an owner that is not there.
const NO_NODE: u16 = u16::MAX;

/// Asks for the route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteRequest {
    /// The epoch of the route the client has; 0 for none.
    pub epoch: u32,
}

impl RouteRequest {
    /// Reads a request from the body of its frame.
    ///
    /// # Errors
    /// `MalformedBody`.
    pub fn decode(body: &[u8]) -> Result<Self, Status> {
        Ok(Self { epoch: table::read::<fb::RouteRequest<'_>>(body)?.epoch() })
    }

    /// Appends the frame to `out`.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) {
        let mut builder = FlatBufferBuilder::with_capacity(64);
        let args = fb::RouteRequestArgs { epoch: self.epoch };
        let root = fb::RouteRequest::create(&mut builder, &args);
        builder.finish_minimal(root);
        table::append(header, Kind::Route, &builder, out);
    }
}

/// A node that serves clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteNode {
    /// Which node it is.
    pub id: NodeId,
    /// `host:port` of its binary listener; empty for the address this connection went to.
    pub address: String,
    /// Its shards, at least 1.
    pub shards: u16,
}

/// One holder of a vnode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Index into [`RouteReply::nodes`].
    pub node: u16,
    /// The shard of that node.
    pub shard: ShardId,
}

/// The holders of every vnode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteReply {
    /// The epoch it is of.
    pub epoch: u32,
    /// Size of the ring.
    pub vnode_bits: VnodeBits,
    /// Holders named for each vnode, 1 to `ROUTE_COPIES_MAX`.
    pub copies: u8,
    /// The nodes, at most `ROUTE_NODES_MAX`.
    pub nodes: Vec<RouteNode>,
    /// `copies` holders for each vnode, in order of the vnodes, the preferred first.
    pub owners: Vec<Option<Owner>>,
}

impl RouteReply {
    /// The route of a cluster of one node, whose vnodes are cut over its shards.
    #[must_use]
    pub fn single(epoch: u32, vnode_bits: VnodeBits, node: RouteNode) -> Self {
        let shards = node.shards;
        let owners = (0..vnode_bits.count())
            .map(|vnode| {
                Some(Owner { node: 0, shard: Vnode(vnode as u16).shard(vnode_bits, shards) })
            })
            .collect();
        Self { epoch, vnode_bits, copies: 1, nodes: vec![node], owners }
    }

    /// Reads a route from the body of its frame; every index in it is sound.
    ///
    /// # Errors
    /// `MalformedBody`: the server broke the protocol.
    pub fn decode(body: &[u8]) -> Result<Self, Status> {
        let table = table::read::<fb::RouteReply<'_>>(body)?;
        let vnode_bits = VnodeBits::new(table.vnode_bits()).ok_or(Status::MalformedBody)?;
        let nodes = decode_nodes(&table)?;
        let copies = table.copies();
        let slots = vnode_bits.count() as usize * usize::from(copies);
        let (owners, shards) = (table.owners(), table.owner_shards());
        let copies_sound = (1..=ROUTE_COPIES_MAX).contains(&usize::from(copies));
        if !copies_sound || owners.len() != slots || shards.len() != slots {
            return Err(Status::MalformedBody);
        }
        let owners = owners
            .iter()
            .zip(shards)
            .map(|(node, shard)| match nodes.get(usize::from(node)) {
                Some(holder) if shard < holder.shards => {
                    Ok(Some(Owner { node, shard: ShardId(shard) }))
                }
                None if node == NO_NODE => Ok(None),
                _ => Err(Status::MalformedBody),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { epoch: table.epoch(), vnode_bits, copies, nodes, owners })
    }

    /// Appends the frame to `out`.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) {
        let mut builder = FlatBufferBuilder::with_capacity(256 + 4 * self.owners.len());
        let ids: Vec<u64> = self.nodes.iter().map(|node| node.id.0.get()).collect();
        let shards: Vec<u16> = self.nodes.iter().map(|node| node.shards).collect();
        let addresses: Vec<_> =
            self.nodes.iter().map(|node| builder.create_string(&node.address)).collect();
        let split = |owner: &Option<Owner>| owner.map_or((NO_NODE, 0), |o| (o.node, o.shard.0));
        let (owners, owner_shards): (Vec<u16>, Vec<u16>) = self.owners.iter().map(split).unzip();
        let args = fb::RouteReplyArgs {
            epoch: self.epoch,
            vnode_bits: self.vnode_bits.get(),
            copies: self.copies,
            node_ids: Some(builder.create_vector(&ids)),
            node_addresses: Some(builder.create_vector(&addresses)),
            node_shards: Some(builder.create_vector(&shards)),
            owners: Some(builder.create_vector(&owners)),
            owner_shards: Some(builder.create_vector(&owner_shards)),
        };
        let root = fb::RouteReply::create(&mut builder, &args);
        builder.finish_minimal(root);
        table::append(header, Kind::RouteReply, &builder, out);
    }
}

fn decode_nodes(table: &fb::RouteReply<'_>) -> Result<Vec<RouteNode>, Status> {
    let (ids, addresses, shards) = (table.node_ids(), table.node_addresses(), table.node_shards());
    let count = ids.len();
    if count > ROUTE_NODES_MAX || addresses.len() != count || shards.len() != count {
        return Err(Status::MalformedBody);
    }
    ids.iter()
        .zip(addresses)
        .zip(shards)
        .map(|((id, address), shards)| {
            let id = NonZeroU64::new(id).ok_or(Status::MalformedBody)?;
            if address.len() > ADDRESS_BYTES_MAX || shards == 0 {
                return Err(Status::MalformedBody);
            }
            Ok(RouteNode { id: NodeId(id), address: address.to_owned(), shards })
        })
        .collect()
}
