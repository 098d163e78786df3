//! WRITE 4: commit log (group commit) -> memtable -> acknowledgement.
//!
//! ```text
//! WRITE 1 net/client/src/write_path.rs   pick the core; stamp id and deadline
//!       2 net/src/server/session.rs      frame in, admission
//!       3 net/src/server/write_path.rs   the owner's core, version, then the engine
//!       4 engine/src/write_path.rs       commit log (group commit) -> memtable -> ack  <- here
//! ```

use crate::commit_log::AppendError;
use crate::env::Env;
use crate::limits;
use crate::record::Record;
use crate::store::{Durability, PutError, PutTicket, SpaceLevel, Store};

impl<E: Env> Store<E> {
    /// Takes `record`, value or tombstone; [`Done::PutsUpto`](crate::store::Done::PutsUpto) says
    /// when it is durable in the sense of [`Durability`].
    ///
    /// # Errors
    /// [`PutError`]: nothing was stored.
    pub fn put_now(&mut self, record: &Record<'_>) -> Result<PutTicket, PutError> {
        check_limits(record)?;
        if self.config.namespaces.is_dropped(record.key.namespace) {
            return Err(PutError::NamespaceDropped);
        }
        // `Kind::Context` passes: it is what a delete is where siblings are, holds no value, and
        // gives back the space of those that it knew of.
        if self.space.level() == SpaceLevel::PutsRefused && !record.kind.is_tombstone() {
            self.stats.puts_disk_full += 1;
            return Err(PutError::DiskFull);
        }
        let bytes = record.row_len();
        if self.memtables_bytes() + bytes > self.config.memtables_bytes_max {
            self.stats.puts_busy += 1;
            return Err(PutError::Busy { retry_after_us: limits::RETRY_AFTER_PUTS_US });
        }
        let sequence = self.log.append(bytes, |row| record.write_row(row)).map_err(|error| {
            let error = refusal(error);
            match error {
                PutError::Busy { .. } => self.stats.puts_busy_log += 1,
                PutError::DiskFull => self.stats.puts_disk_full += 1,
                _ => {}
            }
            error
        })?;
        self.stats.puts += 1;
        self.stats.put_bytes += bytes as u64;
        if self.config.log.durability == Durability::Sync {
            return Ok(self.writes.logged(sequence, record.version.hlc, bytes));
        }
        self.active.put(record);
        self.vnodes.applied(record);
        Ok(self.writes.logged_and_applied())
    }
}

/// What the caller of a put is told of an entry that the log did not take.
pub(crate) fn refusal(error: AppendError) -> PutError {
    match error {
        AppendError::Busy => PutError::Busy { retry_after_us: limits::RETRY_AFTER_LOG_US },
        AppendError::DiskFull => PutError::DiskFull,
        AppendError::TooLarge { got, max } => PutError::ValueTooLong { got, max },
        AppendError::Failed => PutError::Failed,
    }
}

fn check_limits(record: &Record<'_>) -> Result<(), PutError> {
    let (key, value) = (record.key.bytes.len(), record.value.len());
    if key == 0 {
        Err(PutError::KeyEmpty)
    } else if key > limits::KEY_BYTES_MAX {
        Err(PutError::KeyTooLong { got: key, max: limits::KEY_BYTES_MAX })
    } else if value > limits::VALUE_BYTES_MAX {
        Err(PutError::ValueTooLong { got: value, max: limits::VALUE_BYTES_MAX })
    } else {
        Ok(())
    }
}
