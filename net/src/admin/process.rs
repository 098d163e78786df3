//! What the process uses, from the kernel's files.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::boot::{kib_of, read};

/// What the process uses now.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Usage {
    /// CPU time so far, in user and kernel mode, in seconds.
    pub(super) cpu_seconds: f64,
    /// Resident memory in bytes.
    pub(super) resident_bytes: u64,
    /// Memory that cannot be moved, for direct I/O, in bytes.
    pub(super) pinned_bytes: u64,
    /// Open file descriptors.
    pub(super) descriptors: u64,
    /// Threads.
    pub(super) threads: u64,
}

/// Reads what the process uses now.
pub(super) fn usage() -> Usage {
    let status = read("/proc/self/status");
    let bytes = |label| kib_of(&status, label).unwrap_or(0) << 10;
    Usage {
        cpu_seconds: cpu_ticks(&read("/proc/self/stat")) as f64
            / rustix::param::clock_ticks_per_second() as f64,
        resident_bytes: bytes("VmRSS:"),
        pinned_bytes: bytes("VmPin:"),
        descriptors: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        threads: kib_of(&status, "Threads:").unwrap_or(0),
    }
}

/// Unix seconds, now.
pub(super) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// User and system time of `/proc/self/stat`, in ticks. The command's name, which comes second and
/// in parentheses, may hold anything.
fn cpu_ticks(stat: &str) -> u64 {
    let Some((_, fields)) = stat.rsplit_once(')') else { return 0 };
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    next() + next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_whatever_the_command_is_called() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 123 456 13 14";
        assert_eq!(cpu_ticks(stat), 579);
        assert_eq!(cpu_ticks("7 (kvcore) S 1"), 0);
        assert_eq!(cpu_ticks(""), 0);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = usage();
        assert!(usage.resident_bytes > 1 << 20 && usage.descriptors > 2 && usage.threads > 0);
    }
}
