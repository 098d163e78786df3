//! Limits of the test library: number, unit, reason, and what happens past each.

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
