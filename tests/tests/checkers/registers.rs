//! Random histories of one register, with deletes, unknown outcomes and mistakes.

use tests::history::{ABSENT, History, Kind, NEVER, Operation, Outcome, Policy};

/// How histories are drawn.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Operations.
    pub(crate) operations: usize,
    /// Clients, each of which does one operation at a time.
    pub(crate) clients: usize,
    /// The longest time between call and return.
    pub(crate) length_ns: u64,
    /// The share of writes, and of deletes among these.
    pub(crate) writes: f64,
    pub(crate) deletes: f64,
    /// The share of writes whose outcome is unknown; half of these take effect.
    pub(crate) unknown: f64,
    /// Reads that are changed to show what some other moment had.
    pub(crate) mistakes: usize,
}

/// A history of operations that take effect at one moment each, and then its mistakes.
pub(crate) fn draw(shape: &Shape, rng: &mut fastrand::Rng) -> History {
    let mut operations = Vec::new();
    let mut moments = Vec::new();
    let mut free_ns = vec![0; shape.clients];
    for number in 0..shape.operations {
        let client = rng.usize(..shape.clients);
        let call_ns: u64 = free_ns[client] + rng.u64(..shape.length_ns);
        let moment_ns = call_ns + rng.u64(..shape.length_ns / 2 + 1);
        let return_ns = moment_ns + rng.u64(..shape.length_ns / 2 + 1);
        free_ns[client] = return_ns + 1;
        let kind = match (rng.f64() < shape.writes, rng.f64() < shape.deletes) {
            (false, _) => Kind::Get,
            (true, false) => Kind::Put,
            (true, true) => Kind::Delete,
        };
        let value = if kind == Kind::Get { ABSENT } else { number as u64 + 1 };
        let operation = Operation::new(kind, Policy::Lww, 1);
        operations.push(Operation { value, call_ns, return_ns, ..operation });
        moments.push((moment_ns, number));
    }
    moments.sort_unstable();
    let (mut value, mut values) = (ABSENT, vec![ABSENT]);
    for (_, number) in moments {
        let operation = &mut operations[number];
        if operation.kind == Kind::Get {
            operation.value = value;
            continue;
        }
        if rng.f64() < shape.unknown {
            (operation.outcome, operation.return_ns) = (Outcome::Unknown, NEVER);
            if rng.bool() {
                continue;
            }
        }
        value = if operation.kind == Kind::Put { operation.value } else { ABSENT };
        values.push(value);
    }
    for _ in 0..shape.mistakes {
        let operation = &mut operations[rng.usize(..shape.operations)];
        if operation.kind == Kind::Get {
            operation.value = values[rng.usize(..values.len())];
        }
    }
    let mut history = History::new();
    for operation in &operations {
        history.push(operation).expect("a sound operation");
    }
    history
}
