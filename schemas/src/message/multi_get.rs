//! Reading several keys at once.

use flatbuffers::{FlatBufferBuilder, Vector};

use crate::consistency::Consistency;
use crate::generated::tables as fb;
use crate::header::Header;
use crate::ids::{Hlc, NamespaceId, Version};
use crate::kind::Kind;
use crate::limits::{MULTI_GET_KEYS_MAX, MULTI_GET_VALUES_BYTES_MAX};
use crate::message::{head, table};
use crate::status::Status;

/// Flag of a multi-get: answer without values.
const KEY_ONLY: u8 = 1;
/// Flag of a key's result: there is a value.
const FOUND: u8 = 1;

/// Asks for the values of up to `MULTI_GET_KEYS_MAX` keys.
#[derive(Clone, Copy, Debug)]
pub struct MultiGet<'a> {
    /// The namespace of the keys.
    pub namespace: NamespaceId,
    /// Replicas that must answer for each.
    pub consistency: Consistency,
    /// The greatest stamp the client has seen; 0 for none.
    pub hlc_seen: Hlc,
    /// Whether the values may stay where they are.
    pub key_only: bool,
    key_lens: Vector<'a, u16>,
    keys: &'a [u8],
}

impl<'a> MultiGet<'a> {
    /// Reads a multi-get from the body of its frame; every key is within its limits.
    ///
    /// # Errors
    /// What to answer: `TooManyKeys` (none is as wrong), `KeyEmpty`, `KeyTooLong`,
    /// `MalformedBody`, `Unsupported`.
    pub fn decode(body: &'a [u8]) -> Result<Self, Status> {
        let table = table::read::<fb::MultiGet<'_>>(body)?;
        head::check_flags(table.flags(), KEY_ONLY)?;
        let request = Self {
            namespace: NamespaceId(table.namespace()),
            consistency: head::level(table.consistency())?,
            hlc_seen: Hlc(table.hlc_seen()),
            key_only: table.flags() & KEY_ONLY != 0,
            key_lens: table.key_lens(),
            keys: table.keys().bytes(),
        };
        if !(1..=MULTI_GET_KEYS_MAX).contains(&request.key_lens.len()) {
            return Err(Status::TooManyKeys);
        }
        let mut rest = request.keys;
        for len in request.key_lens {
            head::take_key(&mut rest, len)?;
        }
        Ok(request)
    }

    /// How many keys are asked for, at least 1.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.key_lens.len()
    }

    /// The keys, in the order of the request.
    pub fn keys(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.keys;
        self.key_lens.iter().map(move |len| {
            head::take(&mut rest, usize::from(len)).expect("lengths were checked in decode")
        })
    }

    /// Appends the frame that asks for `keys` to `out`.
    ///
    /// # Errors
    /// `TooManyKeys`, `KeyEmpty`, `KeyTooLong`; `out` is unchanged.
    pub fn encode<'k>(
        header: &Header,
        namespace: NamespaceId,
        consistency: Consistency,
        hlc_seen: Hlc,
        key_only: bool,
        keys: impl ExactSizeIterator<Item = &'k [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        if !(1..=MULTI_GET_KEYS_MAX).contains(&keys.len()) {
            return Err(Status::TooManyKeys);
        }
        let mut lens = Vec::with_capacity(keys.len());
        let mut bytes = Vec::with_capacity(keys.len() * 32);
        for key in keys {
            head::check_key(key)?;
            lens.push(head::key_len(key));
            bytes.extend_from_slice(key);
        }
        let mut builder = FlatBufferBuilder::with_capacity(128 + 2 * lens.len() + bytes.len());
        let args = fb::MultiGetArgs {
            namespace: namespace.0,
            hlc_seen: hlc_seen.0,
            consistency: consistency.to_byte(),
            flags: if key_only { KEY_ONLY } else { 0 },
            key_lens: Some(builder.create_vector(&lens)),
            keys: Some(builder.create_vector(&bytes)),
        };
        let root = fb::MultiGet::create(&mut builder, &args);
        builder.finish_minimal(root);
        table::append(header, Kind::MultiGet, &builder, out);
        Ok(())
    }
}

/// What is known of one key of a multi-get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyResult<'a> {
    /// The code of [`Status`]: 0, or why this key was not read.
    pub status: u8,
    /// Whether the key has a value.
    pub found: bool,
    /// The version that is answered, which may be a tombstone's; `None` where nothing is known.
    pub version: Option<Version>,
    /// Unix milliseconds at which the value expires; 0 for never.
    pub expires_at_ms: u64,
    /// The value; empty if there is none, or none was asked for.
    pub value: &'a [u8],
}

impl KeyResult<'static> {
    /// The result for a key that nobody ever wrote.
    pub const ABSENT: Self =
        Self { status: 0, found: false, version: None, expires_at_ms: 0, value: &[] };

    /// The result for a key that could not be read.
    #[must_use]
    pub const fn failed(status: Status) -> Self {
        Self { status: status as u8, found: false, version: None, expires_at_ms: 0, value: &[] }
    }
}

/// The answers to a multi-get.
#[derive(Clone, Copy, Debug)]
pub struct MultiGetReply<'a> {
    results: Vector<'a, fb::KeyResult>,
    values: &'a [u8],
}

impl<'a> MultiGetReply<'a> {
    /// Reads a reply from the body of its frame.
    ///
    /// # Errors
    /// `MalformedBody`: the server broke the protocol.
    pub fn decode(body: &'a [u8]) -> Result<Self, Status> {
        let table = table::read::<fb::MultiGetReply<'_>>(body)?;
        let reply = Self { results: table.results(), values: table.values().bytes() };
        let sound = reply.results.len() <= MULTI_GET_KEYS_MAX
            && reply.results.iter().all(|result| reply.value(result).is_some());
        if sound { Ok(reply) } else { Err(Status::MalformedBody) }
    }

    /// How many keys are answered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.results.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// The results, in the order of the request's keys.
    pub fn results(&self) -> impl ExactSizeIterator<Item = KeyResult<'a>> + use<'a> {
        let reply = *self;
        reply.results.iter().map(move |result| KeyResult {
            status: result.status(),
            found: result.flags() & FOUND != 0,
            version: head::version(result.hlc(), result.counter(), result.node(), result.boot()),
            expires_at_ms: result.expires_at_ms(),
            value: reply.value(result).expect("offsets were checked in decode"),
        })
    }

    fn value(&self, result: &fb::KeyResult) -> Option<&'a [u8]> {
        let start = result.value_offset() as usize;
        self.values.get(start..start.checked_add(result.value_len() as usize)?)
    }
}

/// Collects the answers to a multi-get in whatever order they come.
#[derive(Clone, Debug)]
pub struct MultiGetReplyWriter {
    results: Vec<fb::KeyResult>,
    values: Vec<u8>,
}

impl MultiGetReplyWriter {
    /// A writer for the answers to `key_count` keys, each `Internal` until it is set.
    #[must_use]
    pub fn new(key_count: usize) -> Self {
        let unset = fb::KeyResult::new(0, 0, 0, 0, 0, 0, 0, Status::Internal as u8, 0, 0);
        Self { results: vec![unset; key_count], values: Vec::new() }
    }

    /// Sets the answer for the key at `index`. A value that does not fit any more turns it into
    /// `ReplyFull`.
    ///
    /// # Panics
    /// If `index` is not below the number of keys.
    pub fn set(&mut self, index: usize, result: KeyResult<'_>) {
        let offset = self.values.len();
        let fits = offset + result.value.len() <= MULTI_GET_VALUES_BYTES_MAX;
        let result = if fits { result } else { KeyResult::failed(Status::ReplyFull) };
        self.values.extend_from_slice(result.value);
        let (hlc, counter, node, boot) = head::version_fields(result.version);
        self.results[index] = fb::KeyResult::new(
            hlc,
            counter,
            node,
            result.expires_at_ms,
            boot,
            u32::try_from(offset).expect("offsets are below the limit of the values"),
            head::len_u32(result.value),
            result.status,
            if result.found { FOUND } else { 0 },
            0,
        );
    }

    /// Appends the frame to `out`.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) {
        let capacity = 128 + size_of_val(&*self.results) + self.values.len();
        let mut builder = FlatBufferBuilder::with_capacity(capacity);
        let args = fb::MultiGetReplyArgs {
            results: Some(builder.create_vector(&self.results)),
            values: Some(builder.create_vector(&self.values)),
        };
        let root = fb::MultiGetReply::create(&mut builder, &args);
        builder.finish_minimal(root);
        table::append(header, Kind::MultiGetReply, &builder, out);
    }
}
