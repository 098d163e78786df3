//! [`State`]: what a node must not forget of the topology.
//!
//! ```text
//! | version 1 = 1 | node 8 | promised: ballot | accepted: ballot | document: length 4, bytes
//! | value: length 4, bytes | crc32c 4 |
//! ballot: | round 8 | node 8 |
//! ```
//! A ballot of node 0 is none; without an accepted ballot there is no value, and its length is 0.
//! Everything is little-endian.

use std::num::NonZeroU64;

use schemas::ids::NodeId;

use super::acceptor::{Acceptor, Ballot};
use crate::topology::bytes::{Reader, Short, put_crc, without_crc};
use crate::topology::{DecodeError, Document, DocumentError, Encoded, Epoch};

const VERSION: u8 = 1;

/// The newest document that this node knows, and what it is bound to for the next epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    pub(super) document: Encoded,
    pub(super) acceptor: Acceptor,
}

/// Why what was on disk is no state of this node's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StateError {
    /// It is damaged.
    #[error("the checksum is not that of the bytes")]
    Checksum,
    /// It was written by another version of this program.
    #[error("version {0} is unknown, {VERSION} is not")]
    Version(u8),
    /// It is not drawn as the module says.
    #[error("malformed, or more or fewer bytes than it takes")]
    Malformed,
    /// It is another node's.
    #[error("it is node {got:016x}'s, not {expected}'s")]
    Node {
        /// Who reads it.
        expected: NodeId,
        /// Whose it is.
        got: u64,
    },
    /// It has something that is no document.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// What was accepted does not come after the document.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl From<Short> for StateError {
    fn from(_: Short) -> Self {
        Self::Malformed
    }
}

impl State {
    /// A state without promises.
    pub(super) fn new(document: Encoded) -> Self {
        Self { document, acceptor: Acceptor::default() }
    }

    /// The document.
    pub(super) fn now(&self) -> &Document {
        self.document.document()
    }

    /// The epoch to be decided next.
    pub(super) fn next(&self) -> Epoch {
        Epoch(self.now().epoch.0.saturating_add(1))
    }

    /// Whether `value` can be what is decided next.
    pub(super) fn allows(&self, value: &Encoded) -> bool {
        value.epoch() == self.next() && value.document().check_after(self.now()).is_ok()
    }

    pub(super) fn encode(&self, node: NodeId) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(node.0.get().to_le_bytes());
        let accepted = self.acceptor.accepted.as_ref();
        for ballot in [self.acceptor.promised, accepted.map(|it| it.0)] {
            out.extend(ballot.map_or(0, |it| it.round).to_le_bytes());
            out.extend(ballot.map_or(0, |it| it.node.0.get()).to_le_bytes());
        }
        for document in [self.document.bytes(), accepted.map_or(&[], |it| it.1.bytes())] {
            let len = u32::try_from(document.len()).expect("documents are shorter");
            out.extend(len.to_le_bytes());
            out.extend_from_slice(document);
        }
        put_crc(&mut out);
        out
    }

    pub(super) fn decode(node: NodeId, bytes: &[u8]) -> Result<Self, StateError> {
        let mut from = Reader(without_crc(bytes).ok_or(StateError::Checksum)?);
        match from.u8()? {
            VERSION => {}
            version => return Err(StateError::Version(version)),
        }
        let got = from.u64()?;
        if got != node.0.get() {
            return Err(StateError::Node { expected: node, got });
        }
        let (promised, accepted) = (ballot(&mut from)?, ballot(&mut from)?);
        let document = Encoded::decode(lengthed(&mut from)?)?;
        let value = lengthed(&mut from)?;
        if !from.0.is_empty() || accepted > promised || accepted.is_none() != value.is_empty() {
            return Err(StateError::Malformed);
        }
        let mut state = Self::new(document);
        state.acceptor.promised = promised;
        if let Some(ballot) = accepted {
            let value = Encoded::decode(value)?;
            if !state.allows(&value) {
                return Err(DocumentError::Stranger(state.now().epoch).into());
            }
            state.acceptor.accepted = Some((ballot, value));
        }
        Ok(state)
    }
}

fn ballot(from: &mut Reader<'_>) -> Result<Option<Ballot>, StateError> {
    let (round, node) = (from.u64()?, NonZeroU64::new(from.u64()?));
    match node {
        Some(node) => Ok(Some(Ballot { round, node: NodeId(node) })),
        None if round == 0 => Ok(None),
        None => Err(StateError::Malformed),
    }
}

fn lengthed<'a>(from: &mut Reader<'a>) -> Result<&'a [u8], StateError> {
    let len = from.u32()? as usize;
    Ok(from.take(len)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::sample::{cluster, done, first, node};
    use crate::topology::{Change, Encoded};

    fn accepting() -> State {
        let mut state = State::new(Encoded::new(cluster(3)));
        let value = Encoded::new(done(state.now(), &Change::Pause));
        let ballot = |round| Ballot { round, node: node(2) };
        state.acceptor.accept(ballot(4), value).expect("nothing is promised");
        state.acceptor.prepare(ballot(5)).expect("it is greater");
        state
    }

    #[test]
    fn what_was_written_is_read() {
        for state in [State::new(Encoded::new(first())), accepting()] {
            assert_eq!(State::decode(node(9), &state.encode(node(9))), Ok(state));
        }
    }

    #[test]
    fn damage_is_found_wherever_it_is() {
        let bytes = accepting().encode(node(9));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert_eq!(State::decode(node(9), &damaged), Err(StateError::Checksum));
            assert!(State::decode(node(9), &bytes[..at]).is_err());
            damaged.truncate(at);
            put_crc(&mut damaged);
            assert!(at == bytes.len() - 4 || State::decode(node(9), &damaged).is_err());
        }
    }

    #[test]
    fn a_state_that_cannot_be_is_refused() {
        let bytes = accepting().encode(node(9));
        let other = StateError::Node { expected: node(8), got: 9 };
        assert_eq!(State::decode(node(8), &bytes), Err(other));
        let with = |damage: fn(&mut State)| {
            let mut state = accepting();
            damage(&mut state);
            State::decode(node(9), &state.encode(node(9)))
        };
        let behind = with(|it| it.acceptor.promised = Some(Ballot { round: 3, node: node(2) }));
        assert_eq!(behind, Err(StateError::Malformed));
        let earlier = with(|it| it.document = Encoded::new(first()));
        assert!(matches!(earlier, Err(StateError::Document(_))), "{earlier:?}");
        let mut version = bytes.clone();
        version[0] = 3;
        version.truncate(bytes.len() - 4);
        put_crc(&mut version);
        assert_eq!(State::decode(node(9), &version), Err(StateError::Version(3)));
    }
}
