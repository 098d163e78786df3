//! [`History`]: operations in memory, appended and never changed.
//!
//! A row of fixed size each; lists lie one behind another in one array.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemas::ids::{Hlc, NamespaceId, Version};

use super::operation::{ABSENT, Kind, Level, NEVER, Operation, Outcome, Policy};
use crate::limits::{LISTED_VALUES_MAX, OPERATIONS_MAX};

/// The length of a list that is not there.
const NO_LIST: u16 = u16::MAX;

/// What clients did, in the order in which it was recorded.
#[derive(Default, Debug)]
pub struct History {
    rows: Vec<Row>,
    lists: Vec<u64>,
    policies: BTreeMap<NamespaceId, Policy>,
}

#[derive(Debug)]
struct Row {
    stamp: Option<Version>,
    key: u64,
    value: u64,
    seen: Hlc,
    expires_ns: u64,
    call_ns: u64,
    return_ns: u64,
    /// Where its lists begin: the context sent, the context received, the siblings.
    lists_at: usize,
    list_lens: [u16; 3],
    context_entries: u16,
    process: u32,
    session: Option<NonZeroU32>,
    namespace: NamespaceId,
    kind: Kind,
    policy: Policy,
    outcome: Outcome,
    level: Level,
    blocking_repair: bool,
    settled: bool,
}

/// Why an operation cannot be one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// There are too many operations.
    #[error("a history has at most {OPERATIONS_MAX} operations")]
    TooMany,
    /// It returned before it was called.
    #[error("returned at {return_ns} ns, before it was called at {call_ns} ns")]
    ReturnedBeforeCall {
        /// When it was called.
        call_ns: u64,
        /// When it returned.
        return_ns: u64,
    },
    /// It was answered and yet never returned.
    #[error("only an operation of unknown outcome never returns")]
    NeverReturned,
    /// A write has the value that means none.
    #[error("a write needs a value other than {ABSENT}")]
    NoValue,
    /// It says something that an operation of its kind, or of its policy, cannot.
    #[error("{0} does not belong to an operation of this kind and policy")]
    OutOfPlace(&'static str),
    /// A list is too long.
    #[error("a list has {got} values, at most {LISTED_VALUES_MAX} are allowed")]
    ListTooLong {
        /// How many it has.
        got: usize,
    },
    /// An earlier operation said otherwise of its namespace.
    #[error("namespace {} has the policy {expected:?}, not {got:?}", .namespace.0)]
    PolicyChanged {
        /// The namespace.
        namespace: NamespaceId,
        /// What it was.
        expected: Policy,
        /// What this operation says.
        got: Policy,
    },
}

/// Two writes that have one value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conflicting {
    /// The value.
    pub value: u64,
    /// The numbers of the first two operations that wrote it.
    pub operations: (u32, u32),
}

impl History {
    /// A history of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many operations it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Appends an operation and returns its number, counted from 0.
    ///
    /// # Errors
    ///
    /// If it contradicts itself, or what is known of its namespace. That its value is its own is
    /// checked by [`History::written_twice`].
    pub fn push(&mut self, operation: &Operation<'_>) -> Result<u32, Refused> {
        self.check(operation)?;
        let number = u32::try_from(self.rows.len()).expect("OPERATIONS_MAX fits");
        let lists_at = self.lists.len();
        let list_lens = [
            self.append(operation.context_in),
            self.append(operation.context_out),
            self.append(Some(operation.siblings)),
        ];
        self.policies.insert(operation.namespace, operation.policy);
        self.rows.push(Row {
            stamp: operation.stamp,
            key: operation.key,
            value: operation.value,
            seen: operation.seen,
            expires_ns: operation.expires_ns,
            call_ns: operation.call_ns,
            return_ns: operation.return_ns,
            lists_at,
            list_lens,
            context_entries: operation.context_entries,
            process: operation.process,
            session: operation.session,
            namespace: operation.namespace,
            kind: operation.kind,
            policy: operation.policy,
            outcome: operation.outcome,
            level: operation.level,
            blocking_repair: operation.blocking_repair,
            settled: operation.settled,
        });
        Ok(number)
    }

    /// The operation of a number.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[inline]
    #[must_use]
    pub fn operation(&self, number: u32) -> Operation<'_> {
        let row = &self.rows[number as usize];
        let mut at = row.lists_at;
        let mut list = |len: u16| {
            let taken = if len == NO_LIST { 0 } else { usize::from(len) };
            at += taken;
            (len != NO_LIST).then(|| &self.lists[at - taken..at])
        };
        Operation {
            context_in: list(row.list_lens[0]),
            context_out: list(row.list_lens[1]),
            siblings: list(row.list_lens[2]).unwrap_or(&[]),
            process: row.process,
            session: row.session,
            kind: row.kind,
            namespace: row.namespace,
            policy: row.policy,
            key: row.key,
            value: row.value,
            context_entries: row.context_entries,
            stamp: row.stamp,
            seen: row.seen,
            expires_ns: row.expires_ns,
            level: row.level,
            blocking_repair: row.blocking_repair,
            settled: row.settled,
            call_ns: row.call_ns,
            return_ns: row.return_ns,
            outcome: row.outcome,
        }
    }

    /// All operations with their numbers.
    pub fn operations(&self) -> impl Iterator<Item = (u32, Operation<'_>)> {
        let count = u32::try_from(self.rows.len()).expect("OPERATIONS_MAX fits");
        (0..count).map(|number| (number, self.operation(number)))
    }

    /// Values with the numbers of the operations that wrote them, ascending.
    #[must_use]
    pub fn written(&self) -> Vec<(u64, u32)> {
        let writes = self.operations().filter(|(_, operation)| operation.is_write());
        let mut written: Vec<_> = writes.map(|(number, write)| (write.value, number)).collect();
        written.sort_unstable();
        written
    }

    /// Two writes of the same value, if there are any: such a history cannot be judged.
    #[must_use]
    pub fn written_twice(&self) -> Option<Conflicting> {
        let written = self.written();
        let twice = written.windows(2).find(|two| two[0].0 == two[1].0)?;
        Some(Conflicting { value: twice[0].0, operations: (twice[0].1, twice[1].1) })
    }

    fn append(&mut self, list: Option<&[u64]>) -> u16 {
        let Some(list) = list else { return NO_LIST };
        let from = self.lists.len();
        self.lists.extend_from_slice(list);
        self.lists[from..].sort_unstable();
        u16::try_from(list.len()).expect("LISTED_VALUES_MAX fits")
    }

    fn check(&self, operation: &Operation<'_>) -> Result<(), Refused> {
        let &Operation { call_ns, return_ns, namespace, policy: got, .. } = operation;
        if self.rows.len() == OPERATIONS_MAX {
            return Err(Refused::TooMany);
        }
        if return_ns < call_ns {
            return Err(Refused::ReturnedBeforeCall { call_ns, return_ns });
        }
        if return_ns == NEVER && operation.outcome != Outcome::Unknown {
            return Err(Refused::NeverReturned);
        }
        if operation.is_write() && operation.value == ABSENT {
            return Err(Refused::NoValue);
        }
        if let Some(&expected) = self.policies.get(&namespace).filter(|known| **known != got) {
            return Err(Refused::PolicyChanged { namespace, expected, got });
        }
        let lists = [operation.context_in, operation.context_out, Some(operation.siblings)];
        if let Some(got) =
            lists.iter().flatten().map(|it| it.len()).find(|&it| it > LISTED_VALUES_MAX)
        {
            return Err(Refused::ListTooLong { got });
        }
        out_of_place(operation).map_or(Ok(()), |what| Err(Refused::OutOfPlace(what)))
    }
}

/// What an operation says that does not belong to it.
fn out_of_place(operation: &Operation<'_>) -> Option<&'static str> {
    let get = operation.kind == Kind::Get;
    let siblings = operation.policy == Policy::Siblings;
    let has_siblings = !operation.siblings.is_empty();
    let has_context = operation.context_in.is_some() || operation.context_out.is_some();
    [
        (get && siblings && operation.value != ABSENT, "a value"),
        (get && siblings && operation.stamp.is_some(), "a stamp"),
        (has_siblings && !(get && siblings), "a list of siblings"),
        (!siblings && has_context, "a context"),
        (get && operation.context_in.is_some(), "a context sent"),
        (operation.kind != Kind::Put && operation.expires_ns != NEVER, "an expiry"),
        (!get && (operation.blocking_repair || operation.settled), "what only reads are"),
    ]
    .into_iter()
    .find_map(|(is_there, what)| is_there.then_some(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: fn() -> Operation<'static> =
        || Operation { value: 7, ..Operation::new(Kind::Put, Policy::Siblings, 1) };

    #[test]
    fn an_operation_is_read_back_as_it_was_recorded() {
        let mut history = History::new();
        let put = Operation { context_in: Some(&[3, 5]), context_out: Some(&[]), ..PUT() };
        let get = Operation {
            siblings: &[2, 7],
            settled: true,
            ..Operation::new(Kind::Get, Policy::Siblings, 1)
        };
        assert_eq!(history.push(&put), Ok(0));
        assert_eq!(history.push(&get), Ok(1));
        assert_eq!(history.operation(0), put);
        assert_eq!(history.operation(1), get);
        assert_eq!(history.operations().count(), 2);
    }

    #[test]
    fn a_row_is_small() {
        assert!(size_of::<Row>() <= 120, "{} bytes", size_of::<Row>());
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let get = || Operation::new(Kind::Get, Policy::Siblings, 1);
        let lww = || Operation::new(Kind::Get, Policy::Lww, 1);
        let long = vec![1; LISTED_VALUES_MAX + 1];
        let cases = [
            (Operation { call_ns: 2, return_ns: 1, ..PUT() }, "before it was called"),
            (Operation { return_ns: NEVER, ..PUT() }, "never returns"),
            (Operation { value: ABSENT, ..PUT() }, "needs a value"),
            (Operation { siblings: &[1], ..PUT() }, "a list of siblings"),
            (Operation { settled: true, ..PUT() }, "only reads"),
            (Operation { value: 1, ..get() }, "a value"),
            (Operation { context_in: Some(&[]), ..get() }, "a context sent"),
            (Operation { expires_ns: 5, ..get() }, "an expiry"),
            (Operation { context_out: Some(&[]), ..lww() }, "a context"),
            (Operation { siblings: &long, ..get() }, "at most 65534"),
        ];
        for (operation, part) in cases {
            let refused = History::new().push(&operation).unwrap_err();
            assert!(refused.to_string().contains(part), "{refused}, not {part}");
        }
        let mut history = History::new();
        history.push(&get()).unwrap();
        assert!(matches!(history.push(&lww()), Err(Refused::PolicyChanged { .. })));
    }

    #[test]
    fn a_value_written_twice_is_found() {
        let mut history = History::new();
        for value in [7, 8, 7] {
            assert_eq!(history.written_twice(), None);
            history.push(&Operation { value, ..PUT() }).unwrap();
        }
        let twice = Conflicting { value: 7, operations: (0, 2) };
        assert_eq!(history.written_twice(), Some(twice));
    }
}
