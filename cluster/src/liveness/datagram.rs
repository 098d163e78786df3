//! [`Datagram`]: one datagram, checked whole before any of it is believed.
//!
//! ```text
//! version u8: 1 | cluster u128 | header | by kind
//!   announce, turn-undead   nothing
//!   broadcast               records
//!   all others              count u16 | members | records
//! records: each           length u16 | a record
//! ```
//! Integers are little-endian, but for the count and the length, which foca writes big-endian. To
//! whoever carries it a datagram is opaque: a MAC and a replay window go around it.

use foca::{Header, Member, Message};
use schemas::ids::ClusterId;

use super::identity::Identity;
use super::wire::{Malformed, Reader, put_header, put_member};
use crate::limits::GOSSIP_BYTES_MAX;

/// Bytes before the header.
pub(super) const PREFIX_BYTES: usize = 1 + 16;

const VERSION: u8 = 1;

/// What a datagram says, if its sender is who it says.
#[derive(Clone, Debug)]
pub(super) struct Datagram<'a> {
    pub(super) header: Header<Identity>,
    /// The bytes of the header.
    pub(super) head: &'a [u8],
    pub(super) members: Vec<Member<Identity>>,
    /// The bytes of records, not looked into.
    pub(super) records: Vec<&'a [u8]>,
}

/// Why a datagram is dropped unread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    Foreign,
    Unversioned,
    Malformed,
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Begins a datagram of `cluster`.
pub(super) fn prefix(cluster: ClusterId) -> [u8; PREFIX_BYTES] {
    let mut bytes = [VERSION; PREFIX_BYTES];
    bytes[1..].copy_from_slice(&cluster.0.to_le_bytes());
    bytes
}

/// The bytes, after the prefix, of a gossip of one claim. Its sender's incarnation is left at 0,
/// from which nobody learns anything.
pub(super) fn gossip(from: Identity, to: Identity, claim: &Member<Identity>) -> Vec<u8> {
    let header = Header { src: from, src_incarnation: 0, dst: to, message: Message::Gossip };
    let mut out = Vec::new();
    put_header(&mut out, &header);
    out.extend_from_slice(&1u16.to_be_bytes());
    put_member(&mut out, claim);
    out
}

impl<'a> Datagram<'a> {
    /// Reads a datagram of `cluster`.
    pub(super) fn read(cluster: ClusterId, bytes: &'a [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader(bytes);
        if bytes.len() > GOSSIP_BYTES_MAX {
            return Err(Refusal::Malformed);
        }
        if reader.u8()? != VERSION {
            return Err(Refusal::Unversioned);
        }
        if reader.u128()? != cluster.0 {
            return Err(Refusal::Foreign);
        }
        Ok(Self::read_rest(reader)?)
    }

    fn read_rest(mut reader: Reader<'a>) -> Result<Self, Malformed> {
        let payload = reader.0;
        let header = reader.header()?;
        let head = &payload[..payload.len() - reader.0.len()];
        let (has_members, has_records) = match header.message {
            Message::Announce | Message::TurnUndead => (false, false),
            Message::Broadcast => (false, true),
            _ => (true, true),
        };
        let mut members = Vec::new();
        if has_members {
            for _ in 0..reader.u16_be()? {
                members.push(reader.member()?);
            }
        }
        let mut records = Vec::new();
        while has_records && !reader.0.is_empty() {
            let length = reader.u16_be()?;
            records.push(reader.bytes(usize::from(length))?);
        }
        if !reader.0.is_empty() {
            return Err(Malformed);
        }
        Ok(Self { header, head, members, records })
    }

    /// Whom an indirect probe is about or for, if the datagram is part of one.
    pub(super) fn subject(&self) -> Option<&Identity> {
        match &self.header.message {
            Message::PingReq { target, .. } | Message::IndirectAck { target, .. } => Some(target),
            Message::IndirectPing { origin, .. } | Message::ForwardedAck { origin, .. } => {
                Some(origin)
            }
            _ => None,
        }
    }
}
