//! [`Encoded`]: a document as bytes, which are on every disk and go to every member.
//!
//! - Equal documents have equal bytes: what decodes is what encoding it gives, or an error.
//! - What decodes checks: [`Document::check`].
//! - Memory set aside while decoding is at most eight times the input and 8 MiB: no list is read
//!   past its limit, and slots are set aside when they are there.
//!
//! ```text
//! document: | version 1 = 1 | cluster 16 | epoch 4 | token seed 8 | bits 1 | paused 1
//!           | members 2 | member.. | voters 1 | member index 2.. | last namespace 4
//!           | namespaces 2 | namespace.. | scaling | run.. | slots.. | crc32c 4 |
//! member:   | id 8 | weight 4 | standing 1 (+ 4: may vote) | dc: name | rack: name
//!           | family 1 | IP 4 or 16 | port 2 |
//! namespace:| id 4 | flags 1 (1 siblings, 2 strict, 4 former) | ttl 8 | name
//!           | replication [ | former ] |
//! replication: | data centres 1 | dc: name, copies 1 | .. |
//! scaling:  | 0, or 1 | nodes least 4, most 4 | targets: CPU 4, disk 4, band 4 | added at most 4
//!           | ms: add 4, remove 4, cool-down 4, give up 4, stale 4 | stale permille 4
//!           | 0, or 1 | p99 8, CPU 4 | data centres 1 | dc: name, starting 4, changed 4 | .. |
//! name:     | bytes 1 | UTF-8 |
//! run:      | vnodes varint | (epochs since it changed << 3 | altering << 2 | phase) varint |
//! slots:    | reader 2, by vnode and slot | successor 2, likewise, of vnodes not stable |
//! ```
//! Runs are of vnodes one after the other with the same state, until all have one. Varints are
//! LEB128, everything else is little-endian; members are named by their place, 0xffff is nobody.

mod scaling;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::sync::Arc;

use schemas::ids::{ClusterId, NamespaceId, NodeId, VnodeBits};

use self::scaling::{put_scaling, scaling};
use super::bytes::{Reader, Short, put_crc, put_varint, without_crc};
use super::check::DocumentError;
use super::document::{DataCentre, Document, Epoch, Member, Namespace, Policy, Standing};
use super::ring::{MemberIndex, Phase, Ring, Slot, State};
use crate::limits::{COPIES_MAX, DOCUMENT_BYTES_MAX, MEMBERS_MAX, NAMESPACES_MAX, VOTERS_MAX};

/// The version of the bytes.
const VERSION: u8 = 1;

/// Why bytes are no document.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// More than any document has.
    #[error("{0} bytes, at most {DOCUMENT_BYTES_MAX}")]
    TooLong(usize),
    /// They are damaged.
    #[error("the checksum is not that of the bytes")]
    Checksum,
    /// They were written by another version of this program.
    #[error("version {0} is unknown, {VERSION} is not")]
    Version(u8),
    /// They are not drawn as the module says.
    #[error("malformed, or more or fewer bytes than it takes")]
    Malformed,
    /// They say something that no document says.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl From<Short> for DecodeError {
    fn from(_: Short) -> Self {
        Self::Malformed
    }
}

/// A document that checks, and its bytes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Encoded {
    document: Arc<Document>,
    bytes: Arc<[u8]>,
}

impl PartialEq for Encoded {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Encoded {}

impl Encoded {
    /// `document` and its bytes.
    ///
    /// # Panics
    /// If it does not check: whoever made it has a bug.
    #[must_use]
    pub fn new(document: Document) -> Self {
        let checked = document.check();
        assert!(checked.is_ok(), "a document of our own checks: {checked:?}");
        Self { bytes: encode(&document).into(), document: document.into() }
    }

    /// What `bytes` say.
    ///
    /// # Errors
    /// They are not the bytes of any document.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(DecodeError::TooLong(bytes.len()));
        }
        let body = without_crc(bytes).ok_or(DecodeError::Checksum)?;
        let document = decode(body)?;
        document.check()?;
        // Longer numbers and shorter runs would say the same.
        if encode(&document) != bytes {
            return Err(DecodeError::Malformed);
        }
        Ok(Self { document: document.into(), bytes: bytes.into() })
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> &Arc<Document> {
        &self.document
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.document.epoch
    }
}

fn encode(document: &Document) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend(document.cluster.0.to_le_bytes());
    out.extend(document.epoch.0.to_le_bytes());
    out.extend(document.token_seed.to_le_bytes());
    out.extend([document.bits.get(), document.is_paused.into()]);
    out.extend((document.members.len() as u16).to_le_bytes());
    for member in &document.members {
        put_member(member, &mut out);
    }
    out.push(document.voters.len() as u8);
    for voter in &document.voters {
        let index = document.index_of(*voter).expect("a voter is a member");
        out.extend(index.0.to_le_bytes());
    }
    out.extend(document.last_namespace.0.to_le_bytes());
    out.extend((document.namespaces.len() as u16).to_le_bytes());
    for namespace in &document.namespaces {
        put_namespace(namespace, &mut out);
    }
    put_scaling(document.scaling.as_deref(), &mut out);
    put_ring(&document.ring, document.epoch, &mut out);
    put_crc(&mut out);
    out
}

fn put_name(name: &str, out: &mut Vec<u8>) {
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
}

fn put_member(member: &Member, out: &mut Vec<u8>) {
    out.extend(member.id.0.get().to_le_bytes());
    out.extend(member.weight.to_le_bytes());
    let standing = match member.standing {
        Standing::Member => 0,
        Standing::Leaving => 1,
        Standing::Lost => 2,
    };
    out.push(standing | u8::from(member.may_vote) << 2);
    put_name(&member.dc, out);
    put_name(&member.rack, out);
    match member.address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend(ip.octets());
        }
    }
    out.extend(member.address.port().to_le_bytes());
}

fn put_namespace(namespace: &Namespace, out: &mut Vec<u8>) {
    out.extend(namespace.id.0.to_le_bytes());
    let siblings = u8::from(namespace.policy == Policy::Siblings);
    let strict = u8::from(namespace.is_strict);
    out.push(siblings | strict << 1 | u8::from(namespace.former.is_some()) << 2);
    out.extend(namespace.ttl_ms.to_le_bytes());
    put_name(&namespace.name, out);
    for replication in std::iter::once(&namespace.replication).chain(&namespace.former) {
        out.push(replication.len() as u8);
        for dc in replication {
            put_name(&dc.name, out);
            out.push(dc.copies);
        }
    }
}

fn put_ring(ring: &Ring, epoch: Epoch, out: &mut Vec<u8>) {
    let states: Vec<State> = ring.all().map(|vnode| ring.state(vnode)).collect();
    for run in states.chunk_by(|a, b| a == b) {
        put_varint(run.len() as u64, out);
        put_varint(state_number(run[0], epoch), out);
    }
    let readers = ring.all().flat_map(|vnode| ring.readers(vnode));
    let moving = ring.all().filter(|vnode| ring.phase(*vnode) != Phase::Stable);
    let successors = moving.flat_map(|vnode| ring.successors(vnode));
    out.extend(readers.chain(successors).flat_map(|member| member.0.to_le_bytes()));
}

/// A vnode's state as the number that stands for it in the document of `epoch`.
fn state_number(state: State, epoch: Epoch) -> u64 {
    let phase = match state.phase {
        Phase::Stable => 0,
        Phase::Moving => 1,
        Phase::Settling => 2,
    };
    u64::from(epoch.0 - state.epoch.0) << 3 | u64::from(state.is_altering) << 2 | phase
}

fn state(number: u64, epoch: Epoch) -> Result<State, DecodeError> {
    let phase = match number & 3 {
        0 => Phase::Stable,
        1 => Phase::Moving,
        2 => Phase::Settling,
        _ => return Err(DecodeError::Malformed),
    };
    let age = u32::try_from(number >> 3).map_err(|_| DecodeError::Malformed)?;
    let epoch = epoch.0.checked_sub(age).ok_or(DecodeError::Malformed)?;
    Ok(State { epoch: Epoch(epoch), phase, is_altering: number & 4 != 0 })
}

fn decode(body: &[u8]) -> Result<Document, DecodeError> {
    let mut from = Reader(body);
    match from.u8()? {
        VERSION => {}
        version => return Err(DecodeError::Version(version)),
    }
    let cluster = ClusterId(u128::from_le_bytes(from.array()?));
    let epoch = Epoch(from.u32()?);
    let token_seed = from.u64()?;
    let bits = VnodeBits::new(from.u8()?).ok_or(DecodeError::Malformed)?;
    let is_paused = flag(from.u8()?)?;
    let members = list(from.u16()?, MEMBERS_MAX, || member(&mut from))?;
    let voters = list(from.u8()?.into(), VOTERS_MAX, || {
        let index = usize::from(from.u16()?);
        members.get(index).map(|it| it.id).ok_or(DecodeError::Malformed)
    })?;
    let last_namespace = NamespaceId(from.u32()?);
    let namespaces = list(from.u16()?, NAMESPACES_MAX, || namespace(&mut from))?;
    let scaling = scaling(&mut from)?;
    let unowned = Ring::new(1, Vec::new(), epoch);
    let mut document = Document {
        cluster,
        epoch,
        token_seed,
        bits,
        members,
        voters,
        namespaces,
        last_namespace,
        scaling,
        ring: unowned,
        is_paused,
    };
    document.check_lists()?;
    document.ring = ring(&document, &mut from)?;
    if from.0.is_empty() { Ok(document) } else { Err(DecodeError::Malformed) }
}

fn list<T>(
    count: u16,
    max: usize,
    mut entry: impl FnMut() -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    if usize::from(count) > max {
        return Err(DecodeError::Malformed);
    }
    (0..count).map(|_| entry()).collect()
}

fn flag(byte: u8) -> Result<bool, DecodeError> {
    if byte <= 1 { Ok(byte == 1) } else { Err(DecodeError::Malformed) }
}

fn name(from: &mut Reader<'_>) -> Result<Box<str>, DecodeError> {
    let len = from.u8()?;
    let name = std::str::from_utf8(from.take(len.into())?).map_err(|_| DecodeError::Malformed)?;
    Ok(name.into())
}

fn member(from: &mut Reader<'_>) -> Result<Member, DecodeError> {
    let id = NodeId(NonZeroU64::new(from.u64()?).ok_or(DecodeError::Malformed)?);
    let weight = from.u32()?;
    let flags = from.u8()?;
    let standing = match flags & !4 {
        0 => Standing::Member,
        1 => Standing::Leaving,
        2 => Standing::Lost,
        _ => return Err(DecodeError::Malformed),
    };
    let (dc, rack) = (name(from)?, name(from)?);
    let ip = match from.u8()? {
        4 => IpAddr::from(from.array::<4>()?),
        6 => IpAddr::from(from.array::<16>()?),
        _ => return Err(DecodeError::Malformed),
    };
    let address = SocketAddr::new(ip, from.u16()?);
    Ok(Member { id, dc, rack, weight, standing, address, may_vote: flags & 4 != 0 })
}

fn namespace(from: &mut Reader<'_>) -> Result<Namespace, DecodeError> {
    let id = NamespaceId(from.u32()?);
    let flags = from.u8()?;
    if flags > 7 {
        return Err(DecodeError::Malformed);
    }
    let ttl_ms = from.u64()?;
    let name = name(from)?;
    let policy = if flags & 1 != 0 { Policy::Siblings } else { Policy::LastWriterWins };
    let replication = replication(from)?;
    let former = (flags & 4 != 0).then(|| self::replication(from)).transpose()?;
    Ok(Namespace { id, name, policy, replication, former, is_strict: flags & 2 != 0, ttl_ms })
}

fn replication(from: &mut Reader<'_>) -> Result<Vec<DataCentre>, DecodeError> {
    let count = from.u8()?.into();
    list(count, COPIES_MAX, || Ok(DataCentre { name: name(from)?, copies: from.u8()? }))
}

/// The ring of a document whose lists are checked.
fn ring(document: &Document, from: &mut Reader<'_>) -> Result<Ring, DecodeError> {
    let vnodes = document.bits.count() as usize;
    let mut states = Vec::new();
    while states.len() < vnodes {
        let run = usize::try_from(from.varint()?).map_err(|_| DecodeError::Malformed)?;
        if run == 0 || run > vnodes - states.len() {
            return Err(DecodeError::Malformed);
        }
        let state = state(from.varint()?, document.epoch)?;
        states.resize(states.len() + run, state);
    }
    let layout = document.layout();
    let stride: usize = layout.iter().map(|dc| usize::from(dc.copies)).sum();
    let mut readers = Reader(from.take(vnodes * stride * 2)?);
    let mut ring = Ring::new(document.bits.count(), layout, document.epoch);
    let mut slots = Vec::with_capacity(stride);
    for (vnode, state) in ring.all().zip(states) {
        slots.clear();
        for _ in 0..stride {
            let reader = MemberIndex(readers.u16()?).get();
            let is_stable = state.phase == Phase::Stable;
            let successor = if is_stable { reader } else { MemberIndex(from.u16()?).get() };
            slots.push(Slot { reader, successor });
        }
        ring.restore(vnode, &slots, state);
    }
    Ok(ring)
}

#[cfg(test)]
mod tests;
