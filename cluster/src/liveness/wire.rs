//! The bytes of identities, headers and members, and foca's codec over them.
//!
//! Integers are little-endian. Nothing is read that is not checked, and nothing is read past an
//! end.
//!
//! ```text
//! identity   node u64 | boot u32 | renewal u32 | family u8: 4, 6 | ip 4 or 16 | port u16
//! header     identity: from | incarnation u16 | identity: to | kind u8 | by kind
//!            ping, ack:                  probe u8
//!            the four of indirect probes: probe u8 | identity: of whom
//! member     identity | incarnation u16 | state u8: 0 alive, 1 suspect, 2 down
//! ```
//! Nodes and boots are not 0, but for the boot of whom a datagram is to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU64;

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};
use schemas::ids::NodeId;

use super::datagram::PREFIX_BYTES;
use super::identity::{Identity, is_reachable};
use crate::limits::{GOSSIP_BYTES_MIN, RECORD_BYTES_MAX};

/// Bytes that are not what they should be, or no room for ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a gossip message")]
pub(super) struct Malformed;

const IDENTITY_BYTES_MAX: usize = 8 + 4 + 4 + 1 + 16 + 2;
const HEADER_BYTES_MAX: usize = 3 * IDENTITY_BYTES_MAX + 2 + 2;
const MEMBER_BYTES_MAX: usize = IDENTITY_BYTES_MAX + 2 + 1;

const _: () = {
    let fixed = HEADER_BYTES_MAX + 2 + RECORD_BYTES_MAX + 2 + 2 * MEMBER_BYTES_MAX;
    assert!(PREFIX_BYTES + fixed <= GOSSIP_BYTES_MIN, "two claims and a record always fit");
};

/// Reads what bytes begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// As foca writes its own counts and lengths.
    pub(super) fn u16_be(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn u128(&mut self) -> Result<u128, Malformed> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    pub(super) fn node(&mut self) -> Result<NodeId, Malformed> {
        Ok(NodeId(NonZeroU64::new(self.u64()?).ok_or(Malformed)?))
    }

    /// A life of a node.
    fn identity(&mut self) -> Result<Identity, Malformed> {
        let identity = self.addressee()?;
        if identity.boot == 0 { Err(Malformed) } else { Ok(identity) }
    }

    /// A life of a node, or any.
    fn addressee(&mut self) -> Result<Identity, Malformed> {
        let (node, boot, renewal) = (self.node()?, self.u32()?, self.u32()?);
        let ip: IpAddr = match self.u8()? {
            4 => Ipv4Addr::from(self.array::<4>()?).into(),
            6 => Ipv6Addr::from(self.array::<16>()?).into(),
            _ => return Err(Malformed),
        };
        let address = SocketAddr::new(ip, self.u16()?);
        if !is_reachable(&address) {
            return Err(Malformed);
        }
        Ok(Identity { node, boot, renewal, address })
    }

    pub(super) fn header(&mut self) -> Result<Header<Identity>, Malformed> {
        let (src, src_incarnation) = (self.identity()?, self.u16()?);
        let dst = self.addressee()?;
        Ok(Header { src, src_incarnation, dst, message: self.message()? })
    }

    fn message(&mut self) -> Result<Message<Identity>, Malformed> {
        Ok(match self.u8()? {
            0 => Message::Ping(self.u8()?),
            1 => Message::Ack(self.u8()?),
            2 => Message::PingReq { probe_number: self.u8()?, target: self.identity()? },
            3 => Message::IndirectPing { probe_number: self.u8()?, origin: self.identity()? },
            4 => Message::IndirectAck { probe_number: self.u8()?, target: self.identity()? },
            5 => Message::ForwardedAck { probe_number: self.u8()?, origin: self.identity()? },
            6 => Message::Announce,
            7 => Message::Feed,
            8 => Message::Gossip,
            9 => Message::Broadcast,
            10 => Message::TurnUndead,
            _ => return Err(Malformed),
        })
    }

    pub(super) fn member(&mut self) -> Result<Member<Identity>, Malformed> {
        let (identity, incarnation) = (self.identity()?, self.u16()?);
        let state = match self.u8()? {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(Malformed),
        };
        Ok(Member::new(identity, incarnation, state))
    }
}

fn put_identity(out: &mut Vec<u8>, identity: &Identity) {
    out.extend_from_slice(&identity.node.0.get().to_le_bytes());
    out.extend_from_slice(&identity.boot.to_le_bytes());
    out.extend_from_slice(&identity.renewal.to_le_bytes());
    match identity.address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&identity.address.port().to_le_bytes());
}

fn put_message(out: &mut Vec<u8>, message: &Message<Identity>) {
    let mut put = |kind: u8, probe: Option<u8>, subject: Option<&Identity>| {
        out.push(kind);
        out.extend(probe);
        if let Some(subject) = subject {
            put_identity(out, subject);
        }
    };
    match message {
        Message::Ping(probe) => put(0, Some(*probe), None),
        Message::Ack(probe) => put(1, Some(*probe), None),
        Message::PingReq { target, probe_number } => put(2, Some(*probe_number), Some(target)),
        Message::IndirectPing { origin, probe_number } => put(3, Some(*probe_number), Some(origin)),
        Message::IndirectAck { target, probe_number } => put(4, Some(*probe_number), Some(target)),
        Message::ForwardedAck { origin, probe_number } => put(5, Some(*probe_number), Some(origin)),
        Message::Announce => put(6, None, None),
        Message::Feed => put(7, None, None),
        Message::Gossip => put(8, None, None),
        Message::Broadcast => put(9, None, None),
        Message::TurnUndead => put(10, None, None),
    }
}

pub(super) fn put_header(out: &mut Vec<u8>, header: &Header<Identity>) {
    put_identity(out, &header.src);
    out.extend_from_slice(&header.src_incarnation.to_le_bytes());
    put_identity(out, &header.dst);
    put_message(out, &header.message);
}

pub(super) fn put_member(out: &mut Vec<u8>, member: &Member<Identity>) {
    put_identity(out, member.id());
    out.extend_from_slice(&member.incarnation().to_le_bytes());
    out.push(match member.state() {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    });
}

/// The codec that foca is given.
#[derive(Clone, Debug, Default)]
pub(super) struct Wire {
    scratch: Vec<u8>,
}

impl Wire {
    /// Whole or not at all.
    fn put(&self, mut buf: impl BufMut) -> Result<(), Malformed> {
        if buf.remaining_mut() < self.scratch.len() {
            return Err(Malformed);
        }
        buf.put_slice(&self.scratch);
        Ok(())
    }
}

/// Reads with `read` what `buf`, whose bytes are in one piece, begins with.
fn take<T>(
    mut buf: impl Buf,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let bytes = buf.chunk();
    let mut reader = Reader(bytes);
    let value = read(&mut reader)?;
    let read_bytes = bytes.len() - reader.0.len();
    buf.advance(read_bytes);
    Ok(value)
}

impl foca::Codec<Identity> for Wire {
    type Error = Malformed;

    fn encode_header(&mut self, it: &Header<Identity>, buf: impl BufMut) -> Result<(), Malformed> {
        self.scratch.clear();
        put_header(&mut self.scratch, it);
        self.put(buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, Malformed> {
        take(buf, |it| it.header())
    }

    fn encode_member(&mut self, it: &Member<Identity>, buf: impl BufMut) -> Result<(), Malformed> {
        self.scratch.clear();
        put_member(&mut self.scratch, it);
        self.put(buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<Identity>, Malformed> {
        take(buf, |it| it.member())
    }
}
