//! Reading records in order, a page at a time.

use flatbuffers::{FlatBufferBuilder, Vector};

use crate::consistency::Consistency;
use crate::generated::tables as fb;
use crate::header::Header;
use crate::ids::{NamespaceId, Token, Version};
use crate::kind::Kind;
use crate::limits::{KEY_BYTES_MAX, SCAN_PAGE_BYTES_MAX, SCAN_RECORDS_MAX};
use crate::message::{head, table};
use crate::status::Status;

/// Flag of a scan: answer without values.
const KEY_ONLY: u8 = 1;

/// A place between two records in the order of (token, key).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ScanPlace<'a> {
    /// The token.
    pub token: Token,
    /// Strictly after this key of the token; empty: before its first.
    pub after_key: &'a [u8],
}

/// Asks for a page of records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scan<'a> {
    /// The namespace of the records.
    pub namespace: NamespaceId,
    /// Replicas that must answer.
    pub consistency: Consistency,
    /// Whether the values may stay where they are.
    pub key_only: bool,
    /// Where the page starts; the shard that owns this token answers.
    pub from: ScanPlace<'a>,
    /// The last token wanted.
    pub to: Token,
    /// Records of the page, 1 to `SCAN_RECORDS_MAX`.
    pub records_max: usize,
}

impl<'a> Scan<'a> {
    /// Reads a scan from the body of its frame.
    ///
    /// # Errors
    /// What to answer: `KeyTooLong`, `MalformedBody`, `Unsupported`.
    pub fn decode(body: &'a [u8]) -> Result<Self, Status> {
        let table = table::read::<fb::Scan<'_>>(body)?;
        head::check_flags(table.flags(), KEY_ONLY)?;
        let records = usize::try_from(table.records_max()).unwrap_or(usize::MAX);
        Ok(Self {
            namespace: NamespaceId(table.namespace()),
            consistency: head::level(table.consistency())?,
            key_only: table.flags() & KEY_ONLY != 0,
            from: place(table.from_token(), table.after_key())?,
            to: Token(table.to_token()),
            records_max: match records {
                0 => SCAN_RECORDS_MAX,
                _ => records.min(SCAN_RECORDS_MAX),
            },
        })
    }

    /// Appends the frame that asks for the page to `out`.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) {
        let mut builder = FlatBufferBuilder::with_capacity(128 + self.from.after_key.len());
        let args = fb::ScanArgs {
            namespace: self.namespace.0,
            consistency: self.consistency.to_byte(),
            flags: if self.key_only { KEY_ONLY } else { 0 },
            from_token: self.from.token.0,
            after_key: Some(builder.create_vector(self.from.after_key)),
            to_token: self.to.0,
            records_max: u32::try_from(self.records_max).unwrap_or(u32::MAX),
        };
        let root = fb::Scan::create(&mut builder, &args);
        builder.finish_minimal(root);
        table::append(header, Kind::Scan, &builder, out);
    }
}

fn place(token: u64, after_key: Option<Vector<'_, u8>>) -> Result<ScanPlace<'_>, Status> {
    let after_key = after_key.map(|key| key.bytes()).unwrap_or_default();
    if after_key.len() > KEY_BYTES_MAX {
        return Err(Status::KeyTooLong);
    }
    Ok(ScanPlace { token: Token(token), after_key })
}

/// One record of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanRecord<'a> {
    /// The key's place in the order.
    pub token: Token,
    /// The key.
    pub key: &'a [u8],
    /// The version found.
    pub version: Version,
    /// Unix milliseconds at which the value expires; 0 for never.
    pub expires_at_ms: u64,
    /// The value; empty if none was asked for.
    pub value: &'a [u8],
}

/// A page of records.
#[derive(Clone, Copy, Debug)]
pub struct ScanReply<'a> {
    entries: Vector<'a, fb::ScanEntry>,
    keys: &'a [u8],
    values: &'a [u8],
    /// Where the next page starts; `None` where nothing is left.
    pub next: Option<ScanPlace<'a>>,
}

impl<'a> ScanReply<'a> {
    /// Reads a reply from the body of its frame.
    ///
    /// # Errors
    /// `MalformedBody`, `KeyEmpty`, `KeyTooLong`, `ValueTooLarge`: the server broke the protocol.
    pub fn decode(body: &'a [u8]) -> Result<Self, Status> {
        let table = table::read::<fb::ScanReply<'_>>(body)?;
        let (keys, values) = (table.keys().bytes(), table.values().bytes());
        let (mut keys_left, mut values_left) = (keys, values);
        for entry in table.entries() {
            head::take_key(&mut keys_left, entry.key_len())?;
            head::check_value_len(entry.value_len() as usize)?;
            head::take(&mut values_left, entry.value_len() as usize)?;
            version(entry).ok_or(Status::MalformedBody)?;
        }
        let next = place(table.next_token(), table.next_after_key())?;
        let next = (!table.done()).then_some(next);
        Ok(Self { entries: table.entries(), keys, values, next })
    }

    /// The records, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = ScanRecord<'a>> + use<'a> {
        const CHECKED: &str = "lengths and versions were checked in decode";
        let (mut keys, mut values) = (self.keys, self.values);
        self.entries.iter().map(move |entry| ScanRecord {
            token: Token(entry.token()),
            key: head::take(&mut keys, usize::from(entry.key_len())).expect(CHECKED),
            version: version(entry).expect(CHECKED),
            expires_at_ms: entry.expires_at_ms(),
            value: head::take(&mut values, entry.value_len() as usize).expect(CHECKED),
        })
    }
}

fn version(entry: &fb::ScanEntry) -> Option<Version> {
    head::version(entry.hlc(), entry.counter(), entry.node(), entry.boot())
}

/// Collects a page of records.
#[derive(Clone, Debug, Default)]
pub struct ScanReplyWriter {
    entries: Vec<fb::ScanEntry>,
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl ScanReplyWriter {
    /// Adds the next record in order, unless the page is full: then it says `false`, and the next
    /// page starts after the record before. An empty page takes any record.
    ///
    /// # Panics
    /// If the key or the value is past its limit.
    pub fn push(&mut self, record: &ScanRecord<'_>) -> bool {
        let bytes = self.keys.len() + self.values.len() + record.key.len() + record.value.len();
        let full = self.entries.len() == SCAN_RECORDS_MAX || bytes > SCAN_PAGE_BYTES_MAX;
        if full && !self.entries.is_empty() {
            return false;
        }
        let (hlc, counter, node, boot) = head::version_fields(Some(record.version));
        self.entries.push(fb::ScanEntry::new(
            record.token.0,
            hlc,
            counter,
            node,
            record.expires_at_ms,
            boot,
            head::len_u32(record.value),
            head::key_len(record.key),
            0,
            0,
        ));
        self.keys.extend_from_slice(record.key);
        self.values.extend_from_slice(record.value);
        true
    }

    /// Appends the frame to `out`; the next page starts at `next`, or there is none.
    pub fn encode(&self, header: &Header, next: Option<ScanPlace<'_>>, out: &mut Vec<u8>) {
        let bytes = size_of_val(&*self.entries) + self.keys.len() + self.values.len();
        let mut builder = FlatBufferBuilder::with_capacity(256 + bytes);
        let next_after_key = next.map(|next| builder.create_vector(next.after_key));
        let args = fb::ScanReplyArgs {
            entries: Some(builder.create_vector(&self.entries)),
            keys: Some(builder.create_vector(&self.keys)),
            values: Some(builder.create_vector(&self.values)),
            done: next.is_none(),
            next_token: next.map_or(0, |next| next.token.0),
            next_after_key,
        };
        let root = fb::ScanReply::create(&mut builder, &args);
        builder.finish_minimal(root);
        table::append(header, Kind::ScanReply, &builder, out);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::frame;
    use crate::ids::{Actor, Dot, Hlc, NodeId};
    use crate::limits::{FRAME_BYTES_MAX, VALUE_BYTES_MAX};

    fn record<'a>(token: u64, key: &'a [u8], value: &'a [u8]) -> ScanRecord<'a> {
        let actor = Actor { node: NodeId(NonZeroU64::new(7).unwrap()), boot: 2 };
        let version = Version { hlc: Hlc(9), dot: Dot { actor, counter: token } };
        ScanRecord { token: Token(token), key, version, expires_at_ms: 0, value }
    }

    #[test]
    fn a_request_says_what_was_asked() {
        let asked = Scan {
            namespace: NamespaceId::DEFAULT,
            consistency: Consistency::from_byte(1).unwrap(),
            key_only: true,
            from: ScanPlace { token: Token(5), after_key: b"k" },
            to: Token(u64::MAX),
            records_max: 10,
        };
        let mut out = Vec::new();
        asked.encode(&Header::request(1), &mut out);
        let (frame, _) = frame::read(&out, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(frame.kind(), Ok(Kind::Scan));
        assert_eq!(Scan::decode(frame.body), Ok(asked));
    }

    #[test]
    fn a_page_says_its_records_and_where_to_go_on() {
        let records = [record(1, b"a", b""), record(1, b"bc", b"value"), record(9, b"d", b"x")];
        let place = ScanPlace { token: Token(9), after_key: b"d" };
        for next in [None, Some(place)] {
            let mut writer = ScanReplyWriter::default();
            assert!(records.iter().all(|record| writer.push(record)));
            let mut out = Vec::new();
            writer.encode(&Header::request(1), next, &mut out);
            let (frame, _) = frame::read(&out, FRAME_BYTES_MAX).unwrap().unwrap();
            let reply = ScanReply::decode(frame.body).unwrap();
            assert_eq!(reply.records().collect::<Vec<_>>(), records);
            assert_eq!(reply.next, next);
        }
    }

    #[test]
    fn a_page_takes_the_largest_record_and_refuses_what_is_past_its_limit() {
        let value = vec![1; VALUE_BYTES_MAX];
        let mut writer = ScanReplyWriter::default();
        assert!(writer.push(&record(1, &[1; KEY_BYTES_MAX], &value)));
        assert!(!writer.push(&record(2, b"k", &value)));
        let mut out = Vec::new();
        writer.encode(&Header::request(1), None, &mut out);
        assert!(out.len() <= FRAME_BYTES_MAX);
    }
}
