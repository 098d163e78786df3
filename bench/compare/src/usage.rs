//! What this process has used so far: CPU time, bytes written, memory; and the size of its files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// What a piece of work used.
#[derive(Clone, Copy, Serialize, Deserialize, Debug, Default)]
pub(crate) struct Usage {
    /// CPU time in seconds, all threads.
    pub(crate) cpu_s: f64,
    /// Bytes sent to the disk, or dirtied in the page cache.
    pub(crate) written_bytes: u64,
    /// Bytes read from the disk.
    pub(crate) read_bytes: u64,
}

impl Usage {
    /// Of this process, until now.
    pub(crate) fn now() -> anyhow::Result<Self> {
        let io = fs::read_to_string("/proc/self/io").context("/proc/self/io")?;
        let written_bytes = number_of(&io, "write_bytes:").context("bytes written")?;
        let read_bytes = number_of(&io, "read_bytes:").context("bytes read")?;
        Ok(Self { cpu_s: cpu_time()?.as_secs_f64(), written_bytes, read_bytes })
    }

    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu_s: self.cpu_s - before.cpu_s,
            written_bytes: self.written_bytes - before.written_bytes,
            read_bytes: self.read_bytes - before.read_bytes,
        }
    }
}

/// `utime` and `stime` of `/proc/self/stat`, in ticks of 10 ms (times(2)).
fn cpu_time() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").context("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("a name in parentheses")?;
    let times = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks = times.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// The most memory this process ever had, in bytes.
pub(crate) fn memory_peak() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    Ok(number_of(&status, "VmHWM:").context("VmHWM")? << 10)
}

fn number_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Bytes that the files below `dir` take on the disk.
pub(crate) fn disk_bytes(dir: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            disk_bytes(&entry.path())?
        } else {
            metadata.blocks() * 512 / metadata.nlink()
        };
    }
    Ok(bytes)
}
