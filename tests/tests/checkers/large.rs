//! One mistake among very many operations is found, and nothing else is.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use tests::checker::{Allowed, Violation, check};
use tests::history::{ABSENT, History, Kind, Operation, Policy};

use crate::long_forms::number;
use crate::notation::{ALLOWED, version};

const CLIENTS: u64 = 64;
/// One operation in two is on the first key.
const KEYS: u64 = 1000;
/// Nanoseconds from one operation that takes effect to the next, and the longest that one takes.
const STEP_NS: u64 = 1000;
const LENGTH_NS: u64 = CLIENTS * STEP_NS / 2;

/// What a key has: with siblings several values.
type State = BTreeMap<u64, Vec<u64>>;

/// Operations that take effect one after another, each in a moment between its call and its return.
fn history(policy: Policy, operations: u64, rng: &mut fastrand::Rng) -> History {
    let (mut state, mut contexts): (State, BTreeMap<(u64, u64), Vec<u64>>) = Default::default();
    let mut history = History::new();
    for number in 0..operations {
        let moment_ns = LENGTH_NS + number * STEP_NS;
        let (client, key) = (number % CLIENTS, if rng.bool() { 0 } else { rng.u64(..KEYS) });
        let kind = match rng.u8(..8) {
            0 => Kind::Delete,
            1..4 => Kind::Put,
            _ => Kind::Get,
        };
        let here = state.entry(key).or_default();
        let context = contexts.entry((client, key)).or_default();
        let operation = Operation {
            process: client as u32,
            session: NonZeroU32::new(client as u32 + 1),
            call_ns: moment_ns - rng.u64(..LENGTH_NS),
            return_ns: moment_ns + rng.u64(..LENGTH_NS),
            settled: kind == Kind::Get && number + KEYS > operations,
            ..Operation::new(kind, policy, key)
        };
        let (value, stamp) = (number + 1, Some(version(number + 1)));
        let operation = match (policy, kind) {
            (Policy::Lww, Kind::Get) => {
                let last = here.first().copied().unwrap_or(ABSENT);
                let written = here.last().map(|it| version(*it));
                Operation { value: last, stamp: written, ..operation }
            }
            (Policy::Lww, _) => {
                // The value, or absence, and the number of the write.
                *here = vec![if kind == Kind::Put { value } else { ABSENT }, value];
                Operation { value, stamp, ..operation }
            }
            (Policy::Siblings, Kind::Get) => {
                *context = here.clone();
                Operation { siblings: here, context_out: Some(here), ..operation }
            }
            (Policy::Siblings, _) => {
                here.retain(|it| !context.contains(it));
                if kind == Kind::Put {
                    here.push(value);
                }
                Operation { value, context_in: Some(context), ..operation }
            }
        };
        history.push(&operation).expect("a sound operation");
        if operation.is_write() {
            *context = vec![value];
        }
    }
    history
}

/// The same with one read of the first key that shows what another one showed long before; its
/// number.
fn with_a_stale_read(history: &History) -> (History, u32) {
    let read_from = |from: u32| {
        let has_value = |it: &Operation<'_>| it.value != ABSENT || !it.siblings.is_empty();
        let mut reads = history.operations().filter(|(_, it)| it.is_answered_get() && it.key == 0);
        reads.find(|(number, it)| *number >= from && has_value(it)).expect("a read")
    };
    let middle = history.len() as u32 / 2;
    let (old, (late, _)) = (read_from(middle).1, read_from(middle + 8 * CLIENTS as u32));
    let mut stale = History::new();
    for (number, operation) in history.operations() {
        let shown = Operation {
            value: old.value,
            stamp: old.stamp,
            siblings: old.siblings,
            context_out: old.context_out,
            ..operation
        };
        let operation = if number == late { shown } else { operation };
        stale.push(&operation).expect("a sound operation");
    }
    (stale, late)
}

#[test]
fn one_stale_read_among_many_operations_is_found() {
    let operations = number("KVCORE_TEST_OPERATIONS", || 30_000);
    let allowed = Allowed { siblings_max: CLIENTS as usize, ..ALLOWED };
    for policy in [Policy::Lww, Policy::Siblings] {
        let history = history(policy, operations, &mut fastrand::Rng::with_seed(3));
        let right = check(&history, &allowed);
        assert_eq!((right.violation_count(), right.anomalies.len()), (0, 0), "{right:#?}");
        assert_eq!(right.keys_not_linearizable, 0);

        let (stale, number) = with_a_stale_read(&history);
        let found = check(&stale, &allowed);
        assert!(found.violation_count() > 0, "read #{number} is stale");
        let tells = |violation: &Violation| violation.operations.contains(&number);
        assert!(found.violations.iter().all(tells), "read #{number} alone is stale: {found:#?}");
    }
}
