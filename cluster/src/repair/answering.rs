//! The side that is asked: each page by itself.

use std::rc::Rc;

use schemas::ids::{Hlc, NodeId, Token, Vnode, VnodeBits};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::LEAVES;
use crate::event::{Order, Page, StoreError, Stored};
use crate::horizon::HorizonIs;
use crate::limits::{HAS_MAX, PAGE_RECORDS_MAX};
use crate::message::{Message, OpId, Pull, PullWanted, Pulled, Refusal};
use crate::mutation::Mutation;
use crate::record::{Digest, Key, Record};
use crate::replica::fence_peer;
use crate::shard::{Core, Purpose};

/// Who asked, and what the answer is to leave out.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    to: NodeId,
    vnode: Vnode,
    session: OpId,
    step: u32,
    /// The other's horizon.
    below: Hlc,
    /// Of the page, what the other has already.
    has: Rc<[(u64, Digest)]>,
}

/// An owner asks for what it has not got.
pub(crate) fn answer(core: &mut Core, from: NodeId, vnode: Vnode, pull: Pull) {
    let Pull { session, step, epoch, below, wanted } = pull;
    // What was taken in an epoch before counts without those who take over in this one; and what is
    // to be cleared tells of what is not there.
    let is_ready = core.log.has_former() && !core.clearing.contains(&vnode);
    let result = fence_peer(core, from, vnode, epoch)
        .and_then(|()| if can_be(core, vnode, &wanted) { Ok(()) } else { Err(Refusal::Malformed) })
        .and(if is_ready { Ok(()) } else { Err(Refusal::Busy) })
        .and_then(|()| core.has_room_to_compare());
    if let Err(refusal) = result {
        core.count_refusal(from, epoch, refusal);
        let (is_held, horizon, result) = (false, HorizonIs::Same, Err(refusal));
        let message = Message::Pulled { session, step, is_held, horizon, result };
        return core.send(from, vnode, message);
    }
    let bytes_max = core.tunables.repair_page_bytes_max;
    let mut has = Vec::new();
    let order = match wanted {
        PullWanted::Since { clock: theirs, after } => {
            Order::Since { vnode, theirs, after, bytes_max }
        }
        PullWanted::Leaves => Order::Leaves { vnode, below },
        PullWanted::Leaf { leaf, after, has: theirs } => {
            has = theirs;
            let tokens = tokens_of(core.document.bits, vnode, leaf);
            Order::Page { tokens, after, bytes_max }
        }
    };
    let asked = Asked { to: from, vnode, session, step, below, has: has.into() };
    core.order(Purpose::Answer(asked), order);
}

/// Whether anybody can want this of `vnode`. That what the other has is in order is nothing that
/// matters: what is not found there is sent.
fn can_be(core: &Core, vnode: Vnode, wanted: &PullWanted) -> bool {
    match wanted {
        PullWanted::Since { after, .. } => {
            after.as_ref().is_none_or(|after| core.is_key_of(vnode, after))
        }
        PullWanted::Leaves => true,
        PullWanted::Leaf { leaf, after, has } => {
            let tokens = || tokens_of(core.document.bits, vnode, *leaf);
            let is_of_leaf =
                |after: &Key| core.is_key_of(vnode, after) && is_within(tokens(), after.token);
            *leaf < LEAVES && has.len() <= HAS_MAX && after.as_ref().is_none_or(is_of_leaf)
        }
    }
}

/// The store has answered.
pub(crate) fn stored(core: &mut Core, asked: &Asked, result: Result<Stored, StoreError>) {
    let Asked { to, vnode, session, step, below, .. } = *asked;
    let result = result.map_err(|error| core.refusal(error)).and_then(|stored| match stored {
        Stored::Since(clock, Some(page)) => Ok(Pulled::Records(clock, cut(page))),
        Stored::Since(_, None) => Ok(Pulled::Compare),
        Stored::Leaves(clock, leaves) => Ok(Pulled::Leaves(clock, leaves)),
        Stored::Page(mut page) => {
            if core.is_wrong(Mutation::CompareKeysAlone) {
                page.records.retain(|it| asked.has.iter().all(|has| has.0 != hash_of(&it.key)));
            }
            let page = cut(page);
            let lacks = lacks(&page, &asked.has);
            Ok(Pulled::Leaf(without(page, &asked.has), lacks))
        }
        Stored::Record(_)
        | Stored::Hints(..)
        | Stored::Clock(_)
        | Stored::Dots(..)
        | Stored::OldestHint(_) => Err(Refusal::Malformed),
    });
    let (is_held, horizon) = (core.is_held(vnode), horizon(core, vnode, below));
    core.send(to, vnode, Message::Pulled { session, step, is_held, horizon, result });
}

/// What the other has and a page has not, by the hashes of keys.
fn lacks(page: &Page, has: &[(u64, Digest)]) -> Vec<u64> {
    let own = summary(&page.records);
    let is_lacking = |it: &&(u64, Digest)| own.binary_search(it).is_err();
    has.iter().filter(is_lacking).map(|it| it.0).collect()
}

/// How the own horizon stands to the other's. A copy that is not whole has one to keep out what is
/// late, and has not all that it tells of: nobody else is to go by it.
fn horizon(core: &Core, vnode: Vnode, below: Hlc) -> HorizonIs {
    match core.horizons.get(&vnode) {
        Some(own) if own.below > below && core.is_held(vnode) => HorizonIs::Higher(Rc::clone(own)),
        Some(own) if own.below >= below => HorizonIs::Same,
        None if below == Hlc(0) => HorizonIs::Same,
        Some(_) | None => HorizonIs::Lower,
    }
}

/// A page of no more records than one may have.
pub(super) fn cut(mut page: Page) -> Page {
    page.has_more |= page.records.len() > PAGE_RECORDS_MAX;
    page.records.truncate(PAGE_RECORDS_MAX);
    page
}

/// A page without what the other has; but with its last, which tells how far it goes.
fn without(mut page: Page, has: &[(u64, Digest)]) -> Page {
    let last = page.records.last().filter(|_| page.has_more).map(|it| it.key.clone());
    page.records.retain(|record| {
        last.as_ref() == Some(&record.key)
            || has.binary_search(&(hash_of(&record.key), record.digest())).is_err()
    });
    page
}

/// What tells a key from others of its leaf.
pub(super) fn hash_of(key: &Key) -> u64 {
    xxh3_64_with_seed(&key.bytes, key.token.0 ^ u64::from(key.namespace.0))
}

/// What is had of a page, for the other to leave out.
pub(super) fn summary(records: &[Rc<Record>]) -> Vec<(u64, Digest)> {
    let mut has: Vec<_> =
        records.iter().map(|record| (hash_of(&record.key), record.digest())).collect();
    has.sort_unstable();
    has.truncate(HAS_MAX);
    has
}

/// Whether a token is from the first of these to the last.
pub(super) fn is_within((first, last): (Token, Token), token: Token) -> bool {
    first <= token && token <= last
}

/// The tokens of a leaf.
pub(super) fn tokens_of(bits: VnodeBits, vnode: Vnode, leaf: u16) -> (Token, Token) {
    let (first, last) = bits.tokens(vnode);
    let width = (last.0 - first.0) / u64::from(LEAVES) + 1;
    let from = first.0 + width * u64::from(leaf);
    (Token(from), Token(from + (width - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_cut_a_vnode_without_gap() {
        for count in [1u32, 2, 4096, 65_536] {
            let bits = VnodeBits::from_count(count).expect("a power of two");
            let vnode = Vnode((count - 1) as u16);
            let (first, last) = bits.tokens(vnode);
            let mut next = Some(first.0);
            for leaf in 0..LEAVES {
                let (from, to) = tokens_of(bits, vnode, leaf);
                assert_eq!(Some(from.0), next);
                next = to.0.checked_add(1);
            }
            assert_eq!(next, last.0.checked_add(1));
        }
    }
}
