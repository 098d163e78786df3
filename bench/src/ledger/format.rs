//! The bytes of a ledger file, little-endian.
//!
//! ```text
//! | "kvledger" 8 | version 4 | state 4 | length of the file 8 | base 8 | highest 8 | keys 8 |
//! | namespace length 8 | namespace |
//! key:     | number 8 | possible 4 | sequences 4 | sequence 8 | .. |          ascending
//! trailer: | xxh3 of everything before 8 |
//! ```
//!
//! `state` is 0 at rest and 1 while a run writes. `possible` is a set of 1 (what was there before)
//! and 2 (absent). Nothing is read from a file whose length and checksum do not fit.

use std::collections::BTreeMap;

use smallvec::SmallVec;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::ledger::Ledger;
use super::page::Page;
use crate::limits::KEYS_MAX;

const MAGIC: &[u8; 8] = b"kvledger";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 56;
const TRAILER_BYTES: usize = 8;
const BEFORE: u32 = 1;
const ABSENT: u32 = 2;

/// Whether a run is under way that the file does not know the end of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// No run.
    Rest = 0,
    /// A run began, and its end was not written.
    Running = 1,
}

/// Why a file is no ledger to judge by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(super) enum FormatError {
    #[error("it is not a ledger of kvbench")]
    NotALedger,
    #[error("it is of version {got}, and this kvbench reads version {VERSION}")]
    Version { got: u32 },
    #[error("it is cut or grown: {got} bytes, and {expected} were written")]
    Length { expected: u64, got: u64 },
    #[error("it is damaged: its checksum does not match")]
    Checksum,
    #[error("it is damaged: {0}")]
    Content(&'static str),
}

/// The file that says `ledger`.
pub(super) fn encode(ledger: &Ledger, state: State) -> Vec<u8> {
    let sequences: usize = ledger.pages.values().map(|page| page.sequences.len()).sum();
    let length = HEADER_BYTES
        + ledger.namespace.len()
        + 16 * ledger.pages.len()
        + 8 * sequences
        + TRAILER_BYTES;
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(state as u32).to_le_bytes());
    let namespace_bytes = ledger.namespace.len() as u64;
    let keys = ledger.pages.len() as u64;
    for number in [length as u64, ledger.base, ledger.highest, keys, namespace_bytes] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(ledger.namespace.as_bytes());
    for (key, page) in &ledger.pages {
        let possible = u32::from(page.before) * BEFORE + u32::from(page.absent) * ABSENT;
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&possible.to_le_bytes());
        out.extend_from_slice(&(page.sequences.len() as u32).to_le_bytes());
        for sequence in &page.sequences {
            out.extend_from_slice(&sequence.to_le_bytes());
        }
    }
    let checksum = xxh3_64(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// What a file says.
pub(super) fn decode(bytes: &[u8]) -> Result<(Ledger, State), FormatError> {
    let Some(mut input) = bytes.strip_prefix(MAGIC) else { return Err(FormatError::NotALedger) };
    let got = bytes.len() as u64;
    let cut = FormatError::Length { expected: (HEADER_BYTES + TRAILER_BYTES) as u64, got };
    let version = take_u32(&mut input).ok_or(cut)?;
    if version != VERSION {
        return Err(FormatError::Version { got: version });
    }
    let state = take_u32(&mut input).ok_or(cut)?;
    let expected = take_u64(&mut input).ok_or(cut)?;
    if expected != got || bytes.len() < HEADER_BYTES + TRAILER_BYTES {
        return Err(FormatError::Length { expected, got });
    }
    let (body, trailer) = bytes.split_at(bytes.len() - TRAILER_BYTES);
    if xxh3_64(body).to_le_bytes() != trailer {
        return Err(FormatError::Checksum);
    }
    let state = match state {
        0 => State::Rest,
        1 => State::Running,
        _ => return Err(FormatError::Content("a state that is none")),
    };
    let ledger = ledger(&body[MAGIC.len() + 16..]).map_err(FormatError::Content)?;
    Ok((ledger, state))
}

/// The part that the checksum has vouched for; a length in it is held against what is there all
/// the same.
fn ledger(mut input: &[u8]) -> Result<Ledger, &'static str> {
    const SHORT: &str = "it ends too early";
    let mut number = || take_u64(&mut input).ok_or(SHORT);
    let (base, highest, keys, namespace_bytes) = (number()?, number()?, number()?, number()?);
    let namespace_bytes = usize::try_from(namespace_bytes).map_err(|_| SHORT)?;
    let namespace = input.split_off(..namespace_bytes).ok_or(SHORT)?;
    let namespace = str::from_utf8(namespace).map_err(|_| "a namespace that is no text")?;
    let mut pages = BTreeMap::new();
    for _ in 0..keys {
        let key = take_u64(&mut input).ok_or(SHORT)?;
        if key >= KEYS_MAX || pages.last_key_value().is_some_and(|(&last, _)| last >= key) {
            return Err("keys out of order");
        }
        pages.insert(key, page(&mut input, base, highest)?);
    }
    if base > highest || !input.is_empty() {
        return Err("its parts do not fit together");
    }
    Ok(Ledger { namespace: namespace.to_owned(), base, highest, pages })
}

fn page(input: &mut &[u8], base: u64, highest: u64) -> Result<Page, &'static str> {
    const SHORT: &str = "it ends too early";
    let possible = take_u32(input).ok_or(SHORT)?;
    let count = take_u32(input).ok_or(SHORT)? as usize;
    let bytes = count.checked_mul(8).and_then(|bytes| input.split_off(..bytes)).ok_or(SHORT)?;
    let sequences: SmallVec<[u64; 2]> =
        bytes.as_chunks().0.iter().map(|&chunk| u64::from_le_bytes(chunk)).collect();
    let given = |&sequence: &u64| sequence > base && sequence <= highest;
    if !sequences.is_sorted() || !sequences.iter().all(given) {
        return Err("sequences that were not given out");
    }
    if possible & !(BEFORE | ABSENT) != 0 || (possible == 0 && count == 0) {
        return Err("a key that can hold nothing and not be absent");
    }
    Ok(Page { before: possible & BEFORE != 0, absent: possible & ABSENT != 0, sequences })
}

fn take_u64(input: &mut &[u8]) -> Option<u64> {
    let (number, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(u64::from_le_bytes(*number))
}

fn take_u32(input: &mut &[u8]) -> Option<u32> {
    let (number, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(u32::from_le_bytes(*number))
}
