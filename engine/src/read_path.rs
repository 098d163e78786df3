//! READ 6: memtable -> filter -> block cache -> SSTable block.
//!
//! ```text
//! READ 1 net/client/src/read_path.rs             pick the replica's core; stamp id, deadline
//!      2 net/src/server/session.rs               frame in, admission
//!      3 net/src/runtime/driver.rs               route: to the engine, or coordinate
//!      4 cluster/src/coordinator/read_path.rs    data from one replica, digests from the others
//!      5 cluster/src/replica/read_path.rs        check epoch; read
//!   -> 6 engine/src/read_path.rs                 memtable -> filter -> cache -> block
//! ```

use crate::env::Env;
use crate::record::Key;
use crate::store::{Get, Store};

impl<E: Env> Store<E> {
    /// Reads `key`, as of `now_ms` in Unix milliseconds: a record past its time is absent.
    ///
    /// Only [`Get::Miss`] allocates.
    pub fn get_now(&mut self, key: &Key<'_>, now_ms: u64) -> Get<'_> {
        match self.active.get(key) {
            Some(record) if !record.is_dead(now_ms) => {
                self.stats.gets_memtable += 1;
                Get::Hit(record)
            }
            _ => {
                self.stats.gets_absent += 1;
                Get::Absent
            }
        }
    }
}
