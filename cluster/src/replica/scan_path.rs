//! A page of what is stored, for a scan.
//!
//! What is said is said of every key behind that which was asked for, up to the one named. Keys of
//! other namespaces lie in between: the store's page is cut down to what was asked for, and where
//! it ends is told by a place in the order of keys that names nothing of another's.

use schemas::ids::{NodeId, Token, Vnode};
use schemas::limits::{SCAN_PAGE_BYTES_MAX, SCAN_RECORDS_MAX};

use super::asked::{Ask, AskedPage, Asker};
use super::fence;
use crate::event::{Order, Page, StoreError, Stored};
use crate::message::{Attempt, Message, Refusal, ScanRead, Scanned};
use crate::record::Key;
use crate::shard::{Core, Purpose};

/// A coordinator wants to know what is stored of a part of a vnode.
pub(crate) fn scan(core: &mut Core, from: NodeId, vnode: Vnode, scan: ScanRead) {
    let ScanRead { op, epoch, namespace, tokens, after, count_max, bytes_max } = scan;
    let attempt = Attempt { op, epoch };
    let (first, last) = tokens;
    let bits = core.document.bits;
    let is_inside = |token: Token| (first..=last).contains(&token);
    let fits = first.vnode(bits) == vnode
        && last.vnode(bits) == vnode
        && first <= last
        && after.as_ref().is_none_or(|key| key.namespace == namespace && is_inside(key.token));
    let result = if fits {
        fence::fence_read(core, vnode, epoch).and_then(|()| core.has_room())
    } else {
        Err(Refusal::Malformed)
    };
    if let Err(refusal) = result {
        core.count_refusal(from, epoch, refusal);
        return core.send(from, vnode, Message::Scanned { attempt, result: Err(refusal) });
    }
    let count_max = count_max.clamp(1, SCAN_RECORDS_MAX);
    let to = Asker { node: from, vnode, attempt };
    let asked = AskedPage { to, namespace, last, count_max };
    let order = Order::Page { tokens, after, bytes_max: bytes_max.min(SCAN_PAGE_BYTES_MAX) };
    core.order(Purpose::Replica(Ask::Scan(asked)), order);
}

/// The store says what it has.
pub(super) fn scanned(core: &mut Core, asked: AskedPage, result: Result<Stored, StoreError>) {
    let result = result.map_err(|error| core.refusal(error)).map(|stored| {
        let Stored::Page(page) = stored else { unreachable!("{stored:?} is no page") };
        cut(&asked, page)
    });
    let Asker { node, vnode, attempt } = asked.to;
    core.send(node, vnode, Message::Scanned { attempt, result });
}

/// What is asked for of a page.
fn cut(asked: &AskedPage, page: Page) -> Scanned {
    let AskedPage { namespace, last, count_max, .. } = *asked;
    let end = page.records.last().filter(|_| page.has_more).map(|it| it.key.clone());
    let mut records = page.records;
    records.retain(|record| record.key.namespace == namespace);
    if records.len() > count_max {
        records.truncate(count_max);
        let upto = records.last().map(|it| it.key.clone());
        return Scanned { records, upto };
    }
    let before = |token| Some(Key { token, namespace, bytes: [].into() });
    let upto = end.and_then(|key| match key.namespace.cmp(&namespace) {
        std::cmp::Ordering::Equal => Some(key),
        std::cmp::Ordering::Less => before(key.token),
        // No key of the namespace is left of this token.
        std::cmp::Ordering::Greater if key.token >= last => None,
        std::cmp::Ordering::Greater => before(Token(key.token.0 + 1)),
    });
    Scanned { records, upto }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::rc::Rc;

    use schemas::ids::{Actor, Dot, Hlc, NamespaceId, Version};

    use super::*;
    use crate::record::{Kind, Record};

    fn key(token: u64, namespace: u32, byte: u8) -> Key {
        let bytes = [byte].into();
        Key { token: Token(token), namespace: NamespaceId(namespace), bytes }
    }

    fn record(token: u64, namespace: u32) -> Rc<Record> {
        let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
        let version = Version { hlc: Hlc(1), dot: Dot { actor, counter: 1 } };
        let (key, value) = (key(token, namespace, 1), [].into());
        Rc::new(Record { key, version, kind: Kind::Value, expires_at_ms: 0, value })
    }

    /// Tokens and namespaces of what the store has, whether there is more, and records at most; the
    /// tokens that are told of namespace 2, and how far.
    fn told(has: &[(u64, u32)], has_more: bool, count_max: usize) -> (Vec<u64>, Option<Key>) {
        let node = NodeId(NonZeroU64::MIN);
        let to = Asker { node, vnode: Vnode(0), attempt: Attempt::default() };
        let asked = AskedPage { to, namespace: NamespaceId(2), last: Token(9), count_max };
        let records = has.iter().map(|&(token, namespace)| record(token, namespace)).collect();
        let Scanned { records, upto } = cut(&asked, Page { records, has_more });
        (records.iter().map(|it| it.key.token.0).collect(), upto)
    }

    #[test]
    fn a_page_says_how_far_it_goes_and_nothing_of_other_namespaces() {
        let before = |token| Some(Key { bytes: [].into(), ..key(token, 2, 0) });
        for (has, has_more, count_max, tokens, upto) in [
            (&[(1, 2), (3, 2)][..], false, 9, &[1, 3][..], None),
            (&[(1, 2), (3, 2)], true, 9, &[1, 3], Some(key(3, 2, 1))),
            (&[(1, 2), (3, 2), (4, 2)], false, 2, &[1, 3], Some(key(3, 2, 1))),
            (&[(1, 2), (3, 1)], true, 9, &[1], before(3)),
            (&[(1, 2), (3, 7)], true, 9, &[1], before(4)),
            (&[(1, 2), (9, 7)], true, 9, &[1], None),
            (&[(1, 1), (2, 3)], true, 9, &[], before(3)),
            (&[], false, 9, &[], None),
        ] {
            assert_eq!(told(has, has_more, count_max), (tokens.to_vec(), upto), "{has:?}");
        }
    }
}
