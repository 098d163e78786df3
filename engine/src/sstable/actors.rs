//! The actors of a table: blocks name them by their place in this list.
//!
//! ```text
//! | node 8 | boot 4 | x as many as there are
//! ```
//! In the order in which the table's records first name them.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::rc::Rc;

use schemas::ids::{Actor, NodeId};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Entry {
    node: U64,
    boot: U32,
}

/// The actors that a table's records name.
#[derive(Debug)]
pub(super) struct Actors(Box<[Actor]>);

impl Actors {
    /// Reads the list that fills `bytes`; `None` unless it is sound.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let entries = <[Entry]>::ref_from_bytes(bytes).ok()?;
        let actor = |entry: &Entry| {
            let node = NodeId(NonZeroU64::new(entry.node.get())?);
            Some(Actor { node, boot: entry.boot.get() })
        };
        entries.iter().map(actor).collect::<Option<_>>().map(Self)
    }

    /// Bytes of memory that the list takes, itself not counted.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// The actor at `index`; `None` past the end of the list.
    #[inline]
    pub(super) fn get(&self, index: u64) -> Option<Actor> {
        self.0.get(usize::try_from(index).ok()?).copied()
    }
}

/// Collects the actors of a table that is being written.
#[derive(Debug, Default)]
pub(super) struct ActorsBuilder {
    indexes: BTreeMap<Actor, u16>,
    bytes: Vec<u8>,
    last: Option<(Actor, u16)>,
    /// The list as it stood when it was last asked for.
    so_far: Option<Rc<Actors>>,
}

impl ActorsBuilder {
    /// The index of `actor`, which is added if it is new; `None` if there is no room for it.
    pub(super) fn index_of(&mut self, actor: Actor) -> Option<u16> {
        if let Some((last, index)) = self.last
            && last == actor
        {
            return Some(index);
        }
        let index = match self.indexes.get(&actor) {
            Some(&index) => index,
            None => {
                let index = u16::try_from(self.indexes.len()).ok()?;
                let entry = Entry { node: actor.node.0.get().into(), boot: actor.boot.into() };
                self.bytes.extend_from_slice(entry.as_bytes());
                self.indexes.insert(actor, index);
                self.so_far = None;
                index
            }
        };
        self.last = Some((actor, index));
        Some(index)
    }

    /// The list as it is now: whatever is added later, it says the same of what is there.
    pub(super) fn so_far(&mut self) -> Rc<Actors> {
        let list = || Rc::new(Actors::decode(&self.bytes).expect("the builder wrote it"));
        Rc::clone(self.so_far.get_or_insert_with(list))
    }

    /// The list as it stands in the file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(node: u64, boot: u32) -> Actor {
        Actor { node: NodeId(NonZeroU64::new(node).unwrap()), boot }
    }

    #[test]
    fn actors_are_numbered_as_they_come() {
        let mut builder = ActorsBuilder::default();
        let named = [actor(9, 1), actor(3, 7), actor(9, 1), actor(9, 2), actor(3, 7)];
        let indexes: Vec<_> = named.iter().map(|&it| builder.index_of(it).unwrap()).collect();
        assert_eq!(indexes, [0, 1, 0, 2, 1]);
        let actors = Actors::decode(builder.bytes()).unwrap();
        for (named, index) in named.into_iter().zip(indexes) {
            assert_eq!(actors.get(u64::from(index)), Some(named));
        }
        assert_eq!(actors.get(3), None);
        assert_eq!(actors.get(u64::MAX), None);
    }

    #[test]
    fn a_list_past_its_room_takes_no_more() {
        let mut builder = ActorsBuilder::default();
        for node in 1..=1 << 16 {
            assert!(builder.index_of(actor(node, 1)).is_some());
        }
        assert_eq!(builder.index_of(actor(1 << 17, 1)), None);
        assert_eq!(builder.index_of(actor(1, 1)), Some(0));
    }

    #[test]
    fn an_unsound_list_is_refused() {
        assert!(Actors::decode(&[]).is_some_and(|it| it.get(0).is_none()));
        assert!(Actors::decode(&[1; 11]).is_none());
        assert!(Actors::decode(&[0; 12]).is_none(), "no node is 0");
    }
}
