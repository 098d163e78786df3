//! Checks that the heads of the hot messages share.

use std::num::NonZeroU64;

use crate::consistency::Consistency;
use crate::ids::{Actor, Dot, Hlc, NodeId, Version};
use crate::limits::{CONTEXT_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::status::Status;

/// Checks a key's length.
///
/// # Errors
/// `KeyEmpty` or `KeyTooLong`.
#[inline]
pub const fn check_key(key: &[u8]) -> Result<(), Status> {
    match key.len() {
        0 => Err(Status::KeyEmpty),
        1..=KEY_BYTES_MAX => Ok(()),
        _ => Err(Status::KeyTooLong),
    }
}

#[inline]
pub(crate) const fn check_value_len(len: usize) -> Result<(), Status> {
    if len > VALUE_BYTES_MAX { Err(Status::ValueTooLarge) } else { Ok(()) }
}

#[inline]
pub(crate) const fn check_context_len(len: usize) -> Result<(), Status> {
    if len > CONTEXT_BYTES_MAX { Err(Status::MalformedBody) } else { Ok(()) }
}

/// Cuts the first `N` bytes off `body`: a head.
#[inline]
pub(crate) fn split_head<const N: usize>(body: &[u8]) -> Result<(&[u8; N], &[u8]), Status> {
    body.split_first_chunk().ok_or(Status::MalformedBody)
}

/// Cuts the next `len` bytes off `rest`.
#[inline]
pub(crate) fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Status> {
    let (taken, left) = rest.split_at_checked(len).ok_or(Status::MalformedBody)?;
    *rest = left;
    Ok(taken)
}

/// A key is cut off `rest` and checked. Its length is checked first, so that a key which is too
/// long is told apart from a body that is too short.
#[inline]
pub(crate) fn take_key<'a>(rest: &mut &'a [u8], len: u16) -> Result<&'a [u8], Status> {
    let len = usize::from(len);
    if len > KEY_BYTES_MAX {
        return Err(Status::KeyTooLong);
    }
    let key = take(rest, len)?;
    check_key(key)?;
    Ok(key)
}

/// Flags of a request: one that is not known changes what is asked for, so it is refused.
#[inline]
pub(crate) const fn check_flags(flags: u8, known: u8) -> Result<(), Status> {
    if flags & !known == 0 { Ok(()) } else { Err(Status::Unsupported) }
}

#[inline]
pub(crate) fn level(byte: u8) -> Result<Consistency, Status> {
    Consistency::from_byte(byte).ok_or(Status::Unsupported)
}

/// The version that a head's fields name; none where the node is 0.
#[inline]
pub(crate) fn version(hlc: u64, counter: u64, node: u64, boot: u32) -> Option<Version> {
    let node = NodeId(NonZeroU64::new(node)?);
    Some(Version { hlc: Hlc(hlc), dot: Dot { actor: Actor { node, boot }, counter } })
}

/// `hlc`, `counter`, `node`, `boot` of a version, zeros for none.
#[inline]
pub(crate) fn version_fields(version: Option<Version>) -> (u64, u64, u64, u32) {
    version.map_or((0, 0, 0, 0), |Version { hlc, dot }| {
        (hlc.0, dot.counter, dot.actor.node.0.get(), dot.actor.boot)
    })
}

#[inline]
pub(crate) fn key_len(key: &[u8]) -> u16 {
    u16::try_from(key.len()).expect("keys are checked before they are sent")
}

#[inline]
pub(crate) fn len_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("lengths are checked before they are sent")
}

/// Writes `parts` one after the other; together they are as long as `out`.
#[inline]
pub(crate) fn write_parts<const N: usize>(parts: [&[u8]; N], mut out: &mut [u8]) {
    for part in parts {
        let (place, rest) = out.split_at_mut(part.len());
        place.copy_from_slice(part);
        out = rest;
    }
}
