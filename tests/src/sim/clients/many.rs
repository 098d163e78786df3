//! Reads of many keys: several at once, and all of a vnode page by page. In the history each is a
//! read of every key that it tells of.
//!
//! A page tells of the keys behind the page before, up to where it says that it ends: a key that is
//! not on it was not there.

use std::rc::Rc;

use cluster::coordinator::{MultiGet, Page, Refused, Scan};
use cluster::event::Event;
use cluster::record::{Key, Record};
use schemas::ids::{Hlc, Token};

use super::{Call, Found, key_bytes, outcome};
use crate::history::Policy;
use crate::sim::world::World;

/// Keys of one request, at most.
const KEYS_MAX: usize = 8;

/// Pages of one scan, at most.
const PAGES_MAX: u32 = 16;

/// A request without an answer: each of the keys that it is of.
#[derive(Clone, Debug)]
pub(super) enum Calls {
    One(Call),
    /// At least one.
    Many(Vec<Call>),
    Page(PageCall),
}

/// A page that is asked for.
#[derive(Clone, Debug)]
pub(super) struct PageCall {
    /// Of any key.
    call: Call,
    tokens: (Token, Token),
    after: Option<Key>,
    count_max: usize,
    bytes_max: usize,
    pages_left: u32,
}

impl Calls {
    pub(super) fn first(&self) -> &Call {
        match self {
            Self::One(call) | Self::Page(PageCall { call, .. }) => call,
            Self::Many(calls) => &calls[0],
        }
    }

    /// The keys that it is known to be of.
    pub(super) fn of_keys(&self) -> &[Call] {
        match self {
            Self::One(call) => std::slice::from_ref(call),
            Self::Many(calls) => calls,
            Self::Page(_) => &[],
        }
    }
}

impl World {
    /// A process reads a key, or others with it.
    pub(super) fn get(&mut self, call: Call) {
        let (multi, scan) =
            (self.options.clients.multi_permille, self.options.clients.scan_permille);
        if multi + scan == 0 {
            return self.ask(call);
        }
        match self.rng.u32(..1000) {
            draw if draw < multi => self.ask_many(&call),
            draw if draw < multi + scan => self.scan(call),
            _ => self.ask(call),
        }
    }

    fn token(&self, key: u64) -> Token {
        Token::of(&key_bytes(key), self.options.seed)
    }

    pub(super) fn key_of(&self, call: &Call) -> Key {
        let (token, bytes) = (self.token(call.key), key_bytes(call.key).into());
        Key { token, namespace: call.space.id, bytes }
    }

    /// Reads the key of `call` and others of its core.
    fn ask_many(&mut self, call: &Call) {
        let first = self.options.clients.first_key(self.now_us);
        let core = self.core_of(call.node, self.token(call.key));
        let mut keys: Vec<u64> = (first..first + self.options.clients.keys)
            .filter(|&key| key != call.key && self.core_of(call.node, self.token(key)) == core)
            .collect();
        self.rng.shuffle(&mut keys);
        keys.truncate(self.rng.usize(..KEYS_MAX));
        keys.push(call.key);
        let calls: Vec<Call> = keys.iter().map(|&key| Call { key, ..call.clone() }).collect();
        let wanted = MultiGet {
            namespace: call.space.id,
            keys: keys.iter().map(|&key| key_bytes(key).into()).collect(),
            level: call.asked.consistency,
            repairs_first: call.repairs_first,
            seen: call.seen,
            patience: self.options.clients.patience,
        };
        let id = self.next_request();
        self.begin(id, core, Calls::Many(calls), Event::MultiGet(id, Rc::new(wanted)));
    }

    /// Reads the vnode of the key of `call`, or what of it is behind the key.
    fn scan(&mut self, call: Call) {
        let (token, bits) = (self.token(call.key), self.nodes[call.node].bits);
        let (first, last) = bits.tokens(token.vnode(bits));
        let first = if self.rng.bool() { first } else { token };
        let (count_max, bytes_max) = (self.rng.usize(1..9), 1 << self.rng.u32(4..11));
        // What a scan tells is not made sure to be told by later reads.
        let call = Call { repairs_first: false, is_in_session: false, ..call };
        let (tokens, pages_left) = ((first, last), PAGES_MAX);
        self.ask_page(PageCall { call, tokens, after: None, count_max, bytes_max, pages_left });
    }

    fn ask_page(&mut self, page: PageCall) {
        let PageCall { call, tokens, after, count_max, bytes_max, .. } = page.clone();
        let scan = Scan {
            namespace: call.space.id,
            tokens,
            after,
            level: call.asked.consistency,
            count_max,
            bytes_max,
            seen: call.seen,
            patience: self.options.clients.patience,
        };
        let core = self.core_of(call.node, tokens.0);
        let id = self.next_request();
        self.begin(id, core, Calls::Page(page), Event::Scan(id, Rc::new(scan)));
    }

    /// Of several keys it was told what there is.
    pub(super) fn found_all(
        &mut self,
        calls: &[Call],
        found: &[Result<Option<Rc<Record>>, Refused>],
    ) {
        assert_eq!(calls.len(), found.len(), "each key is answered");
        let mut stamp = Hlc(0);
        for (call, found) in calls.iter().zip(found) {
            match found {
                Ok(record) => stamp = stamp.max(self.read(call, record.as_deref())),
                Err(refused) => self.record(call, outcome(refused), &Found::default()),
            }
        }
        self.saw(&calls[0], stamp);
    }

    /// A page was read: what it tells of, and the next.
    pub(super) fn turn_page(&mut self, asked: PageCall, page: &Page) {
        let PageCall { call, tokens: (first, last), after, pages_left, .. } = &asked;
        let is_siblings = call.space.policy == Policy::Siblings;
        let is_told = |key: &Key| {
            (*first..=*last).contains(&key.token)
                && after.as_ref().is_none_or(|after| key > after)
                && page.next.as_ref().is_none_or(|end| key <= end)
        };
        assert!(page.records.iter().all(|it| is_told(&it.key)), "{page:?} is of {asked:?}");
        let space = (call.space.id, is_siblings);
        let used: Vec<u64> = self
            .clients
            .used
            .iter()
            .filter_map(|&(key, id, is_siblings)| ((id, is_siblings) == space).then_some(key))
            .collect();
        let mut stamp = Hlc(0);
        for number in used {
            let call = Call { key: number, ..call.clone() };
            let key = self.key_of(&call);
            if is_told(&key) {
                let at = page.records.binary_search_by(|it| it.key.cmp(&key));
                let record = at.ok().map(|at| &*page.records[at]);
                stamp = stamp.max(self.read(&call, record));
            }
        }
        let seen = &mut self.clients.seen[call.process as usize];
        *seen = stamp.max(*seen);
        let seen = *seen;
        let goes_on = page.next.is_some() && *pages_left > 0 && !self.clients.is_stopped;
        if goes_on && self.is_serving(call.node) {
            let call = Call { call_us: self.now_us, seen, ..call.clone() };
            let (after, pages_left) = (page.next.clone(), pages_left - 1);
            self.ask_page(PageCall { call, after, pages_left, ..asked });
        } else {
            self.saw(call, seen);
        }
    }
}
