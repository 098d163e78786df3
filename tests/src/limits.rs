//! Limits of the test library: number, unit, reason, and what happens past each.

use std::time::Duration;

/// Operations of one history. One more is refused: at some 120 bytes each this is 8 GB.
pub const OPERATIONS_MAX: usize = 1 << 26;

/// Values that one operation lists as a context or as siblings. Longer lists are refused: lengths
/// are kept in 16 bits, and no namespace allows so many siblings.
pub const LISTED_VALUES_MAX: usize = u16::MAX as usize - 1;

/// Bytes of one line of a saved history. Longer lines are refused before they are read: three lists
/// of the greatest length fit.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// Violations that one oracle tells in words; further ones are counted. Nobody reads a thousand.
pub const VIOLATIONS_TOLD_MAX: usize = 100;

/// Anomalies of one kind that are told by their operations; further ones are counted.
pub const ANOMALIES_TOLD_MAX: usize = 8;

const _: () = assert!(3 * LISTED_VALUES_MAX * 21 + 4096 <= LINE_BYTES_MAX, "a longest line fits");

/// Nodes of a scenario. More are refused: each pair of them has a way of its own.
pub const SCENARIO_NODES_MAX: usize = 1024;

/// Faults of a scenario. More are refused: nobody reads them.
pub const SCENARIO_FAULTS_MAX: usize = 1 << 20;

/// Keys of a scenario. More are refused: each is read at the end.
pub const SCENARIO_KEYS_MAX: u64 = 1 << 20;

/// Processes of a scenario. More are refused: each keeps an operation under way.
pub const SCENARIO_PROCESSES_MAX: u64 = 1 << 16;

/// How long the clients of a scenario work under faults. Longer is refused: histories are kept in
/// memory, and more seeds find more than longer runs.
pub const SCENARIO_SAFETY_MAX: Duration = Duration::from_secs(30 * 86_400);
