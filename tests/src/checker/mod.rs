//! The oracles: pure functions from a history to what is wrong with it.
//!
//! - Nothing is taken on trust but what the recorder saw: what was sent, what came back, and when.
//! - Each oracle is `O(n log n)` in the operations of a history, lists included, and looks at one
//!   key at a time.
//! - The same history gives the same findings, in the same order.
//! - What the documentation admits is counted apart from what breaks a promise.
//!
//! | module | judges |
//! |---|---|
//! | `kept` | P1: no acknowledged write is lost |
//! | `values`, `siblings` | P2: what is read was written; siblings are not dropped nor invented |
//! | `regular` | P3: quorum reads are regular; with blocking repair they never go back |
//! | `deletes` | P5: the deleted stays deleted |
//! | `sessions` | P8: a session reads its writes and never goes back |
//! | `bounds` | P9: siblings and contexts are bounded |
//! | `order` | the anomalies that are admitted; stamps beyond the skew of clocks |
//! | `zones` | whether a key is linearizable, and who says that it is not |
//!
//! | module | what it gives the others |
//! |---|---|
//! | `index` | operations by key, calls and returns by moment, writes by value |
//! | `causes` | which write covers which |
//! | `removals` | what may have removed a value |
//! | `missed` | the sweep that finds reads that show less than they must |
//! | `findings` | violations and anomalies, counted, the first of each told |

mod bounds;
mod causes;
mod deletes;
mod findings;
mod index;
mod judge;
mod kept;
mod missed;
mod order;
mod regular;
mod removals;
mod sessions;
mod siblings;
mod values;
mod zones;

pub use findings::{Admitted, Anomaly, Findings, KeyName, Promise, Violation};
pub use judge::{Allowed, Oracle, check, check_with};
pub use zones::{Conflict, ConflictKind, conflicts};
